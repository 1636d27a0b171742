//! Attempt numbers never recur, and attempts of a unit never meet on one worker.

use std::collections::BTreeSet;

use gleaner_coordinator_core::{Action, Grant, Record};
use gleaner_protocol::{AttemptId, UnitId};

use crate::store::Store;

/// The attempts handed out of each unit that is not closed, over all lives of the coordinator.
#[derive(Debug, Default)]
pub(super) struct Attempts(BTreeSet<AttemptId>);

impl Attempts {
    pub(super) fn on_action(&mut self, action: &Action, store: &Store) {
        let Action::Grant { grants, .. } = action else { return };
        for Grant { claims, .. } in grants {
            let AttemptId { unit, number } = claims.attempt;
            assert!(self.0.insert(claims.attempt), "{} is handed out twice", claims.attempt);
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
        let from = AttemptId { unit, number: 0 };
        while let Some(attempt) = self.0.range(from..).next().filter(|first| first.unit == unit) {
            let attempt = *attempt;
            self.0.remove(&attempt);
        }
    }
}

/// A worker that takes a lease holds no other of its unit.
pub(crate) fn meets_no_other(taken: AttemptId, mut held: impl Iterator<Item = AttemptId>) {
    let other = held.find(|held| held.unit == taken.unit && *held != taken);
    assert!(other.is_none(), "{taken} meets {other:?} on one worker");
}
