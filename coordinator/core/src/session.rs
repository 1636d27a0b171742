//! A worker as the coordinator knows it.

use std::time::Duration;

use gleaner_protocol::{AttemptId, Capacity, OutcomeClass, StageIndex, Timestamp, WorkerId};

use crate::WorkerSnapshot;
use crate::inability::Inabilities;
use crate::locality::{AHEAD_MAX, Had};
use crate::pace::Pace;
use crate::slot_time::{Meter, SlotTime};
use crate::sorted::Sorted;
use crate::unit::Holder;

#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) presence: Presence,
    /// What it offers; `units` counts down as leases are granted.
    pub(crate) capacity: Capacity,
    /// Every lease it holds, with its stage.
    pub(crate) leases: Sorted<(AttemptId, StageIndex)>,
    /// What of that runs, as it has said.
    pub(crate) running: Sorted<AttemptId>,
    /// About how long one slot takes for all of these.
    pub(crate) backlog: Duration,
    pub(crate) pace: Pace,
    /// What its slots have had.
    meter: Meter,
    pub(crate) results: u64,
    pub(crate) cpu: Duration,
    pub(crate) last_returned: Option<Returned>,
    /// The large files that it need not fetch.
    pub(crate) had: Had,
    /// Since when it is given what it has the files of, before its turn.
    pub(crate) ahead_since: Option<Timestamp>,
    /// What it cannot run for now.
    pub(crate) unable: Inabilities,
    /// It is not asked before, as there was nothing that it can run; zero when it may be.
    pub(crate) paused_until: Timestamp,
    /// When to look for leases of it that have expired: none does before.
    pub(crate) expires_at: Option<Timestamp>,
}

/// A result as it came, wanted or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Returned {
    pub(crate) attempt: AttemptId,
    pub(crate) class: OutcomeClass,
    pub(crate) at: Timestamp,
}

/// Whether a worker's stream stands. One that is away keeps its leases until they expire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Presence {
    Connected {
        since: Timestamp,
    },
    #[default]
    Away,
}

impl Session {
    /// Takes what it offers for leases that last so long.
    pub(crate) fn offer(&mut self, now: Timestamp, capacity: Capacity, lease_duration: Duration) {
        self.meter.read(now, self.leases.len());
        self.meter.set_slots(capacity.slots, lease_duration);
        self.capacity = capacity;
    }

    /// What its slots can have had of so much, which is charged for then.
    pub(crate) fn charge(&mut self, now: Timestamp, wanted: SlotTime) -> SlotTime {
        self.meter.read(now, self.leases.len());
        self.meter.take(wanted)
    }

    /// Enters a lease that lasts until then, unless it is extended, and about how long it takes.
    pub(crate) fn hold(
        &mut self,
        now: Timestamp,
        attempt: AttemptId,
        stage: StageIndex,
        expires_at: Timestamp,
        takes: Duration,
    ) {
        self.meter.read(now, self.leases.len());
        self.leases.insert((attempt, stage));
        self.backlog = self.backlog.saturating_add(takes);
        self.expires_at = Some(self.expires_at.map_or(expires_at, |first| first.min(expires_at)));
    }

    /// Takes a lease out of its books.
    pub(crate) fn let_go(&mut self, now: Timestamp, attempt: AttemptId, stage: StageIndex) {
        self.meter.read(now, self.leases.len());
        let held = u32::try_from(self.leases.len()).unwrap_or(u32::MAX);
        if self.leases.remove(&(attempt, stage)) {
            self.backlog -= self.backlog / held;
        }
        self.running.remove(&attempt);
    }

    /// Whether it may be given what it has the files of, though it is another job's turn.
    pub(crate) fn may_go_ahead(&self, now: Timestamp) -> bool {
        let since = self.ahead_since.map(|since| now.saturating_since(since));
        !self.had.is_empty() && since.is_none_or(|since| since < AHEAD_MAX)
    }

    pub(crate) fn holder(&self, worker: WorkerId) -> Holder {
        Holder { worker, pace: self.pace, wait: self.wait() }
    }

    /// About how long it is until a slot takes what is leased next.
    fn wait(&self) -> Duration {
        match self.capacity.slots {
            slots if self.leases.len() < slots as usize => Duration::ZERO,
            slots => self.backlog / slots.max(1),
        }
    }

    pub(crate) fn snapshot(&self, worker: WorkerId) -> Option<WorkerSnapshot> {
        let Presence::Connected { since } = self.presence else {
            return None;
        };
        Some(WorkerSnapshot {
            worker,
            slots: self.capacity.slots,
            leases: self.leases.len() as u64,
            running: self.running.len() as u64,
            slot_memory_bytes: self.capacity.slot_memory_bytes,
            results: self.results,
            cpu: self.cpu,
            connected_at: since,
        })
    }
}
