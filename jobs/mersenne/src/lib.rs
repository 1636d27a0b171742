//! Which Mersenne numbers 2^p − 1 are prime?
//!
//! One task: [`test()`] decides one exponent by the test of Lucas and Lehmer, with the arithmetic
//! of [`residue`]. Whole numbers only, so the same bits come out natively and in every slot.

pub mod residue;

use gleaner_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::residue::Residue;

/// The largest exponent: an item near it takes a day or two, and nobody lends a slot for longer.
pub const EXPONENT_MAX: u32 = 1_000_000;

/// An item: one exponent.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// The exponent p of 2^p − 1, at least 2.
    pub exponent: u32,
}

/// A row of `mersenne.csv`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The prime exponent p.
    pub exponent: u32,
    /// How many decimal digits 2^p − 1 has.
    pub digits: u32,
    /// Whether 2^p − 1 is prime.
    pub prime: bool,
    /// The lowest 64 bits of the last residue of the test, in hexadecimal: what others who test
    /// the same exponent compare. All zeros for a prime.
    pub residue: String,
}

/// Tests one exponent. No row when the exponent is composite: 2^p − 1 is then composite too, as
/// 2^q − 1 divides it for each divisor q of p.
///
/// # Errors
/// When the exponent is out of bounds.
#[task]
pub fn test(candidate: Candidate, context: &Context) -> Result<Vec<Row>, Error> {
    let exponent = candidate.exponent;
    if !(2..=EXPONENT_MAX).contains(&exponent) {
        return Err(Error::new(format_args!(
            "the exponent {exponent} is out of bounds: it must be 2 to {EXPONENT_MAX}"
        )));
    }
    if !is_prime(exponent) {
        return Ok(Vec::new());
    }
    let last = last_residue(exponent, |fraction| context.progress(fraction));
    let (prime, residue) = (last.is_zero(), format!("{:016x}", last.low_64_bits()));
    Ok(vec![Row { exponent, digits: digits(exponent), prime, residue }])
}

/// The last number of Lucas and Lehmer's sequence s₀ = 4, sₖ₊₁ = sₖ² − 2 modulo 2^p − 1, that is
/// s₍p₋₂₎; it is zero just when 2^p − 1 is prime (Lehmer 1935, J. London Math. Soc. 10, 162), for a
/// prime p above 2. For p = 2, where the theorem does not hold, zero: 3 is prime.
fn last_residue(exponent: u32, mut progress: impl FnMut(f64)) -> Residue {
    const STEPS_BETWEEN_REPORTS: u32 = 256;
    if exponent == 2 {
        return Residue::new(2, 0);
    }
    let mut s = Residue::new(exponent, 4);
    let steps = exponent - 2;
    for step in 0..steps {
        s.square();
        s.subtract(2);
        if step % STEPS_BETWEEN_REPORTS == 0 {
            progress(f64::from(step) / f64::from(steps));
        }
    }
    s
}

/// The decimal digits of 2^p − 1: as many as 2^p has, which is no power of ten.
fn digits(exponent: u32) -> u32 {
    // Twelve digits of log₁₀ 2: off by 10^-7 at most below the largest exponent.
    (u64::from(exponent) * 301_029_995_664 / 1_000_000_000_000) as u32 + 1
}

fn is_prime(number: u32) -> bool {
    let mut divisors = (2..).take_while(|divisor| divisor * divisor <= number);
    number >= 2 && divisors.all(|divisor| !number.is_multiple_of(divisor))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exponents of the Mersenne primes below 2^2300 (OEIS A000043).
    const KNOWN: [u32; 17] =
        [2, 3, 5, 7, 13, 17, 19, 31, 61, 89, 107, 127, 521, 607, 1279, 2203, 2281];

    fn rows(exponent: u32) -> Vec<Row> {
        test(Candidate { exponent }, &Context::for_test()).expect("within bounds")
    }

    #[test]
    fn the_known_mersenne_primes_and_no_others_are_found() {
        let found: Vec<_> =
            (2..2300).flat_map(rows).filter(|row| row.prime).map(|row| row.exponent).collect();
        assert_eq!(found, KNOWN);
    }

    #[test]
    fn a_composite_exponent_has_no_row() {
        for exponent in [4, 9, 15, 2047] {
            assert_eq!(rows(exponent), []);
        }
    }

    #[test]
    fn residues_are_those_that_others_publish() {
        // 11: the sequence 4, 14, 194, 788, 701, 119, 1877, 240, 282, 1736 modulo 2047.
        let row = &rows(11)[0];
        assert_eq!((row.prime, row.residue.as_str()), (false, "00000000000006c8"));
        let row = &rows(127)[0];
        assert_eq!((row.prime, row.digits), (true, 39));
        assert_eq!(row.residue, "0000000000000000");
    }

    #[test]
    fn exponents_out_of_bounds_are_refused_in_words() {
        let error = test(Candidate { exponent: 1 }, &Context::for_test()).expect_err("too small");
        assert_eq!(error.to_string(), "the exponent 1 is out of bounds: it must be 2 to 1000000");
    }

    #[test]
    fn digits_are_counted_as_decimal_arithmetic_counts_them() {
        // 2^p in decimal, doubled digit by digit.
        let mut decimal = vec![1_u8];
        for exponent in 1..=5000_u32 {
            let mut carry = 0;
            for digit in &mut decimal {
                let doubled = *digit * 2 + carry;
                (*digit, carry) = (doubled % 10, doubled / 10);
            }
            decimal.extend((carry > 0).then_some(carry));
            assert_eq!(digits(exponent) as usize, decimal.len(), "2^{exponent}");
        }
        // Of these, the number of digits is published with the primes.
        assert_eq!((digits(756_839), digits(859_433)), (227_832, 258_716));
    }
}
