//! The coordinator's logic: jobs, stages, units, leases, settlement.
//!
//! Sans-IO: [`Event`]s and the time go in, [`Action`]s come out. Invariants: everything said
//! depends on durable records only (see the gate); a settled unit never changes; the attempts of a
//! unit never meet on one worker; late, repeated and stale input is harmless. Deliberately absent:
//! input and output, clocks, randomness, threads, and the wire's types beyond `protocol`.

mod assign;
mod config;
mod core;
mod cut;
mod event;
mod filing;
mod gate;
mod hashing;
mod holdings;
mod inability;
mod job;
mod leases;
mod locality;
mod notices;
mod orders;
mod pace;
mod record;
mod removal;
mod retry;
mod roster;
mod session;
mod settlement;
mod shares;
mod sizing;
mod slot_time;
mod sorted;
mod stage;
mod tail;
mod turns;
mod unit;
mod wanting;
mod why;

#[cfg(test)]
mod tests;

pub use config::{Config, LateUnits};
pub use core::Core;
pub use cut::CutKind;
pub use event::{
    Action, Event, Grant, JobSnapshot, LeaseSnapshot, Question, Reply, RequestId, Sequence,
    StageSnapshot, StageState, UnfitInput, WorkerSnapshot,
};
pub use notices::{Notice, Occasion};
pub use record::{
    Block, FailureCause, FirstNumbers, JobEnd, KeptRun, Opening, Opinion, Record, Recovered,
    RecoveredJob, RecoveredMovement, RecoveredStage, RemovedJob, StageOutput,
};
pub use shares::{OverQuota, Owner, Usage};
pub use why::Subject;
