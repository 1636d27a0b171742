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
use crate::event::AttemptKey;
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
    pub(crate) unfinished: u32,
    /// When a slot last took a unit, or the queue last ceased to be empty.
    pub(crate) served_at: Timestamp,
    /// How long its units take.
    pub(crate) estimate: Estimate,
    /// How long the last ones took.
    pub(crate) recent: Recent,
}

impl Stage {
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
