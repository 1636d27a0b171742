//! Version 1 of the interface between a task and its host: names and types, and nothing else.
//!
//! The check of a module and the functions that serve it both read this table, so that they cannot
//! differ.

use wasmparser::ValType::{self, F64, I32, I64};

/// The module that every import names.
pub(crate) const MODULE: &str = "gleaner_1";

/// What the name of a task function's export starts with.
pub(crate) const TASK_PREFIX: &str = "gleaner_1:task:";

/// What the name of a merge function's export starts with.
pub(crate) const MERGE_PREFIX: &str = "gleaner_1:merge:";

/// What the name of a split function's export starts with.
pub(crate) const SPLIT_PREFIX: &str = "gleaner_1:split:";

/// The name of the exported memory.
pub(crate) const MEMORY: &str = "memory";

/// The result of a task function: it is done.
pub(crate) const DONE: i32 = 0;

/// The result of a task function: call it again.
pub(crate) const AGAIN: i32 = 1;

/// A function that a task may import.
pub(crate) struct HostFunction {
    /// Its name.
    pub(crate) name: &'static str,
    /// The types of its parameters.
    pub(crate) parameters: &'static [ValType],
    /// The types of its results.
    pub(crate) results: &'static [ValType],
}

/// Every function that a task may import.
pub(crate) const FUNCTIONS: &[HostFunction] = &[
    function("input_find", &[I32, I32], &[I32]),
    function("input_len", &[I32], &[I64]),
    function("input_read", &[I32, I64, I32, I32], &[]),
    function("item", &[], &[I64]),
    function("seed", &[], &[I64]),
    function("output_write", &[I32, I32], &[]),
    function("progress", &[F64], &[]),
    function("log", &[I32, I32, I32], &[]),
    function("fail", &[I32, I32], &[]),
    function("panic", &[I32, I32], &[]),
];

/// The type of every task, merge and split function: `() -> i32`.
pub(crate) const ENTRY: HostFunction = function("", &[], &[I32]);

const fn function(
    name: &'static str,
    parameters: &'static [ValType],
    results: &'static [ValType],
) -> HostFunction {
    HostFunction { name, parameters, results }
}

/// A function's type in words: `(i32, i64) -> i32`.
pub(crate) fn type_in_words(parameters: &[ValType], results: &[ValType]) -> String {
    let list =
        |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match results {
        [] => format!("({})", list(parameters)),
        [one] => format!("({}) -> {one}", list(parameters)),
        several => format!("({}) -> ({})", list(parameters), list(several)),
    }
}
