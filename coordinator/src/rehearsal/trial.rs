//! Some calls of a stage's functions made again and again, in other processes and cut into other
//! units: they must give the same bytes each time.

use std::path::PathBuf;
use std::time::Duration;

use gleaner_protocol::{
    BlobRef, FailureKind, FileRef, ItemFailure, ItemRange, OnFailure, Outcome, OutcomeClass,
    Payload, Reducer, Splitter, StageIndex, StageSpec, item_seed,
};
use gleaner_sandbox::{Entry, Slot, SlotUnit};
use serde_bytes::ByteBuf;

use super::{Rehearsal, RehearsalError};
use crate::split::slot::{NO_FIELDS, SEED_ITEM};
use crate::split::{SlotSplitter, StageInput};

/// How many calls go into a unit in each round; the last takes all that lie side by side. Each
/// round has a process of its own, and the first is made twice.
const CUTS: [usize; 4] = [1, 1, 2, usize::MAX];

/// A call of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The item's number; for a merge, that of the pair.
    pub item: u64,
    /// The item's seed; of no use to a merge.
    pub seed: u64,
    /// The item's fields; for a merge, its two values.
    pub values: Vec<ByteBuf>,
}

/// What a call gave: its output, or why there is none where the job goes on then.
pub type Answer = Result<ByteBuf, ItemFailure>;

/// What calls gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What was called.
    pub entry: Entry,
    /// With what.
    pub calls: Vec<Call>,
    /// What each call gave in the first round; fewer than calls when one ended the trial.
    pub answers: Vec<Answer>,
    /// The CPU time of a round, taken over all.
    pub cpu: Duration,
    /// What all the rounds showed.
    pub verdict: Verdict,
}

/// What the rounds showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same each time.
    Alike,
    /// A call gave no answer that the job goes on with, as it would for a worker: what happened
    /// instead.
    Failed(Outcome),
    /// A call gave something else in another round.
    Differs {
        /// The item.
        item: u64,
        /// How many calls a unit of that round had at most.
        unit_items: usize,
        /// What it gave then.
        answer: Answer,
    },
    /// A call that had given an answer gave none in another round.
    Ended {
        /// How many calls a unit of that round had at most.
        unit_items: usize,
        /// What happened instead.
        outcome: Outcome,
    },
}

/// What a stage is tried on.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// How many items at most, at least one.
    pub items: u64,
    /// The output of the stage that it comes after, if it does.
    pub earlier: Option<BlobRef>,
}

/// Tries the functions of a job's stages.
pub struct Trials<'a> {
    pub(super) rehearsal: &'a Rehearsal,
}

