//! A job: its stages in order, and how it ends.
//!
//! ```text
//! Running ──every stage done────────────────────────► Done
//!    │ ▲   (pause: nothing more is handed out; what runs may finish and counts)
//!    │ └─resume─ Paused
//!    ├──a unit settles as a failure or finds no answer
//!    │  and the job does not go on then, or an output
//!    │  cannot be put together───────────────────────► Failed
//!    └──its submitter ends it────────────────────────► Cancelled
//! ```
//! Whatever has ended stays as it ended. It may be taken up again by another job (`retry.rs`), or
//! removed (`removal.rs`).

use gleaner_protocol::{
    AttemptId, BlobHash, BlobRef, JobId, JobSpec, Notify, StageIndex, SubmissionId, Timestamp,
    UnitId,
};

use crate::notices::Movement;
use crate::stage::Stage;
use crate::unit::Unit;
use crate::{
    FirstNumbers, JobEnd, JobSnapshot, KeptRun, LeaseSnapshot, Owner, RecoveredJob, StageState,
};

/// How many leased units are told of at one time, so that no answer grows with the job.
const UNITS_TOLD_MAX: usize = 1000;

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) submission: SubmissionId,
    pub(crate) owner: Owner,
    /// The job that it takes up again, if it does; its id is smaller.
    pub(crate) retry_of: Option<JobId>,
    /// The job that takes it up again, for as long as that one is there; its id is larger.
    pub(crate) retried_by: Option<JobId>,
    pub(crate) quorum: u32,
    pub(crate) max_attempts: u32,
    pub(crate) stages: Vec<Stage>,
    pub(crate) priority: i32,
    /// While it is paused: since when.
    pub(crate) paused_at: Option<Timestamp>,
    pub(crate) end: Option<(JobEnd, Timestamp)>,
    /// Whether it moves.
    pub(crate) movement: Movement,
    /// The number of the next unit to be cut.
    pub(crate) next_unit: u64,
    spec: JobSpec,
    submitted_at: Timestamp,
    version: u64,
}

impl Job {
    pub(crate) fn new(
        id: JobId,
        submission: SubmissionId,
        owner: Owner,
        spec: JobSpec,
        retry_of: Option<JobId>,
        now: Timestamp,
    ) -> Self {
        let indices = (0..).map(StageIndex);
        let stages = indices.zip(&spec.stages).map(|(index, stage)| Stage::new(index, stage));
        Self {
            id,
            submission,
            owner,
            retry_of,
            retried_by: None,
            quorum: spec.quorum.get(),
            max_attempts: spec.max_attempts.get(),
            stages: stages.collect(),
            priority: spec.priority,
            paused_at: None,
            end: None,
            movement: Movement::since(now),
            next_unit: 0,
            spec,
            submitted_at: now,
            version: 1,
        }
    }

    /// The job as its records left it.
    pub(crate) fn recover(recovered: RecoveredJob, first: FirstNumbers, now: Timestamp) -> Self {
        let RecoveredJob { job, submission, owner, spec, submitted_at, end, stages, .. } =
            recovered;
        let RecoveredJob { priority, paused_at, retry_of, movement, .. } = recovered;
        let mut recovered = Self::new(job, submission, owner, spec, retry_of, submitted_at);
        let blocks = stages.iter().flat_map(|stage| &stage.blocks);
        recovered.next_unit = blocks.map(crate::Block::end_unit).max().unwrap_or(0);
        for (stage, from) in recovered.stages.iter_mut().zip(stages) {
            stage.recover(from, recovered.quorum, first);
            if end.is_some() {
                stage.abandon();
            }
        }
        recovered.priority = priority.unwrap_or(recovered.priority);
        recovered.paused_at = paused_at.filter(|_| end.is_none());
        recovered.end = end;
        recovered.movement = Movement::recover(movement, recovered.notify().stall_after, now);
        recovered
    }

    /// Whether `spec` is what was submitted.
    pub(crate) fn is_of(&self, spec: &JobSpec) -> bool {
        self.spec == *spec
    }

    pub(crate) fn is_running(&self) -> bool {
        self.end.is_none()
    }

    /// Whether units of it may be handed out.
    pub(crate) fn takes_turns(&self) -> bool {
        self.is_running() && self.paused_at.is_none()
    }

    pub(crate) fn stage_mut(&mut self, stage: StageIndex) -> Option<&mut Stage> {
        self.stages.get_mut(usize::try_from(stage.0).ok()?)
    }

    pub(crate) fn stage(&self, stage: StageIndex) -> Option<&Stage> {
        self.stages.get(usize::try_from(stage.0).ok()?)
    }

