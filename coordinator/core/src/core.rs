//! The coordinator's core: the five methods, and who handles what.

use std::collections::{BTreeMap, BTreeSet};

use gleaner_protocol::limits::{LEASES_HELD_MAX, SLOTS_MAX};
use gleaner_protocol::{
    Capacity, Epoch, JobId, JobSpec, LeaseKey, StageIndex, SubmissionId, Timestamp, WorkerId,
};

use crate::gate::Gate;
use crate::holdings::Holdings;
use crate::job::Job;
use crate::roster::Roster;
use crate::turns::Turns;
use crate::{
    Action, Config, Event, FirstNumbers, JobEnd, KeptRun, Opening, Owner, Question, Record,
    Recovered, RecoveredJob, RemovedJob, Reply, RequestId,
};

/// The coordinator's logic as one deterministic machine: events and the time in, actions out.
///
/// # Use
/// Feed [`Core::handle_event`] and [`Core::handle_timeout`], drain [`Core::poll_action`] after
/// each, and come back at [`Core::poll_timeout`]. After a commit that failed, or whose fate is
/// unknown, drop the core and build a new one with [`Core::recover`] from what the store holds.
#[derive(Debug)]
pub struct Core {
    pub(crate) config: Config,
    pub(crate) key: LeaseKey,
    pub(crate) epoch: Epoch,
    pub(crate) first: FirstNumbers,
    pub(crate) jobs: BTreeMap<JobId, Job>,
    pub(crate) running: BTreeSet<JobId>,
    /// Those running jobs of which it is told when they stand still.
    pub(crate) watched: BTreeSet<JobId>,
    /// Jobs that were removed, and whose they were.
    pub(crate) removed: BTreeMap<JobId, Owner>,
    /// Ended jobs that are not kept for ever, by when they go.
    pub(crate) lapses: BTreeSet<(Timestamp, JobId)>,
    /// What was ever submitted, as which job; removed ones too.
    pub(crate) submissions: BTreeMap<SubmissionId, JobId>,
    pub(crate) turns: Turns,
    pub(crate) roster: Roster,
    pub(crate) holdings: Holdings,
    /// When the restart's grace ends, while it lasts.
    pub(crate) grace_until: Option<Timestamp>,
    pub(crate) gate: Gate,
}

/// A job as it is submitted, with what is known of its stages.
struct Submitted {
    submission: SubmissionId,
    owner: Owner,
    spec: JobSpec,
    retry_of: Option<JobId>,
    items: Vec<Option<u64>>,
    kept: Vec<KeptRun>,
}

impl Core {
    /// A core over what the store holds; empty at first. `epoch` has never been used before and
    /// is durable already.
    pub fn recover(
        config: Config,
        key: LeaseKey,
        epoch: Epoch,
        recovered: Recovered,
        now: Timestamp,
    ) -> Self {
        let first = recovered.first;
        let job = |job: RecoveredJob| (job.job, Job::recover(job, first, now));
        let mut jobs: BTreeMap<_, _> = recovered.jobs.into_iter().map(job).collect();
        Self::note_retries(&mut jobs);
        let running: BTreeSet<_> =
            jobs.values().filter(|job| job.is_running()).map(|job| job.id).collect();
        let watched = jobs.values().filter(|job| job.is_watched()).map(|job| job.id).collect();
        let submissions = jobs.values().map(|job| (job.submission, job.id));
        let removed = recovered.removed.iter().map(RemovedJob::submission);
        let submissions = submissions.chain(removed).collect();
        let lapse = |job: &Job| job.kept_until().map(|until| (until, job.id));
        let lapses = jobs.values().filter_map(lapse).collect();
        let holdings = Self::holdings_of(&jobs);
        let roster = Roster::new(key.secret_number());
        let grace_until = (!running.is_empty()).then_some(now + config.restart_grace);
        let mut core = Self {
            config,
            key,
            epoch,
            first,
            jobs,
            running,
            watched,
            lapses,
            removed: recovered.removed.iter().map(RemovedJob::owner).collect(),
            submissions,
            turns: Turns::recover(recovered.submitters),
            roster,
            holdings,
            grace_until,
            gate: Gate::default(),
        };
        core.file_all();
        core.resume_reductions();
        core
    }

