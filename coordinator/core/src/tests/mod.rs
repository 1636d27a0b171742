//! Event in, all actions out: the machine against tables, scenarios and random traffic.

mod locality;
mod notices;
mod orders;
mod recovery;
mod removal;
mod retry;
mod running;
mod scenarios;
mod shares;
mod states;
mod tail;
mod traffic;
mod turns;
mod why;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::num::NonZeroU32;
use std::time::Duration;

use gleaner_protocol::{
    Answers, AttemptId, BlobHash, BlobRef, Capacity, Epoch, FailureKind, Floats, ItemFailure,
    ItemRange, JobId, JobSpec, LeaseKey, Limits, Notify, OnFailure, Outcome, Payload, Reducer,
    Splitter, StageIndex, StageSpec, StageTask, SubmissionId, Timestamp, UnitResult, UnitSize,
    ValueMap, WorkerId,
};

use crate::{
    Action, Config, Core, CutKind, Event, Grant, JobEnd, JobSnapshot, KeptRun, Owner, Question,
    Record, Recovered, Reply, RequestId, Sequence,
};

pub(crate) const SEARCH: StageIndex = StageIndex(0);

/// A core with a store that commits when told, and workers that remember what they were given.
pub(crate) struct Lab {
    pub(crate) core: Core,
    pub(crate) now: Timestamp,
    pub(crate) durable: Vec<Record>,
    pub(crate) pending: Vec<(Sequence, Vec<Record>)>,
    pub(crate) held: BTreeMap<WorkerId, Vec<Grant>>,
    pub(crate) replies: BTreeMap<u64, Reply>,
    pub(crate) reductions: Vec<(JobId, StageIndex)>,
    pub(crate) said: String,
    requests: u64,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::recovered(Recovered::default(), Epoch(1), Timestamp::from_millis(1_000))
    }

    pub(crate) fn recovered(recovered: Recovered, epoch: Epoch, now: Timestamp) -> Self {
        let key = LeaseKey::new([7; 32]);
        Self {
            core: Core::recover(Config::default(), key, epoch, recovered, now),
            now,
            durable: Vec::new(),
            pending: Vec::new(),
            held: BTreeMap::new(),
            replies: BTreeMap::new(),
            reductions: Vec::new(),
            said: String::new(),
            requests: 0,
        }
    }

    /// Feeds one event, commits what it asks for and does what it says.
    pub(crate) fn feed(&mut self, event: Event) {
        self.core.handle_event(self.now, event);
        self.settle_down();
    }

    pub(crate) fn advance(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.core.handle_timeout(self.now);
        self.settle_down();
    }

    fn settle_down(&mut self) {
        self.drain();
        while let Some((through, _)) = self.pending.last() {
            let through = *through;
            self.commit(through);
        }
        self.core.check_invariants();
    }

    /// Makes pending batches durable and tells the core.
    pub(crate) fn commit(&mut self, through: Sequence) {
        for (_, records) in self.pending.extract_if(.., |(sequence, _)| *sequence <= through) {
            self.durable.extend(records);
        }
        self.core.handle_event(self.now, Event::Persisted { through });
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        while let Some(action) = self.core.poll_action() {
            self.do_action(action);
        }
    }

    fn do_action(&mut self, action: Action) {
        let said = describe(&action);
        writeln!(self.said, "{said}").expect("a string can be written to");
        match action {
            Action::Persist { sequence, records } => self.pending.push((sequence, records)),
            Action::Grant { worker, grants } => self.held.entry(worker).or_default().extend(grants),
            Action::Acknowledge { worker, attempts }
            | Action::Withdraw { worker, attempts, .. } => {
                let held = self.held.entry(worker).or_default();
                held.retain(|grant| !attempts.contains(&grant.claims.attempt));
            }
            Action::Reduce { job, stage, .. } => self.reductions.push((job, stage)),
            Action::Reply { request, reply } => {
                self.replies.insert(request.0, reply);
            }
            Action::Notify | Action::JobChanged { .. } => {}
        }
    }

    /// What was said since the last call, a line for each action.
    pub(crate) fn said(&mut self) -> String {
        std::mem::take(&mut self.said)
    }

    pub(crate) fn request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    pub(crate) fn submit(&mut self, spec: JobSpec) -> JobId {
        self.submit_with(spec, Vec::new())
    }

    /// Submits a job of the operator's that takes answers over.
    pub(crate) fn submit_with(&mut self, spec: JobSpec, kept: Vec<KeptRun>) -> JobId {
        match self.put(Owner::Operator, spec, None, kept) {
            Reply::Submitted(job) => job,
            other => panic!("a submission is answered with its job, not {other:?}"),
        }
    }

    pub(crate) fn submit_for(&mut self, owner: Owner, spec: JobSpec) -> Reply {
        self.put(owner, spec, None, Vec::new())
    }

    /// Takes a job of the operator's up again, with answers that it takes over.
    pub(crate) fn retry(&mut self, retried: JobId, spec: JobSpec, kept: Vec<KeptRun>) -> Reply {
        self.put(Owner::Operator, spec, Some(retried), kept)
    }

    fn put(
        &mut self,
        owner: Owner,
        spec: JobSpec,
        retry_of: Option<JobId>,
        kept: Vec<KeptRun>,
    ) -> Reply {
        let request = self.request();
        let submission = SubmissionId(u128::from(request.0));
        let items = spec.stages.iter().map(|stage| match stage.splitter.earlier_stage() {
            Some(_) => None,
            None => stage.item_count(),
        });
        let items = items.collect();
        self.feed(Event::JobSubmitted { request, submission, owner, spec, retry_of, items, kept });
        self.replies.remove(&request.0).expect("a submission is answered")
    }

    pub(crate) fn pause(&mut self, job: JobId) {
        let request = self.request();
        self.feed(Event::PauseRequested { request, job });
    }

    pub(crate) fn remove(&mut self, job: JobId) -> Reply {
        let request = self.request();
        self.feed(Event::RemoveRequested { request, job });
        self.replies.remove(&request.0).expect("a removal is answered")
    }

    pub(crate) fn resume(&mut self, job: JobId) {
        let request = self.request();
        self.feed(Event::ResumeRequested { request, job });
    }

    pub(crate) fn prioritise(&mut self, job: JobId, priority: i32) {
        let request = self.request();
        self.feed(Event::PriorityRequested { request, job, priority });
    }

    pub(crate) fn connect(&mut self, number: u8, units: u32) -> WorkerId {
        let worker = worker(number);
        let held = self.held.entry(worker).or_default();
        let held = held.iter().map(|grant| (grant.claims.clone(), grant.token)).collect();
        self.feed(Event::WorkerConnected { worker, held });
        self.offer(worker, units);
        worker
    }

    pub(crate) fn offer(&mut self, worker: WorkerId, units: u32) {
        self.offer_with(worker, units, u64::MAX);
    }

    /// Offers a slot with so much memory.
    pub(crate) fn offer_with(&mut self, worker: WorkerId, units: u32, slot_memory_bytes: u64) {
        let capacity = Capacity { slots: 1, units, slot_memory_bytes };
        self.feed(Event::CapacityOffered { worker, capacity });
    }

    /// The worker's oldest lease.
    pub(crate) fn lease(&self, worker: WorkerId) -> Grant {
        self.held[&worker].first().expect("the worker holds a lease").clone()
    }

    pub(crate) fn answer(&mut self, worker: WorkerId, grant: &Grant, outcome: Outcome) {
        self.feed(Event::ResultsReturned { worker, results: vec![result(grant, outcome)] });
    }

    pub(crate) fn job(&mut self, job: JobId) -> JobSnapshot {
        let request = self.request();
        self.feed(Event::Asked { request, question: Question::Job(job) });
        match self.replies.remove(&request.0) {
            Some(Reply::Job(snapshot)) => *snapshot,
            other => panic!("a known job is answered with its snapshot, not {other:?}"),
        }
    }

    pub(crate) fn end(&mut self, job: JobId) -> Option<JobEnd> {
        self.job(job).end.map(|(end, _)| end)
    }
}

