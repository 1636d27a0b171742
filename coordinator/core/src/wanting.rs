//! The units of a stage that want another attempt, in the order in which they began to.
//!
//! A worker is given the first of them that it takes no part in. Where a quorum needs several
//! workers, a fast one takes part in many that wait for others, and would pass over them again with
//! each unit it is given: so it is noted how far it has come. Invariant: a worker takes part in all
//! that it has passed.

use std::collections::BTreeMap;

use gleaner_protocol::WorkerId;

/// After how many units passed over it is noted how far a worker has come: noting costs about as
/// much as passing over a few.
const NOTED_AFTER: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Wanting {
    entered: u64,
    units: BTreeMap<Place, u64>,
    /// The first place that a worker has not passed.
    passed: BTreeMap<WorkerId, Place>,
}

/// A place in the order; never recurs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u64);

/// What a worker may do with a unit that wants an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Takes,
    /// Others should have it first.
    Waits,
    TakesPart,
}

impl Wanting {
    pub(crate) fn len(&self) -> usize {
        self.units.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.units.clear();
        self.passed.clear();
    }

    /// Puts a unit behind all others.
    pub(crate) fn enter(&mut self, unit: u64) -> Place {
        self.entered += 1;
        let place = Place(self.entered);
        self.units.insert(place, unit);
        place
    }

    pub(crate) fn leave(&mut self, place: Place) {
        self.units.remove(&place);
        if self.units.is_empty() {
            self.passed.clear();
        }
    }

    /// The first unit that `worker` takes, by `fit`; of those that it has not passed, `searched` are
    /// looked at.
    pub(crate) fn first_for(
        &mut self,
        worker: WorkerId,
        searched: usize,
        mut fit: impl FnMut(u64) -> Fit,
    ) -> Option<u64> {
        let from = self.passed.get(&worker).copied().unwrap_or_default();
        let (mut passing, mut passed, mut end) = (true, 0, from);
        let mut found = None;
        for (place, unit) in self.units.range(from..).take(searched) {
            match fit(*unit) {
                Fit::TakesPart if passing => (passed, end) = (passed + 1, Place(place.0 + 1)),
                Fit::TakesPart => {}
                Fit::Waits => passing = false,
                Fit::Takes => {
                    found = Some(*unit);
                    break;
                }
            }
        }
        if passed >= NOTED_AFTER {
            self.passed.insert(worker, end);
        }
        found
    }

    /// A worker takes part no more in the unit at a place.
    pub(crate) fn reopen(&mut self, worker: WorkerId, place: Place) {
        if let Some(passed) = self.passed.get_mut(&worker) {
            *passed = place.min(*passed);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Place, u64)> {
        self.units.iter().map(|(place, unit)| (*place, *unit))
    }

    /// What a worker has passed of what still wants an attempt.
    pub(crate) fn passed(&self) -> impl Iterator<Item = (WorkerId, u64)> {
        let units = |end: Place| self.units.range(..end).map(|(_, unit)| *unit);
        self.passed.iter().flat_map(move |(worker, end)| units(*end).map(|unit| (*worker, unit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKER: WorkerId = WorkerId([1; 32]);

    /// Looks for a unit not below `bound`, of which the worker takes part in all: how many were
    /// looked at, and which was found.
    fn search(wanting: &mut Wanting, bound: u64) -> (usize, Option<u64>) {
        let mut looked_at = 0;
        let found = wanting.first_for(WORKER, usize::MAX, |unit| {
            looked_at += 1;
            if unit < bound { Fit::TakesPart } else { Fit::Takes }
        });
        (looked_at, found)
    }

    #[test]
    fn what_a_worker_has_passed_is_not_looked_at_again() {
        let mut wanting = Wanting::default();
        let places: Vec<Place> = (0..100).map(|unit| wanting.enter(unit)).collect();
        assert_eq!(search(&mut wanting, 90), (91, Some(90)));
        assert_eq!(search(&mut wanting, 90), (1, Some(90)));
        wanting.reopen(WORKER, places[40]);
        assert_eq!(search(&mut wanting, 40), (1, Some(40)));
        assert_eq!(search(&mut wanting, 41), (2, Some(41)));
    }

    #[test]
    fn a_unit_that_others_should_have_is_looked_at_again() {
        let mut wanting = Wanting::default();
        for unit in 0..50 {
            wanting.enter(unit);
        }
        let waits_for_others = |unit| if unit == 20 { Fit::Waits } else { Fit::TakesPart };
        assert_eq!(wanting.first_for(WORKER, usize::MAX, waits_for_others), None);
        assert_eq!(search(&mut wanting, 0), (1, Some(20)));
    }
}
