//! What a worker decides: which work to ask for, what runs next and where, what is sent and when.
//!
//! Sans-IO: events and the time go in, actions come out; a driver fetches, spawns, writes and
//! sends. The same core runs in the real worker and in a simulator.
//!
//! ```text
//!            events                                   actions
//! streams ──────────────►┌────────────────────────┐──────────────► messages to coordinators
//! slots, disk, blobs ───►│ Worker                 │──────────────► slots, fetches, writes
//! verdicts ─────────────►│  Session  a project    │
//! time ─────────────────►│  Stage    a task       │
//!                        │  Attempt  a lease      │
//!                        │  Slot     a process    │
//!                        └────────────────────────┘
//! ```
//! Start reading at [`Worker`]; the life of a lease is drawn in `attempt.rs`, that of a stream in
//! `session.rs`.
//!
//! Invariants ([`Worker::check_invariants`]): a lease is held until its result is acknowledged, it
//! is withdrawn, or it is given back, and for no other reason; an attempt is in a slot's pipe
//! exactly when it runs or is suspended; late, repeated and stale events change nothing.
//!
//! Deliberately absent: input, output, clocks, randomness, the bytes of inputs and results (the
//! driver keeps them under the attempt's key), and the end of a lease: only the coordinator knows
//! whether it gave a unit to someone else, so an attempt goes on until it says so.

mod appetite;
mod attempt;
mod event;
mod few;
pub mod limits;
mod pause;
mod session;
mod slot;
mod stage;
mod worker;

pub use event::{
    Action, AttemptKey, Event, GrantedLease, HeldLease, InputsPlace, RunId, SlotIndex, StageKey,
    SuspendReason, Verdict,
};
pub use worker::Worker;
