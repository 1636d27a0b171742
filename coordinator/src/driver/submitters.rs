//! The list of submitters as the running coordinator holds it: who may come in, and what they have
//! sent that no job refers to yet.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gleaner_coordinator_core::Owner;
use gleaner_network::ApiGate;
use gleaner_protocol::{BlobHash, BlobRef, SubmitterId, SubmitterTerms, WorkerId};
use tokio_util::sync::CancellationToken;

use crate::store::StoredSubmitter;

/// The most blobs that a submitter with a quota for storage may have sent for jobs to come: as
/// many as some dozen jobs with all their files.
pub(crate) const BLOBS_WAITING_MAX: usize = 16 * 1024;

/// Every submitter there ever was.
#[derive(Debug, Default)]
pub(crate) struct Submitters {
    entries: Mutex<HashMap<SubmitterId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    terms: SubmitterTerms,
    /// Cancelled when the submitter is taken off the list; none when it is not on it.
    listed: Option<CancellationToken>,
    /// Blobs sent since the start that no job of its own refers to. A coordinator that starts again
    /// has forgotten them.
    waiting: HashMap<BlobHash, u64>,
}

/// Why a blob has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// It goes over the quota for storage.
    Storage {
        /// What the submitter's jobs refer to.
        used: u64,
        /// What it has sent besides.
        waiting: u64,
        /// The limit.
        max: u64,
    },
    /// Too many blobs wait for a job.
    Blobs,
}

impl Submitters {
    pub(crate) fn new(stored: Vec<StoredSubmitter>) -> Self {
        let submitters = Self::default();
        for stored in stored {
            submitters.set(stored);
        }
        submitters
    }

    /// The submitter is as the store says from now on. Whoever is no longer on the list is cut off.
    pub(crate) fn set(&self, stored: StoredSubmitter) {
        let StoredSubmitter { submitter, name, terms, removed_at, .. } = stored;
        let mut entries = self.lock();
        let before = entries.remove(&submitter);
        let (listed, waiting) =
            before.map(|entry| (entry.listed, entry.waiting)).unwrap_or_default();
        let listed = match removed_at {
            None => Some(listed.unwrap_or_default()),
            Some(_) => {
                listed.inspect(CancellationToken::cancel);
                None
            }
        };
        entries.insert(submitter, Entry { name, terms, listed, waiting });
    }

    /// What is cancelled when the submitter is taken off the list; none when it is not on it.
    pub(crate) fn admission(&self, submitter: SubmitterId) -> Option<CancellationToken> {
        self.lock().get(&submitter)?.listed.clone()
    }

    /// The operator's name for whose a job is; none for the operator.
    pub(crate) fn name(&self, owner: Owner) -> Option<String> {
        let Owner::Submitter(submitter) = owner else { return None };
        self.lock().get(&submitter).map(|entry| entry.name.clone())
    }

    /// What `owner` may use; none for the operator, who may use everything.
    pub(crate) fn terms(&self, owner: Owner) -> Option<SubmitterTerms> {
        let Owner::Submitter(submitter) = owner else { return None };
        Some(self.lock().get(&submitter)?.terms)
    }

    /// The length of what `owner` has sent that no job refers to yet, as far as that is counted.
    pub(crate) fn waiting_bytes(&self, owner: Owner) -> u64 {
        let Owner::Submitter(submitter) = owner else { return 0 };
        self.lock().get(&submitter).map_or(0, |entry| entry.waiting.values().sum())
    }

    /// Keeps room for a blob, beside the `used` bytes that the submitter's jobs refer to.
    pub(crate) fn reserve(
        &self,
        submitter: SubmitterId,
        blob: BlobRef,
        used: u64,
    ) -> Result<(), NoRoom> {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(&submitter) else { return Ok(()) };
        let Some(max) = entry.terms.storage_bytes_max else { return Ok(()) };
        let others = entry.waiting.iter().filter(|(hash, _)| **hash != blob.hash);
        let waiting = others.map(|(_, bytes)| bytes).sum::<u64>();
        if used.saturating_add(waiting).saturating_add(blob.bytes) > max {
            return Err(NoRoom::Storage { used, waiting, max });
        }
        if entry.waiting.len() >= BLOBS_WAITING_MAX && !entry.waiting.contains_key(&blob.hash) {
            return Err(NoRoom::Blobs);
        }
        entry.waiting.insert(blob.hash, blob.bytes);
        Ok(())
    }

