//! Sums of floats without rounding, so that neither order nor grouping can show in them.
//!
//! A small superaccumulator (R. M. Neal, "Fast exact summation using small and large
//! superaccumulators", 2015, arXiv:1505.05571): a fixed-point number as wide as all finite floats,
//! in limbs of 32 bits that are held in 64, so that carries are seen to now and then only. Where
//! Neal adds a mantissa in two parts and sees to carries after 2¹¹ additions, this one adds three
//! parts of 32 bits, and has carries every 2³⁰: less to prove for a little more to add.

/// Bit 0 of the number is worth 2⁻¹⁰⁷⁴, the least float above zero.
const UNIT_EXPONENT: u32 = 1074;

const LIMB_BITS: u32 = 32;
const LIMB_MASK: i64 = (1 << LIMB_BITS) - 1;

/// 2⁶³ floats below 2¹⁰²⁴ stay below 2¹⁰⁸⁷, which is bit 2161; the last limb has the sign, too.
const LIMBS: usize = 68;

/// How many additions of less than 2³² a limb takes before carries must be seen to.
const ADDITIONS_MAX: u32 = 1 << 30;

const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
const INFINITY_BITS: u64 = f64::INFINITY.to_bits();

/// An exact sum of floats and whole numbers.
#[derive(Clone, Debug)]
pub(super) struct ExactSum {
    limbs: [i64; LIMBS],
    /// Additions since carries were last seen to.
    additions: u32,
    has_nan: bool,
    has_infinity: bool,
    has_negative_infinity: bool,
}

/// Whether something is added or taken away.
#[derive(Clone, Copy)]
enum Sign {
    Plus,
    Minus,
}

impl ExactSum {
    /// The sum of nothing.
    pub(super) fn zero() -> Self {
        Self {
            limbs: [0; LIMBS],
            additions: 0,
            has_nan: false,
            has_infinity: false,
            has_negative_infinity: false,
        }
    }

    /// Adds a float, whatever it is.
    pub(super) fn add(&mut self, value: f64) {
        if !value.is_finite() {
            self.has_nan |= value.is_nan();
            self.has_infinity |= value == f64::INFINITY;
            self.has_negative_infinity |= value == f64::NEG_INFINITY;
            return;
        }
        let bits = value.to_bits();
        let mantissa = bits & ((1 << MANTISSA_BITS) - 1);
        let exponent = (bits >> MANTISSA_BITS) as u32 & 0x7ff;
        // A subnormal float has the least exponent and no hidden bit.
        let (mantissa, shift) = match exponent {
            0 => (mantissa, 0),
            exponent => (mantissa | 1 << MANTISSA_BITS, exponent - 1),
        };
        let sign = if value.is_sign_negative() { Sign::Minus } else { Sign::Plus };
        self.add_shifted(u128::from(mantissa), shift, sign);
    }

    /// Adds a whole number.
    pub(super) fn add_whole(&mut self, value: i128) {
        let magnitude = value.unsigned_abs();
        let sign = if value < 0 { Sign::Minus } else { Sign::Plus };
        // In halves, so that a shift by less than a limb loses nothing.
        for (half, shift) in [(magnitude & u128::from(u64::MAX), 0), (magnitude >> 64, 64)] {
            self.add_shifted(half, UNIT_EXPONENT + shift, sign);
        }
    }

    /// The float nearest to the sum, the even one of two as near; infinite when it is beyond all
    /// floats. NaN when a NaN or both infinities were added, else the infinity that was. A sum of
    /// nothing, or of zeros of any sign, is 0.
    pub(super) fn rounded(&self) -> f64 {
        if self.has_nan || self.has_infinity && self.has_negative_infinity {
            return f64::NAN;
        }
        if self.has_infinity {
            return f64::INFINITY;
        }
        if self.has_negative_infinity {
            return f64::NEG_INFINITY;
        }
        let mut sum = self.clone();
        sum.carry();
        if sum.limbs[LIMBS - 1] >= 0 {
            return sum.rounded_magnitude();
        }
        sum.limbs.iter_mut().for_each(|limb| *limb = -*limb);
        sum.carry();
        -sum.rounded_magnitude()
    }

