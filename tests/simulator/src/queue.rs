//! What is to happen, by when.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// How much of the future is looked at in one go.
const SPAN_US: u64 = 1_000;

/// How many such spans have a place each: longer than from one heartbeat to the next.
const SPANS: u64 = 20_000;

/// A queue by time; of what is due at one moment, what was put in first comes first.
///
/// A large world has a million things to come: those of one span are chained, and brought into order
/// when it begins. Each thing stays in one place till then, and the next one takes that over, so that
/// what is moved about is small.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// What is due before `soon_until_us`: when, in which order it was put in, and where it is.
    soon: BinaryHeap<Reverse<(u64, u64, u32)>>,
    soon_until_us: u64,
    /// The first thing of each of the spans after that, at its number modulo [`SPANS`].
    later: Vec<Option<u32>>,
    /// The first thing of each span after those, by its number.
    far: BTreeMap<u64, u32>,
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    pushed: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at_us: u64,
    order: u64,
    /// The next one of its span.
    next: Option<u32>,
    what: Option<T>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            soon: BinaryHeap::new(),
            soon_until_us: 0,
            later: vec![None; SPANS as usize],
            far: BTreeMap::new(),
            entries: Vec::new(),
            free: Vec::new(),
            pushed: 0,
        }
    }
}

impl<T> Queue<T> {
    pub(crate) fn push(&mut self, at_us: u64, what: T) {
        self.pushed += 1;
        let entry = Entry { at_us, order: self.pushed, next: None, what: Some(what) };
        let place = self.put(entry);
        let span = at_us / SPAN_US;
        let soon_until = self.soon_until_us / SPAN_US;
        if span < soon_until {
            self.soon.push(Reverse((at_us, self.pushed, place)));
        } else if span < soon_until + SPANS {
            let first = self.later[(span % SPANS) as usize].replace(place);
            self.entries[place as usize].next = first;
        } else {
            let first = self.far.insert(span, place);
            self.entries[place as usize].next = first;
        }
    }

    /// What is due next, and when.
    pub(crate) fn pop(&mut self) -> Option<(u64, T)> {
        while self.soon.is_empty() && self.free.len() < self.entries.len() {
            self.begin_span();
        }
        let Reverse((at_us, _, place)) = self.soon.pop()?;
        self.free.push(place);
        let what = self.entries[place as usize].what.take().expect("what is due was not taken");
        Some((at_us, what))
    }

    /// Brings what is due in the next span into order.
    fn begin_span(&mut self) {
        let span = self.soon_until_us / SPAN_US;
        self.soon_until_us += SPAN_US;
        // The place goes to a span that was far until now.
        let place = &mut self.later[(span % SPANS) as usize];
        let mut next = std::mem::replace(place, self.far.remove(&(span + SPANS)));
        while let Some(place) = next {
            let entry = &self.entries[place as usize];
            self.soon.push(Reverse((entry.at_us, entry.order, place)));
            next = entry.next;
        }
    }

    fn put(&mut self, entry: Entry<T>) -> u32 {
        match self.free.pop() {
            Some(place) => {
                self.entries[place as usize] = entry;
                place
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("less than 2^32 things are to happen")
            }
        }
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
        let very_far = (2 * SPANS + 3) * SPAN_US;
        queue.push(very_far, 'j');
        queue.push(very_far - 1, 'i');
        let mut rest: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(rest.split_off(rest.len() - 2), [(very_far - 1, 'i'), (very_far, 'j')]);
        let first = [(2, 'b'), (5, 'c'), (5, 'd'), (9, 'e')];
        assert_eq!(rest, [&first[..], &[(far - 1, 'h'), (far, 'f'), (far, 'g')]].concat());
    }
}
