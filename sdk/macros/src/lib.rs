//! The attributes `#[task]`, `#[merge]` and `#[split]` of `gleaner-sdk`, which re-exports them.
//!
//! Each leaves the function as it is and adds an export that calls it: under the interface's name
//! on wasm32, as unused code elsewhere, so that a type that cannot cross is an error wherever the
//! crate is compiled. What makes a signature fit is decided in `signature`, what is generated in
//! `export`; both are plain functions over tokens.

mod export;
mod signature;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

use crate::export::Kind;

/// Makes a function a task, which a manifest names by `function = "NAME"`.
///
/// ```text
/// #[task]
/// fn search(input: Search, context: &Context) -> Result<Vec<Row>, Error> {
/// ```
///
/// - `input` is any type that implements `serde::Deserialize` (and borrows nothing): a struct
///   whose fields are those of an item and of the stage's parameters. Add
///   `#[serde(deny_unknown_fields)]` to have a mistyped parameter refused. It may be left out.
/// - `context: &Context`, the last argument, may be left out.
/// - The output is any type that implements `serde::Serialize`, or a `Result` of one with
///   `gleaner_sdk::Error` or any `std::error::Error`.
///
/// The function stays an ordinary one, to be called from tests. Its name is unique among the tasks
/// of the module, whatever Rust modules they are in.
#[proc_macro_attribute]
pub fn task(attribute: TokenStream, function: TokenStream) -> TokenStream {
    export::expand(Kind::Task, attribute.into(), function.into()).into()
}

/// Makes a function a merge, which a manifest names by `merge = "NAME"` for the reducer `merge`.
///
/// ```text
/// #[merge]
/// fn combine(a: Histogram, b: Histogram) -> Histogram {
/// ```
///
/// Both arguments have the type of the task's output; `a` comes before `b` in the order of items.
/// It gives back that type, or a `Result` of it as a task does. Neighbours are combined until one
/// value is left, so the function should be associative: where it is not, how neighbours were
/// paired shows in the output.
#[proc_macro_attribute]
pub fn merge(attribute: TokenStream, function: TokenStream) -> TokenStream {
    export::expand(Kind::Merge, attribute.into(), function.into()).into()
}

/// Makes a function a split, which a manifest names by `split = "NAME"` to have a stage's items from
/// it.
///
/// ```text
/// #[split]
/// fn tiles(input: Sky, context: &Context) -> Result<Vec<Tile>, Error> {
/// ```
///
/// - `input` is a struct whose fields are the stage's parameters; it may be left out, and so may
///   `context: &Context`, which has the stage's files and a seed of the stage's own.
/// - It gives back a `Vec` or anything else that is `IntoIterator`, or a `Result` of one as a task
///   does. Each item is a struct (or a map): its fields are the task's, besides the parameters.
///
/// It runs once, when the job is submitted, within the stage's limits of memory, log and host calls.
#[proc_macro_attribute]
pub fn split(attribute: TokenStream, function: TokenStream) -> TokenStream {
    export::expand(Kind::Split, attribute.into(), function.into()).into()
}
