//! What is to happen, by when.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// How much of the future is looked at in one go.
const SPAN_US: u64 = 1_000;

/// How many such spans have a place each: longer than from one heartbeat to the next.
const SPANS: u64 = 20_000;

/// How many things lie side by side: most spans have few of them.
const CHUNK: usize = 16;

/// A queue by time; of what is due at one moment, what was put in first comes first.
///
/// A large world has a million things to come: those of one span are put aside together, and brought
/// into order when it begins, so that what is moved about is small. The heap holds places alone, for
/// the same reason.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// What is due before `soon_until_us`: when, in which order it was put in, and where it is.
    soon: BinaryHeap<Reverse<(u64, u64, u32)>>,
    soon_until_us: u64,
    things: Vec<Option<T>>,
    free: Vec<u32>,
    /// The first chunk of each of the spans after that, at its number modulo [`SPANS`].
    later: Vec<Option<u32>>,
    /// The first chunk of each span after those, by its number.
    far: BTreeMap<u64, u32>,
    chunks: Vec<Chunk<T>>,
    free_chunks: Vec<u32>,
    pushed: u64,
}

/// Some of what is due in one span: when, in which order it was put in, and what.
#[derive(Debug)]
struct Chunk<T> {
    entries: Vec<(u64, u64, T)>,
    next: Option<u32>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            soon: BinaryHeap::new(),
            soon_until_us: 0,
            things: Vec::new(),
            free: Vec::new(),
            later: vec![None; SPANS as usize],
            far: BTreeMap::new(),
            chunks: Vec::new(),
            free_chunks: Vec::new(),
            pushed: 0,
        }
    }
}

impl<T> Queue<T> {
    pub(crate) fn push(&mut self, at_us: u64, what: T) {
        self.pushed += 1;
        let entry = (at_us, self.pushed, what);
        let (span, soon_until) = (at_us / SPAN_US, self.soon_until_us / SPAN_US);
        if span < soon_until {
            self.push_soon(entry);
        } else if span < soon_until + SPANS {
            let place = (span % SPANS) as usize;
            self.later[place] = Some(self.put(self.later[place], entry));
        } else {
            let chunk = self.put(self.far.get(&span).copied(), entry);
            self.far.insert(span, chunk);
        }
    }

    /// What is due next, and when.
    pub(crate) fn pop(&mut self) -> Option<(u64, T)> {
        while self.soon.is_empty() && self.free_chunks.len() < self.chunks.len() {
            self.begin_span();
        }
        let Reverse((at_us, _, place)) = self.soon.pop()?;
        self.free.push(place);
        let what = self.things[place as usize].take().expect("a place in the heap is taken");
        Some((at_us, what))
    }

    /// Brings what is due in the next span into order.
    fn begin_span(&mut self) {
        let span = self.soon_until_us / SPAN_US;
        self.soon_until_us += SPAN_US;
        // The place goes to a span that was far until now.
        let first = &mut self.later[(span % SPANS) as usize];
        let mut next = std::mem::replace(first, self.far.remove(&(span + SPANS)));
        while let Some(place) = next {
            let chunk = &mut self.chunks[place as usize];
            next = chunk.next.take();
            let mut entries = std::mem::take(&mut chunk.entries);
            entries.drain(..).for_each(|entry| self.push_soon(entry));
            self.chunks[place as usize].entries = entries;
            self.free_chunks.push(place);
        }
    }

    /// Puts something into a span that begins with the chunk `first`: the one it begins with then.
    fn put(&mut self, first: Option<u32>, entry: (u64, u64, T)) -> u32 {
        let has_room = |place: &u32| self.chunks[*place as usize].entries.len() < CHUNK;
        let place = first.filter(has_room).unwrap_or_else(|| {
            let place = self.free_chunks.pop().unwrap_or_else(|| {
                self.chunks.push(Chunk { entries: Vec::with_capacity(CHUNK), next: None });
                u32::try_from(self.chunks.len() - 1).expect("less than 2^32 chunks are needed")
            });
            self.chunks[place as usize].next = first;
            place
        });
        self.chunks[place as usize].entries.push(entry);
        place
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
        let very_far = (2 * SPANS + 3) * SPAN_US;
        queue.push(very_far, 'j');
        queue.push(very_far - 1, 'i');
        let mut rest: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(rest.split_off(rest.len() - 2), [(very_far - 1, 'i'), (very_far, 'j')]);
        let first = [(2, 'b'), (5, 'c'), (5, 'd'), (9, 'e')];
        assert_eq!(rest, [&first[..], &[(far - 1, 'h'), (far, 'f'), (far, 'g')]].concat());
    }
}
