//! What is to happen, by when.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// How much of the future is looked at in one go.
const SPAN_US: u64 = 1_000;

/// A queue by time; of what is due at one moment, what was put in first comes first.
///
/// A large world has a million things to come: those of one millisecond are put aside together, and
/// brought into order when it begins, so that what is moved about is small. The heap holds places
/// alone, for the same reason.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// What is due before `soon_until_us`.
    soon: BinaryHeap<Reverse<(u64, u64, u32)>>,
    soon_until_us: u64,
    things: Vec<Option<T>>,
    free: Vec<u32>,
    /// What is due later, by its span: when, in which order it was put in, and what.
    later: BTreeMap<u64, Vec<(u64, u64, T)>>,
    /// Emptied lists of spans that are over, for those to come.
    spare: Vec<Vec<(u64, u64, T)>>,
    pushed: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            soon: BinaryHeap::new(),
            soon_until_us: 0,
            things: Vec::new(),
            free: Vec::new(),
            later: BTreeMap::new(),
            spare: Vec::new(),
            pushed: 0,
        }
    }
}

impl<T> Queue<T> {
    pub(crate) fn push(&mut self, at_us: u64, what: T) {
        self.pushed += 1;
        let entry = (at_us, self.pushed, what);
        match at_us < self.soon_until_us {
            true => self.push_soon(entry),
            false => {
                let spare = &mut self.spare;
                let fresh = || spare.pop().unwrap_or_default();
                self.later.entry(at_us / SPAN_US).or_insert_with(fresh).push(entry);
            }
        }
    }

    /// What is due next, and when.
    pub(crate) fn pop(&mut self) -> Option<(u64, T)> {
        if self.soon.is_empty() {
            let (span, mut entries) = self.later.pop_first()?;
            self.soon_until_us = (span + 1) * SPAN_US;
            entries.drain(..).for_each(|entry| self.push_soon(entry));
            self.spare.push(entries);
        }
        let Reverse((at_us, _, place)) = self.soon.pop()?;
        self.free.push(place);
        let what = self.things[place as usize].take().expect("a place in the heap is taken");
        Some((at_us, what))
    }

    fn push_soon(&mut self, (at_us, order, what): (u64, u64, T)) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.things.push(None);
            u32::try_from(self.things.len() - 1).expect("less than 2^32 things happen soon")
        });
        self.things[place as usize] = Some(what);
        self.soon.push(Reverse((at_us, order, place)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_first_comes_first_and_ties_keep_their_order() {
        let mut queue = Queue::default();
        let far = 7 * SPAN_US;
        for (at_us, what) in [(far, 'f'), (5, 'c'), (1, 'a'), (5, 'd'), (2, 'b'), (far, 'g')] {
            queue.push(at_us, what);
        }
        assert_eq!(queue.pop(), Some((1, 'a')));
        queue.push(9, 'e');
        queue.push(far - 1, 'h');
        let rest: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        let first = [(2, 'b'), (5, 'c'), (5, 'd'), (9, 'e')];
        assert_eq!(rest, [&first[..], &[(far - 1, 'h'), (far, 'f'), (far, 'g')]].concat());
    }
}
