//! The host's side of the interface as safe functions: the imports of a module in a slot, and
//! stand-ins where the code runs natively.

#[cfg(target_arch = "wasm32")]
mod slot;
#[cfg(target_arch = "wasm32")]
pub(crate) use slot::*;

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::*;

/// The item's fields, or a merge's left value.
pub(crate) const INPUT_FIRST: i32 = 0;
/// The stage's parameters, or a merge's right value.
pub(crate) const INPUT_SECOND: i32 = 1;
