//! Loading compiled modules.
//!
//! A compiled module is native code. It is loaded only from a file that this worker's own compiling
//! child wrote and whose hash the worker checked, and only behind the walls of a slot.
#![allow(unsafe_code, reason = "wasmtime trusts what it loads, so loading is unsafe")]

use std::fs::File;

use wasmtime::{Engine, Module};

/// The compiled module in `file`, mapped.
///
/// # Errors
/// When it was compiled by another version or for another processor.
pub(crate) fn load(engine: &Engine, file: File) -> wasmtime::Result<Module> {
    // SAFETY: the worker passes only files of its own cache, whose BLAKE3 it has checked against
    // what its compiling child gave it, and which nothing writes to after they were put there.
    unsafe { Module::deserialize_open_file(engine, file) }
}
