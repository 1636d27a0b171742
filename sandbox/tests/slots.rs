//! Slots as real processes.
fn main() {}