    /// A job refers to these blobs now, and they are counted with it.
    pub(crate) fn settle(&self, owner: Owner, blobs: impl Iterator<Item = BlobRef>) {
        let Owner::Submitter(submitter) = owner else { return };
        let blobs: HashSet<_> = blobs.map(|blob| blob.hash).collect();
        if let Some(entry) = self.lock().get_mut(&submitter) {
            entry.waiting.retain(|hash, _| !blobs.contains(hash));
        }
    }

    /// These blobs were removed, as no job ever referred to them.
    pub(crate) fn forget(&self, blobs: &[BlobRef]) {
        for entry in self.lock().values_mut() {
            entry.waiting.retain(|hash, _| !blobs.iter().any(|blob| blob.hash == *hash));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SubmitterId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ApiGate for Submitters {
    fn admits(&self, peer: WorkerId) -> bool {
        self.admission(SubmitterId(peer.0)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use gleaner_protocol::Timestamp;

    use super::*;

    const ADA: SubmitterId = SubmitterId([1; 32]);

    fn stored(removed_at: Option<u64>) -> StoredSubmitter {
        let terms = SubmitterTerms { storage_bytes_max: Some(100), ..SubmitterTerms::default() };
        StoredSubmitter {
            submitter: ADA,
            name: "ada".into(),
            terms,
            added_at: Timestamp::ZERO,
            removed_at: removed_at.map(Timestamp::from_millis),
        }
    }

    #[test]
    fn who_is_removed_is_cut_off_and_comes_in_again_only_when_added() {
        let submitters = Submitters::new(vec![stored(None)]);
        let first = submitters.admission(ADA).expect("on the list");
        submitters.set(stored(None));
        assert!(!first.is_cancelled(), "new terms cut nobody off");
        submitters.set(stored(Some(1)));
        assert!(first.is_cancelled());
        assert!(!submitters.admits(WorkerId(ADA.0)));
        assert_eq!(submitters.name(Owner::Submitter(ADA)).as_deref(), Some("ada"));
        submitters.set(stored(None));
        let second = submitters.admission(ADA).expect("on the list again");
        assert!(!second.is_cancelled());
        assert!(submitters.admission(SubmitterId([2; 32])).is_none());
    }

    #[test]
    fn what_waits_for_a_job_counts_until_one_refers_to_it() {
        let submitters = Submitters::new(vec![stored(None)]);
        let blob = |number: u8, bytes| BlobRef { hash: BlobHash([number; 32]), bytes };
        assert_eq!(submitters.reserve(ADA, blob(1, 60), 10), Ok(()));
        assert_eq!(submitters.reserve(ADA, blob(1, 60), 10), Ok(()), "a repeat counts once");
        let refused = Err(NoRoom::Storage { used: 10, waiting: 60, max: 100 });
        assert_eq!(submitters.reserve(ADA, blob(2, 31), 10), refused);
        assert_eq!(submitters.reserve(ADA, blob(2, 30), 10), Ok(()));
        assert_eq!(submitters.waiting_bytes(Owner::Submitter(ADA)), 90);
        submitters.settle(Owner::Submitter(ADA), [blob(1, 60)].into_iter());
        let refused = Err(NoRoom::Storage { used: 70, waiting: 30, max: 100 });
        assert_eq!(submitters.reserve(ADA, blob(3, 1), 70), refused);
        assert_eq!(submitters.reserve(ADA, blob(3, u64::MAX), 0), refused_at(0));
    }

    fn refused_at(used: u64) -> Result<(), NoRoom> {
        Err(NoRoom::Storage { used, waiting: 30, max: 100 })
    }
}
