//! What must survive: written as records, read back as [`Recovered`].

use std::num::NonZeroU32;
use std::time::Duration;

use gleaner_protocol::{
    AnswerHash, AttemptId, BlobHash, BlobRef, FailedItems, ItemRange, JobId, JobSpec, Outcome,
    OutcomeClass, RelativeName, StageIndex, SubmissionId, SubmitterId, SubmitterTerms, Timestamp,
    UnitId, WorkerId,
};

use crate::{CutKind, Notice, Owner};

/// One fact the store keeps. The records of one event are committed together or not at all.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A job was taken.
    JobAccepted {
        /// Its id.
        job: JobId,
        /// The submitter's own name for the submission; unique.
        submission: SubmissionId,
        /// Whose it is.
        owner: Owner,
        /// The job.
        spec: JobSpec,
        /// The job that it takes up again, if it does.
        retry_of: Option<JobId>,
        /// When.
        at: Timestamp,
    },
    /// A stage's items are known and its units may be cut.
    StageOpened {
        /// The job.
        job: JobId,
        /// The stage and its items.
        opening: Opening,
        /// The name of the question that it asks of each: [`StageSpec::answers_key`].
        ///
        /// [`StageSpec::answers_key`]: gleaner_protocol::StageSpec::answers_key
        answers: BlobHash,
        /// How many agreeing results each answer has.
        quorum: u32,
    },
    /// Answers of an earlier job are this stage's too, from the beginning.
    AnswersKept {
        /// The job.
        job: JobId,
        /// The answers.
        run: KeptRun,
    },
    /// Units were cut; any of them may have been handed out with attempt numbers up to the quorum.
    BlockCut {
        /// The job.
        job: JobId,
        /// The units.
        block: Block,
    },
    /// An attempt beyond the quorum's first ones may have been handed out.
    AttemptOpened {
        /// The attempt.
        attempt: AttemptId,
    },
    /// A result was accepted.
    ResultAccepted {
        /// Who says what.
        opinion: Opinion,
        /// The result itself.
        outcome: Outcome,
        /// What its task logged.
        log: String,
    },
    /// An attempt ended without an answer.
    AttemptInconclusive {
        /// The attempt.
        attempt: AttemptId,
        /// Whose it was.
        worker: WorkerId,
        /// How it ended.
        outcome: Outcome,
        /// CPU time it took.
        cpu: Duration,
        /// What its task logged.
        log: String,
    },
    /// Enough opinions agree: this is the unit's result, for ever.
    UnitSettled {
        /// The unit's stage.
        stage: StageIndex,
        /// The unit's items.
        items: ItemRange,
        /// One of the agreeing attempts, whose outputs the reducer reads.
        attempt: AttemptId,
    },
    /// An item in a unit of its own, cut when its first unit found no answer, is settled; or no
    /// answer was found for an item alone, and it has failed.
    ItemSettled {
        /// The unit's stage.
        stage: StageIndex,
        /// The item.
        item: u64,
        /// The unit.
        unit: UnitId,
        /// The number of one of the agreeing attempts; `None` when there is no answer.
        attempt: Option<u32>,
    },
    /// A unit that found no answer gives way to a unit for each of its items, cut in the same batch.
    UnitReplaced {
        /// The unit's stage.
        stage: StageIndex,
        /// The unit.
        unit: UnitId,
    },
    /// Items of a unit gave no output.
    ItemsFailed {
        /// The unit's stage.
        stage: StageIndex,
        /// The unit.
        unit: UnitId,
        /// Which items, in order, and why.
        failed: Vec<FailedItems>,
    },
    /// A stage's output is there.
    StageDone {
        /// The job.
        job: JobId,
        /// The stage.
        stage: StageIndex,
        /// Its files.
        outputs: Vec<StageOutput>,
    },
    /// Nothing of a job is handed out from now on.
    JobPaused {
        /// The job.
        job: JobId,
        /// When.
        at: Timestamp,
    },
    /// A paused job goes on.
    JobResumed {
        /// The job.
        job: JobId,
    },
    /// A job has another priority than its specification says.
    PrioritySet {
        /// The job.
        job: JobId,
        /// The priority.
        priority: i32,
    },
    /// Something of a job was settled, or it began or goes on, of which it is told when it stands
    /// still. Not every movement is recorded: see [`RecoveredMovement`].
    JobMoved {
        /// The job.
        job: JobId,
        /// When.
        at: Timestamp,
    },
    /// Somebody is to be told something of a job; of a standstill, once until it moves.
    NoticeDue {
        /// The job.
        job: JobId,
        /// What, and who.
        notice: Notice,
    },
    /// Nothing more will happen to a job; it is paused no more.
    JobEnded {
        /// The job.
        job: JobId,
        /// How it ended.
        end: JobEnd,
        /// When.
        at: Timestamp,
    },
    /// An ended job is there no more, but for the answers that others took over.
    JobRemoved {
        /// The job; its id never recurs.
        job: JobId,
        /// Its submission, which is never taken again.
        submission: SubmissionId,
        /// Whose it was.
        owner: Owner,
    },
}

