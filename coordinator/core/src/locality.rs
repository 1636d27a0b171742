//! Workers are given more of what they have the large files of.
//!
//! All units of a stage need its module and its files, which a worker fetches once and keeps. Where
//! these are large, a worker that has them is given more of the same for [`AHEAD_MAX`], though it is
//! another job's turn whose files it would have to fetch (as delay scheduling does with the turns of
//! jobs: Zaharia et al. 2010, EuroSys). Others take up that turn, and so jobs keep to the workers
//! that have their files. How far one may come before another by that is bounded where turns are:
//! [`crate::turns`].
//!
//! What a worker has is taken from what it was given; a cache that had no room for it costs a fetch
//! and nothing else. Deliberately absent: inputs of single units, which are fetched once anyhow;
//! many small files; second attempts of late units, which go to the fastest worker that is idle.

use std::collections::VecDeque;
use std::time::Duration;

use gleaner_protocol::{BlobHash, BlobRef, StageTask};

/// A smaller blob is fetched faster than it pays to look who has it.
const LARGE_BYTES: u64 = 1 << 20;

/// The most large blobs of a stage that are looked for: the largest.
const OF_STAGE_MAX: usize = 4;

/// How many large blobs are remembered of a worker; those that it was not given for longest are
/// forgotten.
const OF_WORKER_MAX: usize = 32;

/// How long a worker may be given units of other jobs than of that whose turn it is, and what all
/// slots do in so long one job may come before another. Longer than it takes to fetch most files, so
/// that it pays.
pub(crate) const AHEAD_MAX: Duration = Duration::from_secs(10);

/// The large blobs that each unit of a stage needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needed(Vec<BlobHash>);

/// The large blobs that a worker has, as far as that is known.
#[derive(Debug, Default)]
pub(crate) struct Had(VecDeque<BlobHash>);

impl Needed {
    pub(crate) fn by(task: &StageTask) -> Self {
        let files = task.files.iter().map(|file| file.blob);
        let all = files.chain([task.module]);
        let mut large: Vec<BlobRef> = all.filter(|blob| blob.bytes >= LARGE_BYTES).collect();
        large.sort_unstable_by_key(|blob| std::cmp::Reverse(blob.bytes));
        large.truncate(OF_STAGE_MAX);
        Self(large.into_iter().map(|blob| blob.hash).collect())
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Had {
    /// Whether nothing large has to be fetched.
    pub(crate) fn has_all(&self, needed: &Needed) -> bool {
        needed.0.iter().all(|blob| self.0.contains(blob))
    }

    /// A worker is given a unit that needs these.
    pub(crate) fn note(&mut self, needed: &Needed) {
        let newest = self.0.iter().rev().take(needed.0.len());
        if newest.eq(needed.0.iter().rev()) {
            return;
        }
        self.forget(needed);
        self.0.extend(&needed.0);
        self.0.drain(..self.0.len().saturating_sub(OF_WORKER_MAX));
    }

    /// A worker could not get these, or some of them.
    pub(crate) fn forget(&mut self, needed: &Needed) {
        self.0.retain(|blob| !needed.0.contains(blob));
    }

    /// Whether nothing is known of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

const _: () = assert!(OF_STAGE_MAX < OF_WORKER_MAX);
