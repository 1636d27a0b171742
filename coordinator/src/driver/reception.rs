//! What the sessions of all workers share, and how large results come in.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gleaner_clock::Clock;
use gleaner_coordinator_core::Event;
use gleaner_network::Node;
use gleaner_protocol::limits::{ITEMS_PER_UNIT_MAX, UNIT_OUTPUT_BYTES_MAX};
use gleaner_protocol::{
    BlobRef, JobId, LeaseKey, ProjectId, SignedProjectRecord, StageIndex, UnitResult, WorkerId,
};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use super::engine::{Engine, Input, StreamNumber};
use super::inputs::Inputs;
use super::served::Served;
use crate::blobs::Blobs;
use crate::reduce::count_outputs;
use crate::store::Store;

/// How many large results are fetched at one time, from all workers together.
const FETCHES_MAX: usize = 16;

/// What an output's encoding adds to its bytes, at most.
const OUTPUT_OVERHEAD_BYTES: u64 = 16;

pub(crate) struct Reception {
    pub(crate) project: ProjectId,
    pub(crate) record: SignedProjectRecord,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) lease_key: LeaseKey,
    pub(crate) blobs: Blobs,
    pub(crate) node: Node,
    pub(crate) engine: Engine,
    pub(crate) inputs: Arc<Inputs>,
    pub(crate) served: Arc<Served>,
    pub(crate) streams: AtomicU64,
    pub(crate) fetches: Semaphore,
}

/// The permits for fetching large results.
pub(crate) fn fetch_permits() -> Semaphore {
    Semaphore::new(FETCHES_MAX)
}

impl Reception {
    pub(crate) fn next_stream(&self) -> StreamNumber {
        StreamNumber(self.streams.fetch_add(1, Ordering::Relaxed))
    }

    /// Fetches a result's outputs from its worker and passes the result on once they are durable.
    /// When they cannot be had the result is dropped: its worker sends it again, or its lease
    /// expires.
    pub(crate) async fn fetch_outputs(&self, worker: WorkerId, result: UnitResult, blob: BlobRef) {
        let unit = result.claims.attempt.unit;
        let Some(bytes_max) = self.output_bytes_max(unit.job, result.claims.stage, &result) else {
            // The job has ended: the core answers that without the outputs.
            return self.pass_on(worker, result).await;
        };
        if blob.bytes > bytes_max {
            warn!(%worker, %unit, bytes = blob.bytes, bytes_max, "a result is larger than allowed");
            return;
        }
        let Ok(_permit) = self.fetches.acquire().await else { return };
        match self.keep_outputs(worker, blob, result.claims.items.len()).await {
            Ok(()) => self.pass_on(worker, result).await,
            Err(error) => debug!(%worker, %unit, error, "a result's outputs could not be had"),
        }
    }

    async fn pass_on(&self, worker: WorkerId, result: UnitResult) {
        let event = Event::ResultsReturned { worker, results: vec![result] };
        self.engine.send(Input::Event(event)).await;
    }

    async fn keep_outputs(
        &self,
        worker: WorkerId,
        blob: BlobRef,
        items: u64,
    ) -> Result<(), String> {
        if let Some(path) = self.blobs.path(blob.hash) {
            return match self.blobs.find(blob.hash).await {
                Ok(Some(held)) if held == blob => check_outputs(&path, items).await,
                Ok(_) => Err(format!("the blob has not {} bytes", blob.bytes)),
                Err(error) => Err(error.to_string()),
            };
        }
        let path = self.blobs.scratch_path();
        let fetched = self.node.fetch_blob(worker, blob, &path).await;
        fetched.map_err(|error| error.to_string())?;
        if let Err(error) = check_outputs(&path, items).await {
            remove(&path).await;
            return Err(error);
        }
        self.blobs.adopt(&path, blob.hash).await.map_err(|error| error.to_string())
    }

    fn output_bytes_max(&self, job: JobId, stage: StageIndex, result: &UnitResult) -> Option<u64> {
        let spec = self.inputs.spec(job)?;
        let limits = spec.stages.get(stage.0 as usize)?.task.limits;
        let item_bytes = limits.output_bytes + OUTPUT_OVERHEAD_BYTES;
        let bytes = item_bytes.saturating_mul(result.claims.items.len() + 1);
        Some(bytes.min(UNIT_OUTPUT_BYTES_MAX + OUTPUT_OVERHEAD_BYTES * (ITEMS_PER_UNIT_MAX + 1)))
    }
}

/// Whether the file holds one output for each item, and nothing else.
async fn check_outputs(path: &Path, items: u64) -> Result<(), String> {
    match count_outputs(path).await {
        Ok(outputs) if outputs == items => Ok(()),
        Ok(outputs) => Err(format!("{outputs} outputs for {items} items")),
        Err(error) => Err(error.to_string()),
    }
}

async fn remove(path: &Path) {
    if let Err(error) = tokio::fs::remove_file(path).await {
        warn!(path = %path.display(), %error, "a malformed result's file could not be removed");
    }
}
