//! What is left of removed jobs, and blobs that nobody uses, taken off the disk.
//!
//! Rows first, in steps that everybody else's commits go between; then the blobs that they named;
//! and a walk over all blobs, which finds what was sent and never used, inputs that were made for
//! leases, and whatever a crash left. A sweep that is interrupted goes on with the next one.

use gleaner_coordinator_core::Recovered;
use gleaner_protocol::{BlobHash, BlobRef};
use tracing::debug;

use crate::blobs::{BlobError, Blobs, Fate, UNUSED_FOR};
use crate::store::{Store, StoreError, Swept};

/// Why a sweep was given up. What was removed by then is gone; the next one goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Blobs cannot be looked at or removed.
    #[error(transparent)]
    Blobs(#[from] BlobError),
}

/// Hears which blobs were removed.
pub(crate) type OnRemoved<'a> = &'a mut (dyn FnMut(&[BlobRef]) + Send);

/// Sweeps a coordinator's folder.
#[derive(Clone, Debug)]
pub(crate) struct Sweep {
    pub(crate) store: Store,
    /// Who uses which is known, as [`note_uses`] finds it.
    pub(crate) blobs: Blobs,
}

impl Sweep {
    /// Everything: what removed jobs left, and what nobody uses.
    pub(crate) async fn all(&self, on_removed: OnRemoved<'_>) -> Result<(), SweepError> {
        self.removed_jobs(on_removed).await?;
        self.blobs.uses().forget_lapsed();
        let blobs = self.blobs.clone();
        for shelf in blocking(move || blobs.shelves()).await? {
            let blobs = self.blobs.clone();
            let old = blocking(move || blobs.older_than(&shelf, UNUSED_FOR)).await?;
            self.remove_unused(old, on_removed).await?;
        }
        Ok(())
    }

    /// What removed jobs left.
    pub(crate) async fn removed_jobs(&self, on_removed: OnRemoved<'_>) -> Result<(), SweepError> {
        while self.store.sweep_removed().await? == Swept::Some {}
        let mut after = None;
        loop {
            let noted = self.store.unused_blobs(after).await?;
            let Some(last) = noted.last() else { return Ok(()) };
            after = Some(*last);
            let settled = self.remove_unused(noted, on_removed).await?;
            self.store.forget_unused(settled).await?;
        }
    }

    /// Removes those of `blobs` that nobody uses. What may yet be used is left out of what it
    /// gives: it is to be looked at again.
    async fn remove_unused(
        &self,
        blobs: Vec<BlobHash>,
        on_removed: OnRemoved<'_>,
    ) -> Result<Vec<BlobHash>, SweepError> {
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
        let removed = self.remove(condemned).await?;
        if !removed.is_empty() {
            debug!(blobs = removed.len(), "unused blobs removed");
            on_removed(&removed);
        }
        settled.extend(removed.iter().map(|blob| blob.hash));
        Ok(settled)
    }

    async fn remove(&self, condemned: Vec<BlobHash>) -> Result<Vec<BlobRef>, SweepError> {
        let blobs = self.blobs.clone();
        let removed = blocking(move || {
            let mut removed = Vec::new();
            // While another process reads blobs that its store names, all stay.
            let Some(_removals) = blobs.removals()? else {
                condemned.iter().for_each(|hash| blobs.uses().spare(*hash));
                return Ok(removed);
            };
            for hash in condemned {
                removed.extend(blobs.remove_condemned(hash)?);
            }
            Ok::<_, BlobError>(removed)
        });
        Ok(removed.await?)
    }
}

/// Tells `blobs` what the jobs that a restart finds refer to.
pub(crate) fn note_uses(recovered: &Recovered, blobs: &Blobs) {
    for job in &recovered.jobs {
        let outputs = job.stages.iter().flat_map(|stage| stage.outputs.iter().flatten());
        let outputs = outputs.map(|output| output.blob);
        let made = job.stages.iter().filter_map(|stage| stage.made);
        let blobs_used = job.spec.blobs().chain(outputs).chain(made);
        blobs.uses().refer(job.job, blobs_used.map(|blob| blob.hash));
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("looking at files does not panic")
}
