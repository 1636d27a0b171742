//! Tasks that break off, or run into a limit.

use std::hint::black_box;

use gleaner_sdk::prelude::*;
use serde::Deserialize;

/// An item, and the one that is to end badly.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The item's number.
    pub number: i64,
    /// The number that ends badly.
    pub at: i64,
}

/// Gives up on one item.
///
/// # Errors
/// On the item `at`.
#[task]
pub fn fail_at(input: Place) -> Result<i64, Error> {
    if input.number == input.at {
        return Err(Error::new(format_args!("{} is the item that fails", input.number)));
    }
    Ok(input.number)
}

/// Panics on one item.
#[task]
pub fn panic_at(input: Place) -> i64 {
    assert!(input.number != input.at, "{} is the item that panics", input.number);
    input.number
}

/// Divides by zero on one item, or leaves its memory: traps that the task itself does not notice.
#[task]
pub fn trap_at(input: Place) -> i64 {
    if input.number == input.at {
        trap();
    }
    input.number
}

/// A function of its own, which the trap then names.
#[cfg(target_arch = "wasm32")]
#[inline(never)]
fn trap() {
    #[allow(unsafe_code, reason = "a trap is what this is for")]
    // SAFETY: the address is the last of the address space, where the module has no memory, and
    // WebAssembly checks every access; what follows is a trap, not undefined behaviour.
    unsafe {
        black_box(black_box(usize::MAX as *const u8).read_volatile());
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn trap() {
    panic!("natively a trap is a panic");
}

/// An item of `greedy`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// The item's number.
    #[serde(rename = "number")]
    pub _number: i64,
    /// How much memory to take.
    pub mebibytes: u64,
}

/// Takes memory a mebibyte at a time and writes to each page.
#[task]
pub fn greedy(input: Memory) -> u64 {
    const MEBIBYTE: usize = 1 << 20;
    let blocks: Vec<Vec<u8>> =
        (0..input.mebibytes).map(|block| vec![block as u8 | 1; MEBIBYTE]).collect();
    black_box(&blocks).iter().map(|block| block.len() as u64).sum()
}

/// An item of `flood`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// The item's number.
    pub number: i64,
    /// How many lines to log.
    pub lines: u64,
}

/// Logs as many lines, each of 64 bytes.
#[task]
pub fn flood(input: Words) -> i64 {
    for line in 0..input.lines {
        log::info!("{line:064}");
    }
    input.number
}

/// An item of `chatty`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calls {
    /// The item's number.
    pub number: i64,
    /// How often to call the host.
    pub calls: u64,
}

/// Calls the host as often.
#[task]
pub fn chatty(input: Calls, context: &Context) -> i64 {
    for call in 0..input.calls {
        context.progress(call as f64 / input.calls as f64);
    }
    input.number
}

/// An item of `wordy`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The item's number.
    pub number: i64,
    /// How many bytes to write.
    pub bytes: usize,
}

/// Gives as many bytes, which say the item's number.
#[task]
pub fn wordy(input: Output) -> Bytes {
    Bytes::from(vec![input.number as u8; input.bytes])
}

/// An item of `deep`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Depth {
    /// The item's number.
    pub number: i64,
    /// How many calls to nest.
    pub depth: u64,
}

/// Says how deep it goes, and nests as many calls, each of which keeps its place on the stack.
#[task]
pub fn deep(input: Depth) -> i64 {
    log::info!("{} calls deep", input.depth);
    black_box(nested(input.depth));
    input.number
}

fn nested(depth: u64) -> u64 {
    if depth == 0 {
        return 0;
    }
    let below = black_box(nested as fn(u64) -> u64)(depth - 1);
    black_box(below.wrapping_mul(depth) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_item_fails() {
        assert_eq!(fail_at(Place { number: 1, at: 2 }), Ok(1));
        let error = fail_at(Place { number: 2, at: 2 }).expect_err("the item that fails");
        assert_eq!(error.to_string(), "2 is the item that fails");
        assert_eq!(panic_at(Place { number: 1, at: 2 }), 1);
        assert_eq!(trap_at(Place { number: 1, at: 2 }), 1);
    }

    #[test]
    fn within_their_limits_they_give_what_was_asked_for() {
        assert_eq!(greedy(Memory { _number: 0, mebibytes: 2 }), 2 << 20);
        assert_eq!(flood(Words { number: 1, lines: 2 }), 1);
        assert_eq!(chatty(Calls { number: 1, calls: 2 }, &Context::for_test()), 1);
        assert_eq!(wordy(Output { number: 7, bytes: 3 }).as_slice(), [7; 3]);
        assert_eq!(deep(Depth { number: 1, depth: 10 }), 1);
    }
}
