//! What is to happen, by when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A queue by time; of what is due at one moment, what was put in first comes first.
///
/// The heap holds places alone, so that what it moves about is small.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    things: Vec<Option<T>>,
    free: Vec<u32>,
    pushed: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), things: Vec::new(), free: Vec::new(), pushed: 0 }
    }
}

impl<T> Queue<T> {
    pub(crate) fn push(&mut self, at_us: u64, what: T) {
        self.pushed += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.things.push(None);
            u32::try_from(self.things.len() - 1).expect("less than 2^32 things are to happen")
        });
        self.things[place as usize] = Some(what);
        self.heap.push(Reverse((at_us, self.pushed, place)));
    }

    /// What is due next, and when.
    pub(crate) fn pop(&mut self) -> Option<(u64, T)> {
        let Reverse((at_us, _, place)) = self.heap.pop()?;
        self.free.push(place);
        let what = self.things[place as usize].take().expect("a place in the heap is taken");
        Some((at_us, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_first_comes_first_and_ties_keep_their_order() {
        let mut queue = Queue::default();
        for (at_us, what) in [(5, 'c'), (1, 'a'), (5, 'd'), (2, 'b')] {
            queue.push(at_us, what);
        }
        assert_eq!(queue.pop(), Some((1, 'a')));
        queue.push(9, 'e');
        let rest: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(rest, [(2, 'b'), (5, 'c'), (5, 'd'), (9, 'e')]);
    }
}
