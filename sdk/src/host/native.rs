//! Native stand-ins: tests call an author's functions directly, so nothing here has an input.

use crate::log::Level;

pub(crate) fn input(_input: i32) -> Vec<u8> {
    Vec::new()
}

pub(crate) fn shared_file(_name: &str) -> Option<Vec<u8>> {
    None
}

pub(crate) fn item() -> u64 {
    0
}

pub(crate) fn seed() -> u64 {
    0
}

pub(crate) fn write_output(_bytes: &[u8]) {}

pub(crate) fn progress(_fraction: f64) {}

pub(crate) fn log(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
}

/// # Panics
/// Always: natively there is no host to end the item.
pub(crate) fn fail(message: &str) -> ! {
    panic!("the task failed: {message}")
}

pub(crate) fn report_panics() {}
