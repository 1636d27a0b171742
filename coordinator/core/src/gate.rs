//! Commit, then speak.
//!
//! ```text
//! record ──► batch ──close──► Persist n ──► (store) ──► durable = n
//! speak  ──► spoken ─close──► held until durable ≥ n ──► out
//! ```
//! Whatever is said waits until the newest batch it may depend on is durable. That is every batch
//! up to and including its own event's: a coarse rule, but one that nobody can forget to apply.

use std::collections::{BTreeMap, VecDeque};

use gleaner_protocol::WorkerId;

use crate::{Action, Record, Sequence};

#[derive(Debug, Default)]
pub(crate) struct Gate {
    batch: Vec<Record>,
    spoken: Vec<Action>,
    issued: Sequence,
    durable: Sequence,
    persists: VecDeque<Action>,
    held: VecDeque<(Sequence, Action)>,
    /// How many actions have left `held` so far: the number of its first one.
    gone: u64,
    /// The grants to these workers before such a number are dropped when they come up.
    forgotten: BTreeMap<WorkerId, u64>,
    /// These numbers in their order, and those that a later one has replaced.
    forgotten_in_order: VecDeque<(u64, WorkerId)>,
}

impl Gate {
    /// Adds a record to the batch of the event at hand.
    pub(crate) fn record(&mut self, record: Record) {
        self.batch.push(record);
    }

    /// Says something once all records so far, this event's included, are durable.
    pub(crate) fn speak(&mut self, action: Action) {
        self.spoken.push(action);
    }

    /// Ends the event at hand: its records become one batch.
    pub(crate) fn close_batch(&mut self) {
        if !self.batch.is_empty() {
            self.issued = Sequence(self.issued.0 + 1);
            let records = std::mem::take(&mut self.batch);
            self.persists.push_back(Action::Persist { sequence: self.issued, records });
        }
        let stamp = self.issued;
        self.held.extend(self.spoken.drain(..).map(|action| (stamp, action)));
    }

    /// Drops the leases that a worker was to be sent on a stream which is no more. On the next one
    /// they would be strangers: its hello could not name them, so they have ended.
    pub(crate) fn forget_grants(&mut self, worker: WorkerId) {
        if !self.held.is_empty() {
            let before = self.gone + self.held.len() as u64;
            self.forgotten.insert(worker, before);
            self.forgotten_in_order.push_back((before, worker));
        }
    }

    /// Batches up to `through` are durable. Late and repeated news are harmless.
    pub(crate) fn on_persisted(&mut self, through: Sequence) {
        self.durable = self.durable.max(through.min(self.issued));
    }

    pub(crate) fn poll(&mut self) -> Option<Action> {
        if let Some(persist) = self.persists.pop_front() {
            return Some(persist);
        }
        while let Some((_, action)) = self.held.pop_front_if(|(stamp, _)| *stamp <= self.durable) {
            let wanted = !self.is_forgotten(&action);
            self.gone += 1;
            self.let_pass();
            if wanted {
                return Some(action);
            }
        }
        None
    }

    /// Whether the first of the actions held is a grant that is of no use any more.
    fn is_forgotten(&self, first: &Action) -> bool {
        let Action::Grant { worker, .. } = first else { return false };
        self.forgotten.get(worker).is_some_and(|before| self.gone < *before)
    }

    /// Drops what concerns only actions that are gone.
    fn let_pass(&mut self) {
        while let Some((before, worker)) =
            self.forgotten_in_order.pop_front_if(|(before, _)| *before <= self.gone)
        {
            if self.forgotten.get(&worker) == Some(&before) {
                self.forgotten.remove(&worker);
            }
        }
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.batch.is_empty() && self.spoken.is_empty(), "an event was left open");
        assert!(self.durable <= self.issued, "more is durable than was ever issued");
        assert!(self.held.iter().is_sorted_by_key(|(stamp, _)| *stamp), "speech is out of order");
        assert!(
            self.forgotten.values().all(|before| *before > self.gone),
            "a number outlived its use"
        );
        assert!(self.forgotten.len() <= self.forgotten_in_order.len(), "a number would stay");
    }
}

#[cfg(test)]
mod tests {
    use gleaner_protocol::JobId;

    use super::*;

    fn speech(version: u64) -> Action {
        Action::JobChanged { job: JobId(1), version }
    }

    fn record() -> Record {
        Record::StageOpened {
            job: JobId(1),
            opening: crate::Opening {
                stage: gleaner_protocol::StageIndex(0),
                items: 1,
                unit_items_max: None,
                made: None,
            },
            answers: gleaner_protocol::BlobHash([0; 32]),
            quorum: 1,
        }
    }

    #[test]
    fn speech_waits_for_its_own_events_records() {
        let mut gate = Gate::default();
        gate.speak(speech(1));
        gate.record(record());
        gate.close_batch();
        assert!(matches!(gate.poll(), Some(Action::Persist { sequence: Sequence(1), .. })));
        assert_eq!(gate.poll(), None);
        gate.on_persisted(Sequence(1));
        assert_eq!(gate.poll(), Some(speech(1)));
    }

    #[test]
    fn speech_without_records_waits_for_what_came_before() {
        let mut gate = Gate::default();
        gate.record(record());
        gate.close_batch();
        gate.speak(speech(1));
        gate.close_batch();
        assert!(matches!(gate.poll(), Some(Action::Persist { .. })));
        assert_eq!(gate.poll(), None);
        gate.on_persisted(Sequence(9));
        assert_eq!(gate.poll(), Some(speech(1)));
        gate.check_invariants();
    }
}
