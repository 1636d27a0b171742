//! Two outputs compared value by value: MessagePack, with a tolerance for floats.

use std::fmt;

use rmpv::Value;

/// How well two outputs agree.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Agreement {
    /// The largest difference of two floats, as a share of the larger one.
    largest: f64,
}

/// The first place at which two outputs do not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// Where: `the output`, or as `[3].power` within it.
    pub(super) place: String,
    /// What is there in the first.
    pub(super) left: String,
    /// What is there in the second.
    pub(super) right: String,
}

/// Why an output cannot be compared.
#[derive(Debug, thiserror::Error)]
#[error("an output is not one MessagePack value")]
pub(super) struct NotOneValue;

/// How much of a value is shown.
const SHOWN_CHARS_MAX: usize = 60;

/// Compares two outputs. Floats agree when they differ by at most `tolerance` times the larger of
/// them, or are both no number; all else agrees when it is equal.
///
/// # Errors
/// When one of them is no value.
pub(super) fn compare(
    left: &[u8],
    right: &[u8],
    tolerance: f64,
) -> Result<Result<Agreement, Difference>, NotOneValue> {
    let (left, right) = (read(left)?, read(right)?);
    let mut agreement = Agreement::default();
    let compared = compare_values(&left, &right, tolerance, "", &mut agreement);
    Ok(compared.map(|()| agreement))
}

fn read(mut bytes: &[u8]) -> Result<Value, NotOneValue> {
    let value = rmpv::decode::read_value(&mut bytes).map_err(|_| NotOneValue)?;
    if bytes.is_empty() { Ok(value) } else { Err(NotOneValue) }
}

fn compare_values(
    left: &Value,
    right: &Value,
    tolerance: f64,
    place: &str,
    agreement: &mut Agreement,
) -> Result<(), Difference> {
    let differ = || Err(difference(place, show(left), show(right)));
    match (left, right) {
        (Value::F64(_) | Value::F32(_), Value::F64(_) | Value::F32(_)) => {
            let (a, b) = (left.as_f64().unwrap_or(f64::NAN), right.as_f64().unwrap_or(f64::NAN));
            let share = relative_difference(a, b);
            if share > tolerance || left.is_f32() != right.is_f32() {
                return differ();
            }
            agreement.largest = agreement.largest.max(share);
            Ok(())
        }
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() {
                let count = |list: &[Value]| format!("a list of {}", list.len());
                return Err(difference(place, count(a), count(b)));
            }
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare_values(a, b, tolerance, &format!("{place}[{index}]"), agreement)?;
            }
            Ok(())
        }
        (Value::Map(a), Value::Map(b)) => {
            let keys = |map: &[(Value, Value)]| {
                let keys: Vec<_> = map.iter().map(|(key, _)| show(key)).collect();
                shortened(&format!("the keys {}", keys.join(", ")))
            };
            // Their order is part of the bytes.
            if a.len() != b.len() || a.iter().zip(b).any(|((a, _), (b, _))| a != b) {
                return Err(difference(place, keys(a), keys(b)));
            }
            for ((key, a), (_, b)) in a.iter().zip(b) {
                let name = key.as_str().map_or_else(|| show(key), str::to_owned);
                compare_values(a, b, tolerance, &format!("{place}.{name}"), agreement)?;
            }
            Ok(())
        }
        _ if left == right => Ok(()),
        _ => differ(),
    }
}

/// The difference as a share of the larger; none between equal numbers and between two that are
/// none, infinite where there is no share.
fn relative_difference(a: f64, b: f64) -> f64 {
    if a == b || (a.is_nan() && b.is_nan()) {
        return 0.0;
    }
    let share = (a - b).abs() / a.abs().max(b.abs());
    if share.is_nan() { f64::INFINITY } else { share }
}

fn difference(place: &str, left: String, right: String) -> Difference {
    let place = match place.trim_start_matches('.') {
        "" => "the output".to_owned(),
        place => format!("`{place}`"),
    };
    Difference { place, left, right }
}

fn show(value: &Value) -> String {
    match value {
        Value::Binary(bytes) => format!("{} bytes", bytes.len()),
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Map(map) => format!("a record of {}", map.len()),
        Value::F64(number) => format!("{number:?}"),
        Value::F32(number) => format!("{number:?} (32 bits)"),
        other => shortened(&other.to_string()),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl Agreement {
    /// The worse of two.
    #[must_use]
    pub(super) fn and(self, other: Self) -> Self {
        Self { largest: self.largest.max(other.largest) }
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.largest == 0.0 {
            return f.write_str("the same");
        }
        write!(f, "the same within {:.0e}", self.largest)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn compared(left: &Json, right: &Json, tolerance: f64) -> Result<Agreement, Difference> {
        let pack = |value: &Json| rmp_serde::to_vec_named(value).expect("it encodes");
        compare(&pack(left), &pack(right), tolerance).expect("they are values")
    }

    fn check(left: Json, right: Json, place: &str, words: (&str, &str)) {
        let difference = compared(&left, &right, 1e-9).expect_err("they differ");
        let (left, right) = (difference.left.as_str(), difference.right.as_str());
        assert_eq!((difference.place.as_str(), (left, right)), (place, words));
    }

    #[test]
    fn floats_agree_within_the_tolerance_and_all_else_when_it_is_equal() {
        let power = |power: f64| json!({ "rows": [{ "power": power, "name": "a" }] });
        let agreement = compared(&power(1.0), &power(1.0 + 1e-12), 1e-9).expect("near enough");
        assert_eq!(agreement.to_string(), "the same within 1e-12");
        assert_eq!(compared(&power(0.5), &power(0.5), 0.0), Ok(Agreement::default()));
        check(power(1.0), power(1.001), "`rows[0].power`", ("1.0", "1.001"));
        check(json!(3), json!(4), "the output", ("3", "4"));
        check(json!([1, "x"]), json!([1, "y"]), "`[1]`", ("\"x\"", "\"y\""));
        check(json!(1.0), json!(1), "the output", ("1.0", "1"));
        check(json!([1]), json!([1, 2]), "the output", ("a list of 1", "a list of 2"));
        check(
            json!({ "a": 1 }),
            json!({ "b": 1 }),
            "the output",
            ("the keys \"a\"", "the keys \"b\""),
        );
    }

    #[test]
    fn numbers_without_a_share_are_told_apart() {
        assert_eq!(relative_difference(f64::NAN, f64::NAN), 0.0);
        assert_eq!(relative_difference(0.0, -0.0), 0.0);
        assert_eq!(relative_difference(f64::INFINITY, f64::INFINITY), 0.0);
        assert!(relative_difference(f64::NAN, 1.0).is_infinite());
        assert!(relative_difference(f64::INFINITY, 1.0).is_infinite());
        assert_eq!(relative_difference(0.0, 1e-300), 1.0);
    }

    #[test]
    fn what_is_no_value_is_refused() {
        assert!(compare(&[0x93], &[1], 0.0).is_err());
        assert!(compare(&[1], &[1, 1], 0.0).is_err());
    }
}
