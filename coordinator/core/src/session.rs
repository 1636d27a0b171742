//! A worker as the coordinator knows it.

use std::collections::BTreeSet;
use std::time::Duration;

use gleaner_protocol::{AttemptId, Capacity, OutcomeClass, StageIndex, Timestamp, WorkerId};

use crate::WorkerSnapshot;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) presence: Presence,
    /// What it offers; `units` counts down as leases are granted.
    pub(crate) capacity: Capacity,
    /// Every lease it holds, with its stage.
    pub(crate) leases: BTreeSet<(AttemptId, StageIndex)>,
    pub(crate) results: u64,
    pub(crate) cpu: Duration,
    pub(crate) last_returned: Option<Returned>,
    /// It gets nothing before.
    pub(crate) paused_until: Timestamp,
}

/// A result as it came, wanted or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Returned {
    pub(crate) attempt: AttemptId,
    pub(crate) class: OutcomeClass,
    pub(crate) at: Timestamp,
}

/// Whether a worker's stream stands. One that is away keeps its leases until they expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Connected { since: Timestamp },
    Away,
}

impl Session {
    pub(crate) fn connected(now: Timestamp) -> Self {
        Self {
            presence: Presence::Connected { since: now },
            capacity: Capacity::default(),
            leases: BTreeSet::new(),
            results: 0,
            cpu: Duration::ZERO,
            last_returned: None,
            paused_until: Timestamp::ZERO,
        }
    }

    pub(crate) fn may_be_given_work(&self, now: Timestamp) -> bool {
        self.capacity.units > 0
            && self.paused_until <= now
            && matches!(self.presence, Presence::Connected { .. })
    }

    pub(crate) fn snapshot(&self, worker: WorkerId) -> Option<WorkerSnapshot> {
        let Presence::Connected { since } = self.presence else {
            return None;
        };
        Some(WorkerSnapshot {
            worker,
            slots: self.capacity.slots,
            leases: self.leases.len() as u64,
            slot_memory_bytes: self.capacity.slot_memory_bytes,
            results: self.results,
            cpu: self.cpu,
            connected_at: since,
        })
    }
}
