//! A job tried before it is submitted: checked as a coordinator checks it, and a few of its items
//! run in a slot of this machine.
//!
//! Invariants: nothing is sent anywhere, and nothing is left behind; items are cut and run by the
//! code that does it for a real submission. Deliberately absent: stages that take the output of an
//! earlier one, which is not there yet; reducing; and any promise that other machines, or other
//! items, take as long.

pub mod trial;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gleaner_protocol::{
    BlobRef, FileRef, ItemRange, JobSpec, OnFailure, Outcome, Payload, StageIndex, StageSpec,
    item_seed, wire,
};
use gleaner_sandbox::{
    CompileError, Entry, Priority, Sandbox, SandboxConfig, SandboxError, Slot, SlotAnswer,
    SlotSpec, SlotUnit, SpawnError,
};

use tempfile::TempDir;

use self::trial::Trials;
use crate::blobs::{BlobError, Blobs};
use crate::driver::{SubmissionError, check_submission};
use crate::split::{SlotSplitError, SlotSplitter, SplitError, StageInput, slot};

/// The most items of a stage that are run: spread over the whole stage, they show what differs.
const ITEMS_MAX: u64 = 16;

/// No further item of a stage is begun after this long: a rehearsal is waited for.
const STAGE_TIME: Duration = Duration::from_secs(3);

/// An item that takes longer is not waited for.
const ITEM_TIME_MAX: Duration = Duration::from_secs(30);

/// What a rehearsal found out about one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageRehearsal {
    /// Its items; unknown when it takes its input from an earlier stage's output.
    pub items: Option<u64>,
    /// What running some of them showed; none when it takes its input from an earlier stage.
    pub sample: Option<Sample>,
}

/// What running some items of a stage showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// How many gave their output.
    pub items: u64,
    /// Those that gave none where the job goes on then: what happened, in words.
    pub failures: Vec<String>,
    /// The CPU time they took together.
    pub cpu: Duration,
    /// The length of their outputs together.
    pub output_bytes: u64,
    /// Why no more were run, unless it was enough.
    pub ended_by: Option<SampleEnd>,
}

/// What ended a sample early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SampleEnd {
    /// An item took longer than this.
    Slow(Duration),
    /// An item gave no output, as it would for a worker, and the job does not go on then, or not
    /// before it was tried elsewhere: what happened, in words.
    Failed(String),
}

