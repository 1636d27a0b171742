//! Which blobs are in use, so that the others can go.
//!
//! ```text
//!            put, found               a job refers to it
//! (unused) ─────────────► claimed ────────────────────────► in use
//!    ▲                       │ a day                          │ its last job is removed
//!    └───────────────────────┴────────────────────────────────┘
//! (unused) ──condemn──► condemned ──spare nothing, remove──► gone
//!    ▲                     │ claimed, referred to or pinned meanwhile
//!    └─────────────────────┘
//! ```
//! Invariants: nothing that is referred to, pinned or claimed is removed; whoever claims a blob
//! before it looks for it finds it for a day, or not at all. Deliberately absent: blobs that
//! results of units name, which are as many as units; the store knows them, and is asked between
//! condemning a blob and removing it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gleaner_protocol::{BlobHash, JobId};

/// How long a blob that was sent or asked for waits for a job that refers to it: as long as a large
/// submission may take over a slow line, and then some.
pub(crate) const UNUSED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Shared by all clones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uses(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What each job refers to that is not removed.
    jobs: HashMap<JobId, Vec<BlobHash>>,
    /// By how many of these, and by how many pins.
    counts: HashMap<BlobHash, usize>,
    /// What was put or found and no job refers to yet, and when.
    claims: HashMap<BlobHash, Instant>,
    /// What is about to be removed.
    condemned: HashSet<BlobHash>,
}

/// Keeps blobs while it is held.
#[derive(Debug)]
pub(crate) struct Pin {
    uses: Uses,
    hashes: Vec<BlobHash>,
}

/// Whether a blob may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A job refers to it.
    InUse,
    /// Somebody may be about to refer to it.
    Claimed,
    /// Nothing is known against it.
    Condemned,
}

impl Uses {
    /// Somebody has put a blob, or is about to look for it.
    pub(crate) fn claim(&self, hash: BlobHash) {
        let mut state = self.lock();
        state.condemned.remove(&hash);
        state.claims.insert(hash, Instant::now());
    }

    /// What a claim was for is done: the store names the blob.
    pub(crate) fn settle(&self, hash: BlobHash) {
        self.lock().claims.remove(&hash);
    }

    /// `job` refers to these blobs from now on.
    pub(crate) fn refer(&self, job: JobId, hashes: impl IntoIterator<Item = BlobHash>) {
        let mut state = self.lock();
        for hash in hashes {
            state.claims.remove(&hash);
            state.count(hash);
            state.jobs.entry(job).or_default().push(hash);
        }
    }

    /// `job` is removed.
    pub(crate) fn release(&self, job: JobId) {
        let mut state = self.lock();
        for hash in state.jobs.remove(&job).unwrap_or_default() {
            state.uncount(hash);
        }
    }

    /// Keeps blobs for as long as the pin is held.
    pub(crate) fn pin(&self, hashes: impl IntoIterator<Item = BlobHash>) -> Pin {
        let hashes: Vec<_> = hashes.into_iter().collect();
        let mut state = self.lock();
        hashes.iter().for_each(|hash| state.count(*hash));
        Pin { uses: self.clone(), hashes }
    }

    /// Condemns a blob, unless somebody has a use for it.
    pub(crate) fn condemn(&self, hash: BlobHash) -> Fate {
        let mut state = self.lock();
        if state.counts.contains_key(&hash) {
            return Fate::InUse;
        }
        if state.claims.get(&hash).is_some_and(|at| at.elapsed() < UNUSED_FOR) {
            return Fate::Claimed;
        }
        state.claims.remove(&hash);
        state.condemned.insert(hash);
        Fate::Condemned
    }

    /// Runs `remove` if the blob is condemned still, and lets nobody claim it meanwhile.
    pub(crate) fn execute<T>(&self, hash: BlobHash, remove: impl FnOnce() -> T) -> Option<T> {
        let mut state = self.lock();
        state.condemned.remove(&hash).then(remove)
    }

    /// Does not remove a condemned blob after all.
    pub(crate) fn spare(&self, hash: BlobHash) {
        self.lock().condemned.remove(&hash);
    }

    /// Forgets claims that have lapsed.
    pub(crate) fn forget_lapsed(&self) {
        self.lock().claims.retain(|_, at| at.elapsed() < UNUSED_FOR);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, hash: BlobHash) {
        self.condemned.remove(&hash);
        *self.counts.entry(hash).or_default() += 1;
    }

    fn uncount(&mut self, hash: BlobHash) {
        if let Some(count) = self.counts.get_mut(&hash) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&hash);
            }
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.uses.lock();
        for hash in self.hashes.drain(..) {
            state.uncount(hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOB: BlobHash = BlobHash([1; 32]);

    fn is_removed(uses: &Uses) -> bool {
        uses.execute(BLOB, || ()).is_some()
    }

    #[test]
    fn what_nobody_uses_is_removed_once() {
        let uses = Uses::default();
        assert!(!is_removed(&uses), "it was not condemned");
        assert_eq!(uses.condemn(BLOB), Fate::Condemned);
        assert!(is_removed(&uses));
        assert!(!is_removed(&uses));
    }

    #[test]
    fn a_blob_is_in_use_until_its_last_job_is_removed() {
        let uses = Uses::default();
        uses.refer(JobId(1), [BLOB, BLOB]);
        uses.refer(JobId(2), [BLOB]);
        uses.release(JobId(1));
        uses.release(JobId(1));
        assert_eq!(uses.condemn(BLOB), Fate::InUse);
        uses.release(JobId(2));
        assert_eq!(uses.condemn(BLOB), Fate::Condemned);
    }

    #[test]
    fn a_claim_lasts_until_it_is_met() {
        let uses = Uses::default();
        uses.claim(BLOB);
        uses.forget_lapsed();
        assert_eq!(uses.condemn(BLOB), Fate::Claimed);
        uses.refer(JobId(1), [BLOB]);
        uses.release(JobId(1));
        assert_eq!(uses.condemn(BLOB), Fate::Condemned);
        uses.claim(BLOB);
        uses.settle(BLOB);
        assert_eq!(uses.condemn(BLOB), Fate::Condemned);
    }

    #[test]
    fn whoever_comes_in_time_saves_a_condemned_blob() {
        let uses = Uses::default();
        let saviours: [fn(&Uses); 4] = [
            |uses| uses.claim(BLOB),
            |uses| uses.refer(JobId(1), [BLOB]),
            |uses| drop(uses.pin([BLOB])),
            |uses| uses.spare(BLOB),
        ];
        for save in saviours {
            uses.settle(BLOB);
            uses.release(JobId(1));
            assert_eq!(uses.condemn(BLOB), Fate::Condemned);
            save(&uses);
            assert!(!is_removed(&uses));
        }
    }

    #[test]
    fn a_pin_keeps_while_it_is_held() {
        let uses = Uses::default();
        let pin = uses.pin([BLOB]);
        assert_eq!(uses.condemn(BLOB), Fate::InUse);
        drop(pin);
        assert_eq!(uses.condemn(BLOB), Fate::Condemned);
    }
}
