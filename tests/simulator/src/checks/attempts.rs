//! Attempt numbers never recur, and attempts of a unit never meet on one worker.

use std::collections::HashMap;

use gleaner_coordinator_core::{Action, Grant, Record};
use gleaner_protocol::{AttemptId, UnitId};

use crate::store::Store;

/// The attempts handed out of each unit that is not closed, over all lives of the coordinator.
#[derive(Debug, Default)]
pub(super) struct Attempts(HashMap<UnitId, HandedOut>);

/// The numbers of a unit's attempts. They grow, but for those that one event hands out together.
#[derive(Debug, Default)]
struct HandedOut {
    last: u32,
    /// Those before it, as bits: the lowest is the last one's own.
    seen: u64,
}

impl Attempts {
    pub(super) fn on_action(&mut self, action: &Action, store: &Store) {
        let Action::Grant { grants, .. } = action else { return };
        for Grant { claims, .. } in grants {
            let AttemptId { unit, number } = claims.attempt;
            let is_new = self.0.entry(unit).or_default().insert(number);
            assert!(is_new, "{} is handed out twice", claims.attempt);
            let known = store.job(unit.job).and_then(|job| job.unit(unit.number));
            let mut opinions = known.into_iter().flat_map(|unit| &unit.opinions);
            let met = opinions.find(|opinion| {
                opinion.worker == claims.worker && opinion.attempt.number >= number
            });
            assert!(met.is_none(), "{} is older than {met:?} of its worker", claims.attempt);
        }
    }

    pub(super) fn after_written(&mut self, record: &Record) {
        match record {
            Record::UnitSettled { attempt, .. } => self.forget(attempt.unit),
            Record::ItemSettled { unit, .. } | Record::UnitReplaced { unit, .. } => {
                self.forget(*unit);
            }
            _ => {}
        }
    }

    fn forget(&mut self, unit: UnitId) {
        self.0.remove(&unit);
    }
}

impl HandedOut {
    /// Adds a number: whether it may be a new one.
    fn insert(&mut self, number: u32) -> bool {
        let ahead = number.saturating_sub(self.last);
        self.seen = self.seen.checked_shl(ahead).unwrap_or(0);
        self.last = self.last.max(number);
        let bit = 1_u64.checked_shl(self.last - number).unwrap_or(u64::MAX);
        let is_new = self.seen & bit == 0;
        self.seen |= bit;
        is_new
    }
}

/// A worker that takes a lease holds no other of its unit.
pub(crate) fn meets_no_other(taken: AttemptId, mut held: impl Iterator<Item = AttemptId>) {
    let other = held.find(|held| held.unit == taken.unit && *held != taken);
    assert!(other.is_none(), "{taken} meets {other:?} on one worker");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_once() {
        let mut handed_out = HandedOut::default();
        assert!([2, 1, 3, 40, 39, 1_000, 998].into_iter().all(|number| handed_out.insert(number)));
        assert!([998, 1_000, 40].into_iter().all(|number| !handed_out.insert(number)));
    }
}