    /// Takes one event. Late, repeated and stale ones are harmless.
    pub fn handle_event(&mut self, now: Timestamp, event: Event) {
        match event {
            Event::JobSubmitted { request, submission, owner, spec, retry_of, items, kept } => {
                let submitted = Submitted { submission, owner, spec, retry_of, items, kept };
                self.on_job_submitted(now, request, submitted);
            }
            Event::SubmitterSet { submitter, terms } => self.turns.set(submitter, terms),
            Event::CancelRequested { request, job } => self.on_cancel(now, request, job),
            Event::RemoveRequested { request, job } => self.on_remove(now, request, job),
            Event::PauseRequested { request, job } => self.on_pause(now, request, job),
            Event::ResumeRequested { request, job } => self.on_resume(now, request, job),
            Event::PriorityRequested { request, job, priority } => {
                self.on_priority(now, request, job, priority);
            }
            Event::Asked { request, question } => self.on_question(now, request, question),
            Event::WorkerConnected { worker, held } => self.on_connected(now, worker, held),
            Event::WorkerDisconnected { worker } => self.on_disconnected(worker),
            Event::CapacityOffered { worker, capacity } => {
                self.on_capacity(now, worker, capacity);
            }
            Event::Heartbeat { worker, attempts, running } => {
                self.on_heartbeat(now, worker, &attempts, &running);
            }
            Event::ResultsReturned { worker, results } => self.on_results(now, worker, results),
            Event::Released { worker, attempts, reason } => {
                self.on_released(now, worker, &attempts, reason);
            }
            Event::StageReduced { job, stage, outputs, next, kept } => {
                self.on_stage_reduced(now, job, stage, outputs, next, &kept);
            }
            Event::StageFailed { job, stage, reason } => {
                self.on_stage_failed(now, job, stage, reason);
            }
            Event::Persisted { through } => self.gate.on_persisted(through),
        }
        self.assign(now);
        self.gate.close_batch();
    }

