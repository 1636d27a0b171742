//! Tasks that do as they should.

use std::hint::black_box;

use gleaner_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// An item of a range.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// The item's number.
    pub number: i64,
}

/// Does nothing.
#[task]
pub fn noop() {}

/// A row of `square`.
#[derive(Debug, PartialEq, Serialize)]
pub struct Square {
    /// The item's number.
    pub number: i64,
    /// Its square.
    pub square: i64,
}

/// A number and its square.
#[task]
pub fn square(input: Number) -> Square {
    Square { number: input.number, square: input.number.wrapping_mul(input.number) }
}

/// An item of a text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The line without its end.
    pub line: String,
}

/// The line in capitals.
#[task]
pub fn shout(input: Line) -> String {
    input.line.to_uppercase()
}

/// An item of a grid.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The first axis.
    pub letter: String,
    /// The second axis.
    pub number: f64,
}

/// A row of `pair`.
#[derive(Debug, PartialEq, Serialize)]
pub struct Paired {
    /// The first axis' value.
    pub letter: String,
    /// The second axis' value.
    pub number: f64,
    /// Both.
    pub both: String,
}

/// The values of a grid's point.
#[task]
pub fn pair(input: Pair) -> Paired {
    let both = format!("{},{}", input.letter, input.number);
    Paired { letter: input.letter, number: input.number, both }
}

/// The number itself, to be summed.
#[task]
pub fn sum(input: Number) -> i64 {
    input.number
}

/// The sum of two numbers.
///
/// # Errors
/// When it is over what 64 bits hold.
#[merge]
pub fn add(a: i64, b: i64) -> Result<i64, Error> {
    a.checked_add(b).ok_or_else(|| Error::new(format_args!("{a} + {b} is too large")))
}

/// The number in brackets, to show by `join` in which order values were merged.
#[task]
pub fn trace(input: Number) -> String {
    format!("[{}]", input.number)
}

/// One after the other: associative, but not commutative.
#[merge]
pub fn join(a: String, b: String) -> String {
    a + &b
}

/// Two files in a folder of the item's own.
#[task]
pub fn letters(input: Number) -> Files {
    let mut files = Files::new();
    let letter = char::from(b'a' + u8::try_from(input.number.rem_euclid(26)).unwrap_or(0));
    files.add(format!("item-{}/letter.txt", input.number), format!("{letter}\n"));
    files.add(format!("item-{}/bytes.bin", input.number), vec![0, 255, letter as u8]);
    files
}

/// One file, whose name every item uses: a reducer has to refuse the second.
#[task]
pub fn clash(input: Number) -> Files {
    let mut files = Files::new();
    files.add("same.txt", input.number.to_string());
    files
}

/// The output of an earlier stage that is called `rows`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lines {
    /// Its bytes.
    pub rows: Bytes,
}

/// How many lines an earlier output has.
#[task]
pub fn count_lines(input: Lines) -> String {
    format!("{} lines\n", input.rows.iter().filter(|&&byte| byte == b'\n').count())
}

/// An item of `spin`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spin {
    /// The item's number.
    pub number: i64,
    /// How many steps to take; a machine of today takes some 10⁹ a second.
    pub iterations: u64,
}

/// Burns CPU: as many steps of a generator (xorshift64), which no compiler can skip.
#[task]
pub fn spin(input: Spin, context: &Context) -> i64 {
    const BETWEEN_REPORTS: u64 = 1 << 24;
    let mut state = input.number.cast_unsigned() ^ 0x9e37_79b9_7f4a_7c15;
    for step in 0..input.iterations {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if step % BETWEEN_REPORTS == 0 {
            context.progress(step as f64 / input.iterations as f64);
        }
    }
    context.progress(1.0);
    state.cast_signed()
}

/// A row of `random`.
#[derive(Debug, PartialEq, Serialize)]
pub struct Draws {
    /// The item's seed.
    pub seed: u64,
    /// The first draw.
    pub first: u64,
    /// The second draw.
    pub second: u64,
    /// A draw from 0 to 1.
    pub fraction: f64,
}

