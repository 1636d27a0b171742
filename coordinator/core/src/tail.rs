//! The end of a stage: all is handed out, and what runs longest decides when it is over.
//!
//! A unit that takes much longer than such units do is late: its machine is slow, busy with its
//! owner, or gone. A slot that has nothing else to do makes one more attempt, and whichever answers
//! first counts (as MapReduce's backup tasks: Dean & Ghemawat 2004, OSDI). Invariants: nothing that
//! waits is kept waiting by it; a unit has at most [`EXTRA_MAX`] attempts more than its quorum needs.

use std::collections::VecDeque;
use std::time::Duration;

use gleaner_protocol::Timestamp;

/// The most attempts of a unit beyond those that its quorum needs: one for a slow machine, one for
/// another.
pub(crate) const EXTRA_MAX: usize = 2;

/// A unit that has been out for so many times what it takes is late: it waits behind another one in
/// its worker's queue first.
const LATE_AFTER: u32 = 2;

/// No unit is late before: what has just been handed out is on its way.
const LATE_AFTER_MIN: Duration = Duration::from_secs(1);

/// When nobody could take what is late, it is asked again after so long.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Tail {
    /// Units by when they were handed out last; some have been settled, or handed out again, since.
    out: VecDeque<(Timestamp, u64)>,
    asked_again_at: Timestamp,
}

impl Tail {
    /// The tail of a stage whose units are out since then.
    pub(crate) fn new(mut out: Vec<(Timestamp, u64)>) -> Self {
        out.sort_unstable();
        Self { out: out.into(), asked_again_at: Timestamp::ZERO }
    }

    /// A unit was handed out, or one of several leases of it has ended.
    pub(crate) fn push(&mut self, now: Timestamp, unit: u64) {
        self.out.push_back((now, unit));
    }

    pub(crate) fn first(&self) -> Option<(Timestamp, u64)> {
        self.out.front().copied()
    }

    pub(crate) fn pop(&mut self) {
        self.out.pop_front();
    }

    /// Nobody could take the first one.
    pub(crate) fn put_off(&mut self, now: Timestamp) {
        self.asked_again_at = now + ASKED_AGAIN_AFTER;
    }

    /// When the first one is late, if such a unit takes so long.
    pub(crate) fn late_at(&self, duration: Duration) -> Option<Timestamp> {
        let (since, _) = self.first()?;
        let late_at = since + duration.saturating_mul(LATE_AFTER).max(LATE_AFTER_MIN);
        Some(late_at.max(self.asked_again_at))
    }
}
