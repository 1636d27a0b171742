#![doc = include_str!("../README.md")]
//!
//! # How it works
//! The crate is the guest's side of Gleaner's interface version 1. A module imports from
//! `gleaner_1` only, and exports `gleaner_1:task:NAME` for each [`task`],
//! `gleaner_1:merge:NAME` for each [`merge`] and `gleaner_1:split:NAME` for each [`split`]. All values cross as MessagePack with named fields.
//!
//! What holds:
//! - every item runs in a fresh instance: nothing that a function leaves in a `static` is seen by
//!   the next item;
//! - an output is exactly one MessagePack value, and every NaN in it has the same bits on every
//!   machine ([`canonical`]);
//! - randomness comes from the item's seed alone ([`Context::rng`]).
//!
//! What is absent, on purpose: clocks, files other than the stage's shared ones, the network,
//! threads, and an entropy source. They would make a result depend on the machine.

pub mod canonical;
mod context;
#[doc(hidden)]
pub mod entry;
mod error;
mod files;
mod host;
mod input;
pub mod log;
#[cfg(all(feature = "native", not(target_arch = "wasm32")))]
#[doc(hidden)]
pub mod native;

pub use context::{Context, Rng};
pub use error::Error;
pub use files::{Bytes, Files};
pub use gleaner_sdk_macros::{merge, split, task};
pub use rand_chacha;
pub use rand_chacha::rand_core;

/// What a task's source file needs: `use gleaner_sdk::prelude::*;`.
pub mod prelude {
    pub use crate::rand_core::Rng as _;
    pub use crate::{Bytes, Context, Error, Files, log, merge, split, task};
}