    /// Adds `value` times 2 to the power of `shift`, which ends within the limbs; `value` has at
    /// most 64 bits.
    fn add_shifted(&mut self, value: u128, shift: u32, sign: Sign) {
        let first = (shift / LIMB_BITS) as usize;
        let shifted = value << (shift % LIMB_BITS);
        for (position, limb) in self.limbs[first..first + 3].iter_mut().enumerate() {
            let part = (shifted >> (position as u32 * LIMB_BITS)) as i64 & LIMB_MASK;
            *limb += match sign {
                Sign::Plus => part,
                Sign::Minus => -part,
            };
        }
        self.additions += 1;
        if self.additions == ADDITIONS_MAX {
            self.carry();
        }
    }

    /// Leaves 32 bits in every limb but the last, which gets what is over, and the sign.
    fn carry(&mut self) {
        for low in 0..LIMBS - 1 {
            let over = self.limbs[low] >> LIMB_BITS;
            self.limbs[low] &= LIMB_MASK;
            self.limbs[low + 1] += over;
        }
        self.additions = 1;
    }

    /// Of a sum not below zero whose carries are seen to.
    fn rounded_magnitude(&self) -> f64 {
        let Some(highest) = self.limbs.iter().rposition(|limb| *limb != 0) else { return 0.0 };
        let bits_of_highest = i64::BITS - self.limbs[highest].leading_zeros();
        let bits = highest as u32 * LIMB_BITS + bits_of_highest;
        // The bits that do not fit in a mantissa are rounded off.
        let shift = bits.saturating_sub(MANTISSA_BITS + 1);
        let mut mantissa = self.window(shift) & ((1 << (MANTISSA_BITS + 1)) - 1);
        if shift > 0 && self.bit(shift - 1) {
            let is_tie = !self.any_below(shift - 1);
            mantissa += u64::from(!is_tie || mantissa & 1 == 1);
        }
        // The hidden bit, and a mantissa that grew by one bit, carry into the exponent.
        let float = (u64::from(shift) << MANTISSA_BITS) + mantissa;
        f64::from_bits(float.min(INFINITY_BITS))
    }

    /// 64 bits from bit `shift` on.
    fn window(&self, shift: u32) -> u64 {
        let first = (shift / LIMB_BITS) as usize;
        let limbs = self.limbs[first..].iter().take(3).enumerate();
        let joined = limbs.fold(0, |joined: u128, (position, limb)| {
            joined | (*limb as u128) << (position as u32 * LIMB_BITS)
        });
        (joined >> (shift % LIMB_BITS)) as u64
    }

    fn bit(&self, bit: u32) -> bool {
        self.limbs[(bit / LIMB_BITS) as usize] >> (bit % LIMB_BITS) & 1 == 1
    }

    fn any_below(&self, bit: u32) -> bool {
        let limb = (bit / LIMB_BITS) as usize;
        let low = self.limbs[limb] & ((1 << (bit % LIMB_BITS)) - 1);
        low != 0 || self.limbs[..limb].iter().any(|limb| *limb != 0)
    }
}

#[cfg(test)]
mod tests {
    use num_bigint::BigInt;
    use proptest::prelude::*;

    use super::*;

    /// A finite float as so many of the least float above zero, by big whole numbers.
    fn units(value: f64) -> BigInt {
        let bits = value.to_bits();
        let (exponent, mantissa) = (bits >> 52 & 0x7ff, bits & ((1 << 52) - 1));
        let magnitude = match exponent {
            0 => BigInt::from(mantissa),
            _ => BigInt::from(mantissa | 1 << 52) << (exponent - 1),
        };
        if value.is_sign_negative() { -magnitude } else { magnitude }
    }

    /// Asserts that `rounded` is the float nearest to `exact`, ties to even.
    fn check_nearest(rounded: f64, exact: &BigInt) {
        let distance = |units: BigInt| BigInt::from((units - exact).magnitude().clone());
        if rounded.is_infinite() {
            // Half way from the greatest float to the next power of two, and above.
            let limit = (units(f64::MAX) << 1) + (BigInt::from(1) << 2045_u32);
            let doubled = BigInt::from(exact.magnitude().clone()) << 1;
            assert!(doubled >= limit, "{rounded} for less than any infinity");
            return;
        }
        let off = distance(units(rounded));
        for neighbour in [rounded.next_up(), rounded.next_down()] {
            if neighbour.is_finite() {
                let further = distance(units(neighbour));
                assert!(off <= further, "{neighbour:e} is nearer than {rounded:e}");
                let is_even = rounded.to_bits() & 1 == 0;
                assert!(off < further || is_even, "{rounded:e} is odd in a tie");
            }
        }
    }

