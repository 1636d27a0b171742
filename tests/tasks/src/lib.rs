//! Tiny and misbehaving tasks for tests of the whole, built as one module.
//!
//! | function | item | output |
//! |---|---|---|
//! | `noop` | anything | nil |
//! | `square` | `number` | the record `number`, `square` |
//! | `shout` | `line` | the line in capitals |
//! | `pair` | `letter`, `number` | the record `letter`, `number`, `both` |
//! | `sum` (merge `add`) | `number` | the number |
//! | `trace` (merge `join`) | `number` | the number in brackets; joined in order |
//! | `letters` | `number` | two files in a folder of the item's own |
//! | `clash` | `number` | one file, whose name every item uses |
//! | `count_lines` | `rows`, an earlier output | how many lines it has |
//! | `spin` | `number`; parameter `iterations` | a number that took that many steps |
//! | `random` | `number` | three draws from the item's seed |
//! | `nan` | `number` | the record `wide`, `narrow`: NaNs made at run time |
//! | `nan_bits` (merge `nan_bits_too`) | `number` | the bits of a NaN made at run time |
//! | `shared` | `number`; parameter `file` | the record `bytes`, `hash` of the shared file |
//! | `quote` | `piece` | the bytes as text, line ends as `\n` |
//! | `star` | `name`, `mass` | the record |
//! | `nested_star` | `row`; parameter `mass` | the row's fields and the parameter |
//! | `sequence` | `id`, `description`, `sequence`, `quality` | the record |
//! | `measure` | `name`, `content` | the record `name`, `bytes`, `sum` |
//! | `spell` (split `words`) | `word`, `count` | the record `backwards`, `letters` |
//! | `noop` (split `odd`) | none, as its parameter `how` says | nil |
//! | `replicated` | `x`, `replicate` | the record `x`, `replicate`, `seed` |
//! | `fail_at`, `panic_at`, `trap_at` | `number`; parameter `at` | the number; the item `at` ends as named |
//! | `greedy` | `number`; parameter `mebibytes` | how many bytes it could get and write |
//! | `flood` | `number`; parameter `lines` | the number, after as many lines of 64 bytes of log |
//! | `wordy` | `number`; parameter `bytes` | as many bytes |
//! | `chatty` | `number`; parameter `calls` | the number, after as many calls of the host |
//! | `deep` | `number`; parameter `depth` | the number, after as many nested calls |
//!
//! Item numbers in `at` are values of the field `number`.

mod misbehaving;
mod ordinary;
mod records;
mod splits;

pub use misbehaving::{
    Calls, Depth, Memory, Output, Place, Words, chatty, deep, fail_at, flood, greedy, panic_at,
    trap_at, wordy,
};
pub use ordinary::{
    Draws, Line, Lines, Nans, Number, Pair, Paired, Shared, SharedFile, Spin, Square, add, clash,
    count_lines, join, letters, nan, nan_bits, nan_bits_too, noop, pair, random, shared, shout,
    spin, square, sum, trace,
};
pub use records::{
    Drawn, Measured, NamedFile, NestedStar, Piece, Replicated, Sequence, Star, measure,
    nested_star, quote, replicated, sequence, star,
};
pub use splits::{Item, Odd, SharedWord, Spelt, Text, Word, odd, spell, words};
