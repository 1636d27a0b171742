//! Which blobs which worker may fetch: those its own leases and tasks named, and no others.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use gleaner_network::BlobSource;
use gleaner_protocol::limits::LEASES_HELD_MAX;
use gleaner_protocol::{BlobHash, WorkerId};

use crate::blobs::Blobs;

/// How many blobs are remembered for a worker before the older half is forgotten: more than all
/// the leases it may hold name.
const NAMED_MAX: usize = LEASES_HELD_MAX * 2;

/// The coordinator's side of the blob exchange.
#[derive(Debug)]
pub(crate) struct Served {
    blobs: Blobs,
    named: Mutex<HashMap<WorkerId, Named>>,
}

#[derive(Debug, Default)]
struct Named {
    recent: HashSet<BlobHash>,
    older: HashSet<BlobHash>,
}

impl Served {
    pub(crate) fn new(blobs: Blobs) -> Self {
        Self { blobs, named: Mutex::default() }
    }

    /// Lets `worker` fetch `hash`.
    pub(crate) fn allow(&self, worker: WorkerId, hash: BlobHash) {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let named = named.entry(worker).or_default();
        if named.recent.len() == NAMED_MAX {
            named.older = std::mem::take(&mut named.recent);
        }
        named.recent.insert(hash);
    }

    /// Forgets a worker whose stream has ended: its next one names all blobs again.
    pub(crate) fn forget(&self, worker: WorkerId) {
        self.named.lock().unwrap_or_else(PoisonError::into_inner).remove(&worker);
    }
}

impl BlobSource for Served {
    fn open(&self, peer: WorkerId, hash: BlobHash) -> Option<PathBuf> {
        let named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let named = named.get(&peer)?;
        let allowed = named.recent.contains(&hash) || named.older.contains(&hash);
        allowed.then(|| self.blobs.path(hash)).flatten()
    }
}
