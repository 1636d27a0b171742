//! Numbers of an axis that are computed, not listed: the same on every machine, any of them alone.
//!
//! Numbers are taken as the decimals that people write: `0.1` is a tenth, not the double next to
//! it. A point is a fraction of whole numbers, rounded once, by the parser of floats; so the third
//! step of 0.1 is 0.3. Powers of ten come from `libm`, which is Rust all through. Deliberately
//! absent: the platform's maths, and sums of steps.

use serde::{Deserialize, Serialize};

use crate::Value;
use crate::limits::ITEMS_MAX;

/// The exponents of a `logspace` lie within this, so that every power is a normal double.
const EXPONENT_MAX: f64 = 300.0;

/// Digits after the point of a fraction: enough to round it as the exact value.
const FRACTION_DIGITS_MAX: usize = 60;

/// What aligned numbers stay below: a product with a count of items then fits in 128 bits.
const ALIGNED_MAX: i128 = 10_i128.pow(19);

/// A number as a manifest has it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Number {
    /// Written without a point.
    Integer(i64),
    /// Written with one, or with an exponent.
    Float(f64),
}

/// Numbers in a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sequence {
    /// `start`, `start + step`, …, each before `end`. Whole numbers when all three are.
    Range {
        /// The first.
        start: Number,
        /// What they do not reach.
        end: Number,
        /// From one to the next; not zero.
        step: Number,
    },
    /// `count` floats at equal distances from `start` to `end`, both included.
    Linspace {
        /// The first.
        start: Number,
        /// The last.
        end: Number,
        /// How many; with one, it is `start`.
        count: u64,
    },
    /// Ten to the power of each point of the linspace of the same numbers.
    Logspace {
        /// The first exponent.
        start: Number,
        /// The last exponent.
        end: Number,
        /// How many.
        count: u64,
    },
}

/// Why a sequence has no values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// It has no value, or more than a stage may have.
    #[error("has {count} values; it must have 1 to {ITEMS_MAX}")]
    Count {
        /// How many it has.
        count: u128,
    },
    /// Its step leads nowhere.
    #[error("has the step 0; it must lead from the start to the end")]
    NoStep,
    /// Its numbers are no numbers, or differ too much in size for exact fractions.
    #[error(
        "has numbers that differ in size by more than {ALIGNED_MAX}; its values would not be exact"
    )]
    TooFarApart,
    /// A power of ten would be no double.
    #[error("has an exponent that is not from -{EXPONENT_MAX} to {EXPONENT_MAX}")]
    Exponent,
}

impl Number {
    fn as_f64(self) -> f64 {
        match self {
            Self::Integer(integer) => integer as f64,
            Self::Float(float) => float,
        }
    }
}

impl Sequence {
    /// Checks that [`Sequence::value`] has values to give.
    ///
    /// # Errors
    /// The first thing wrong.
    pub fn check(&self) -> Result<(), SequenceError> {
        match *self {
            Self::Range { start, end, step } => {
                let ([_, _, step], _) =
                    align([start, end, step]).ok_or(SequenceError::TooFarApart)?;
                if step == 0 {
                    return Err(SequenceError::NoStep);
                }
            }
            Self::Linspace { start, end, .. } => {
                align([start, end]).ok_or(SequenceError::TooFarApart)?;
            }
            Self::Logspace { start, end, .. } => {
                let is_power = |number: Number| number.as_f64().abs() <= EXPONENT_MAX;
                if !is_power(start) || !is_power(end) {
                    return Err(SequenceError::Exponent);
                }
                align([start, end]).ok_or(SequenceError::TooFarApart)?;
            }
        }
        match self.count() {
            count if (1..=u128::from(ITEMS_MAX)).contains(&count) => Ok(()),
            count => Err(SequenceError::Count { count }),
        }
    }

    /// How many values it has; 0 when [`Sequence::check`] finds fault with its numbers.
    pub fn len(&self) -> u64 {
        u64::try_from(self.count()).unwrap_or(u64::MAX)
    }