/// Why a job could not be rehearsed.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// A coordinator would not take it.
    #[error(transparent)]
    Submission(#[from] SubmissionError),
    /// There is no room for what a rehearsal keeps for its time.
    #[error("cannot make a temporary folder")]
    Folder(#[source] io::Error),
    /// A file could not be used in place.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// Items could not be read.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// A split function made no items of an earlier stage's output.
    #[error("stage `{stage}`: its split function gave no items")]
    Made {
        /// The stage.
        stage: String,
        /// Why.
        #[source]
        source: SlotSplitError,
    },
    /// Slots cannot be had on this machine.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The module cannot be compiled.
    #[error("stage `{stage}`: its module cannot be compiled here")]
    Compile {
        /// The stage.
        stage: String,
        /// Why.
        #[source]
        source: CompileError,
    },
    /// A slot cannot be started.
    #[error("stage `{stage}`: no slot could be started")]
    Spawn {
        /// The stage.
        stage: String,
        /// Why.
        #[source]
        source: SpawnError,
    },
}

/// Checks `spec` and runs a few items of each stage whose input is there, one at a time. `files`
/// are the blobs that it names and where they lie; `program` is the one whose `slot` and `compile`
/// subcommands are run. Takes some seconds for each stage.
///
/// # Errors
/// [`RehearsalError`]; a task that fails is no error, but part of what is found out.
pub async fn rehearse(
    program: &Path,
    spec: &JobSpec,
    files: &[(BlobRef, PathBuf)],
) -> Result<Vec<StageRehearsal>, RehearsalError> {
    let (rehearsal, items) = Rehearsal::open(program, spec, files).await?;
    let mut stages = Vec::with_capacity(spec.stages.len());
    for ((index, stage), items) in (0..).map(StageIndex).zip(&rehearsal.spec.stages).zip(items) {
        let sample = match stage.splitter.earlier_stage() {
            Some(_) => None,
            None => Some(rehearsal.sample(index, stage).await?),
        };
        stages.push(StageRehearsal { items, sample });
    }
    Ok(stages)
}

/// A job's files and a sandbox, for as long as this value lives.
pub struct Rehearsal {
    /// As a coordinator would take it: with the items of split functions.
    spec: JobSpec,
    sandbox: Sandbox,
    blobs: Blobs,
    _folder: TempDir,
}

impl Rehearsal {
    /// Checks `spec` as a coordinator would and gives each stage's items, where they are known;
    /// for the rest see [`rehearse`].
    ///
    /// # Errors
    /// [`RehearsalError`].
    pub async fn open(
        program: &Path,
        spec: &JobSpec,
        files: &[(BlobRef, PathBuf)],
    ) -> Result<(Self, Vec<Option<u64>>), RehearsalError> {
        let folder = tempfile::tempdir().map_err(RehearsalError::Folder)?;
        let blobs = Blobs::open(&folder.path().join("blobs"))?;
        for (blob, path) in files {
            blobs.borrow(path, blob.hash).await?;
        }
        let compiled = folder.path().join("compiled");
        let config = SandboxConfig {
            priority: Priority::Normal,
            ..SandboxConfig::new(program.to_owned(), compiled)
        };
        let sandbox = Sandbox::new(config)?;
        let mut spec = spec.clone();
        let items = check_submission(&mut spec, &blobs, &SlotSplitter::new(&sandbox)).await?;
        Ok((Self { spec, sandbox, blobs, _folder: folder }, items))
    }

    /// The job's functions to be tried.
    pub fn trials(&self) -> Trials<'_> {
        Trials { rehearsal: self }
    }

    async fn sample(&self, index: StageIndex, stage: &StageSpec) -> Result<Sample, RehearsalError> {
        let input = StageInput::open(stage, None, &self.blobs).await?;
        let slot = self.slot(stage, Entry::Task(stage.task.function.clone()), None).await?;
        let begun = Instant::now();
        let mut sample = Sample::default();
        for item in sampled_items(input.items()) {
            if begun.elapsed() > STAGE_TIME {
                break;
            }
            let items = input.materialise(ItemRange { start: item, end: item + 1 }).await?;
            let seeds = vec![item_seed(stage.task.seed, index, item)];
            let unit = SlotUnit { first_item: item, items, seeds };
            match tokio::time::timeout(ITEM_TIME_MAX, slot.run(unit)).await {
                Ok(answer) => sample.add(item, answer, stage.task.on_failure),
                Err(_) => sample.ended_by = Some(SampleEnd::Slow(ITEM_TIME_MAX)),
            }
            if sample.ended_by.is_some() {
                break;
            }
        }
        Ok(sample)
    }

    /// A slot for a function of a stage, with `output` among its files if there is one.
    async fn slot(
        &self,
        stage: &StageSpec,
        entry: Entry,
        output: Option<&FileRef>,
    ) -> Result<Slot, RehearsalError> {
        let task = &stage.task;
        let path = |blob: BlobRef| {
            self.blobs.path(blob.hash).ok_or(BlobError::Missing { hash: blob.hash })
        };
        let files = task.files.iter().chain(output);
        let files = files.map(|file| Ok((file.name.clone(), path(file.blob)?)));
        let files = files.collect::<Result<_, BlobError>>()?;
        let compiled = self.sandbox.compile(task.module, task.floats, &path(task.module)?).await;
        let module = compiled
            .map_err(|source| RehearsalError::Compile { stage: stage.name.clone(), source })?;
        let limits = match entry {
            Entry::Split(_) => slot::limits(task.limits),
            Entry::Task(_) | Entry::Merge(_) => task.limits,
        };
        let on_failure = match entry {
            Entry::Task(_) => task.on_failure,
            Entry::Split(_) | Entry::Merge(_) => OnFailure::Stop,
        };
        let spec = SlotSpec {
            module,
            entry,
            parameters: wire::encode(&task.parameters),
            files,
            limits,
            on_failure,
        };
        let spawned = self.sandbox.spawn(spec).await;
        spawned.map_err(|source| RehearsalError::Spawn { stage: stage.name.clone(), source })
    }
}

impl Sample {
    /// Takes the answer of an item alone.
    fn add(&mut self, item: u64, answer: SlotAnswer, on_failure: OnFailure) {
        match answer.outcome {
            outcome if trial::goes_on_after(&outcome, on_failure) => {
                let failure = trial::unanswered(item, &outcome);
                self.failures.push(trial::failed_words(&failure));
            }
            Outcome::Completed { failures, .. } if !failures.is_empty() => {
                self.failures.extend(failures.iter().map(trial::failed_words));
            }
            Outcome::Completed { outputs: Payload::Inline(outputs), .. } => {
                self.items += 1;
                self.cpu += answer.cpu;
                self.output_bytes += outputs.iter().map(|output| output.len() as u64).sum::<u64>();
            }
            outcome => self.ended_by = Some(SampleEnd::Failed(outcome.to_string())),
        }
    }
}

/// Items spread evenly over a stage of `items`, so ordered that any first few of them are spread
/// too (van der Corput's sequence).
fn sampled_items(items: u64) -> Vec<u64> {
    const { assert!(ITEMS_MAX.is_power_of_two()) };
    if items <= ITEMS_MAX {
        return (0..items).collect();
    }
    let bits = ITEMS_MAX.trailing_zeros();
    let place = |number: u64| u128::from(number.reverse_bits() >> (u64::BITS - bits));
    let item = |number| place(number) * u128::from(items) / u128::from(ITEMS_MAX);
    (0..ITEMS_MAX).map(|number| u64::try_from(item(number)).expect("below `items`")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_items_sampled_are_spread_over_the_stage() {
        assert_eq!(sampled_items(3), [0, 1, 2]);
        assert_eq!(sampled_items(1600)[..5], [0, 800, 400, 1200, 200]);
        let mut many = sampled_items(u64::MAX);
        assert!(many.iter().all(|item| *item < u64::MAX));
        many.sort_unstable();
        many.dedup();
        assert_eq!(many.len() as u64, ITEMS_MAX);
    }
}
