//! Items by a split function of the stage's module, in a slot.
//!
//! Invariants: one of them runs at a time, so that what they give is held in memory once; what a
//! function gives is durable before it is told.

use std::sync::Arc;

use gleaner_protocol::limits::{SPLIT_BYTES_MAX, SPLIT_TIME_MAX};
use gleaner_protocol::{BlobRef, FileRef, Limits, Splitter, StageIndex, StageSpec, item_seed};
use gleaner_sandbox::{Entry, Sandbox, SlotUnit};
use serde_bytes::ByteBuf;
use tokio::sync::Semaphore;

use super::field_names;
use super::made::{Checked, SplitFault};
use crate::blobs::{BlobError, Blobs};
use crate::function::{CallError, Function};

/// The item whose seed is a split function's: no stage has as many.
pub(crate) const SEED_ITEM: u64 = u64::MAX;

/// A record without fields, in MessagePack: the item that a split function runs on.
pub(crate) const NO_FIELDS: &[u8] = &[0x80];

/// Why a split function gave no items.
#[derive(Debug, thiserror::Error)]
pub enum SlotSplitError {
    /// The function gave nothing.
    #[error(transparent)]
    Call(#[from] CallError),
    /// What it gave cannot be items.
    #[error(transparent)]
    Fault(#[from] SplitFault),
    /// A file is missing, or what it gave cannot be kept.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl SlotSplitError {
    /// Whether the function or its limits are at fault, and would be on every repeat.
    pub fn is_of_job(&self) -> bool {
        match self {
            Self::Call(error) => error.is_of_job(),
            Self::Fault(_) => true,
            Self::Blob(_) => false,
        }
    }
}

/// Runs split functions. Clones share the turn.
#[derive(Clone)]
pub struct SlotSplitter {
    sandbox: Sandbox,
    turn: Arc<Semaphore>,
}

impl SlotSplitter {
    /// A splitter that runs functions in slots of `sandbox`.
    pub fn new(sandbox: &Sandbox) -> Self {
        Self { sandbox: sandbox.clone(), turn: Arc::new(Semaphore::new(1)) }
    }

    /// Runs the split function of a stage, where it has one that needs no earlier stage, and notes
    /// its items in the stage.
    ///
    /// # Errors
    /// [`SlotSplitError`]; see [`SlotSplitError::is_of_job`] for whose fault it is.
    pub async fn split(
        &self,
        index: StageIndex,
        stage: &mut StageSpec,
        blobs: &Blobs,
    ) -> Result<(), SlotSplitError> {
        let Splitter::Split { function, after, .. } = &stage.splitter else { return Ok(()) };
        let (function, after) = (function.clone(), after.clone());
        let items = match after {
            Some(_) => None,
            None => Some(self.make(&function, None, index, stage, blobs).await?),
        };
        stage.splitter = Splitter::Split { function, items, after };
        Ok(())
    }

    /// Runs the split function of a stage that reads an earlier one's output, which is `output`, and
    /// gives the blob of its items; none where the stage has no such function.
    ///
    /// # Errors
    /// As [`SlotSplitter::split`].
    pub async fn split_after(
        &self,
        index: StageIndex,
        stage: &StageSpec,
        output: BlobRef,
        blobs: &Blobs,
    ) -> Result<Option<BlobRef>, SlotSplitError> {
        let Splitter::Split { function, after: Some(after), .. } = &stage.splitter else {
            return Ok(None);
        };
        let output = FileRef { name: after.name.clone(), blob: output };
        self.make(function, Some(output), index, stage, blobs).await.map(Some)
    }

    async fn make(
        &self,
        function: &str,
        output: Option<FileRef>,
        index: StageIndex,
        stage: &StageSpec,
        blobs: &Blobs,
    ) -> Result<BlobRef, SlotSplitError> {
        let _turn = self.turn.acquire().await.expect("it is never closed");
        let given = self.run(function, output, index, stage, blobs).await?;
        let names = field_names(stage);
        let checking = tokio::task::spawn_blocking(move || Checked::new(given, &names));
        let checked = checking.await.expect("checking does not panic")?;
        let mut scratch = blobs.scratch().await?;
        checked.write(&mut scratch).await?;
        Ok(scratch.keep().await?)
    }

    async fn run(
        &self,
        function: &str,
        output: Option<FileRef>,
        index: StageIndex,
        stage: &StageSpec,
        blobs: &Blobs,
    ) -> Result<ByteBuf, SlotSplitError> {
        let task = &stage.task;
        let path =
            |blob: BlobRef| blobs.path(blob.hash).ok_or(BlobError::Missing { hash: blob.hash });
        let files = task.files.iter().chain(&output);
        let files = files.map(|file| Ok((file.name.clone(), path(file.blob)?)));
        let files = files.collect::<Result<_, BlobError>>()?;
        let (entry, limits) = (Entry::Split(function.to_owned()), limits(task.limits));
        let slot = Function::start(&self.sandbox, blobs, task, entry, files, limits).await?;
        let seeds = vec![item_seed(task.seed, index, SEED_ITEM)];
        let unit = SlotUnit { first_item: 0, items: vec![ByteBuf::from(NO_FIELDS)], seeds };
        Ok(slot.call(unit).await?)
    }
}

/// A stage's limits for its split function, which gives the whole stage's items and is waited for.
pub(crate) fn limits(limits: Limits) -> Limits {
    Limits {
        output_bytes: SPLIT_BYTES_MAX,
        cpu: limits.cpu.min(SPLIT_TIME_MAX),
        wall: limits.wall.min(SPLIT_TIME_MAX),
        ..limits
    }
}