    /// Whether it has no value.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The value numbered `index` from 0.
    ///
    /// # Panics
    /// When there is none: [`Sequence::check`] was not asked, or `index` is not below the length.
    pub fn value(&self, index: u64) -> Value {
        assert!(index < self.len(), "value {index} of {self:?}");
        match *self {
            Self::Range { start, end, step } => {
                let ([first, _, step_aligned], exponent) =
                    align([start, end, step]).expect("the sequence was checked");
                let digits = first + i128::from(index) * step_aligned;
                match (start, end, step) {
                    (Number::Integer(_), Number::Integer(_), Number::Integer(_)) => {
                        Value::Integer(i64::try_from(digits).expect("it lies before the end"))
                    }
                    _ => Value::Float(round(digits, 1, exponent)),
                }
            }
            Self::Linspace { start, end, count } => {
                let (numerator, denominator, exponent) = point(start, end, count, index);
                Value::Float(round(numerator, denominator, exponent))
            }
            Self::Logspace { start, end, count } => {
                let (numerator, denominator, exponent) = point(start, end, count, index);
                Value::Float(power_of_ten(round(numerator, denominator, exponent)))
            }
        }
    }

    fn count(&self) -> u128 {
        match *self {
            Self::Linspace { count, .. } | Self::Logspace { count, .. } => count.into(),
            Self::Range { start, end, step } => {
                let Some(([start, end, step], _)) = align([start, end, step]) else { return 0 };
                let way = if step < 0 { start - end } else { end - start };
                match step.unsigned_abs() {
                    0 => 0,
                    step => u128::try_from(way).unwrap_or(0).div_ceil(step),
                }
            }
        }
    }
}

/// Point `index` of `count` between two numbers: a fraction, to be scaled by a power of ten.
fn point(start: Number, end: Number, count: u64, index: u64) -> (i128, i128, i32) {
    let ([start, end], exponent) = align([start, end]).expect("the sequence was checked");
    let steps = i128::from(count.max(2) - 1);
    let index = i128::from(index);
    (start * (steps - index) + end * index, steps, exponent)
}

/// Ten to a power: exact where the power is a whole number.
fn power_of_ten(exponent: f64) -> f64 {
    if exponent == exponent.trunc() {
        return format!("1e{exponent}").parse().expect("a power of ten");
    }
    libm::pow(10.0, exponent)
}

/// The decimals of `numbers` as whole numbers of one power of ten, which is given too.
fn align<const N: usize>(numbers: [Number; N]) -> Option<([i128; N], i32)> {
    let mut decimals = [(0, 0); N];
    for (decimal, number) in decimals.iter_mut().zip(numbers) {
        *decimal = decimal_of(number)?;
    }
    let exponent = decimals.iter().filter(|(digits, _)| *digits != 0).map(|(_, e)| *e).min();
    let exponent = exponent.unwrap_or(0);
    let mut aligned = [0; N];
    for (aligned, (digits, own)) in aligned.iter_mut().zip(decimals) {
        *aligned = raise(digits, own, exponent)?;
    }
    Some((aligned, exponent))
}

/// `digits` × 10^`own` in units of 10^`exponent`, which is no larger.
fn raise(digits: i128, own: i32, exponent: i32) -> Option<i128> {
    if digits == 0 {
        return Some(0);
    }
    let scale = 10_i128.checked_pow(u32::try_from(own - exponent).ok()?)?;
    digits.checked_mul(scale).filter(|aligned| aligned.abs() < ALIGNED_MAX)
}

/// The shortest decimal that means this number: its digits and the power of ten of the last one.
fn decimal_of(number: Number) -> Option<(i128, i32)> {
    let text = match number {
        Number::Integer(integer) => return Some((integer.into(), 0)),
        Number::Float(float) if float.is_finite() => format!("{float:e}"),
        Number::Float(_) => return None,
    };
    let (digits, exponent) = text.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    let after_point = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let digits = digits.replace('.', "").parse().ok()?;
    Some((digits, exponent - i32::try_from(after_point).ok()?))
}