pub(crate) fn result(grant: &Grant, outcome: Outcome) -> UnitResult {
    UnitResult {
        claims: grant.claims.clone(),
        token: grant.token,
        outcome,
        cpu: Duration::from_millis(100) * grant.claims.items.len() as u32,
        log: String::new(),
    }
}

pub(crate) fn worker(number: u8) -> WorkerId {
    WorkerId([number; 32])
}

/// One stage of `items` items, `unit_items` in a unit.
pub(crate) fn job_spec(items: i64, unit_items: u32, quorum: u32) -> JobSpec {
    let blob = BlobRef { hash: BlobHash([0; 32]), bytes: 1 };
    let task = StageTask {
        module: blob,
        function: "run".into(),
        parameters: ValueMap::new(),
        files: Vec::new(),
        limits: Limits::default(),
        seed: 0,
        floats: Floats::Plain,
        on_failure: OnFailure::Stop,
    };
    let stage = StageSpec {
        name: "search".into(),
        task,
        splitter: Splitter::Range { field: "index".into(), start: 0, end: items },
        unit_size: NonZeroU32::new(unit_items).map_or(UnitSize::Auto, UnitSize::Fixed),
        unit_items_max: None,
        reducer: Reducer::Files,
    };
    JobSpec {
        name: "test".into(),
        seed: 0,
        priority: 0,
        quorum: NonZeroU32::new(quorum).expect("a quorum is at least one"),
        max_attempts: NonZeroU32::new(2).expect("two is not zero"),
        answers: Answers::Kept,
        keep: None,
        notify: Notify::default(),
        stages: vec![stage],
    }
}

