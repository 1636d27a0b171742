//! Several machines on one: network namespaces of Linux, each with an interface, an address and a
//! data folder of its own, joined by a switch. No way leads out of it.
//!
//! Invariants: everything that is made is removed when it is dropped, and what runs in it killed; names hold this process's
//! number, so that two runs do not meet. Needs root: [`refusal`] says why it cannot be had.

mod lan;
mod machine;
mod terminal;
mod transcript;

pub use lan::{Lan, refusal};
pub use machine::Machine;
pub use terminal::Terminal;
pub use transcript::Transcript;
