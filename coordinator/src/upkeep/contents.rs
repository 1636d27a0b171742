//! What of a coordinator's folder its store names.

use std::collections::BTreeMap;

use gleaner_protocol::{BlobHash, BlobRef};

use crate::store::{BlobUse, Snapshot, StoreError};

/// Every blob that the store of a snapshot names, each once.
pub(super) struct NamedBlobs<'a> {
    snapshot: &'a Snapshot,
    of_jobs: BTreeMap<BlobHash, (u64, BlobUse)>,
    /// How many there are.
    pub(super) count: u64,
    /// How many bytes they have together.
    pub(super) bytes: u64,
}

impl<'a> NamedBlobs<'a> {
    /// Those of `snapshot`, counted.
    pub(super) fn of(snapshot: &'a Snapshot) -> Result<Self, StoreError> {
        let mut of_jobs = BTreeMap::new();
        for (blob, used) in snapshot.blobs_of_jobs()? {
            of_jobs.entry(blob.hash).or_insert((blob.bytes, used));
        }
        let mut named = Self { snapshot, of_jobs, count: 0, bytes: 0 };
        let (mut count, mut bytes) = (0, 0_u64);
        named.each(&mut |blob, _| {
            count += 1;
            bytes = bytes.saturating_add(blob.bytes);
        })?;
        (named.count, named.bytes) = (count, bytes);
        Ok(named)
    }

    /// Gives each to `each`, with one of its uses.
    pub(super) fn each(&self, each: &mut dyn FnMut(BlobRef, BlobUse)) -> Result<(), StoreError> {
        for (hash, (bytes, used)) in &self.of_jobs {
            each(BlobRef { hash: *hash, bytes: *bytes }, used.clone());
        }
        // Those of units come in the order of their hashes: equal ones follow each other.
        let mut last = None;
        self.snapshot.blobs_of_units(&mut |blob, attempt| {
            let is_new = last.replace(blob.hash) != Some(blob.hash);
            if is_new && !self.of_jobs.contains_key(&blob.hash) {
                each(blob, BlobUse::Outcome(attempt));
            }
        })
    }
}
