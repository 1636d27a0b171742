//! The jobs of a run, and what their tasks answer: a pure function of seed and item.

use std::num::NonZeroU32;
use std::time::Duration;

use gleaner_coordinator_core::{Opening, Owner};
use gleaner_protocol::{
    Answers, BlobHash, BlobRef, FailureKind, Floats, ItemFailure, ItemRange, JobId, JobSpec,
    Limits, Notify, OnFailure, Outcome, Payload, RecordSource, Reducer, Splitter, StageIndex,
    StageSpec, StageTask, SubmissionId, SubmitterId, SubmitterTerms, UnitSize, ValueMap,
};

use crate::random::{Random, mixed};

/// What a worker must know of a stage to run its units.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    seed: u64,
    on_failure: OnFailure,
}

/// A job that a submitter means to have computed, whatever happens to its requests.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) submission: SubmissionId,
    pub(crate) owner: Owner,
    pub(crate) spec: JobSpec,
    pub(crate) submit_at_us: u64,
    /// The plan that it takes up again, once that one's job has ended.
    pub(crate) retries: Option<usize>,
    /// The job, once the coordinator has said that it took it.
    pub(crate) taken: Option<JobId>,
}

impl Work {
    pub(crate) fn of(task: &StageTask) -> Self {
        Self { seed: task.seed, on_failure: task.on_failure }
    }

    /// How long an item takes on a slot of ordinary speed.
    pub(crate) fn item_us(self) -> u64 {
        1_000 + mixed(self.seed) % 100_000
    }

    /// What every honest machine answers for these items.
    pub(crate) fn outcome(self, items: ItemRange) -> Outcome {
        let failed = || (items.start..items.end).filter(|item| self.fails(*item));
        let message = "no answer exists";
        match self.on_failure {
            OnFailure::Stop => match failed().next() {
                Some(item) => Outcome::Failed { item, message: message.into() },
                None => self.completed(items, Vec::new()),
            },
            OnFailure::Continue => {
                let kind = FailureKind::Failed;
                let failure = |item| ItemFailure { item, kind, message: message.into() };
                self.completed(items, failed().map(failure).collect())
            }
        }
    }

    fn completed(self, items: ItemRange, failures: Vec<ItemFailure>) -> Outcome {
        let outputs = match items.len() {
            1 if self.fails(items.start) => Payload::Inline(vec![Vec::new().into()]),
            1 => {
                Payload::Inline(vec![mixed(self.seed ^ items.start).to_le_bytes().to_vec().into()])
            }
            _ => Payload::Blob(self.blob(items)),
        };
        Outcome::Completed { outputs, failures }
    }

    /// The outputs of several items count as large, so that their bytes are nowhere.
    fn blob(self, items: ItemRange) -> BlobRef {
        let of_items = mixed(self.seed ^ mixed(items.start) ^ mixed(items.end).rotate_left(1));
        let mut hash = [0; 32];
        for (part, number) in hash.chunks_exact_mut(8).zip(0..) {
            part.copy_from_slice(&mixed(of_items ^ number).to_le_bytes());
        }
        BlobRef { hash: BlobHash(hash), bytes: 100_000 * items.len() }
    }

    /// Of one job in four, one item in about a hundred fails on every machine.
    pub(crate) fn fails(self, item: u64) -> bool {
        self.seed.is_multiple_of(4) && mixed(self.seed ^ mixed(item)).is_multiple_of(97)
    }
}

/// The submitters from elsewhere, by weight.
pub(crate) fn submitters() -> Vec<(SubmitterId, SubmitterTerms)> {
    let terms = |weight| SubmitterTerms {
        weight: NonZeroU32::new(weight).expect("weights are not zero"),
        jobs_max: None,
        storage_bytes_max: None,
    };
    (1_u8..=2).map(|number| (SubmitterId([number; 32]), terms(number.into()))).collect()
}

/// Of so many jobs, one is asked for once more.
const REPEATED_EACH: u64 = 3;

