//! Where in its code a task was when it trapped, in the words of its author.
//!
//! The names come from the module's own name section, so they may be anything: as much is kept of
//! each, and of all, as is said here. The printer escapes them. A module without names gives no
//! words.

use std::fmt::{self, Write};

use rustc_demangle::demangle;
use wasmtime::WasmBacktrace;

/// How many of the innermost functions are named.
const FUNCTIONS_MAX: usize = 4;

/// How much of a name is kept, in bytes.
const NAME_BYTES_MAX: usize = 120;

/// What a panic goes through in Rust before it traps, which says nothing about where it began.
const PANIC_PATHS: [&str; 6] =
    ["__rustc::", "rust_begin_unwind", "rust_panic", "std::", "core::", "gleaner_sdk::"];

/// The functions that were being called, the innermost first: `in f, called by g`; empty when the
/// module does not name them.
pub(super) fn functions(trace: Option<&WasmBacktrace>) -> String {
    let names = trace.into_iter().flat_map(WasmBacktrace::frames);
    in_words(names.map_while(|frame| frame.func_name()))
}

fn in_words<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(readable).collect();
    let of_panic = |name: &&String| PANIC_PATHS.iter().any(|path| name.starts_with(path));
    let skipped = names.iter().take_while(of_panic).count();
    // A task may be nothing but a library's function.
    let skipped = if skipped == names.len() { 0 } else { skipped };
    let mut words = String::new();
    for (index, name) in names[skipped..].iter().take(FUNCTIONS_MAX).enumerate() {
        words.push_str(if index == 0 { "in " } else { ", called by " });
        words.push_str(name);
    }
    words
}

/// A name as its author wrote it, where it is mangled as Rust does it, and the start of any other.
fn readable(name: &str) -> String {
    let mut start = Start(String::new());
    // An error means that it is full.
    let _ = write!(start, "{:#}", demangle(name));
    start.0
}

/// The start of what is written to it. A mangled name can stand for one that is much longer.
struct Start(String);

impl Write for Start {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = NAME_BYTES_MAX - self.0.len();
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        if text.len() <= room { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str], expected: &str) {
        assert_eq!(in_words(names.iter().copied()), expected);
    }

    #[test]
    fn the_innermost_functions_are_named_as_they_were_written() {
        check(&[], "");
        check(&["f"], "in f");
        check(
            &["_ZN7planets4star4fold17h0123456789abcdefE", "gleaner_1:task:search"],
            "in planets::star::fold, called by gleaner_1:task:search",
        );
        check(
            &["_RNvNtCs1234_7planets4star4fold", "a", "b", "c", "d"],
            "in planets::star::fold, called by a, called by b, called by c",
        );
    }

    #[test]
    fn the_way_of_a_panic_is_left_out() {
        check(
            &[
                "_RNvCs1_7___rustc17rust_begin_unwind",
                "_ZN4core9panicking9panic_fmt17h0123456789abcdefE",
                "guess",
                "_ZN4core3ops8function6FnOnce9call_once17h0123456789abcdefE",
            ],
            "in guess, called by core::ops::function::FnOnce::call_once",
        );
        check(
            &["_ZN4core9panicking9panic_fmt17h0123456789abcdefE"],
            "in core::panicking::panic_fmt",
        );
    }

    #[test]
    fn names_are_bounded_whatever_they_stand_for() {
        check(&[&"é".repeat(1000)], &format!("in {}", "é".repeat(NAME_BYTES_MAX / 2)));
        let path = format!("_ZN{}E", "6planet".repeat(1000));
        let words = in_words([path.as_str()].into_iter());
        assert!(words.starts_with("in planet::planet::"), "{words}");
        assert!(words.len() <= 3 + NAME_BYTES_MAX, "{words}");
    }
}
