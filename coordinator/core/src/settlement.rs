//! Where results are accepted and settled, and what follows from it.
//!
//! A result is **accepted** when it is recorded, and its unit is **settled** when the quorum's
//! opinions agree: both in one batch of records where the quorum is one. The last settled unit of
//! a stage sends the stage to its reducer; the last stage's output ends the job. A unit that
//! settles as a failure fails its job: the same failure would come back from every machine.

use gleaner_protocol::{
    AttemptId, ItemRange, JobId, OutcomeClass, StageIndex, Timestamp, UnitId, UnitResult,
    WithdrawReason, WorkerId,
};

use crate::core::Core;
use crate::stage::LastUnit;
use crate::unit::Agreement;
use crate::{Action, FailureCause, JobEnd, KeptRun, Opinion, Record, StageOutput, StageState};

impl Core {
    pub(crate) fn on_result(&mut self, now: Timestamp, worker: WorkerId, result: UnitResult) {
        let claims = &result.claims;
        let (attempt, items) = (claims.attempt, claims.items);
        if claims.worker != worker || !self.key.verifies(claims, &result.token) {
            return self.withdraw(worker, vec![attempt], WithdrawReason::UnknownLease);
        }
        let stage = claims.stage;
        if self.wants_result(claims) {
            match result.outcome.class() {
                OutcomeClass::Inconclusive => {
                    self.on_inconclusive(now, worker, attempt, stage, result);
                }
                class => {
                    let answer = result.outcome.answer();
                    let opinion = Opinion { attempt, worker, answer, class, cpu: result.cpu };
                    self.accept(now, stage, items, opinion, result);
                }
            }
        }
        self.end_lease(worker, attempt, stage);
        self.gate.speak(Action::Acknowledge { worker, attempts: vec![attempt] });
    }

    fn accept(
        &mut self,
        now: Timestamp,
        stage: StageIndex,
        items: ItemRange,
        opinion: Opinion,
        result: UnitResult,
    ) {
        if let Some(session) = self.sessions.get_mut(&opinion.worker) {
            session.results += 1;
            session.cpu += opinion.cpu;
        }
        self.end_lease(opinion.worker, opinion.attempt, stage);
        let UnitResult { outcome, log, .. } = result;
        let words = outcome.to_string();
        self.gate.record(Record::ResultAccepted { opinion, outcome, log });
        let id = opinion.unit();
        let job = self.jobs.get_mut(&id.job).expect("a wanted result is of a known job");
        let quorum = job.quorum;
        let books = job.stage_mut(stage).expect("a wanted result is of a known stage");
        let unit = books.unit_mut(id.number).expect("a wanted result is of a unit in flight");
        let agreement = unit.on_opinion(opinion, quorum);
        let opinions = unit.opinions().len();
        books.refresh(id.number, quorum);
        match agreement {
            Agreement::Settled(class) => {
                self.settle(stage, items, opinion);
                if class == OutcomeClass::Failure {
                    let reason = format!("{id} (items {items}): {words}");
                    let cause = FailureCause::Task { unit: id.number };
                    self.end_job(now, id.job, JobEnd::Failed { reason, cause });
                }
            }
            Agreement::Open if opinions >= opinions_max(quorum) => {
                let reason = format!(
                    "{id} (items {items}): {opinions} workers gave answers, no {quorum} of them \
                     the same; the task may depend on something other than its input"
                );
                let cause = FailureCause::NoAgreement { unit: id.number };
                self.end_job(now, id.job, JobEnd::Failed { reason, cause });
            }
            Agreement::Open => {}
        }
        self.touch(id.job);
    }

    /// Makes an opinion the unit's result, for ever.
    fn settle(&mut self, stage: StageIndex, items: ItemRange, opinion: Opinion) {
        let id = opinion.unit();
        let attempt = opinion.attempt;
        self.gate.record(Record::UnitSettled { stage, items, attempt });
        self.withdraw_unit(id, stage, WithdrawReason::Settled);
        let job = self.jobs.get_mut(&id.job).expect("a settling unit is of a known job");
        let books = job.stage_mut(stage).expect("a settling unit is of a known stage");
        let last = books.settle(id.number, opinion.cpu);
        let items = books.items_settled();
        if last == LastUnit::Yes && opinion.class == OutcomeClass::Completed {
            self.gate.speak(Action::Reduce { job: id.job, stage, items });
        }
    }

    fn on_inconclusive(
        &mut self,
        now: Timestamp,
        worker: WorkerId,
        attempt: AttemptId,
        stage: StageIndex,
        result: UnitResult,
    ) {
        self.end_lease(worker, attempt, stage);
        let UnitResult { outcome, log, .. } = result;
        let words = outcome.to_string();
        self.gate.record(Record::AttemptInconclusive { attempt, worker, outcome, log });
        let id = attempt.unit;
        let job = self.jobs.get_mut(&id.job).expect("a wanted result is of a known job");
        let max_attempts = job.max_attempts;
        let books = job.stage_mut(stage).expect("a wanted result is of a known stage");
        books.note_inconclusive();
        let unit = books.unit_mut(id.number).expect("a wanted result is of a unit in flight");
        let attempts = unit.on_inconclusive(attempt.number, worker);
        if attempts >= max_attempts as usize {
            let reason =
                format!("{id}: {attempts} attempts ended without an answer, the last one: {words}");
            let cause = FailureCause::NoAnswer { unit: id.number };
            self.end_job(now, id.job, JobEnd::Failed { reason, cause });
        }
        self.touch(id.job);
    }

