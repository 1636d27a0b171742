//! What goes into the core and what comes out of it.

use std::time::Duration;

use gleaner_protocol::{
    AttemptId, BlobRef, Capacity, JobId, JobSpec, LeaseClaims, LeaseToken, ReleaseReason,
    StageIndex, SubmissionId, SubmitterId, SubmitterTerms, Timestamp, UnitResult, WithdrawReason,
    WorkerId,
};

use crate::{JobEnd, KeptRun, Opening, OverQuota, Owner, Record, StageOutput, Subject, Usage};

/// Names one request of the control API, so that its reply finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Numbers the batches of records in the order they are to become durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sequence(pub u64);

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A submitter sent a job that passed every check, its blobs durable.
    JobSubmitted {
        /// Whom to answer.
        request: RequestId,
        /// A repeat of one seen before is answered with the same job.
        submission: SubmissionId,
        /// Whose it is.
        owner: Owner,
        /// The job.
        spec: JobSpec,
        /// The job of the same specification that it takes up again, if it does.
        retry_of: Option<JobId>,
        /// The items of each stage, where they are known before an earlier stage is done.
        items: Vec<Option<u64>>,
        /// Answers that need not be computed, of these stages.
        kept: Vec<KeptRun>,
    },
    /// A submitter wants a job ended; harmless when it has ended.
    CancelRequested {
        /// Whom to answer.
        request: RequestId,
        /// The job.
        job: JobId,
    },
    /// A submitter wants an ended job forgotten; one that runs stays.
    RemoveRequested {
        /// Whom to answer.
        request: RequestId,
        /// The job.
        job: JobId,
    },
    /// A submitter wants nothing of a job handed out for now; harmless when it has ended.
    PauseRequested {
        /// Whom to answer.
        request: RequestId,
        /// The job.
        job: JobId,
    },
    /// A submitter wants a paused job to go on; harmless when it does, or has ended.
    ResumeRequested {
        /// Whom to answer.
        request: RequestId,
        /// The job.
        job: JobId,
    },
    /// A submitter orders its jobs; harmless when the job has ended.
    PriorityRequested {
        /// Whom to answer.
        request: RequestId,
        /// The job.
        job: JobId,
        /// Its priority from now on.
        priority: i32,
    },
    /// A submitter's terms are these from now on, durably.
    SubmitterSet {
        /// The submitter.
        submitter: SubmitterId,
        /// Its terms.
        terms: SubmitterTerms,
    },
    /// Somebody wants to know.
    Asked {
        /// Whom to answer.
        request: RequestId,
        /// What about.
        question: Question,
    },
    /// A worker was admitted. Its leases that are not named are lost.
    WorkerConnected {
        /// Its key.
        worker: WorkerId,
        /// What it says it holds.
        held: Vec<(LeaseClaims, LeaseToken)>,
    },
    /// A worker's stream ended. Its leases stand until they expire.
    WorkerDisconnected {
        /// Its key.
        worker: WorkerId,
    },
    /// A worker said what it can take.
    CapacityOffered {
        /// Its key.
        worker: WorkerId,
        /// Replaces the last one.
        capacity: Capacity,
    },
    /// A worker spoke for its leases.
    Heartbeat {
        /// Its key.
        worker: WorkerId,
        /// Which.
        attempts: Vec<AttemptId>,
        /// What it computes now: nothing else that it holds.
        running: Vec<AttemptId>,
    },
    /// A worker returned results: what follows from all of them is one batch of records. The outputs
    /// of each are one for each item, and durable when they are a blob.
    ResultsReturned {
        /// Its key.
        worker: WorkerId,
        /// The results.
        results: Vec<UnitResult>,
    },
    /// A worker gave leases back.
    Released {
        /// Its key.
        worker: WorkerId,
        /// Which.
        attempts: Vec<AttemptId>,
        /// Why.
        reason: ReleaseReason,
    },
    /// The answer to [`Action::Reduce`]: the output's blobs are durable.
    StageReduced {
        /// The job.
        job: JobId,
        /// The stage.
        stage: StageIndex,
        /// The output.
        outputs: Vec<StageOutput>,
        /// The items of each stage that waits for this one; of none, if one of them has none.
        next: Result<Vec<Opening>, UnfitInput>,
        /// Answers that need not be computed, of the stages that wait for this one.
        kept: Vec<KeptRun>,
    },
    /// A stage cannot go on: its input cannot be read, or its results cannot be combined.
    StageFailed {
        /// The job.
        job: JobId,
        /// The stage.
        stage: StageIndex,
        /// Which stage, and why, in a sentence for the submitter.
        reason: String,
    },
    /// Every batch up to this one is durable.
    Persisted {
        /// The last batch.
        through: Sequence,
    },
}

/// A stage cannot cut the output of the one that it comes after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfitInput {
    /// Which stage, and why, in a sentence for the submitter.
    pub reason: String,
}

/// What somebody may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// One job.
    Job(JobId),
    /// Why something is as it is.
    Why(Subject),
    /// All jobs, newest first.
    Jobs,
    /// What runs of a job.
    Leases {
        /// The job.
        job: JobId,
        /// The number of the first unit to look at.
        from: u64,
    },
    /// All workers connected.
    Workers,
    /// What an owner's jobs take.
    Usage(Owner),
}

