//! Attempt numbers never recur, and attempts of a unit never meet on one worker.

use std::collections::BTreeMap;

use gleaner_coordinator_core::{Action, Grant, Record};
use gleaner_protocol::{AttemptId, UnitId};

use crate::store::Store;

/// The attempts handed out of each unit that is not closed, over all lives of the coordinator.
#[derive(Debug, Default)]
pub(super) struct Attempts(BTreeMap<UnitId, Vec<u32>>);

impl Attempts {
    pub(super) fn on_action(&mut self, action: &Action, store: &Store) {
        let Action::Grant { grants, .. } = action else { return };
        for Grant { claims, .. } in grants {
            let AttemptId { unit, number } = claims.attempt;
            let numbers = self.0.entry(unit).or_default();
            assert!(!numbers.contains(&number), "{} is handed out twice", claims.attempt);
            numbers.push(number);
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
            Record::UnitSettled { attempt, .. } => drop(self.0.remove(&attempt.unit)),
            Record::ItemSettled { unit, .. } | Record::UnitReplaced { unit, .. } => {
                self.0.remove(unit);
            }
            _ => {}
        }
    }
}

/// A worker that takes a lease holds no other of its unit.
pub(crate) fn meets_no_other(taken: AttemptId, mut held: impl Iterator<Item = AttemptId>) {
    let other = held.find(|held| held.unit == taken.unit && *held != taken);
    assert!(other.is_none(), "{taken} meets {other:?} on one worker");
}