    fn sum(values: &[f64]) -> f64 {
        let mut sum = ExactSum::zero();
        values.iter().for_each(|value| sum.add(*value));
        sum.rounded()
    }

    /// Floats of all sizes, and of sizes near each other, so that much cancels.
    fn float() -> impl Strategy<Value = f64> {
        let normal = prop::num::f64::POSITIVE | prop::num::f64::NEGATIVE;
        prop_oneof![
            normal | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
            (-1000_i32..1000, -3_i32..4).prop_map(|(n, e)| f64::from(n) * 2_f64.powi(52 * e)),
            Just(f64::MAX),
            Just(f64::MIN),
            Just(f64::MIN_POSITIVE),
            Just(2_f64.powi(-53)),
            Just(1.0),
        ]
    }

    proptest! {
        #[test]
        fn a_sum_is_the_float_nearest_to_the_exact_one(
            floats in prop::collection::vec(float(), 0..40),
            wholes in prop::collection::vec(any::<i128>(), 0..3),
        ) {
            let mut sum = ExactSum::zero();
            floats.iter().for_each(|float| sum.add(*float));
            wholes.iter().for_each(|whole| sum.add_whole(*whole));
            let exact: BigInt = floats.iter().map(|float| units(*float)).sum();
            let wholes: BigInt = wholes.iter().map(|whole| BigInt::from(*whole)).sum();
            check_nearest(sum.rounded(), &(exact + (wholes << UNIT_EXPONENT)));
        }

        #[test]
        fn a_sum_does_not_show_its_order_nor_when_carries_were_seen_to(
            floats in prop::collection::vec(prop_oneof![9 => float(), 1 => prop::num::f64::ANY], 0..40),
            order in any::<prop::sample::Index>(),
            carries in 1_usize..5,
        ) {
            let expected = sum(&floats);
            let mut turned = floats.clone();
            turned.rotate_left(order.index(floats.len().max(1)).min(floats.len()));
            turned.reverse();
            let mut other = ExactSum::zero();
            for (position, float) in turned.iter().enumerate() {
                other.add(*float);
                if position % carries == 0 {
                    other.carry();
                }
            }
            prop_assert_eq!(other.rounded().to_bits(), expected.to_bits());
        }
    }

    #[test]
    fn what_adding_one_by_one_loses_is_kept() {
        assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(sum(&[1.0, 2_f64.powi(-53)]), 1.0, "a tie goes to the even float");
        assert_eq!(sum(&[1.0, 2_f64.powi(-53), f64::from_bits(1)]), 1.0_f64.next_up());
        assert_eq!(sum(&[f64::MIN_POSITIVE, -f64::from_bits(1)]), f64::MIN_POSITIVE.next_down());
    }

    #[test]
    fn what_is_not_finite_has_rules() {
        assert!(sum(&[1.0, f64::NAN, f64::INFINITY]).is_nan());
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert_eq!(sum(&[f64::MIN, f64::INFINITY]), f64::INFINITY);
        assert_eq!(sum(&[f64::MAX, f64::MAX, f64::NEG_INFINITY]), f64::NEG_INFINITY);
        for zeros in [&[][..], &[-0.0], &[0.0, -0.0], &[1.5, -1.5]] {
            assert_eq!(sum(zeros).to_bits(), 0.0_f64.to_bits());
        }
    }

    #[test]
    fn limbs_have_room_for_as_many_additions_as_are_made_between_carries() {
        let mut full = ExactSum::zero();
        // As after 2³⁰ of the greatest floats.
        full.add(f64::MAX);
        let times = i64::from(ADDITIONS_MAX);
        full.limbs.iter_mut().for_each(|limb| *limb = limb.checked_mul(times).expect("room"));
        full.carry();
        full.limbs.iter_mut().for_each(|limb| *limb = limb.checked_mul(2).expect("room"));
        assert_eq!(full.rounded(), f64::INFINITY);
        full.add(f64::NEG_INFINITY);
        assert_eq!(full.rounded(), f64::NEG_INFINITY);
    }
}
