//! How long units take, and how many to hold: slots never wait and nobody hoards.

use std::time::Duration;

use crate::limits::{UNIT_LONG, UNITS_IN_PIPE_MAX, UNITS_QUEUED_MAX, WORK_IN_PIPE, WORK_QUEUED};

/// An exponentially weighted mean of durations: each new one counts an eighth (as TCP's round-trip
/// estimate, RFC 6298), so that a change of task is followed within some ten units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Estimate(Option<Duration>);

impl Estimate {
    pub(crate) fn observe(&mut self, sample: Duration) {
        let sample = sample.max(Duration::from_micros(1));
        self.0 = Some(self.0.map_or(sample, |mean| (mean * 7 + sample) / 8));
    }

    pub(crate) fn duration(self) -> Option<Duration> {
        self.0
    }

    /// How many units of this size belong in one slot's pipe; one when their size is unknown.
    pub(crate) fn pipe_depth(self) -> usize {
        self.0.map_or(1, |mean| {
            let units = WORK_IN_PIPE.as_nanos() / mean.as_nanos().max(1);
            usize::try_from(units).unwrap_or(usize::MAX).clamp(1, UNITS_IN_PIPE_MAX)
        })
    }
}

/// How many of a stage's last units [`Recent`] remembers.
const RECENT_UNITS: usize = 4;

/// The durations of a stage's last units. A machine that was busy for a moment makes one of them
/// longer, hardly all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recent {
    last: [Duration; RECENT_UNITS],
    seen: usize,
}

impl Recent {
    pub(crate) fn observe(&mut self, sample: Duration) {
        self.last[self.seen % RECENT_UNITS] = sample;
        self.seen += 1;
    }

    /// The shortest; none while fewer than two are known.
    pub(crate) fn shortest(self) -> Option<Duration> {
        let known = &self.last[..self.seen.min(RECENT_UNITS)];
        known.iter().min().copied().filter(|_| known.len() > 1)
    }
}

/// What a worker holds that still needs computing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Supply {
    /// Slots that may run.
    pub(crate) slots: u32,
    /// Units held that still need computing.
    pub(crate) units: u32,
    /// The time they will take one slot.
    pub(crate) work: Duration,
}

/// How many more units to ask for: one for each slot to run and one to wait behind it, and with
/// short units as many as make [`WORK_QUEUED`] for each slot. A `typical` unit is as long as those
/// seen last.
pub(crate) fn units_wanted(supply: Supply, typical: Duration) -> u32 {
    let least = supply.slots.saturating_mul(2).saturating_sub(supply.units);
    let work_missing = WORK_QUEUED.saturating_mul(supply.slots).saturating_sub(supply.work);
    let by_work = work_missing.as_nanos() / typical.as_nanos().max(1);
    let by_work = u32::try_from(by_work).unwrap_or(u32::MAX);
    let room = UNITS_QUEUED_MAX.saturating_add(supply.slots).saturating_sub(supply.units);
    least.max(by_work).min(room)
}

/// How many of the units that wait for `slots` are to be given back when each takes at least `unit`:
/// none until they are twice what would be asked for, so that estimates may err, nor while no slot may
/// run, which may soon change.
pub(crate) fn surplus(queued: usize, slots: u32, unit: impl FnOnce() -> Duration) -> usize {
    if slots == 0 || queued <= 2 * slots as usize {
        return 0;
    }
    let unit = unit();
    let enough = |work: Duration| {
        let by_work = work.saturating_mul(slots).as_nanos() / unit.as_nanos().max(1);
        usize::try_from(by_work).unwrap_or(usize::MAX).max(2 * slots as usize)
    };
    if queued <= enough(2 * WORK_QUEUED) {
        return 0;
    }
    queued - enough(WORK_QUEUED)
}

/// How long a unit must be for some of `queued` to be [`surplus`]; none is long enough when they are
/// few.
pub(crate) fn surplus_from(queued: usize, slots: u32) -> Option<Duration> {
    let queued = u32::try_from(queued).unwrap_or(u32::MAX);
    let too_many = slots > 0 && queued > slots.saturating_mul(2);
    let unit = (2 * WORK_QUEUED).saturating_mul(slots) / queued.max(1);
    // A moment later, as both are rounded.
    too_many.then_some((unit + Duration::from_millis(1)).max(UNIT_LONG))
}