impl Trials<'_> {
    /// A file as the output of an earlier stage, for [`Sampling::earlier`].
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn earlier(&self, blob: BlobRef, path: PathBuf) -> Result<BlobRef, RehearsalError> {
        self.rehearsal.blobs.borrow(&path, blob.hash).await?;
        Ok(blob)
    }

    /// The stage whose output a stage takes, if it takes one.
    pub fn earlier_stage(&self, stage: StageIndex) -> Option<StageIndex> {
        self.stage(stage).splitter.earlier_stage()
    }

    /// How many items a stage has, and what calling its task on some of them gives.
    ///
    /// # Errors
    /// [`RehearsalError`]; a task that fails is no error, but a [`Verdict`].
    pub async fn tasks(
        &self,
        index: StageIndex,
        sampling: Sampling,
    ) -> Result<(u64, Trial), RehearsalError> {
        let stage = self.stage(index);
        let earlier = self.read_from(index, sampling.earlier).await?;
        let input = StageInput::open(stage, earlier, &self.rehearsal.blobs).await?;
        let seed = stage.task.seed;
        let mut runs = Vec::new();
        // A draw of the job's own, so that a repeat tries the same items.
        for range in sampled_ranges(input.items(), sampling.items, item_seed(seed, index, u64::MAX))
        {
            let values = input.materialise(range).await?;
            let calls = (range.start..).zip(values).map(|(item, value)| Call {
                item,
                seed: item_seed(seed, index, item),
                values: vec![value],
            });
            runs.push(calls.collect());
        }
        let entry = Entry::Task(stage.task.function.clone());
        Ok((input.items(), self.rounds(stage, entry, None, runs).await?))
    }

    /// What calling a stage's split function gives, which may read the output `earlier`; none where
    /// it has none.
    ///
    /// # Errors
    /// As [`Trials::tasks`].
    pub async fn split(
        &self,
        index: StageIndex,
        earlier: Option<BlobRef>,
    ) -> Result<Option<Trial>, RehearsalError> {
        let stage = self.stage(index);
        let Splitter::Split { function, after, .. } = &stage.splitter else { return Ok(None) };
        let output = after.as_ref().zip(earlier);
        let output = output.map(|(after, blob)| FileRef { name: after.name.clone(), blob });
        let seed = item_seed(stage.task.seed, index, SEED_ITEM);
        let call = Call { item: 0, seed, values: vec![ByteBuf::from(NO_FIELDS)] };
        let entry = Entry::Split(function.clone());
        Ok(Some(self.rounds(stage, entry, output.as_ref(), vec![vec![call]]).await?))
    }

    /// What merging neighbours of `outputs` gives; none where the stage does not merge, or there
    /// are no two.
    ///
    /// # Errors
    /// As [`Trials::tasks`].
    pub async fn merges(
        &self,
        index: StageIndex,
        outputs: &[&ByteBuf],
    ) -> Result<Option<Trial>, RehearsalError> {
        let stage = self.stage(index);
        let Reducer::Merge { function, .. } = &stage.reducer else { return Ok(None) };
        if outputs.len() < 2 {
            return Ok(None);
        }
        let pairs = (0..).zip(outputs.windows(2));
        let calls = pairs.map(|(item, pair)| {
            let values = pair.iter().map(|value| (*value).clone()).collect();
            Call { item, seed: 0, values }
        });
        let runs = vec![calls.collect()];
        Ok(Some(self.rounds(stage, Entry::Merge(function.clone()), None, runs).await?))
    }

    /// What a stage's items are read from: the output before it, or what its split function makes of
    /// that.
    async fn read_from(
        &self,
        index: StageIndex,
        earlier: Option<BlobRef>,
    ) -> Result<Option<BlobRef>, RehearsalError> {
        let Some(output) = earlier else { return Ok(None) };
        let (stage, blobs) = (self.stage(index), &self.rehearsal.blobs);
        let splitter = SlotSplitter::new(&self.rehearsal.sandbox);
        let made = splitter.split_after(index, stage, output, blobs).await;
        let made =
            made.map_err(|source| RehearsalError::Made { stage: stage.name.clone(), source })?;
        Ok(stage.splitter.read_from(earlier, made))
    }

    fn stage(&self, index: StageIndex) -> &StageSpec {
        &self.rehearsal.spec.stages[index.0 as usize]
    }

    /// Makes the calls once for each of the cuts; only neighbours of one run share a unit.
    async fn rounds(
        &self,
        stage: &StageSpec,
        entry: Entry,
        output: Option<&FileRef>,
        runs: Vec<Vec<Call>>,
    ) -> Result<Trial, RehearsalError> {
        let mut trial = Trial {
            calls: runs.concat(),
            entry,
            answers: Vec::new(),
            cpu: Duration::ZERO,
            verdict: Verdict::Alike,
        };
        let on_failure = match trial.entry {
            Entry::Task(_) => stage.task.on_failure,
            Entry::Split(_) | Entry::Merge(_) => OnFailure::Stop,
        };
        for (round, unit_items) in CUTS.into_iter().enumerate() {
            let slot = self.rehearsal.slot(stage, trial.entry.clone(), output).await?;
            let units = runs.iter().flat_map(|run| run.chunks(unit_items.min(run.len().max(1))));
            let mut seen = 0;
            for unit in units {
                let caller = Caller { slot: &slot, entry: &trial.entry, on_failure };
                let answers = match caller.run(unit, &mut trial.cpu).await {
                    Ok(answers) => answers,
                    Err(outcome) if round == 0 => {
                        trial.verdict = Verdict::Failed(outcome);
                        return Ok(trial);
                    }
                    Err(outcome) => {
                        trial.verdict = Verdict::Ended { unit_items, outcome };
                        return Ok(trial);
                    }
                };
                if round == 0 {
                    trial.answers.extend(answers);
                    continue;
                }
                for (call, answer) in unit.iter().zip(answers) {
                    if answer != trial.answers[seen] {
                        let item = call.item;
                        trial.verdict = Verdict::Differs { item, unit_items, answer };
                        return Ok(trial);
                    }
                    seen += 1;
                }
            }
            slot.kill().await;
        }
        trial.cpu /= u32::try_from(CUTS.len()).expect("a few");
        Ok(trial)
    }
}

