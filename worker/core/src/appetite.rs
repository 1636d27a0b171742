//! How long units take, and how many to hold: slots never wait and nobody hoards.

use std::time::Duration;

use crate::limits::{UNITS_IN_PIPE_MAX, UNITS_QUEUED_MAX, WORK_IN_PIPE, WORK_QUEUED};

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
