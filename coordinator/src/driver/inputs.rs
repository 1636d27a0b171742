//! The jobs the driver works on and their stages' inputs, each opened once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gleaner_protocol::{BlobRef, JobId, JobSpec, Splitter, StageIndex, StageSpec};
use tokio::sync::OnceCell;

use crate::blobs::Blobs;
use crate::split::{SplitError, StageInput};

/// Shared by the engine, which adds jobs, and the outboxes, which read items.
#[derive(Debug)]
pub(crate) struct Inputs {
    blobs: Blobs,
    jobs: Mutex<HashMap<JobId, Arc<JobInputs>>>,
}

#[derive(Debug)]
struct JobInputs {
    spec: Arc<JobSpec>,
    stages: Vec<OnceCell<StageInput>>,
    /// The one file of each stage that is done, for the stages after it.
    outputs: Vec<OnceCell<BlobRef>>,
}

impl Inputs {
    pub(crate) fn new(blobs: Blobs) -> Self {
        Self { blobs, jobs: Mutex::default() }
    }

    pub(crate) fn add_job(&self, job: JobId, spec: Arc<JobSpec>) {
        let stages = spec.stages.iter().map(|_| OnceCell::new()).collect();
        let outputs = spec.stages.iter().map(|_| OnceCell::new()).collect();
        let inputs = Arc::new(JobInputs { spec, stages, outputs });
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(job, inputs);
    }

    pub(crate) fn remove_job(&self, job: JobId) {
        let removed = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
        let Some(inputs) = removed else { return };
        for (file, _) in inputs.spec.stages.iter().filter_map(|stage| stage.splitter.source()) {
            // Another job that reads the same file makes it again.
            self.blobs.remove_derived(file.hash);
        }
    }

    /// Notes the first file of a stage's output.
    pub(crate) fn add_output(&self, job: JobId, stage: StageIndex, output: BlobRef) {
        if let Some(inputs) = self.job(job)
            && let Some(cell) = inputs.outputs.get(stage.0 as usize)
        {
            // A repeat carries the same output.
            let _ = cell.set(output);
        }
    }

    /// A running job's specification.
    pub(crate) fn spec(&self, job: JobId) -> Option<Arc<JobSpec>> {
        self.job(job).map(|inputs| Arc::clone(&inputs.spec))
    }

    /// The input of a stage of a running job; `None` when the job has ended meanwhile.
    pub(crate) async fn stage(
        &self,
        job: JobId,
        stage: StageIndex,
    ) -> Option<Result<StageInput, SplitError>> {
        let inputs = self.job(job)?;
        let index = stage.0 as usize;
        let (spec, cell) = (inputs.spec.stages.get(index)?, inputs.stages.get(index)?);
        let earlier = inputs.earlier(spec);
        let opened = cell.get_or_try_init(|| StageInput::open(spec, earlier, &self.blobs)).await;
        Some(opened.cloned())
    }

    fn job(&self, job: JobId) -> Option<Arc<JobInputs>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).get(&job).cloned()
    }
}

impl JobInputs {
    fn earlier(&self, spec: &StageSpec) -> Option<BlobRef> {
        let Splitter::After { stage, .. } = &spec.splitter else { return None };
        self.outputs.get(stage.0 as usize)?.get().copied()
    }
}
