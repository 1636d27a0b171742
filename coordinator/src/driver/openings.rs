//! The stages behind one that is done: what they take is found, and their items are counted, before
//! they open.

use std::sync::Arc;

use gleaner_coordinator_core::Opening;
use gleaner_protocol::{BlobRef, JobId, JobSpec, Splitter, StageIndex};

use super::inputs::Inputs;
use crate::blobs::Blobs;
use crate::split::{SlotSplitError, SlotSplitter, SplitError};

/// Why a stage cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpeningError {
    /// What it takes cannot be cut.
    #[error(transparent)]
    Cut(#[from] SplitError),
    /// Its split function made no items.
    #[error("stage `{stage}`, split `{function}`: {source}")]
    Made {
        /// The stage.
        stage: String,
        /// The function.
        function: String,
        /// Why.
        source: SlotSplitError,
    },
}

impl OpeningError {
    /// Whether the job itself is at fault, not this coordinator.
    pub(crate) fn is_of_job(&self) -> bool {
        match self {
            Self::Cut(error) => error.is_of_job(),
            Self::Made { source, .. } => source.is_of_job(),
        }
    }
}

/// Opens inputs; they are at hand from then on.
#[derive(Clone)]
pub(crate) struct Openings {
    pub(crate) inputs: Arc<Inputs>,
    pub(crate) blobs: Blobs,
    pub(crate) splitter: SlotSplitter,
}

impl Openings {
    /// Those of the stages that take the output of `stage`, which is `output` if it is one file.
    ///
    /// # Errors
    /// The first [`OpeningError`]; a repeat may help where the job is not at fault.
    pub(crate) async fn after(
        &self,
        job: JobId,
        stage: StageIndex,
        output: Option<BlobRef>,
        spec: &JobSpec,
    ) -> Result<Vec<Opening>, OpeningError> {
        let Some(output) = output else { return Ok(Vec::new()) };
        self.inputs.add_output(job, stage, output);
        let mut openings = Vec::new();
        for stage in spec.stages_after(stage) {
            let made = self.make(job, stage, output, spec).await?;
            // A job that has ended meanwhile opens nothing.
            let Some(input) = self.inputs.stage(job, stage).await else { continue };
            let input = input?;
            let (items, unit_items_max) = (input.items(), input.unit_items_max());
            openings.push(Opening { stage, items, unit_items_max, made });
        }
        Ok(openings)
    }

    /// Has the split function of a stage make items of `output`, unless it has none, or has done it.
    async fn make(
        &self,
        job: JobId,
        index: StageIndex,
        output: BlobRef,
        spec: &JobSpec,
    ) -> Result<Option<BlobRef>, OpeningError> {
        let stage = &spec.stages[index.0 as usize];
        let Splitter::Split { function, .. } = &stage.splitter else { return Ok(None) };
        if let Some(made) = self.inputs.made(job, index) {
            return Ok(Some(made));
        }
        let made = self.splitter.split_after(index, stage, output, &self.blobs).await;
        let made = made.map_err(|source| {
            let (stage, function) = (stage.name.clone(), function.clone());
            OpeningError::Made { stage, function, source }
        })?;
        if let Some(made) = made {
            self.inputs.add_made(job, index, made);
        }
        Ok(made)
    }
}
