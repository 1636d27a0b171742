//! Sets of numbers that come in runs.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of numbers, kept as runs that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Intervals(BTreeMap<u64, u64>);

impl Intervals {
    /// Adds a run: false, and nothing added, when any of it is there already.
    pub(crate) fn insert(&mut self, run: Range<u64>) -> bool {
        if self.0.range(..run.end).next_back().is_some_and(|(_, end)| *end > run.start) {
            return false;
        }
        let (mut start, mut end) = (run.start, run.end);
        if let Some((before, _)) =
            self.0.range(..start).next_back().filter(|(_, end)| **end == start)
        {
            start = *before;
        }
        if let Some(after) = self.0.remove(&run.end) {
            end = after;
        }
        self.0.insert(start, end);
        true
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.0.range(..=number).next_back().is_some_and(|(_, end)| *end > number)
    }

    /// The runs of those numbers that are in `range`.
    pub(crate) fn runs_within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let first = self.0.range(..=range.start).next_back();
        let rest = self.0.range(range.start + 1..range.end.max(range.start + 1));
        let runs = first.into_iter().chain(rest);
        let runs = runs.map(move |(start, end)| *start.max(&range.start)..*end.min(&range.end));
        runs.filter(|run| !run.is_empty())
    }

    /// Whether it is all numbers below `end` and no others.
    pub(crate) fn is_all_below(&self, end: u64) -> bool {
        self.len() == end && self.0.values().all(|last| *last <= end)
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().flat_map(|(start, end)| *start..*end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_join_and_never_overlap() {
        let mut set = Intervals::default();
        assert!(set.insert(0..2) && set.insert(4..6) && set.insert(2..4));
        assert!(!set.insert(5..7) && !set.insert(3..4) && !set.insert(0..9));
        assert!(set.is_all_below(6) && !set.is_all_below(5));
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert!(set.contains(5) && !set.contains(6));
    }

    #[test]
    fn runs_are_cut_to_what_is_asked_for() {
        let mut set = Intervals::default();
        assert!(set.insert(2..5) && set.insert(7..9) && set.insert(12..20));
        let runs = |range| set.runs_within(range).collect::<Vec<_>>();
        assert_eq!(runs(0..30), [2..5, 7..9, 12..20]);
        assert_eq!(runs(4..8), [4..5, 7..8]);
        assert_eq!(runs(8..15), [8..9, 12..15]);
        assert_eq!(runs(5..7), []);
    }
}
