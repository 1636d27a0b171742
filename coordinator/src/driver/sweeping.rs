//! What is left of removed jobs, and blobs that nobody uses: swept away beside the work.
//!
//! Rows first, in steps that everybody else's commits go between; then the blobs that they named;
//! and now and then a walk over all blobs, which finds what was sent and never used, inputs that
//! were made for leases, and whatever a crash left. A sweep that is interrupted goes on at the next
//! start. A full disk is waited out.

use std::sync::Arc;
use std::time::Duration;

use gleaner_protocol::BlobHash;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::submitters::Submitters;
use crate::blobs::{BlobError, Blobs, Fate, UNUSED_FOR};
use crate::store::{Store, StoreError, Swept};

/// Between two walks over all blobs; also how long what could not be swept waits.
const WALK_EVERY: Duration = Duration::from_secs(60 * 60);

/// The task that sweeps.
pub(crate) struct Sweeper {
    pub(crate) store: Store,
    pub(crate) blobs: Blobs,
    pub(crate) submitters: Arc<Submitters>,
    /// Told when a job was removed.
    pub(crate) removed: Arc<Notify>,
}

/// Why a sweep was given up until later.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blobs(#[from] BlobError),
}

impl Sweeper {
    /// Until `stop` is cancelled.
    pub(crate) async fn run(self, stop: CancellationToken) {
        // The first walk comes at once: what is old enough to go is told by the files' own age.
        let mut walks = interval_at(Instant::now(), WALK_EVERY);
        walks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let swept = tokio::select! {
                () = stop.cancelled() => return,
                () = self.removed.notified() => self.sweep().await,
                _ = walks.tick() => self.sweep_and_walk().await,
            };
            if let Err(error) = swept {
                warn!(%error, "what is left of removed jobs waits for the next sweep");
            }
        }
    }

    async fn sweep_and_walk(&self) -> Result<(), SweepError> {
        self.sweep().await?;
        self.blobs.uses().forget_lapsed();
        let blobs = self.blobs.clone();
        for shelf in blocking(move || blobs.shelves()).await? {
            let blobs = self.blobs.clone();
            let old = blocking(move || blobs.older_than(&shelf, UNUSED_FOR)).await?;
            self.remove_unused(old).await?;
        }
        Ok(())
    }

    /// Sweeps what removed jobs left.
    async fn sweep(&self) -> Result<(), SweepError> {
        while self.store.sweep_removed().await? == Swept::Some {}
        let mut after = None;
        loop {
            let noted = self.store.unused_blobs(after).await?;
            let Some(last) = noted.last() else { return Ok(()) };
            after = Some(*last);
            let settled = self.remove_unused(noted).await?;
            self.store.forget_unused(settled).await?;
        }
    }

    /// Removes those of `blobs` that nobody uses. What may yet be used is left out of what it
    /// gives: it is to be looked at again.
    async fn remove_unused(&self, blobs: Vec<BlobHash>) -> Result<Vec<BlobHash>, SweepError> {
        let uses = self.blobs.uses();
        let (mut settled, mut condemned) = (Vec::new(), Vec::new());
        for hash in blobs {
            match uses.condemn(hash) {
                Fate::InUse => settled.push(hash),
                Fate::Claimed => {}
                Fate::Condemned => condemned.push(hash),
            }
        }
        // The store is asked once nobody can begin to use them unnoticed.
        let named = self.store.outcome_blobs(condemned.clone()).await;
        let named = named.inspect_err(|_| condemned.iter().for_each(|hash| uses.spare(*hash)))?;
        let (spared, condemned): (Vec<_>, _) =
            condemned.into_iter().partition(|hash| named.contains(hash));
        spared.iter().for_each(|hash| uses.spare(*hash));
        settled.extend(spared);
        settled.extend(self.remove(condemned).await?);
        Ok(settled)
    }

    async fn remove(&self, condemned: Vec<BlobHash>) -> Result<Vec<BlobHash>, SweepError> {
        let blobs = self.blobs.clone();
        let removed = blocking(move || {
            let mut removed = Vec::new();
            // While another process reads blobs that its store names, all stay.
            let Some(_removals) = blobs.removals()? else {
                condemned.iter().for_each(|hash| blobs.uses().spare(*hash));
                return Ok(removed);
            };
            for hash in condemned {
                if blobs.remove_condemned(hash)? {
                    removed.push(hash);
                }
            }
            Ok::<_, BlobError>(removed)
        });
        let removed = removed.await?;
        if !removed.is_empty() {
            debug!(blobs = removed.len(), "unused blobs removed");
            self.submitters.forget(&removed);
        }
        Ok(removed)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("looking at files does not panic")
}