/// Who makes calls, and what becomes of one without an answer.
#[derive(Clone, Copy)]
struct Caller<'a> {
    slot: &'a Slot,
    entry: &'a Entry,
    on_failure: OnFailure,
}

impl Caller<'_> {
    /// The answers of one unit, or what happened instead. Where the job goes on, the calls of a
    /// unit that found no answer are made each by itself, as a coordinator has them made.
    async fn run(self, calls: &[Call], cpu: &mut Duration) -> Result<Vec<Answer>, Outcome> {
        let outcome = match self.run_together(calls, cpu).await {
            Ok(answers) => return Ok(answers),
            Err(outcome) => outcome,
        };
        if !goes_on_after(&outcome, self.on_failure) {
            return Err(outcome);
        }
        if let [call] = calls {
            return Ok(vec![Err(unanswered(call.item, &outcome))]);
        }
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            answers.extend(Box::pin(self.run(std::slice::from_ref(call), cpu)).await?);
        }
        Ok(answers)
    }

    async fn run_together(
        self,
        calls: &[Call],
        cpu: &mut Duration,
    ) -> Result<Vec<Answer>, Outcome> {
        let seeds = match self.entry {
            Entry::Task(_) | Entry::Split(_) => calls.iter().map(|call| call.seed).collect(),
            Entry::Merge(_) => Vec::new(),
        };
        let items = calls.iter().flat_map(|call| call.values.iter().cloned()).collect();
        let first_item = calls.first().map_or(0, |call| call.item);
        let answer = self.slot.run(SlotUnit { first_item, items, seeds }).await;
        *cpu += answer.cpu;
        match answer.outcome {
            Outcome::Completed { outputs: Payload::Inline(outputs), failures } => {
                let answer = |(call, output): (&Call, ByteBuf)| {
                    let failure = failures.iter().find(|failure| failure.item == call.item);
                    failure.map_or(Ok(output), |failure| Err(failure.clone()))
                };
                Ok(calls.iter().zip(outputs).map(answer).collect())
            }
            outcome => Err(outcome),
        }
    }
}

/// Whether a job goes on after this outcome of an item alone, which is no answer.
pub(super) fn goes_on_after(outcome: &Outcome, on_failure: OnFailure) -> bool {
    outcome.class() == OutcomeClass::Inconclusive && on_failure == OnFailure::Continue
}

/// The failure of an item that found no answer by itself. A job has it tried again on other
/// machines before it says so.
pub(super) fn unanswered(item: u64, outcome: &Outcome) -> ItemFailure {
    ItemFailure { item, kind: FailureKind::Unanswered, message: outcome.to_string() }
}

/// An item that gave no output, in words.
pub fn failed_words(failure: &ItemFailure) -> String {
    format!("item {}: {}", failure.item, failure.message)
}

/// At most `wanted` of a stage's items: all, or else those at its beginning, at its end and at a
/// place drawn in between, side by side so that units can be cut.
fn sampled_ranges(items: u64, wanted: u64, draw: u64) -> Vec<ItemRange> {
    let range = |start, length| ItemRange { start, end: start + length };
    match wanted {
        _ if items <= wanted => vec![range(0, items)],
        0 | 1 => vec![range(0, 1)],
        2 => vec![range(0, 1), range(items - 1, 1)],
        _ => {
            let each = wanted / 3;
            let first = wanted - 2 * each;
            let places = items - first - 2 * each + 1;
            let between = first + draw % places;
            vec![range(0, first), range(between, each), range(items - each, each)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_both_ends_and_stays_within_the_stage() {
        let pairs = |items, wanted, draw| {
            let ranges = sampled_ranges(items, wanted, draw);
            ranges.iter().map(|range| (range.start, range.end)).collect::<Vec<_>>()
        };
        assert_eq!(pairs(3, 12, 7), [(0, 3)]);
        assert_eq!(pairs(100, 1, 7), [(0, 1)]);
        assert_eq!(pairs(100, 2, 7), [(0, 1), (99, 100)]);
        assert_eq!(pairs(100, 12, 0), [(0, 4), (4, 8), (96, 100)]);
        assert_eq!(pairs(100, 12, 88), [(0, 4), (92, 96), (96, 100)]);
        assert_eq!(pairs(100, 12, 89), pairs(100, 12, 0));
        assert_eq!(pairs(13, 12, u64::MAX).iter().map(|(start, end)| end - start).sum::<u64>(), 12);
        assert_eq!(pairs(100, 5, 1), [(0, 3), (4, 5), (99, 100)]);
    }
}