    /// Does what is due by `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.expire_leases(now);
        self.remove_lapsed(now);
        if self.grace_until.is_some_and(|until| until <= now) {
            self.end_grace();
        }
        self.tell_stalls(now);
        self.assign(now);
        self.gate.close_batch();
    }

    /// The next thing to be done, if there is one.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.gate.poll()
    }

    /// When to call [`Core::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let expiry = self.roster.next_expiry().map(|(at, _)| at);
        let pause = self.roster.next_pause_end();
        let late = self.next_late();
        [expiry, self.grace_until, pause, late, self.next_stall(), self.next_lapse()]
            .into_iter()
            .flatten()
            .min()
    }

    /// # Panics
    /// When the books do not agree with one another: a programmer's error.
    pub fn check_invariants(&self) {
        self.gate.check_invariants();
        for job in self.jobs.values() {
            assert!(job.is_running() || job.paused_at.is_none(), "{} ended paused", job.id);
            assert_eq!(job.is_running(), self.running.contains(&job.id), "{} misfiled", job.id);
            assert_eq!(job.is_watched(), self.watched.contains(&job.id), "{} misfiled", job.id);
            for stage in &job.stages {
                stage.check_invariants(job.quorum);
            }
            self.check_retry(job);
        }
        assert_eq!(self.holdings, Self::holdings_of(&self.jobs), "jobs and their blobs disagree");
        let kept = self.jobs.values().filter(|job| job.kept_until().is_some());
        assert_eq!(kept.count(), self.lapses.len(), "jobs and their lapses disagree");
        for job in self.submissions.values() {
            let known = [self.jobs.contains_key(job), self.removed.contains_key(job)];
            assert!(known[0] != known[1], "{job} is there and removed, or neither");
        }
        let leased: u64 = self.jobs.values().map(Job::attempts_leased).sum();
        let held = self.roster.leases_held() as u64;
        assert_eq!(held, leased, "sessions and units disagree about leases");
        let running: u64 = self.jobs.values().map(Job::attempts_running).sum();
        let said = self.roster.running() as u64;
        assert_eq!(said, running, "sessions and units disagree about what runs");
        self.roster.check_invariants();
        self.turns.check_invariants(self.jobs.values());
    }

    fn on_job_submitted(&mut self, now: Timestamp, request: RequestId, submitted: Submitted) {
        let Submitted { submission, owner, spec, retry_of, items, kept } = submitted;
        if let Some(job) = self.submissions.get(&submission) {
            let reply = match self.jobs.get(job).map(|known| known.is_of(&spec)) {
                Some(true) => Reply::Submitted(*job),
                Some(false) => Reply::SubmittedOther(*job),
                None => self.absent(*job),
            };
            return self.gate.speak(Action::Reply { request, reply });
        }
        if let Some(reply) = retry_of.and_then(|retried| self.without_new_retry(retried)) {
            return self.gate.speak(Action::Reply { request, reply });
        }
        if let Some(over) = self.over_quota(owner, spec.blobs()) {
            let reply = Reply::OverQuota(over);
            return self.gate.speak(Action::Reply { request, reply });
        }
        self.holdings.add(owner, spec.blobs());
        let id = self.next_job();
        self.gate.record(Record::JobAccepted {
            job: id,
            submission,
            owner,
            spec: spec.clone(),
            retry_of,
            at: now,
        });
        let mut job = Job::new(id, submission, owner, spec, retry_of, now);
        let old = retry_of.and_then(|retried| self.jobs.get(&retried));
        if let Some(old) = old.filter(|old| old.priority != job.priority) {
            job.priority = old.priority;
            self.gate.record(Record::PrioritySet { job: id, priority: old.priority });
        }
        if job.is_watched() {
            self.watched.insert(id);
            self.gate.record(Record::JobMoved { job: id, at: now });
        }
        self.jobs.insert(id, job);
        self.running.insert(id);
        self.submissions.insert(submission, id);
        self.set_retried_by(retry_of, Some(id));
        for (stage, items) in (0..).map(StageIndex).zip(items) {
            if let Some(items) = items {
                let opening = Opening { stage, items, unit_items_max: None, made: None };
                self.open_stage(id, opening, &kept);
            }
        }
        self.file(id);
        self.gate.speak(Action::Reply { request, reply: Reply::Submitted(id) });
    }

    fn on_cancel(&mut self, now: Timestamp, request: RequestId, id: JobId) {
        if self.running.contains(&id) {
            self.end_job(now, id, JobEnd::Cancelled);
        }
        self.on_question(now, request, Question::Job(id));
    }

    pub(crate) fn on_question(&mut self, now: Timestamp, request: RequestId, question: Question) {
        let reply = match question {
            Question::Job(id) => match self.jobs.get(&id) {
                Some(job) => Reply::Job(Box::new(job.snapshot())),
                None => self.absent(id),
            },
            Question::Why(subject) => self.why(now, subject),
            Question::Leases { job, from } => self.leases_of(job, from),
            Question::Jobs => Reply::Jobs(self.jobs.values().rev().map(Job::snapshot).collect()),
            Question::Usage(owner) => Reply::Usage(self.usage(owner)),
            Question::Workers => {
                let sessions = self.roster.connected();
                Reply::Workers(sessions.filter_map(|(id, session)| session.snapshot(id)).collect())
            }
        };
        self.gate.speak(Action::Reply { request, reply });
    }

    fn leases_of(&self, id: JobId, from: u64) -> Reply {
        let Some(job) = self.jobs.get(&id) else { return self.absent(id) };
        let (leases, next) = job.leases(from);
        Reply::Leases { job: Box::new(job.snapshot()), leases, next }
    }

    fn on_capacity(&mut self, now: Timestamp, worker: WorkerId, capacity: Capacity) {
        let capacity = Capacity {
            slots: capacity.slots.min(SLOTS_MAX),
            units: capacity.units.min(LEASES_HELD_MAX as u32),
            ..capacity
        };
        self.roster.offer(now, worker, capacity, self.config.lease_duration);
    }

    pub(crate) fn touch(&mut self, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id) {
            let version = job.touch();
            self.file(id);
            self.gate.speak(Action::JobChanged { job: id, version });
        }
    }
}