/// What is known of a stage's items when it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The stage.
    pub stage: StageIndex,
    /// How many items it has.
    pub items: u64,
    /// The most items a unit may have, where the specification could not say it yet.
    pub unit_items_max: Option<NonZeroU32>,
    /// What its split function made of an earlier stage's output.
    pub made: Option<BlobRef>,
}

/// Consecutive units of equal size, cut at one time: `units` of `unit_items` items each from
/// `items.start`, the last one shorter when `items` does not divide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The stage whose items they hold.
    pub stage: StageIndex,
    /// The number of the first unit within the job.
    pub first_unit: u64,
    /// How many units.
    pub units: u32,
    /// All their items.
    pub items: ItemRange,
    /// Items in each unit but perhaps the last.
    pub unit_items: u32,
}

/// Consecutive items of a stage whose answers an earlier job has settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptRun {
    /// The stage that takes them over.
    pub stage: StageIndex,
    /// The items, of the same numbers in both stages.
    pub items: ItemRange,
    /// The earlier job.
    pub source: JobId,
    /// Its stage.
    pub source_stage: StageIndex,
    /// Which cut all its units are of.
    pub cut: CutKind,
    /// The first of its units that hold the answers.
    pub first_unit: u64,
    /// The number after the last one's. All units between are of that stage and settled.
    pub end_unit: u64,
}

/// One worker's answer for one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opinion {
    /// The attempt that gave it.
    pub attempt: AttemptId,
    /// Whose it is.
    pub worker: WorkerId,
    /// What it says: equal hashes agree.
    pub answer: AnswerHash,
    /// Whether it is a completion or a failure.
    pub class: OutcomeClass,
    /// CPU time the attempt took.
    pub cpu: Duration,
}

/// A file of a stage's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageOutput {
    /// Its name within the stage.
    pub name: RelativeName,
    /// Its bytes.
    pub blob: BlobRef,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// Every stage's output is there.
    Done,
    /// It could not be finished.
    Failed {
        /// Why, in a sentence for its submitter.
        reason: String,
        /// What kind of failure it was.
        cause: FailureCause,
    },
    /// The submitter ended it.
    Cancelled,
}

/// What a job failed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCause {
    /// A unit settled as a failure: it would fail again on every machine.
    Task {
        /// Its number.
        unit: u64,
    },
    /// Too many attempts of a unit ended without an answer: other machines may do better.
    NoAnswer {
        /// Its number.
        unit: u64,
    },
    /// Workers gave too many different answers for a unit.
    NoAgreement {
        /// Its number.
        unit: u64,
    },
    /// A stage's input could not be read, or its results could not be put together.
    Stage,
}

impl FailureCause {
    /// The number of the unit at fault.
    pub const fn unit(self) -> Option<u64> {
        match self {
            Self::Task { unit } | Self::NoAnswer { unit } | Self::NoAgreement { unit } => {
                Some(unit)
            }
            Self::Stage => None,
        }
    }
}

/// What a store gives back after a restart: the sum of its records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// In the order of their ids, those that were removed left out.
    pub jobs: Vec<RecoveredJob>,
    /// From [`Record::JobRemoved`].
    pub removed: Vec<RemovedJob>,
    /// The terms of all submitters there ever were.
    pub submitters: Vec<(SubmitterId, SubmitterTerms)>,
    /// The same as long as it is one store.
    pub first: FirstNumbers,
}

/// Where the numbers that a store gives begin. One that was restored from a backup begins beyond
/// all that the lost one can have given since: workers still hold that, and call it by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstNumbers {
    /// The least id of a job that is taken from now on.
    pub job: JobId,
    /// The least number of an attempt that is begun from now on, of a job that is in the store.
    pub attempt: u32,
}

impl Default for FirstNumbers {
    /// Those of a store that was never restored.
    fn default() -> Self {
        Self { job: JobId(1), attempt: 1 }
    }
}

