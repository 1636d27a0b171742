//! What of a stage is late, or would be settled sooner by somebody else: see [`crate::tail`].

use std::time::Duration;

use gleaner_protocol::Timestamp;

use super::Stage;
use crate::pace::{Pace, Speed};

/// A slow worker waits so many times as long as it takes until it makes one more attempt of a late
/// unit.
const SLOW_WAITS: u32 = 8;

/// One more attempt must save at least so much, and a quarter of what it takes.
const WORTH_MIN: Duration = Duration::from_millis(500);

impl Stage {
    /// When one of its units is late, while all are out.
    pub(crate) fn late_at(&self) -> Option<Timestamp> {
        let tail = self.tail.as_ref()?;
        let (_, number) = tail.first()?;
        tail.late_at(self.usual.of(self.items_of(number)?.len())?, Duration::ZERO)
    }

    /// The unit that is late by `now`, and longest, if one is so late that a worker of this pace
    /// should make one more attempt. A slow one would use up an attempt that a fast one, which may
    /// soon be free, is through with sooner: it waits longer.
    pub(crate) fn late(&self, now: Timestamp, pace: Pace, speed: Speed) -> Option<u64> {
        let tail = self.tail.as_ref()?;
        let (_, number) = tail.first()?;
        let usual = self.usual.of(self.items_of(number)?.len())?;
        let (takes, most) = (pace.of(usual), speed.of_most(usual));
        let is_slow = takes > most.saturating_mul(2);
        let waits = if is_slow { takes.saturating_mul(SLOW_WAITS) } else { takes };
        tail.late_at(usual, waits).is_some_and(|at| at <= now).then_some(number)
    }

    /// When the last of its units should be settled, while all are out.
    pub(crate) fn last_due_at(&self) -> Option<Timestamp> {
        let (due, _) = self.tail.as_ref()?.last()?;
        due.expected_at()
    }

    /// The unit that should be settled last, where a worker of this pace that began it at once
    /// would be through so much sooner that it is worth it.
    pub(crate) fn outrun(&self, now: Timestamp, pace: Pace) -> Option<u64> {
        let (due, number) = self.tail.as_ref()?.last()?;
        let takes = pace.of(self.usual.of(self.items_of(number)?.len())?);
        (due.expected_at()? > now + takes + (takes / 4).max(WORTH_MIN)).then_some(number)
    }

    /// Nobody could make one more attempt of the unit that is late.
    pub(crate) fn put_off(&mut self, now: Timestamp) {
        if let Some(tail) = &mut self.tail {
            tail.put_off(now);
        }
    }
}
