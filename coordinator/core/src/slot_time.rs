//! Time of slots: what leases are charged for it, and what a worker can have had.
//!
//! A lease is charged what it should take when it is handed out. While its worker says that it
//! runs, what it has had is entered as it is heard, by the coordinator's clock; when it ends the
//! rest is corrected to what its result says. Nothing that a worker says makes a lease longer than
//! it stood, nor all leases of a worker longer than the slots that it offers had them: [`Meter`]
//! has what is left of that. How many slots those are is the worker's own word: one that offers
//! many more than it has can have each of its leases charged for as long as it stood. A worker that
//! says too little gives away the time of its own slots, and no others'.

use std::time::Duration;

use gleaner_protocol::Timestamp;

/// Time of one slot, in microseconds: some 500,000 years of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SlotTime(u64);

/// How far one that shares slots with others has come: slot time over weight, in parts of
/// microseconds. It hardly rounds, and never wraps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VirtualTime(u128);

/// What a lease is charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Charge {
    /// What it should take in all.
    pub(crate) expected: SlotTime,
    /// What it has had, as far as that was heard.
    pub(crate) had: SlotTime,
}

/// The time that a worker's slots have had leases to run and that none was charged for: as much as
/// its slots have while a lease lasts of which nothing is heard, at the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meter {
    left: SlotTime,
    left_max: SlotTime,
    slots: u32,
    read_at: Timestamp,
}

/// What any lease is charged at least: about what one costs the platform. No one is served for ever
/// with what takes no time.
pub(crate) const CHARGE_MIN: SlotTime = SlotTime(50);

/// How much finer than a microsecond virtual time is.
const FRACTION_BITS: u32 = 32;

impl SlotTime {
    pub(crate) fn of(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }

    /// The time of so many slots.
    pub(crate) fn of_slots(slots: u64, duration: Duration) -> Self {
        Self(Self::of(duration).0.saturating_mul(slots))
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// How long one slot has it.
    pub(crate) fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// What one of a weight has of it, of all with these weights together.
    pub(crate) fn share(self, weight: u64, weights: u64) -> Self {
        let share = u128::from(self.0) * u128::from(weight) / u128::from(weights.max(1));
        Self(u64::try_from(share).unwrap_or(u64::MAX))
    }

    /// What each of so many had.
    pub(crate) fn each(self, parts: u64) -> Duration {
        Duration::from_micros(self.0 / parts.max(1))
    }

    pub(crate) fn over(self, weight: u64) -> VirtualTime {
        VirtualTime((u128::from(self.0) << FRACTION_BITS) / u128::from(weight.max(1)))
    }
}

impl VirtualTime {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Charge {
    /// Of a lease that should take so long.
    pub(crate) fn expected(takes: Duration) -> Self {
        Self { expected: SlotTime::of(takes).max(CHARGE_MIN), had: SlotTime::default() }
    }

    /// What it should still take.
    pub(crate) fn left(self) -> SlotTime {
        self.expected.minus(self.had)
    }
}

impl Meter {
    /// The worker has held so many leases since it was read last.
    pub(crate) fn read(&mut self, now: Timestamp, held: usize) {
        let busy = u64::from(self.slots).min(held as u64);
        let since = now.saturating_since(self.read_at);
        self.left = self.left.plus(SlotTime::of_slots(busy, since)).min(self.left_max);
        self.read_at = now;
    }

    /// The worker offers so many slots from now on, for leases that last so long. One that suspends
    /// them, or is away, may go on with what they have.
    pub(crate) fn set_slots(&mut self, slots: u32, lease_duration: Duration) {
        if slots > 0 {
            self.slots = slots;
            self.left_max = SlotTime::of_slots(slots.into(), lease_duration);
        }
    }

    /// Takes so much out, if there is so much.
    pub(crate) fn take(&mut self, wanted: SlotTime) -> SlotTime {
        let taken = wanted.min(self.left);
        self.left = self.left.minus(taken);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_worker_has_no_more_than_its_slots_had() {
        let mut meter = Meter::default();
        let at = |seconds: u64| Timestamp::from_millis(1_000 * seconds);
        let seconds = |seconds: u32| SlotTime::of(SECOND * seconds);
        meter.read(at(10), 0);
        meter.set_slots(2, 60 * SECOND);
        assert_eq!(meter.take(seconds(1)), SlotTime::default(), "it held nothing yet");
        meter.read(at(20), 1);
        assert_eq!(meter.take(seconds(7)), seconds(7));
        meter.set_slots(0, 60 * SECOND);
        meter.read(at(22), 9);
        assert_eq!(meter.take(seconds(100)), seconds(3 + 4));
        meter.read(at(10_000), 1);
        assert_eq!(meter.take(seconds(500)), seconds(2 * 60), "it saves up no more than that");
    }

    #[test]
    fn the_smallest_charge_moves_the_largest_weight() {
        assert!(CHARGE_MIN.over(u32::MAX.into()) > VirtualTime::default());
    }
}
