//! Settled units as `provenance.json` tells of them: those in a row of which the same is to be said
//! are one entry, with an answer for each.

use gleaner_protocol::{AnswerHash, ItemRange, WorkerId};
use serde::Serialize;

use crate::store::SettledWork;

/// The most units of one entry: a reader need not hold more at a time.
const RUN_UNITS_MAX: usize = 256;

/// Units in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    #[serde(skip)]
    first_unit: u64,
    units: u64,
    items: ItemRange,
    /// How many items each has.
    unit_items: u64,
    /// The hash of each unit's answer; none of one that found no answer.
    answers: Vec<Option<AnswerHash>>,
    /// Who gave these answers.
    agreed: Vec<WorkerId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    disagreed: Vec<WorkerId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    without_answer: Vec<WorkerId>,
    /// How many attempts of each unit came back.
    attempts: u64,
}

/// Gathers units into entries.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    entry: Option<Entry>,
}

impl Gathering {
    /// Takes the next unit; gives the entry before it when it does not belong there.
    pub(super) fn push(&mut self, work: SettledWork) -> Option<Entry> {
        match &mut self.entry {
            Some(entry) if entry.is_followed_by(&work) => {
                entry.units += 1;
                entry.items.end = work.items.end;
                entry.answers.push(work.answer);
                None
            }
            entry => entry.replace(Entry::of(work)),
        }
    }

    /// The last entry.
    pub(super) fn finish(&mut self) -> Option<Entry> {
        self.entry.take()
    }
}

impl Entry {
    fn of(work: SettledWork) -> Self {
        let SettledWork { unit, items, answer, agreed, disagreed, without_answer } = work;
        let attempts = (agreed.len() + disagreed.len() + without_answer.len()) as u64;
        Self {
            first_unit: unit,
            units: 1,
            items,
            unit_items: items.len(),
            answers: vec![answer],
            agreed,
            disagreed,
            without_answer,
            attempts,
        }
    }

    /// The number of its first unit.
    pub(super) fn first_unit(&self) -> u64 {
        self.first_unit
    }

    fn is_followed_by(&self, work: &SettledWork) -> bool {
        let next = (self.first_unit + self.units, self.items.end, self.unit_items);
        next == (work.unit, work.items.start, work.items.len())
            && self.answers.len() < RUN_UNITS_MAX
            && (&self.agreed, &self.disagreed) == (&work.agreed, &work.disagreed)
            && self.without_answer == work.without_answer
    }
}

/// Units in a row of a job that its reader may not see: what they answered, not who.
#[derive(Debug, Serialize)]
pub(super) struct HiddenEntry {
    items: ItemRange,
    answers: Vec<Option<AnswerHash>>,
}

impl From<Entry> for HiddenEntry {
    fn from(entry: Entry) -> Self {
        Self { items: entry.items, answers: entry.answers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(unit: u64, items: (u64, u64), agreed: &[u8], without_answer: &[u8]) -> SettledWork {
        let workers = |keys: &[u8]| keys.iter().map(|key| WorkerId([*key; 32])).collect();
        SettledWork {
            unit,
            items: ItemRange { start: items.0, end: items.1 },
            answer: Some(AnswerHash([unit as u8; 32])),
            agreed: workers(agreed),
            disagreed: Vec::new(),
            without_answer: workers(without_answer),
        }
    }

    #[test]
    fn units_in_a_row_of_the_same_workers_are_one_entry() {
        let units = [
            work(0, (0, 4), &[1], &[]),
            work(1, (4, 8), &[1], &[]),
            work(2, (8, 12), &[2], &[]),
            work(3, (12, 16), &[2], &[3]),
            work(5, (20, 24), &[2], &[3]),
            work(6, (24, 26), &[2], &[3]),
        ];
        let mut gathering = Gathering::default();
        let mut entries: Vec<Entry> =
            units.into_iter().filter_map(|unit| gathering.push(unit)).collect();
        entries.extend(gathering.finish());
        let told: Vec<_> = entries
            .iter()
            .map(|entry| (entry.first_unit, entry.units, entry.items.end, entry.attempts))
            .collect();
        assert_eq!(
            told,
            [(0, 2, 8, 1), (2, 1, 12, 1), (3, 1, 16, 2), (5, 1, 24, 2), (6, 1, 26, 2)]
        );
        assert_eq!(entries[0].answers.len(), 2);
    }
}
