//! Sets of numbers without large gaps.

use std::ops::Range;

/// A set of numbers, a bit for each up to the largest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    words: Vec<u64>,
    len: u64,
}

impl Numbers {
    /// Adds a run: false, and nothing added, when any of it is there already.
    pub(crate) fn insert(&mut self, run: Range<u64>) -> bool {
        let words = usize::try_from(run.end.div_ceil(64)).expect("a run's numbers fit in memory");
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
        if masks(&run).any(|(word, mask)| self.words[word] & mask != 0) {
            return false;
        }
        masks(&run).for_each(|(word, mask)| self.words[word] |= mask);
        self.len += run.end.saturating_sub(run.start);
        true
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        let word = self.words.get((number / 64) as usize);
        word.is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// The runs of those numbers that are in `range`.
    pub(crate) fn runs_within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let mut from = range.start;
        std::iter::from_fn(move || {
            let start = (from..range.end).find(|number| self.contains(*number))?;
            let end = (start..range.end).find(|number| !self.contains(*number));
            from = end.unwrap_or(range.end);
            Some(start..from)
        })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Whether it is all numbers below `end` and no others.
    pub(crate) fn is_all_below(&self, end: u64) -> bool {
        self.len == end && masks(&(0..end)).all(|(word, mask)| self.words[word] & mask == mask)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.words.len() as u64 * 64).filter(|number| self.contains(*number))
    }
}

/// The words that have the numbers of a run, each with the bits of these.
fn masks(run: &Range<u64>) -> impl Iterator<Item = (usize, u64)> + use<> {
    let Range { start, end } = *run;
    (start / 64..end.div_ceil(64)).map(move |word| {
        let (first, last) = (start.max(word * 64) % 64, (end - 1).min(word * 64 + 63) % 64);
        (word as usize, u64::MAX << first & u64::MAX >> (63 - last))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_join_and_never_overlap() {
        let mut set = Numbers::default();
        assert!(set.insert(0..2) && set.insert(4..6) && set.insert(2..4));
        assert!(!set.insert(5..7) && !set.insert(3..4) && !set.insert(0..9));
        assert!(set.is_all_below(6) && !set.is_all_below(5));
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert!(set.contains(5) && !set.contains(6));
    }

    #[test]
    fn runs_may_be_long() {
        let mut set = Numbers::default();
        assert!(set.insert(60..200) && set.insert(0..60) && set.insert(300..300));
        assert!(!set.insert(10..11) && !set.insert(128..129) && !set.insert(199..400));
        assert!(set.is_all_below(200) && !set.contains(200));
        assert!(set.insert(256..320) && !set.is_all_below(264));
    }

    #[test]
    fn runs_are_cut_to_what_is_asked_for() {
        let mut set = Numbers::default();
        assert!(set.insert(2..5) && set.insert(7..9) && set.insert(12..20));
        let runs = |range| set.runs_within(range).collect::<Vec<_>>();
        assert_eq!(runs(0..30), [2..5, 7..9, 12..20]);
        assert_eq!(runs(4..8), [4..5, 7..8]);
        assert_eq!(runs(8..15), [8..9, 12..15]);
        assert_eq!(runs(5..7), []);
    }
}
