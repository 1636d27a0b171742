//! Having what a stage's units need: files fetched, module compiled.

use std::sync::Arc;

use gleaner_network::{Backoff, FetchError, Node};
use gleaner_protocol::{BlobRef, StageTask, WorkerId, wire};
use gleaner_sandbox::{CompileError, CompiledModule, Entry, Sandbox, SlotSpec};
use tokio::sync::mpsc;
use tracing::debug;

use crate::blobs::{BlobError, Blobs, Pinned};
use crate::input::Input;

/// A fetch that failed is tried so often in all: a coordinator that restarts is back by then.
const FETCH_ATTEMPTS: u32 = 4;

/// What the tasks around the driver work with.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) node: Node,
    pub(crate) sandbox: Sandbox,
    pub(crate) blobs: Blobs,
    pub(crate) inputs: mpsc::Sender<Input>,
}

/// All that a slot needs to serve a stage; the files stay while this lives.
#[derive(Debug)]
pub(crate) struct Prepared {
    module: CompiledModule,
    files: Vec<(String, Pinned)>,
    task: Arc<StageTask>,
}

/// Why a stage's units cannot run here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    /// Nor anywhere else: this is the units' answer.
    #[error("the module is refused: {reason}")]
    Refused { reason: String },
    /// A blob could not be had.
    #[error("the blob {}: {source}", blob.hash)]
    Blob { blob: BlobRef, source: BlobError },
    /// It is not here, and there is no stream to anyone who has it.
    #[error("the blob {} is not here, and no coordinator is connected", blob.hash)]
    Unconnected { blob: BlobRef },
    /// The module could not be compiled on this machine.
    #[error("the module cannot be compiled here: {0}")]
    Compile(CompileError),
}

impl Prepared {
    /// What a slot is started with.
    pub(crate) fn slot(&self) -> SlotSpec {
        let task = &self.task;
        let file = |(name, file): &(String, Pinned)| (name.clone(), file.path());
        SlotSpec {
            module: self.module.clone(),
            entry: Entry::Task(task.function.clone()),
            parameters: wire::encode(&task.parameters),
            files: self.files.iter().map(file).collect(),
            limits: task.limits,
            on_failure: task.on_failure,
        }
    }

    /// The job's seed.
    pub(crate) fn seed(&self) -> u64 {
        self.task.seed
    }
}

impl Context {
    /// Has the module and the files of `task`, those that are missing from `peer`, and compiles.
    ///
    /// # Errors
    /// Any [`PrepareError`].
    pub(crate) async fn prepare(
        &self,
        peer: Option<WorkerId>,
        task: Arc<StageTask>,
    ) -> Result<Prepared, PrepareError> {
        let wasm = self.have(peer, task.module).await?;
        let mut files = Vec::with_capacity(task.files.len());
        for file in &task.files {
            files.push((file.name.clone(), self.have(peer, file.blob).await?));
        }
        let compiled = self.sandbox.compile(task.module, task.floats, &wasm.path()).await;
        let module = compiled.map_err(|error| match error {
            CompileError::Refused(error) => PrepareError::Refused { reason: error.to_string() },
            error => PrepareError::Compile(error),
        })?;
        Ok(Prepared { module, files, task })
    }

    /// The blob, from here or else from `peer`, tried a few times.
    pub(crate) async fn have(
        &self,
        peer: Option<WorkerId>,
        blob: BlobRef,
    ) -> Result<Pinned, PrepareError> {
        let Some(peer) = peer else {
            let blobs = self.blobs.clone();
            let found = tokio::task::spawn_blocking(move || blobs.find(blob)).await;
            let found = found.expect("looking for a blob does not panic");
            return found.ok_or(PrepareError::Unconnected { blob });
        };
        let mut backoff =
            Backoff::new(u64::from_le_bytes(blob.hash.0[..8].try_into().expect("32")));
        let mut attempts = 1;
        loop {
            match self.blobs.fetch(&self.node, peer, blob).await {
                Ok(pinned) => return Ok(pinned),
                Err(BlobError::Fetch(error))
                    if attempts < FETCH_ATTEMPTS && !matches!(*error, FetchError::Disk { .. }) =>
                {
                    debug!(blob = %blob.hash, %peer, %error, "blob not fetched");
                    tokio::time::sleep(backoff.next()).await;
                    attempts += 1;
                }
                Err(source) => return Err(PrepareError::Blob { blob, source }),
            }
        }
    }
}
