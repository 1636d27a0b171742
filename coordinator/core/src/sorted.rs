//! A set in one piece of memory, in order.
//!
//! Workers hold few leases each: a tree's node has room for eleven entries however few there are. Of
//! many leases those granted first end first, and what leaves near an end moves little.

use std::collections::VecDeque;

#[derive(Clone, Debug)]
pub(crate) struct Sorted<T>(VecDeque<T>);

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Ord> Sorted<T> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, entry: &T) -> bool {
        self.0.binary_search(entry).is_ok()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }

    /// The first entry that is not before `from`.
    pub(crate) fn first_from(&self, from: &T) -> Option<&T> {
        self.0.get(self.0.partition_point(|entry| entry < from))
    }

    /// Whether it is new.
    pub(crate) fn insert(&mut self, entry: T) -> bool {
        let place = self.0.binary_search(&entry);
        if let Err(place) = place {
            self.0.insert(place, entry);
        }
        place.is_err()
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, entry: &T) -> bool {
        let place = self.0.binary_search(entry);
        if let Ok(place) = place {
            self.0.remove(place);
            // A worker that held many keeps no room for them.
            if self.0.len() * 8 < self.0.capacity() {
                self.0.shrink_to(self.0.len() * 2);
            }
        }
        place.is_ok()
    }
}