    pub(crate) fn on_stage_reduced(
        &mut self,
        now: Timestamp,
        id: JobId,
        stage: StageIndex,
        outputs: Vec<StageOutput>,
        kept: &[KeptRun],
    ) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.is_running()) else { return };
        let Some(books) = job.stage_mut(stage) else { return };
        if books.state() != StageState::Reducing {
            return;
        }
        books.finish(outputs.clone());
        let next = job.stages_after(stage);
        let done = job.all_stages_done();
        self.gate.record(Record::StageDone { job: id, stage, outputs });
        for stage in next {
            self.open_stage(id, stage, 1, kept);
        }
        if done {
            self.end_job(now, id, JobEnd::Done);
        }
        self.touch(id);
    }

    pub(crate) fn on_stage_failed(
        &mut self,
        now: Timestamp,
        id: JobId,
        stage: StageIndex,
        reason: &str,
    ) {
        let Some(job) = self.jobs.get(&id).filter(|job| job.is_running()) else { return };
        if job.stage(stage).is_none() {
            return;
        }
        let reason = format!("stage `{}`: {reason}", job.stage_name(stage));
        self.end_job(now, id, JobEnd::Failed { reason, cause: FailureCause::Stage });
    }

    /// Opens a stage with the answers of `kept` that are its own; one that has all goes to its
    /// reducer at once.
    pub(crate) fn open_stage(
        &mut self,
        id: JobId,
        stage: StageIndex,
        items: u64,
        kept: &[KeptRun],
    ) {
        let kept = self.usable(stage, items, kept);
        let job = self.jobs.get_mut(&id).expect("a stage is opened of a known job");
        let answers = job.answers_key(stage);
        let books = job.stage_mut(stage).expect("a known stage is opened");
        books.open(items, kept.clone());
        let state = books.state();
        self.gate.record(Record::StageOpened { job: id, stage, items, answers });
        for run in kept {
            self.gate.record(Record::AnswersKept { job: id, run });
        }
        if state == StageState::Reducing {
            self.gate.speak(Action::Reduce { job: id, stage, items });
        }
    }

    /// Answers were looked up before this event: those of a job removed since are of no use.
    fn usable(&self, stage: StageIndex, items: u64, kept: &[KeptRun]) -> Vec<KeptRun> {
        let mut end = 0;
        let usable = |run: &&KeptRun| {
            let fits = run.stage == stage
                && run.items.start >= end
                && run.items.end <= items
                && !run.items.is_empty()
                && self.jobs.contains_key(&run.source);
            if fits {
                end = run.items.end;
            }
            fits
        };
        kept.iter().filter(usable).copied().collect()
    }

    /// Ends a job that runs: nothing more is handed out, and what runs is withdrawn.
    pub(crate) fn end_job(&mut self, now: Timestamp, id: JobId, end: JobEnd) {
        if !self.running.remove(&id) {
            return;
        }
        let job = self.jobs.get(&id).expect("a running job is known");
        let open: Vec<_> = (0..)
            .map(StageIndex)
            .zip(&job.stages)
            .flat_map(|(index, stage)| stage.units().map(move |(number, _)| (index, number)))
            .collect();
        for (stage, number) in open {
            self.withdraw_unit(UnitId { job: id, number }, stage, WithdrawReason::JobEnded);
        }
        let job = self.jobs.get_mut(&id).expect("a running job is known");
        for stage in &mut job.stages {
            stage.abandon();
        }
        job.paused_at = None;
        job.end = Some((end.clone(), now));
        self.gate.record(Record::JobEnded { job: id, end, at: now });
        self.touch(id);
    }

    /// After a restart: stages whose units were all settled go to their reducers again.
    pub(crate) fn resume_reductions(&mut self) {
        for id in &self.running {
            let stages = (0..).map(StageIndex).zip(&self.jobs[id].stages);
            for (stage, books) in stages.filter(|(_, books)| books.state() == StageState::Reducing)
            {
                let items = books.items_settled();
                self.gate.speak(Action::Reduce { job: *id, stage, items });
            }
        }
        self.gate.close_batch();
    }

    /// After a restart's grace: what nobody came back with is handed out again.
    pub(crate) fn end_grace(&mut self) {
        self.grace_until = None;
        for id in &self.running {
            let job = self.jobs.get_mut(id).expect("a running job is known");
            for stage in &mut job.stages {
                stage.end_grace(job.quorum);
            }
        }
    }

    fn withdraw_unit(&mut self, id: UnitId, stage: StageIndex, reason: WithdrawReason) {
        let unit = self.jobs.get(&id.job).and_then(|job| job.stage(stage)?.unit(id.number));
        let leases = unit.map(|unit| unit.leases().to_vec()).unwrap_or_default();
        for lease in leases {
            let attempt = AttemptId { unit: id, number: lease.attempt };
            self.end_lease(lease.worker, attempt, stage);
            self.withdraw(lease.worker, vec![attempt], reason);
        }
    }
}

/// How many differing opinions are asked for before a job is given up: enough for a few broken
/// machines beside a full quorum.
fn opinions_max(quorum: u32) -> usize {
    quorum as usize * 2 + 3
}
