//! What is known of one stage: whether its units can run, and those that wait for a slot.
//!
//! ```text
//!            first lease               ready
//!   Known ────────────────► Preparing ───────► Ready
//!     ▲ ▲                       │                │
//!     │ └───── unavailable ─────┘                │
//!     └── nothing held, no slot serves it ───────┘
//! ```
//! A refused module answers every lease of the stage and leaves it Known.

use std::collections::BTreeMap;
use std::time::Duration;

use gleaner_protocol::Timestamp;

use crate::appetite::{Estimate, Recent};
use crate::event::{AttemptKey, StageKey};
use crate::few::Few;
use crate::limits::STAGE_PATIENCE;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Its task is known, nothing else.
    #[default]
    Known,
    /// Its module and files are being had.
    Preparing,
    /// A slot can be started for it.
    Ready,
}

#[derive(Debug, Default)]
pub(crate) struct Stage {
    pub(crate) readiness: Readiness,
    /// Queued attempts in the order of their arrival.
    pub(crate) queue: BTreeMap<u64, AttemptKey>,
    /// Leases held that still need computing, queued and running ones included.
    unfinished: u32,
    /// When a slot last took a unit, or the queue last ceased to be empty.
    pub(crate) served_at: Timestamp,
    /// How long its units take.
    pub(crate) estimate: Estimate,
    /// How long the last ones took.
    pub(crate) recent: Recent,
}

/// All stages that are known. Few of them have anything to do, and every event looks at those.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    /// Those with unfinished leases.
    busy: Few<StageKey, Stage>,
    idle: Few<StageKey, Stage>,
}

impl Stages {
    pub(crate) fn len(&self) -> usize {
        self.busy.len() + self.idle.len()
    }

    pub(crate) fn contains_key(&self, key: &StageKey) -> bool {
        self.busy.contains_key(key) || self.idle.contains_key(key)
    }

    pub(crate) fn get(&self, key: &StageKey) -> Option<&Stage> {
        self.busy.get(key).or_else(|| self.idle.get(key))
    }

    pub(crate) fn get_mut(&mut self, key: &StageKey) -> Option<&mut Stage> {
        match self.busy.get_mut(key) {
            Some(stage) => Some(stage),
            None => self.idle.get_mut(key),
        }
    }

    /// Remembers a stage that is not known yet.
    pub(crate) fn learn(&mut self, key: StageKey) {
        self.idle.insert(key, Stage::default());
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&StageKey, &Stage)> {
        self.busy.iter().chain(self.idle.iter())
    }

    /// Those with unfinished leases.
    pub(crate) fn busy(&self) -> impl Iterator<Item = (&StageKey, &Stage)> {
        self.busy.iter()
    }

    /// Forgets those without unfinished leases that `is_out` names.
    pub(crate) fn forget(
        &mut self,
        is_out: impl Fn(&StageKey, &Stage) -> bool,
    ) -> impl Iterator<Item = StageKey> {
        self.idle.extract_if(is_out).map(|(key, _)| key)
    }

    /// A lease of a known stage needs computing.
    pub(crate) fn count_unfinished(&mut self, key: StageKey) {
        if let Some(stage) = self.idle.remove(&key) {
            self.busy.insert(key, stage);
        }
        let stage = self.busy.get_mut(&key).expect("a lease is taken of a known stage");
        stage.unfinished += 1;
    }

    /// One of them does no more.
    pub(crate) fn uncount_unfinished(&mut self, key: StageKey) {
        let stage = self.busy.get_mut(&key).expect("a stage with unfinished leases is busy");
        stage.unfinished -= 1;
        if stage.unfinished == 0
            && let Some(stage) = self.busy.remove(&key)
        {
            self.idle.insert(key, stage);
        }
    }

    /// # Panics
    /// When a stage is misfiled: a bug of this crate.
    pub(crate) fn check_invariants(&self) {
        assert!(self.busy.iter().all(|(_, stage)| stage.unfinished > 0), "an idle stage is busy");
        assert!(self.idle.iter().all(|(_, stage)| stage.unfinished == 0), "a busy stage is idle");
        assert!(self.busy.iter().all(|(key, _)| !self.idle.contains_key(key)), "a stage is both");
    }
}

impl Stage {
    pub(crate) fn unfinished(&self) -> u32 {
        self.unfinished
    }

    pub(crate) fn enqueue(&mut self, now: Timestamp, arrival: u64, key: AttemptKey) {
        if self.queue.is_empty() {
            self.served_at = self.served_at.max(now);
        }
        self.queue.insert(arrival, key);
    }

    pub(crate) fn dequeue(&mut self, now: Timestamp) -> Option<AttemptKey> {
        self.served_at = now;
        self.queue.pop_first().map(|(_, key)| key)
    }

    /// The `count` queued attempts that came last.
    pub(crate) fn last_queued(&self, count: usize) -> Vec<AttemptKey> {
        self.queue.values().rev().take(count).copied().collect()
    }

    /// Whether its units have waited so long that a slot should leave its own stage for them.
    pub(crate) fn is_impatient(&self, now: Timestamp) -> bool {
        !self.queue.is_empty() && now.saturating_since(self.served_at) >= STAGE_PATIENCE
    }

    /// The arrival of its oldest queued attempt.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.queue.first_key_value().map(|(arrival, _)| *arrival)
    }

    /// The time that its unfinished attempts will take one slot; `typical` for one of unknown size.
    pub(crate) fn work(&self, typical: Duration) -> Duration {
        self.estimate.duration().unwrap_or(typical).saturating_mul(self.unfinished)
    }
}