/// Whether a request for `wanted` units is worth a message when `outstanding` are still to come.
/// Small corrections wait; a worker that runs out, or wants nothing more, says so at once.
pub(crate) fn is_worth_saying(wanted: u32, outstanding: u32, units_held: u32) -> bool {
    let target = units_held.saturating_add(wanted);
    if wanted > outstanding {
        return wanted - outstanding >= (target / 4).max(1);
    }
    outstanding > 0 && (wanted == 0 || outstanding / 2 > wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(slots: u32, units: u32, unit_ms: u64) -> u32 {
        let unit = Duration::from_millis(unit_ms);
        units_wanted(Supply { slots, units, work: unit * units }, unit)
    }

    #[test]
    fn a_slot_has_one_unit_to_run_and_one_behind_it() {
        assert_eq!(wanted(4, 0, 60_000), 8);
        assert_eq!(wanted(4, 7, 60_000), 1);
        assert_eq!(wanted(4, 8, 60_000), 0);
        assert_eq!(wanted(0, 0, 60_000), 0);
    }

    #[test]
    fn short_units_are_asked_for_by_their_time_up_to_a_cap() {
        assert_eq!(wanted(2, 0, 10), 300);
        assert_eq!(wanted(2, 100, 10), 200);
        assert_eq!(wanted(2, 300, 10), 0);
        assert_eq!(wanted(2, 0, 0), UNITS_QUEUED_MAX + 2);
    }

    #[test]
    fn long_units_are_too_many_sooner_than_short_ones() {
        let surplus = |queued, ms| surplus(queued, 2, || Duration::from_millis(ms));
        assert_eq!([surplus(2048, 0), surplus(2048, 2), surplus(2048, 3)], [0, 0, 1048]);
        assert_eq!([surplus(58, 100), surplus(58, 250), surplus(58, 3500)], [0, 46, 54]);
        assert_eq!([surplus(5, 3500), surplus(4, 3500)], [1, 0]);
    }

    #[test]
    fn as_long_as_a_unit_must_be_is_long_enough() {
        assert_eq!(surplus_from(4, 2), None);
        assert_eq!(surplus_from(100, 0), None);
        for queued in [5, 6, 12, 24, 58, 400, 2048] {
            let unit = surplus_from(queued, 2).expect("more than a few");
            assert!(unit >= UNIT_LONG && surplus(queued, 2, || unit) > 0, "{queued}: {unit:?}");
        }
    }

    #[test]
    fn one_long_unit_among_short_ones_makes_no_stage_long() {
        let mut recent = Recent::default();
        for (micros, expected) in [(50, None), (90_000, Some(50)), (60, Some(50)), (70, Some(50))] {
            recent.observe(Duration::from_micros(micros));
            assert_eq!(recent.shortest(), expected.map(Duration::from_micros));
        }
        recent.observe(Duration::from_micros(80));
        assert_eq!(recent.shortest(), Some(Duration::from_micros(60)), "the first is forgotten");
    }

    #[test]
    fn small_corrections_are_not_worth_a_message() {
        assert!(is_worth_saying(1, 0, 1));
        assert!(is_worth_saying(2, 0, 6));
        assert!(!is_worth_saying(1, 0, 7));
        assert!(is_worth_saying(8, 0, 0));
        assert!(!is_worth_saying(10, 0, 290));
        assert!(is_worth_saying(100, 0, 200));
        assert!(!is_worth_saying(100, 100, 200));
        assert!(is_worth_saying(0, 100, 200));
    }

    #[test]
    fn a_pipe_holds_more_the_shorter_the_units() {
        let depth = |micros| {
            let mut estimate = Estimate::default();
            estimate.observe(Duration::from_micros(micros));
            estimate.pipe_depth()
        };
        assert_eq!(Estimate::default().pipe_depth(), 1);
        assert_eq!([depth(1_000_000), depth(2_000), depth(10)], [1, 5, UNITS_IN_PIPE_MAX]);
    }
}
