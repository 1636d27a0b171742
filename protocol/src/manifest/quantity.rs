//! Sizes and durations as people write them: a whole number and a unit.

use std::time::Duration;

const SIZES: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

const DURATIONS: [(&str, u64); 4] = [("s", 1), ("min", 60), ("h", 60 * 60), ("d", 24 * 60 * 60)];

/// The bytes of a size such as `256 MiB`; saturates where 64 bits end.
pub fn parse_size(text: &str) -> Option<u64> {
    parse(text, &SIZES)
}

/// The length of a duration such as `10 min`; saturates where 64 bits of seconds end.
pub fn parse_duration(text: &str) -> Option<Duration> {
    parse(text, &DURATIONS).map(Duration::from_secs)
}

/// `bytes` in the largest binary unit that divides it.
pub(super) fn print_size(bytes: u64) -> String {
    print(bytes, &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)])
}

/// `duration` in the largest unit that divides it.
pub(super) fn print_duration(duration: Duration) -> String {
    print(duration.as_secs(), &[("d", 24 * 60 * 60), ("h", 60 * 60), ("min", 60), ("s", 1)])
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let unit = text[digits..].trim_start();
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    let number = &text[..digits];
    // Digits alone fail to parse only when there are none, or too many for 64 bits.
    match number.parse::<u64>() {
        Ok(number) => Some(number.saturating_mul(*scale)),
        Err(_) if number.is_empty() => None,
        Err(_) => Some(u64::MAX),
    }
}

fn print(amount: u64, units: &[(&str, u64)]) -> String {
    let (name, scale) = units
        .iter()
        .find(|(_, scale)| amount >= *scale && amount.is_multiple_of(*scale))
        .or(units.last())
        .expect("the table has a unit");
    format!("{} {name}", amount / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_read_with_their_unit() {
        assert_eq!(parse_size("256 MiB"), Some(256 << 20));
        assert_eq!(parse_size("1GB"), Some(1_000_000_000));
        assert_eq!(parse_size("99999999999999999999 B"), Some(u64::MAX));
        assert_eq!(parse_duration("10 min"), Some(Duration::from_secs(600)));
        for text in ["", "256", "MiB", "1.5 GiB", "-1 B", "1 mib", "1 MiB ", " 1 B", "1 h"] {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
        for text in ["10", "10 m", "1 h 30 min", "1 B"] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn amounts_print_in_the_largest_unit_that_divides_them() {
        assert_eq!(print_size(4 << 30), "4 GiB");
        assert_eq!(print_size(64 << 10), "64 KiB");
        assert_eq!(print_size(1000), "1000 B");
        assert_eq!(print_size(0), "0 B");
        assert_eq!(print_duration(Duration::from_secs(5400)), "90 min");
    }
}