/// Jobs of many shapes that have about `units` units together, and some that ask what one of them
/// asks.
pub(crate) fn plans(random: &mut Random, jobs: u64, units: u64, last_us: u64) -> Vec<Plan> {
    let mut owners = vec![Owner::Operator];
    owners.extend(submitters().into_iter().map(|(id, _)| Owner::Submitter(id)));
    let plan = |index| Plan {
        submission: SubmissionId(u128::from(index) + 1),
        owner: random.one_of(&owners),
        spec: spec(random, units.div_ceil(jobs)),
        submit_at_us: random.between(0, last_us),
        retries: None,
        taken: None,
    };
    let mut plans: Vec<Plan> = (0..jobs).map(plan).collect();
    for index in 0..jobs / REPEATED_EACH {
        let earlier = random.between(0, jobs) as usize;
        let mut plan = plans[earlier].clone();
        plan.submission = SubmissionId(u128::from(jobs + index) + 1);
        plan.submit_at_us = random.between(plan.submit_at_us, plan.submit_at_us + last_us);
        // A job is taken up again once: whoever asks for it once more is given the same retry.
        let is_retried = plans.iter().any(|plan| plan.retries == Some(earlier));
        match random.between(0, 2) {
            0 if !is_retried => plan.retries = Some(earlier),
            _ => plan.spec.answers = Answers::Kept,
        }
        plans.push(plan);
    }
    plans
}

fn spec(random: &mut Random, units: u64) -> JobSpec {
    let quorum = NonZeroU32::new(random.one_of(&[1, 1, 2])).expect("a quorum is not zero");
    let on_failure = random.one_of(&[OnFailure::Stop, OnFailure::Continue]);
    let shape = random.between(0, 4);
    let mut stages = vec![stage(random, "search", units, on_failure)];
    if shape >= 2 {
        stages.push(stage(random, "other", units.div_ceil(4), on_failure));
    }
    if shape == 3 {
        let mut after = stage(random, "sum", 1, on_failure);
        let (field, stage) = ("searched".to_owned(), StageIndex(0));
        after.splitter = match random.between(0, 2) {
            0 => Splitter::After { stage, field },
            _ => {
                let (source, file) = (RecordSource::Stage(stage), "search/answers.json".into());
                Splitter::Lines { field, source, file }
            }
        };
        stages.push(after);
    }
    JobSpec {
        name: "simulated".into(),
        seed: random.number(),
        priority: random.one_of(&[-1, 0, 0, 3]),
        quorum,
        max_attempts: NonZeroU32::new(3).expect("three is not zero"),
        answers: Answers::Fresh,
        keep: random.one_of(&[None, None, Some(Duration::from_secs(20))]),
        notify: Notify::default(),
        stages,
    }
}

fn stage(random: &mut Random, name: &str, units: u64, on_failure: OnFailure) -> StageSpec {
    let unit_items = random.one_of(&[0, 1, 7, 20]);
    let items = units * u64::from(unit_items).max(1);
    let module = BlobRef { hash: BlobHash([1; 32]), bytes: 1 };
    let task = StageTask {
        module,
        function: "run".into(),
        parameters: ValueMap::new(),
        files: Vec::new(),
        limits: Limits::default(),
        seed: random.number(),
        floats: Floats::Plain,
        on_failure,
    };
    let end = i64::try_from(items).expect("a run has fewer items than an i64 holds");
    StageSpec {
        name: name.into(),
        task,
        splitter: Splitter::Range { field: "index".into(), start: 0, end },
        unit_size: NonZeroU32::new(unit_items).map_or(UnitSize::Auto, UnitSize::Fixed),
        unit_items_max: None,
        reducer: Reducer::Files,
    }
}

/// The items of each stage that are known when a job is submitted.
pub(crate) fn items_known(spec: &JobSpec) -> Vec<Option<u64>> {
    let items = spec.stages.iter().map(|stage| match stage.splitter.earlier_stage() {
        Some(_) => None,
        None => stage.item_count(),
    });
    items.collect()
}

/// The items of the stages that come after `stage`: as many as its output happens to have.
pub(crate) fn openings_after(spec: &JobSpec, stage: StageIndex) -> Vec<Opening> {
    let opening = |stage: StageIndex| {
        let next = &spec.stages[stage.0 as usize];
        let records = 1 + mixed(next.task.seed) % 60;
        let items = next.item_count().unwrap_or(records);
        Opening { stage, items, unit_items_max: NonZeroU32::new(16), made: None }
    };
    spec.stages_after(stage).map(opening).collect()
}