/// The double next to `numerator` / `denominator` × 10^`exponent`.
///
/// Written out as a decimal of so many digits that the one rounding is the parser's.
fn round(numerator: i128, denominator: i128, exponent: i32) -> f64 {
    if numerator == 0 {
        return 0.0;
    }
    let sign = if numerator < 0 { "-" } else { "" };
    let (whole, mut rest) = (numerator.abs() / denominator, numerator.abs() % denominator);
    let mut text = format!("{sign}{whole}.");
    for _ in 0..FRACTION_DIGITS_MAX {
        if rest == 0 {
            break;
        }
        rest *= 10;
        let digit = u32::try_from(rest / denominator).ok().and_then(|d| char::from_digit(d, 10));
        text.push(digit.expect("a remainder is below its divisor"));
        rest %= denominator;
    }
    // What is left breaks a tie.
    if rest != 0 {
        text.push('1');
    }
    text.push_str(&format!("e{exponent}"));
    text.parse().expect("a decimal")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn float(number: f64) -> Number {
        Number::Float(number)
    }

    fn whole(number: i64) -> Number {
        Number::Integer(number)
    }

    fn check(sequence: Sequence, expected: &[f64]) {
        assert_eq!(sequence.check(), Ok(()), "{sequence:?}");
        let values: Vec<_> = (0..sequence.len()).map(|index| sequence.value(index)).collect();
        let expected: Vec<_> = expected.iter().copied().map(Value::Float).collect();
        assert_eq!(values, expected, "{sequence:?}");
    }

    #[test]
    fn steps_are_the_decimals_that_people_mean() {
        let range = |start, end, step| Sequence::Range { start, end, step };
        let tenths = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
        check(range(whole(0), whole(1), float(0.1)), &tenths);
        check(range(float(1.0), float(1.2), float(0.1)), &[1.0, 1.1]);
        check(range(float(0.3), float(0.0), float(-0.1)), &[0.3, 0.2, 0.1]);
        check(range(float(0.0), float(0.6), float(0.2)), &[0.0, 0.2, 0.4]);
        check(range(float(1e-9), float(3e-9), float(1e-9)), &[1e-9, 2e-9]);
        let integers = range(whole(-1), whole(4), whole(2));
        let values: Vec<_> = (0..integers.len()).map(|index| integers.value(index)).collect();
        assert_eq!(values, [-1, 1, 3].map(Value::Integer));
    }

    #[test]
    fn points_between_two_numbers_are_rounded_once() {
        let linspace = |start, end, count| Sequence::Linspace { start, end, count };
        let tenths = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
        check(linspace(whole(0), whole(1), 11), &tenths);
        check(linspace(float(0.1), float(0.5), 5), &[0.1, 0.2, 0.3, 0.4, 0.5]);
        check(linspace(whole(0), whole(1), 4), &[0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]);
        check(linspace(whole(7), whole(9), 1), &[7.0]);
        check(linspace(whole(1), whole(-1), 3), &[1.0, 0.0, -1.0]);
        check(linspace(float(1e300), float(2e300), 3), &[1e300, 1.5e300, 2e300]);
    }

    #[test]
    fn powers_of_ten_have_the_same_bits_everywhere() {
        let logspace = |start, end, count| Sequence::Logspace { start, end, count };
        check(logspace(whole(-3), whole(3), 7), &[1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0]);
        let half = logspace(whole(0), whole(1), 3).value(1);
        assert_eq!(half, Value::Float(f64::from_bits(0x4009_4c58_3ada_5b53)), "the root of ten");
    }

    #[test]
    fn any_value_of_a_long_sequence_is_found_at_once() {
        let count = ITEMS_MAX;
        let long = Sequence::Linspace { start: whole(0), end: whole(i64::MAX - 1), count };
        assert_eq!(long.check(), Ok(()));
        assert_eq!(long.value(count - 1), Value::Float((i64::MAX - 1) as f64));
        let end = whole(i64::MAX);
        let range = Sequence::Range { start: whole(i64::MIN), end, step: whole(3) };
        assert_eq!(range.check(), Ok(()));
        assert_eq!(range.value(range.len() - 1), Value::Integer(i64::MAX - 3));
        let all = Sequence::Range { start: whole(i64::MIN), end, step: whole(1) };
        assert_eq!(all.check(), Err(SequenceError::Count { count: u128::from(u64::MAX) }));
    }

    proptest! {
        #[test]
        fn linspace_keeps_to_its_ends_and_its_order(
            start in -1e6..1e6_f64,
            end in -1e6..1e6_f64,
            count in 2_u64..50,
        ) {
            let sequence = Sequence::Linspace { start: float(start), end: float(end), count };
            prop_assume!(sequence.check().is_ok());
            let values: Vec<_> = (0..count)
                .map(|index| match sequence.value(index) {
                    Value::Float(value) => value,
                    other => panic!("{other:?} is no float"),
                })
                .collect();
            prop_assert_eq!((values[0], values[values.len() - 1]), (start, end));
            prop_assert!(values.is_sorted() || values.iter().rev().is_sorted());
        }
    }
}
