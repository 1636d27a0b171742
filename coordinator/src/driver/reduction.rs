//! Stages whose units are all settled, on their way to an output.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gleaner_coordinator_core::{Event, KeptRun, Opening, StageOutput, UnfitInput};
use gleaner_protocol::{BlobRef, JobId, JobSpec, StageIndex, StageSpec};
use gleaner_sandbox::Sandbox;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::answers;
use super::engine::{Engine, Input};
use super::inputs::Inputs;
use super::openings::{OpeningError, Openings};
use crate::blobs::Blobs;
use crate::reduce::{ReduceError, SlotMerger, reduce, wants_input};
use crate::store::Store;

/// The first and the longest pause before a reduction that met a full disk or the like is tried
/// again.
const RETRY_PAUSE_FIRST: Duration = Duration::from_secs(1);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Why a stage's output is not there yet, or the stages behind it are not open.
#[derive(Debug, thiserror::Error)]
enum ConclusionError {
    #[error(transparent)]
    Reduce(#[from] ReduceError),
    #[error(transparent)]
    Opening(#[from] OpeningError),
}

/// Starts reductions, each a task of its own that ends with the engine.
#[derive(Clone)]
pub(crate) struct Reductions {
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    pub(crate) blobs: Blobs,
    pub(crate) sandbox: Sandbox,
    pub(crate) inputs: Arc<Inputs>,
    pub(crate) openings: Openings,
    pub(crate) stop: CancellationToken,
    pub(crate) jobs: Arc<Mutex<HashMap<JobId, CancellationToken>>>,
}

impl Reductions {
    /// Reduces a stage of `items` items; the engine is told when its output is durable and the items
    /// of the stages behind it are counted, or why there will be none.
    pub(crate) fn start(&self, job: JobId, stage: StageIndex, items: u64, spec: Arc<JobSpec>) {
        let reductions = self.clone();
        let stop = self.token(job);
        tokio::spawn(async move {
            tokio::select! {
                event = reductions.run(job, stage, items, &spec) => {
                    reductions.engine.send(Input::Event(event)).await;
                }
                () = stop.cancelled() => {}
            }
        });
    }

    /// Gives up what is under way for a job that has ended.
    pub(crate) fn end_job(&self, job: JobId) {
        if let Some(token) = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(&job) {
            token.cancel();
        }
    }

    fn token(&self, job: JobId) -> CancellationToken {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.entry(job).or_insert_with(|| self.stop.child_token()).clone()
    }

    async fn run(&self, job: JobId, stage: StageIndex, items: u64, spec: &JobSpec) -> Event {
        let (mut pause, mut reduced) = (RETRY_PAUSE_FIRST, None);
        loop {
            match self.conclude(job, stage, items, spec, &mut reduced).await {
                Ok(event) => return event,
                Err(ConclusionError::Reduce(error)) if error.is_of_job() => {
                    let name = &spec.stages[stage.0 as usize].name;
                    return Event::StageFailed { job, stage, reason: words(name, &error) };
                }
                Err(error) => warn!(%job, %stage, %error, ?pause, "an output waits for this host"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
    }

    /// Reduces a stage, unless that was done before, and counts the items of those behind it.
    async fn conclude(
        &self,
        job: JobId,
        stage: StageIndex,
        items: u64,
        spec: &JobSpec,
        reduced: &mut Option<Vec<StageOutput>>,
    ) -> Result<Event, ConclusionError> {
        let outputs = match reduced {
            Some(outputs) => {
                self.claim(outputs, spec, job);
                outputs.clone()
            }
            None => {
                let outputs =
                    self.reduce(job, stage, items, &spec.stages[stage.0 as usize]).await?;
                reduced.insert(outputs).clone()
            }
        };
        let output = outputs.first().map(|output| output.blob);
        let next = match self.openings.after(job, stage, output, spec).await {
            Ok(openings) => Ok(openings),
            Err(error) if error.is_of_job() => Err(UnfitInput { reason: error.to_string() }),
            Err(error) => return Err(error.into()),
        };
        let openings = next.as_deref().unwrap_or_default();
        let kept = self.answers_after(job, spec, openings, output).await;
        Ok(Event::StageReduced { job, stage, outputs, next, kept })
    }

    /// Keeps what an earlier try made: no job refers to it yet, and the pauses may be many.
    fn claim(&self, outputs: &[StageOutput], spec: &JobSpec, job: JobId) {
        let stages = (0..).map(StageIndex).take(spec.stages.len());
        let made = stages.filter_map(|stage| self.inputs.made(job, stage));
        let blobs = outputs.iter().map(|output| output.blob).chain(made);
        blobs.for_each(|blob| self.blobs.uses().claim(blob.hash));
    }

    async fn reduce(
        &self,
        job: JobId,
        stage: StageIndex,
        items: u64,
        spec: &StageSpec,
    ) -> Result<Vec<StageOutput>, ReduceError> {
        let input = match wants_input(spec) {
            // A job that has ended meanwhile has no use for an output either.
            true => self.inputs.stage(job, stage).await.transpose()?,
            false => None,
        };
        let merger = SlotMerger::new(&self.sandbox, &self.blobs, spec);
        let results = self.store.settled_results(job, stage);
        reduce(spec, items, input, results, &self.blobs, merger).await
    }

    /// What the stages behind this one need not compute. A store that cannot be read now costs
    /// computing, not the job.
    async fn answers_after(
        &self,
        job: JobId,
        spec: &JobSpec,
        openings: &[Opening],
        output: Option<BlobRef>,
    ) -> Vec<KeptRun> {
        let output = output.map(|output| output.hash);
        let known = answers::known_after(&self.store, job, spec, openings, output).await;
        known.unwrap_or_else(|error| {
            warn!(%error, "answers of earlier jobs cannot be looked up");
            Vec::new()
        })
    }
}

/// Why the results of the stage `name` cannot be put together, and whose they are; what is wrong
/// with an input says so itself.
fn words(name: &str, error: &ReduceError) -> String {
    match error {
        ReduceError::Input(error) => error.to_string(),
        error => format!("stage `{name}`: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::SplitError;

    #[test]
    fn a_stage_is_named_once() {
        let file = "words.txt".to_owned();
        let input = SplitError::NoRecords { stage: "words".to_owned(), file };
        assert_eq!(
            words("words", &ReduceError::Input(input)),
            "stage `words`: \"words.txt\" has no record, so there is no item to compute"
        );
        assert_eq!(
            words("words", &ReduceError::Empty),
            "stage `words`: there is no output to merge; a merge needs one item that gives one at \
             least"
        );
    }
}
