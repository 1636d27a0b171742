//! What a machine holds of one attempt: its lease, and its answer once there is one.

use std::time::Duration;

use gleaner_protocol::{Outcome, UnitResult};
use gleaner_worker_core::HeldLease;

use crate::workload::Work;

#[derive(Clone, Debug)]
pub(super) struct Holding {
    pub(super) lease: HeldLease,
    pub(super) work: Work,
    pub(super) answer: Option<Answer>,
    pub(super) place: Place,
}

/// An answer as it is remembered: its bytes follow from the lease.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) kind: AnswerKind,
    pub(super) cpu: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerKind {
    /// What every honest machine answers.
    Right,
    /// None: the machine had no memory for it.
    HostMemory,
}

/// What of it a kill leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Memory,
    /// Its answer is on disk.
    Disk,
}

impl Holding {
    pub(super) fn new(lease: HeldLease, work: Work) -> Self {
        Self { lease, work, answer: None, place: Place::Memory }
    }

    /// What is sent of it, once it has an answer.
    pub(super) fn result(&self) -> Option<UnitResult> {
        let Answer { kind, cpu } = self.answer?;
        let HeldLease { claims, token } = self.lease.clone();
        let outcome = match kind {
            AnswerKind::Right => self.work.outcome(claims.items),
            AnswerKind::HostMemory => Outcome::HostMemory,
        };
        Some(UnitResult { claims, token, outcome, cpu, log: String::new() })
    }
}
