//! The jobs the driver works on and their stages' inputs, each opened once.
//!
//! What is made of a job's files on the way, as a compressed one is decompressed, goes when the last
//! running job that reads the file has ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gleaner_protocol::{BlobHash, BlobRef, JobId, JobSpec, StageIndex};
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
    /// What each stage's split function made of an earlier stage's output.
    made: Vec<OnceCell<BlobRef>>,
}

impl Inputs {
    pub(crate) fn new(blobs: Blobs) -> Self {
        Self { blobs, jobs: Mutex::default() }
    }

    pub(crate) fn add_job(&self, job: JobId, spec: Arc<JobSpec>) {
        let stages = spec.stages.iter().map(|_| OnceCell::new()).collect();
        let [outputs, made] = [(); 2].map(|()| vec![OnceCell::new(); spec.stages.len()]);
        let inputs = Arc::new(JobInputs { spec, stages, outputs, made });
        self.jobs().insert(job, inputs);
    }

    pub(crate) fn remove_job(&self, job: JobId) {
        let removed = self.jobs().remove(&job);
        if let Some(inputs) = removed {
            self.remove_derived(inputs.cut());
        }
    }

    /// Removes what was made of these files, but for those that running jobs read.
    pub(crate) fn remove_derived(&self, files: impl Iterator<Item = BlobHash>) {
        let jobs = self.jobs();
        let is_read = |file| jobs.values().any(|job| job.cut().any(|read| read == file));
        // Whoever looks at one just now, for a submission or a report, makes it again.
        files.filter(|file| !is_read(*file)).for_each(|file| self.blobs.remove_derived(file));
    }

    /// Notes the first file of a stage's output, which is durable.
    pub(crate) fn add_output(&self, job: JobId, stage: StageIndex, output: BlobRef) {
        if let Some(inputs) = self.job(job)
            && let Some(cell) = inputs.outputs.get(stage.0 as usize)
        {
            // A repeat carries the same output.
            let _ = cell.set(output);
        }
    }

    /// Notes what a stage's split function made of an earlier stage's output, which is durable.
    pub(crate) fn add_made(&self, job: JobId, stage: StageIndex, made: BlobRef) {
        if let Some(inputs) = self.job(job)
            && let Some(cell) = inputs.made.get(stage.0 as usize)
        {
            // Of a function that was run again, the first items count.
            let _ = cell.set(made);
        }
    }

    /// What [`Inputs::add_made`] has noted.
    pub(crate) fn made(&self, job: JobId, stage: StageIndex) -> Option<BlobRef> {
        self.job(job)?.made.get(stage.0 as usize)?.get().copied()
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
        let earlier = inputs.earlier(index);
        let opened = cell.get_or_try_init(|| StageInput::open(spec, earlier, &self.blobs)).await;
        Some(opened.cloned())
    }

    fn job(&self, job: JobId) -> Option<Arc<JobInputs>> {
        self.jobs().get(&job).cloned()
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<JobId, Arc<JobInputs>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has what is made of a submission's files removed when it is dropped, whatever becomes of the
/// submission: a job that was taken runs by then, and reads them.
#[derive(Debug)]
pub(crate) struct Derived {
    inputs: Arc<Inputs>,
    files: Vec<BlobHash>,
}

impl Derived {
    pub(crate) fn of(spec: &JobSpec, inputs: Arc<Inputs>) -> Self {
        Self { inputs, files: sources(spec).collect() }
    }
}

impl Drop for Derived {
    fn drop(&mut self) {
        self.inputs.remove_derived(self.files.drain(..));
    }
}

/// The submitter's files that the stages of a job are cut from.
fn sources(spec: &JobSpec) -> impl Iterator<Item = BlobHash> {
    spec.stages.iter().filter_map(|stage| stage.splitter.file()).map(|(file, _)| file.hash)
}

impl JobInputs {
    /// The output that a stage takes, or what was made of it.
    fn earlier(&self, stage: usize) -> Option<BlobRef> {
        let splitter = &self.spec.stages[stage].splitter;
        let output = splitter.earlier_stage().map(|earlier| &self.outputs[earlier.0 as usize]);
        splitter.read_from(output, Some(&self.made[stage]))?.get().copied()
    }

    /// The files and outputs that its stages are cut from.
    fn cut(&self) -> impl Iterator<Item = BlobHash> {
        let outputs = (0..self.spec.stages.len()).filter_map(|stage| self.earlier(stage));
        sources(&self.spec).chain(outputs.map(|output| output.hash))
    }
}

#[cfg(test)]
mod tests {
    use gleaner_protocol::{RecordSource, Splitter};

    use super::*;
    use crate::tests::job_spec;

    /// A job that is cut from the lines of this file.
    fn spec(source: BlobRef) -> JobSpec {
        let mut spec = job_spec();
        let (field, file) = ("line".to_owned(), "words.gz".to_owned());
        let source = RecordSource::File(source);
        spec.stages[0].splitter = Splitter::Lines { field, source, file };
        spec
    }

    #[test]
    fn what_is_made_of_a_file_goes_with_the_last_that_reads_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = Blobs::open(folder.path()).expect("opens");
        let inputs = Arc::new(Inputs::new(blobs.clone()));
        let file = BlobRef::of(b"words");
        let derived = blobs.derived_path(file.hash);
        let make = || std::fs::write(&derived, b"words").expect("written");
        let submit = || Derived::of(&spec(file), Arc::clone(&inputs));

        make();
        drop(submit());
        assert!(!derived.exists(), "the submission was refused");

        make();
        let submission = submit();
        inputs.add_job(JobId(1), Arc::new(spec(file)));
        drop(submission);
        assert!(derived.exists(), "its job runs");
        inputs.add_job(JobId(2), Arc::new(spec(file)));
        inputs.remove_job(JobId(1));
        assert!(derived.exists(), "another job reads it");
        inputs.remove_job(JobId(2));
        assert!(!derived.exists(), "nobody reads it");
    }
}