/// Draws from the item's seed.
#[task]
pub fn random(_input: Number, context: &Context) -> Draws {
    let mut rng = context.rng();
    Draws {
        seed: context.seed(),
        first: rng.next_u64(),
        second: rng.next_u64(),
        fraction: (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64,
    }
}

/// A row of `nan`.
#[derive(Debug, Serialize)]
pub struct Nans {
    /// As 64 bits.
    pub wide: f64,
    /// As 32 bits.
    pub narrow: f32,
}

/// NaNs made at run time, whose bits differ between CPUs until they are made canonical.
#[task]
pub fn nan(input: Number) -> Nans {
    let zero = black_box(input.number as f64 * 0.0);
    let also_zero = black_box(zero);
    Nans { wide: -(zero / also_zero), narrow: zero as f32 / also_zero as f32 }
}

/// The bits of a NaN made at run time: the processor's, unless the module was rewritten.
#[task]
pub fn nan_bits(input: Number) -> u64 {
    let zero = black_box(input.number as f64 * 0.0);
    (zero / black_box(zero)).to_bits()
}

/// The same, made by a merge; or the values' bits together when they are others.
#[merge]
pub fn nan_bits_too(a: u64, b: u64) -> u64 {
    let zero = black_box((a & b & 1) as f64 * 0.0);
    (zero / black_box(zero)).to_bits() | a | b
}

/// An item of `shared`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedFile {
    /// The item's number.
    #[serde(rename = "number")]
    pub _number: i64,
    /// The shared file's name.
    pub file: String,
}

/// A row of `shared`.
#[derive(Debug, PartialEq, Serialize)]
pub struct Shared {
    /// Its length.
    pub bytes: u64,
    /// FNV-1a of its bytes, 64 bits, in hexadecimal.
    pub hash: String,
}

/// The length and a hash of a shared file.
///
/// # Errors
/// When there is no such file.
#[task]
pub fn shared(input: SharedFile, context: &Context) -> Result<Shared, Error> {
    let content = context.file(&input.file)?;
    let hash = content.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Ok(Shared { bytes: content.len() as u64, hash: format!("{hash:016x}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tests_of_the_whole_expect() {
        assert_eq!(square(Number { number: -3 }), Square { number: -3, square: 9 });
        assert_eq!(shout(Line { line: "grün".into() }), "GRÜN");
        assert_eq!(pair(Pair { letter: "a".into(), number: 0.5 }).both, "a,0.5");
        assert_eq!(add(sum(Number { number: 2 }), 3), Ok(5));
        assert!(add(i64::MAX, 1).is_err());
        assert_eq!(join(trace(Number { number: 0 }), trace(Number { number: 1 })), "[0][1]");
        assert_eq!(letters(Number { number: 27 }).content("item-27/letter.txt"), Some(&b"b\n"[..]));
        assert_eq!(count_lines(Lines { rows: Bytes::from(b"a\nb\n".to_vec()) }), "2 lines\n");
        assert!(nan(Number { number: 1 }).wide.is_nan());
    }

    #[test]
    fn spinning_depends_on_how_long() {
        let context = Context::for_test();
        let spun = |iterations| spin(Spin { number: 1, iterations }, &context);
        assert_ne!(spun(10), spun(11));
        assert_eq!(spun(1000), spun(1000));
    }

    #[test]
    fn a_shared_file_is_hashed() {
        let context = Context::for_test().with_file("word", b"foobar".to_vec());
        let shared = shared(SharedFile { _number: 0, file: "word".into() }, &context);
        assert_eq!(shared, Ok(Shared { bytes: 6, hash: "85944171f73967e8".into() }));
    }

    #[test]
    fn draws_come_from_the_seed() {
        let draw = |seed| random(Number { number: 0 }, &Context::for_test().with_seed(seed));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1).first, draw(2).first);
    }
}