/// What is remembered of a job that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovedJob {
    /// Its id.
    pub job: JobId,
    /// Its submission.
    pub submission: SubmissionId,
    /// Whose it was.
    pub owner: Owner,
}

/// A job as its records left it.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredJob {
    /// From [`Record::JobAccepted`].
    pub job: JobId,
    /// From [`Record::JobAccepted`].
    pub submission: SubmissionId,
    /// From [`Record::JobAccepted`].
    pub owner: Owner,
    /// From [`Record::JobAccepted`].
    pub spec: JobSpec,
    /// From [`Record::JobAccepted`].
    pub retry_of: Option<JobId>,
    /// From [`Record::JobAccepted`].
    pub submitted_at: Timestamp,
    /// From [`Record::PrioritySet`].
    pub priority: Option<i32>,
    /// From [`Record::JobPaused`].
    pub paused_at: Option<Timestamp>,
    /// From [`Record::JobMoved`].
    pub movement: Option<RecoveredMovement>,
    /// From [`Record::JobEnded`].
    pub end: Option<(JobEnd, Timestamp)>,
    /// One for each stage of the specification, in order.
    pub stages: Vec<RecoveredStage>,
}

/// Whether a job moved, as its records left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveredMovement {
    /// When it did at the earliest: for an eighth of the time after which a standstill is told, the
    /// next movements are not recorded.
    pub moved_at: Timestamp,
    /// Whether it was told since then that it stands still.
    pub stall_told: bool,
}

/// A stage as its records left it. Of an ended job only `items`, `outputs` and the sums need be
/// given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecoveredStage {
    /// From [`Record::StageOpened`].
    pub items: Option<u64>,
    /// From [`Record::StageOpened`].
    pub unit_items_max: Option<NonZeroU32>,
    /// From [`Record::StageOpened`].
    pub made: Option<BlobRef>,
    /// From [`Record::AnswersKept`], in the order of their items.
    pub kept: Vec<KeptRun>,
    /// From [`Record::BlockCut`], in the order of their units.
    pub blocks: Vec<Block>,
    /// Numbers of the units that are closed, from [`Record::UnitSettled`],
    /// [`Record::ItemSettled`] and [`Record::UnitReplaced`], ascending.
    pub settled: Vec<u64>,
    /// Opinions on units not settled.
    pub opinions: Vec<Opinion>,
    /// Attempts from [`Record::AttemptOpened`] of units not settled.
    pub attempts: Vec<AttemptId>,
    /// Attempts of units not settled that ended without an answer, and whose they were.
    pub inconclusive: Vec<(AttemptId, WorkerId)>,
    /// From [`Record::StageDone`].
    pub outputs: Option<Vec<StageOutput>>,
    /// Items of settled units, and of answers taken over.
    pub items_settled: u64,
    /// Those of them that gave no output, from [`Record::ItemsFailed`].
    pub items_failed: u64,
    /// How many units are settled.
    pub units_settled: u64,
    /// How many attempts of all its units ended without an answer.
    pub attempts_inconclusive: u64,
    /// CPU time of the attempts that settled units.
    pub cpu: Duration,
    /// CPU time of the attempts that ended without an answer.
    pub cpu_unanswered: Duration,
}

impl Block {
    /// The number after its last unit's.
    pub const fn end_unit(&self) -> u64 {
        self.first_unit + self.units as u64
    }

    /// The items of a unit of this block, by the unit's number within the job.
    ///
    /// # Panics
    /// When the unit is not of this block.
    pub fn items_of(&self, unit: u64) -> ItemRange {
        assert!(self.contains(unit), "unit {unit} is not of block {self:?}");
        let start = self.items.start + (unit - self.first_unit) * u64::from(self.unit_items);
        let end = (start + u64::from(self.unit_items)).min(self.items.end);
        ItemRange { start, end }
    }

    /// Whether a unit, by its number within the job, is of this block.
    pub const fn contains(&self, unit: u64) -> bool {
        self.first_unit <= unit && unit < self.end_unit()
    }
}

impl KeptRun {
    /// Where its units are among those of their cut: their numbers, or for units of one item those
    /// of the items.
    pub const fn place(&self) -> (u64, u64) {
        match self.cut {
            CutKind::First => (self.first_unit, self.end_unit),
            CutKind::Alone => (self.items.start, self.items.end),
        }
    }
}

impl Opinion {
    /// The unit it is about.
    pub const fn unit(&self) -> UnitId {
        self.attempt.unit
    }
}