/// Something to be done. Everything but [`Action::Persist`] comes out only once the records it
/// may depend on are durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Commit these records, all or none, after those of every earlier batch.
    Persist {
        /// The batch's number.
        sequence: Sequence,
        /// Its records.
        records: Vec<Record>,
    },
    /// Send leases to a worker, with their inputs.
    Grant {
        /// The worker.
        worker: WorkerId,
        /// The leases.
        grants: Vec<Grant>,
    },
    /// Tell a worker that results need not be sent again.
    Acknowledge {
        /// The worker.
        worker: WorkerId,
        /// Which.
        attempts: Vec<AttemptId>,
    },
    /// Tell a worker to end attempts.
    Withdraw {
        /// The worker.
        worker: WorkerId,
        /// Which.
        attempts: Vec<AttemptId>,
        /// Why.
        reason: WithdrawReason,
    },
    /// Combine a stage's settled results into its output; answered by [`Event::StageReduced`] or
    /// [`Event::StageFailed`].
    Reduce {
        /// The job.
        job: JobId,
        /// The stage.
        stage: StageIndex,
        /// How many items it has.
        items: u64,
    },
    /// Answer a request.
    Reply {
        /// Which.
        request: RequestId,
        /// The answer.
        reply: Reply,
    },
    /// Notices wait to be delivered: those of [`Record::NoticeDue`].
    Notify,
    /// A job's snapshot has a new version.
    JobChanged {
        /// The job.
        job: JobId,
        /// Its version.
        version: u64,
    },
}

/// A lease without its inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What the lease allows.
    pub claims: LeaseClaims,
    /// The MAC over the claims.
    pub token: LeaseToken,
    /// How long it lasts.
    pub duration: Duration,
}

/// An answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The job was taken, now or before.
    Submitted(JobId),
    /// The job was not taken: it would go over a quota of its owner.
    OverQuota(OverQuota),
    /// The submission was taken before, as this job, which is another one.
    SubmittedOther(JobId),
    /// One job.
    Job(Box<JobSnapshot>),
    /// There is no such job.
    UnknownJob(JobId),
    /// The job is there no more.
    Removed(JobId),
    /// The job was removed before; so was the one that a submission names.
    WasRemoved {
        /// The job.
        job: JobId,
        /// Whose it was.
        owner: Owner,
    },
    /// Why, in a few sentences.
    Why(Vec<String>),
    /// All jobs, newest first.
    Jobs(Vec<JobSnapshot>),
    /// What runs of a job.
    Leases {
        /// The job.
        job: Box<JobSnapshot>,
        /// In the order of units.
        leases: Vec<LeaseSnapshot>,
        /// The unit to go on from, when there are more.
        next: Option<u64>,
    },
    /// All workers connected.
    Workers(Vec<WorkerSnapshot>),
    /// What an owner's jobs take.
    Usage(Usage),
}

/// A job at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSnapshot {
    /// Its id.
    pub job: JobId,
    /// Whose it is.
    pub owner: Owner,
    /// Its submitter's name for it.
    pub name: String,
    /// The job that it takes up again, if it does; that one may have been removed since.
    pub retry_of: Option<JobId>,
    /// The job that takes it up again, for as long as that one is there.
    pub retried_by: Option<JobId>,
    /// Grows with each change.
    pub version: u64,
    /// When it was taken.
    pub submitted_at: Timestamp,
    /// Among its owner's jobs those of higher priority go first.
    pub priority: i32,
    /// Since when nothing of it is handed out, while it is paused.
    pub paused_at: Option<Timestamp>,
    /// How and when it ended, if it has.
    pub end: Option<(JobEnd, Timestamp)>,
    /// When it is removed by itself, once it has ended; never when it is kept for ever.
    pub kept_until: Option<Timestamp>,
    /// Its stages in order.
    pub stages: Vec<StageSnapshot>,
}

/// Where a stage stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageState {
    /// It waits for an earlier stage.
    Blocked,
    /// Its units are waiting or running.
    Open,
    /// All its units are settled and its output is being put together.
    Reducing,
    /// Its output is there.
    Done,
}

/// A stage at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct StageSnapshot {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: StageState,
    /// Its items; unknown before it opens.
    pub items: Option<u64>,
    /// Items of settled units, and of answers taken over.
    pub items_settled: u64,
    /// Items whose answers were taken over from earlier jobs.
    pub items_kept: u64,
    /// Items that gave no output.
    pub items_failed: u64,
    /// Settled units.
    pub units_settled: u64,
    /// Attempts leased now.
    pub attempts_leased: u64,
    /// Those of them that run, as far as their workers have said.
    pub attempts_running: u64,
    /// Attempts that ended without an answer.
    pub attempts_inconclusive: u64,
    /// CPU time of the attempts that settled units.
    pub cpu: Duration,
    /// CPU time of the attempts that ended without an answer.
    pub cpu_unanswered: Duration,
    /// What its split function made of an earlier stage's output.
    pub made: Option<BlobRef>,
    /// The files of its output, once done.
    pub outputs: Vec<StageOutput>,
}

impl StageSnapshot {
    /// CPU time of all attempts that count: those that settled units, and those without an answer.
    pub fn cpu_in_all(&self) -> Duration {
        self.cpu.saturating_add(self.cpu_unanswered)
    }
}

/// A lease at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseSnapshot {
    /// The attempt it allows.
    pub attempt: AttemptId,
    /// Who holds it.
    pub worker: WorkerId,
    /// When it was granted, or adopted after a restart.
    pub leased_at: Timestamp,
    /// Since when it is known to run, if it does.
    pub running_since: Option<Timestamp>,
}

/// A worker at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerSnapshot {
    /// Its key.
    pub worker: WorkerId,
    /// Slots it offers.
    pub slots: u32,
    /// Leases it holds.
    pub leases: u64,
    /// Those of them that run, as far as it has said.
    pub running: u64,
    /// The memory it offers each slot.
    pub slot_memory_bytes: u64,
    /// Results accepted from it since the coordinator started.
    pub results: u64,
    /// The CPU time of those results.
    pub cpu: Duration,
    /// When it connected.
    pub connected_at: Timestamp,
}