/// The same, for a job that goes on when an item fails.
pub(crate) fn going_on(items: i64, unit_items: u32, quorum: u32) -> JobSpec {
    let mut spec = job_spec(items, unit_items, quorum);
    spec.stages[0].task.on_failure = OnFailure::Continue;
    spec
}

/// The right outcome of a grant: one byte for each item.
pub(crate) fn right(grant: &Grant) -> Outcome {
    let items = (0..grant.claims.items.len()).map(|_| vec![1].into());
    Outcome::Completed { outputs: Payload::Inline(items.collect()), failures: Vec::new() }
}

/// An outcome of a grant in which every third item fails.
pub(crate) fn right_but_for_thirds(grant: &Grant) -> Outcome {
    let claims = &grant.claims;
    let failed = (claims.items.start..claims.items.end).filter(|item| item % 3 == 0);
    let failure = |item| ItemFailure { item, kind: FailureKind::Failed, message: "no".into() };
    let Outcome::Completed { outputs, .. } = right(grant) else { unreachable!("it is") };
    Outcome::Completed { outputs, failures: failed.map(failure).collect() }
}

pub(crate) fn wrong(grant: &Grant) -> Outcome {
    let items = (0..grant.claims.items.len()).map(|_| vec![2].into());
    Outcome::Completed { outputs: Payload::Inline(items.collect()), failures: Vec::new() }
}

fn describe(action: &Action) -> String {
    let list = |attempts: &[AttemptId]| {
        attempts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    match action {
        Action::Persist { records, .. } => {
            let records: Vec<_> = records.iter().map(describe_record).collect();
            format!("persist {}", records.join(", "))
        }
        Action::Grant { worker, grants } => {
            let grants = grants
                .iter()
                .map(|grant| format!("{} items {}", grant.claims.attempt, grant.claims.items));
            format!("grant w{}: {}", worker.0[0], grants.collect::<Vec<_>>().join(", "))
        }
        Action::Acknowledge { worker, attempts } => {
            format!("acknowledge w{}: {}", worker.0[0], list(attempts))
        }
        Action::Withdraw { worker, attempts, reason } => {
            format!("withdraw w{}: {} ({reason:?})", worker.0[0], list(attempts))
        }
        Action::Reduce { job, stage, .. } => format!("reduce {job} {stage}"),
        Action::Reply { reply: Reply::Submitted(job), .. } => format!("reply submitted {job}"),
        Action::Reply { .. } => "reply".into(),
        Action::Notify => "notify".into(),
        Action::JobChanged { job, .. } => format!("changed {job}"),
    }
}

fn describe_record(record: &Record) -> String {
    match record {
        Record::JobAccepted { job, .. } => format!("accepted {job}"),
        Record::AnswersKept { run, .. } => format!("kept items {} of {}", run.items, run.source),
        Record::StageOpened { opening, .. } => {
            format!("opened {} ({} items)", opening.stage, opening.items)
        }
        Record::BlockCut { block, .. } => {
            format!("cut {} units from {}", block.units, block.first_unit)
        }
        Record::AttemptOpened { attempt } => format!("opened {attempt}"),
        Record::ResultAccepted { opinion, .. } => format!("result {}", opinion.attempt),
        Record::AttemptInconclusive { attempt, .. } => format!("inconclusive {attempt}"),
        Record::UnitSettled { attempt, .. } => format!("settled by {attempt}"),
        Record::ItemSettled { item, unit, attempt: Some(attempt), .. } => {
            format!("item {item} settled by attempt {attempt} of {unit}")
        }
        Record::ItemSettled { item, unit, attempt: None, .. } => {
            format!("item {item} of {unit} given up")
        }
        Record::UnitReplaced { unit, .. } => format!("replaced {unit}"),
        Record::ItemsFailed { unit, failed, .. } => {
            let failed = failed.iter().map(|failed| format!("{}", failed.items));
            format!("failed {unit} ({})", failed.collect::<Vec<_>>().join(", "))
        }
        Record::StageDone { stage, .. } => format!("done {stage}"),
        Record::JobPaused { job, .. } => format!("paused {job}"),
        Record::JobResumed { job } => format!("resumed {job}"),
        Record::PrioritySet { job, priority } => format!("priority {priority} of {job}"),
        Record::JobMoved { job, .. } => format!("moved {job}"),
        Record::NoticeDue { notice, .. } => format!("notice {:?}", notice.occasion),
        Record::JobRemoved { job, .. } => format!("removed {job}"),
        Record::JobEnded { end, .. } => match end {
            JobEnd::Failed { reason, .. } => format!("failed: {reason}"),
            other => format!("ended: {other:?}"),
        },
    }
}
