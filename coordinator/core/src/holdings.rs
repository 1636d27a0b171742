//! What the jobs of each owner refer to: counted as it changes, so that asking for it walks no job.
//!
//! Each blob of an owner takes about 100 bytes of memory however many of its jobs refer to it, which
//! is less than one of these jobs takes to name it.

use std::collections::{BTreeMap, BTreeSet};

use gleaner_protocol::BlobRef;

use crate::Owner;

/// The blobs of all owners.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Holdings(BTreeMap<Owner, Holding>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Holding {
    /// How often the owner's jobs refer to each.
    blobs: BTreeMap<BlobRef, u64>,
    /// The length of all of them together.
    bytes: u64,
}

impl Holdings {
    /// A job of `owner`'s refers to these from now on, to one as often as it comes.
    pub(crate) fn add(&mut self, owner: Owner, blobs: impl Iterator<Item = BlobRef>) {
        let holding = self.0.entry(owner).or_default();
        for blob in blobs {
            let count = holding.blobs.entry(blob).or_default();
            if *count == 0 {
                holding.bytes += blob.bytes;
            }
            *count += 1;
        }
    }

    /// A job of `owner`'s refers to these no more.
    pub(crate) fn remove(&mut self, owner: Owner, blobs: impl Iterator<Item = BlobRef>) {
        let holding = self.0.get_mut(&owner).expect("only what was added is removed");
        for blob in blobs {
            let count = holding.blobs.get_mut(&blob).expect("only what was added is removed");
            *count -= 1;
            if *count == 0 {
                holding.blobs.remove(&blob);
                holding.bytes -= blob.bytes;
            }
        }
        if holding.blobs.is_empty() {
            self.0.remove(&owner);
        }
    }

    /// The length of what `owner`'s jobs refer to, each blob once.
    pub(crate) fn bytes(&self, owner: Owner) -> u64 {
        self.0.get(&owner).map_or(0, |holding| holding.bytes)
    }

    /// The length of those of `blobs` that no job of `owner`'s refers to yet, each once.
    pub(crate) fn new_bytes(&self, owner: Owner, blobs: impl Iterator<Item = BlobRef>) -> u64 {
        let held = self.0.get(&owner);
        let is_new = |blob: &BlobRef| held.is_none_or(|holding| !holding.blobs.contains_key(blob));
        let new: BTreeSet<_> = blobs.filter(is_new).collect();
        new.iter().map(|blob| blob.bytes).sum()
    }
}