    /// Stages that wait for `earlier`.
    pub(crate) fn stages_after(&self, earlier: StageIndex) -> Vec<StageIndex> {
        self.spec.stages_after(earlier).collect()
    }

    /// The name of the question that an open stage asks.
    pub(crate) fn answers_key(&self, stage: StageIndex) -> BlobHash {
        let spec = &self.spec.stages[stage.0 as usize];
        let earlier = spec.splitter.earlier_stage().and_then(|earlier| self.stage(earlier));
        let made = self.stage(stage).and_then(Stage::made).map(|blob| blob.hash);
        spec.answers_key(spec.splitter.read_from(earlier.and_then(Stage::output), made))
    }

    /// The stage that a stage takes its input from.
    pub(crate) fn input_stage(&self, stage: StageIndex) -> Option<StageIndex> {
        self.spec.stages.get(stage.0 as usize)?.splitter.earlier_stage()
    }

    pub(crate) fn name(&self) -> &str {
        &self.spec.name
    }

    pub(crate) fn notify(&self) -> &Notify {
        &self.spec.notify
    }

    /// How many items of all its stages are settled, and how many of these gave no output.
    pub(crate) fn items_settled(&self) -> (u64, u64) {
        let sum =
            |count: fn(&Stage) -> u64| self.stages.iter().map(count).fold(0, u64::saturating_add);
        (sum(Stage::items_settled), sum(Stage::items_failed))
    }

    pub(crate) fn stage_name(&self, stage: StageIndex) -> &str {
        &self.spec.stages[stage.0 as usize].name
    }

    pub(crate) fn all_stages_done(&self) -> bool {
        self.stages.iter().all(|stage| stage.state() == StageState::Done)
    }

    pub(crate) fn attempts_leased(&self) -> u64 {
        self.stages.iter().map(Stage::attempts_leased).sum()
    }

    pub(crate) fn attempts_running(&self) -> u64 {
        self.stages.iter().map(Stage::attempts_running).sum()
    }

    /// Whether it took over the answers of `run`, which stay for as long as it does.
    pub(crate) fn has_kept(&self, run: &KeptRun) -> bool {
        self.stages.iter().any(|stage| stage.has_kept(run))
    }

    /// The blobs it refers to: what it was given and what has come out of it.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = BlobRef> {
        let outputs = self.stages.iter().flat_map(Stage::outputs).map(|output| output.blob);
        let made = self.stages.iter().filter_map(Stage::made);
        self.spec.blobs().chain(outputs).chain(made)
    }

    /// The leases of units numbered `from` or higher, in their order, and the unit to go on from
    /// when there are more than are told at once.
    pub(crate) fn leases(&self, from: u64) -> (Vec<LeaseSnapshot>, Option<u64>) {
        let stages = self.stages.iter();
        let mut units: Vec<_> =
            stages.flat_map(|stage| stage.leased(from).take(UNITS_TOLD_MAX + 1)).collect();
        units.sort_unstable_by_key(|(number, _)| *number);
        let next = units.get(UNITS_TOLD_MAX).map(|(number, _)| *number);
        units.truncate(UNITS_TOLD_MAX);
        let told = |(number, unit): (u64, &Unit)| {
            let unit_id = UnitId { job: self.id, number };
            let leases = unit.leases().iter().map(move |lease| LeaseSnapshot {
                attempt: AttemptId { unit: unit_id, number: lease.attempt },
                worker: lease.worker,
                leased_at: lease.leased_at,
                running_since: lease.running_since,
            });
            leases.collect::<Vec<_>>()
        };
        (units.into_iter().flat_map(told).collect(), next)
    }

    /// When it is removed by itself, once it has ended.
    pub(crate) fn kept_until(&self) -> Option<Timestamp> {
        let (_, ended_at) = self.end.as_ref()?;
        Some(*ended_at + self.spec.keep?)
    }

    /// Counts a change: the new version.
    pub(crate) fn touch(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    pub(crate) fn snapshot(&self) -> JobSnapshot {
        let stages = self.stages.iter().zip(&self.spec.stages);
        JobSnapshot {
            job: self.id,
            owner: self.owner,
            name: self.spec.name.clone(),
            retry_of: self.retry_of,
            retried_by: self.retried_by,
            version: self.version,
            submitted_at: self.submitted_at,
            priority: self.priority,
            paused_at: self.paused_at,
            end: self.end.clone(),
            kept_until: self.kept_until(),
            stages: stages.map(|(stage, spec)| stage.snapshot(&spec.name)).collect(),
        }
    }
}
