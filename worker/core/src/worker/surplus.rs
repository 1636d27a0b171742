//! Leases given back when units turn out longer than was thought when they were asked for.
//!
//! A worker asks by how long units took lately, whichever stage they were of; what it is given may
//! be of one it knows nothing of. As soon as a stage's units are seen to be so long that others
//! would have done what waits here sooner, those that came last are given back.

use std::time::Duration;

use gleaner_protocol::{ReleaseReason, Timestamp};

use super::Worker;
use crate::appetite::{surplus, surplus_from};
use crate::event::{AttemptKey, StageKey};
use crate::limits::UNIT_LONG;
use crate::slot::Slot;
use crate::stage::Stage;

impl Worker {
    /// Gives back what is queued beyond [`surplus`].
    pub(super) fn give_back_surplus(&mut self) {
        let slots = self.slots_usable();
        let stages = self.stages.busy().map(|(key, stage)| {
            let unit = || stage.recent.shortest().unwrap_or_else(|| self.running_for(*key));
            (*key, stage.last_queued(surplus(stage.queue.len(), slots, unit)))
        });
        let surplus: Vec<(StageKey, Vec<AttemptKey>)> =
            stages.filter(|(_, keys)| !keys.is_empty()).collect();
        for (stage, keys) in surplus {
            self.release(stage.project, keys, ReleaseReason::Surplus);
        }
    }

    /// How long units are at least that run now and tell more than any that ended: those of stages
    /// of which too few have ended.
    pub(super) fn longest_unknown(&self) -> Duration {
        self.unknown_stages().map(|(key, _)| self.running_for(*key)).max().unwrap_or_default()
    }

    /// When a unit that runs will have shown, by not ending, that too many wait behind it.
    pub(super) fn surplus_timeout(&self) -> Option<Timestamp> {
        let slots = self.slots_usable();
        let due = self.unknown_stages().filter_map(|(key, stage)| {
            let unit = surplus_from(stage.queue.len(), slots)?;
            Some(self.running_since(*key)? + unit)
        });
        due.min()
    }

    /// The stages of which too few units have ended to tell how long they are.
    fn unknown_stages(&self) -> impl Iterator<Item = (&StageKey, &Stage)> {
        self.stages.busy().filter(|(_, stage)| stage.recent.shortest().is_none())
    }

    /// Since when the unit of a stage runs that has run longest.
    fn running_since(&self, stage: StageKey) -> Option<Timestamp> {
        let slots = self.slots.iter().filter(|slot| slot.stage() == Some(stage));
        slots.filter_map(Slot::running_since).min()
    }

    /// How long the unit of a stage has run that has run longest; nothing while that may be no more
    /// than the start of its slot.
    fn running_for(&self, stage: StageKey) -> Duration {
        let elapsed = self.running_since(stage).map(|since| self.now.saturating_since(since));
        elapsed.filter(|elapsed| *elapsed >= UNIT_LONG).unwrap_or_default()
    }
}
