//! Where results are accepted and settled, and what follows from it.
//!
//! A result is **accepted** when it is recorded, and its unit is **settled** when the quorum's
//! opinions agree: both in one batch of records where the quorum is one. The last settled unit of
//! a stage sends the stage to its reducer; the last stage's output ends the job. A unit that
//! settles as a failure fails its job: the same failure would come back from every machine. Where
//! the job goes on when an item fails, units settle as completed but for such items, and a unit
//! that finds no answer is cut into its items once more.

use std::collections::{BTreeMap, BTreeSet};

use gleaner_protocol::{
    AttemptId, FailedItems, FailureKind, ItemFailure, ItemRange, JobId, LeaseClaims, OnFailure,
    Outcome, OutcomeClass, StageIndex, Timestamp, UnitId, UnitResult, WithdrawReason, WorkerId,
};

use crate::core::Core;
use crate::cut::CutKind;
use crate::leases::LeaseEnd;
use crate::session::Returned;
use crate::stage::{Closed, LastUnit, Stage, Use};
use crate::unit::{Agreement, HeldLease};
use crate::{
    Action, Block, FailureCause, JobEnd, KeptRun, Opening, Opinion, Record, StageOutput,
    StageState, UnfitInput,
};

impl Core {
    pub(crate) fn on_results(
        &mut self,
        now: Timestamp,
        worker: WorkerId,
        results: Vec<UnitResult>,
    ) {
        let mut taken = Vec::with_capacity(results.len());
        let (mut strange, mut changed) = (Vec::new(), BTreeSet::new());
        let class_before = self.roster.pace(worker).class();
        for result in results {
            let claims = &result.claims;
            let attempt = claims.attempt;
            if claims.worker != worker || !self.key.verifies(claims, &result.token) {
                strange.push(attempt);
                continue;
            }
            taken.push(attempt);
            if self.on_result(now, worker, result) == Use::Wanted {
                changed.insert(attempt.unit.job);
            }
        }
        if self.roster.pace(worker).class() != class_before {
            self.expect_anew(now, worker);
        }
        for job in changed {
            self.touch(job);
        }
        if !strange.is_empty() {
            self.withdraw(worker, strange, WithdrawReason::UnknownLease);
        }
        if !taken.is_empty() {
            self.gate.speak(Action::Acknowledge { worker, attempts: taken });
        }
    }

    /// Takes a result that is its worker's. Where it was wanted, its job is to be touched.
    fn on_result(&mut self, now: Timestamp, worker: WorkerId, result: UnitResult) -> Use {
        let LeaseClaims { attempt, stage, items, .. } = result.claims;
        let (id, class, cpu) = (attempt.unit, result.outcome.class(), result.cpu);
        let pace = self.roster.pace(worker);
        let known = self.jobs.get_mut(&id.job);
        let roster = &self.roster;
        let (usage, ended, usual) = known.map_or((Use::Unwanted, None, None), |job| {
            let quorum = job.quorum;
            let books = job.stage_mut(stage);
            books.map_or((Use::Unwanted, None, None), |books| {
                let (usage, ended) = books.on_returned(id.number, worker, attempt.number, quorum);
                // A lease that stood for less was adopted, or its worker claims too much.
                let can_be = ended.is_some_and(|ended| cpu <= ended.stood_for(now));
                if !can_be || usage == Use::Unwanted || class != OutcomeClass::Completed {
                    return (usage, ended, None);
                }
                let was_known = books.usual(items.len()).is_some();
                let usual = books.learn_usual(cpu, items.len(), pace);
                if !was_known {
                    books.expect_all(|worker| roster.pace(worker), quorum);
                }
                (usage, ended, usual)
            })
        });
        if let Some(ended) = ended {
            self.charge_ended(now, attempt, stage, &ended, LeaseEnd::Returned { cpu });
        }
        let returned = Returned { attempt, class, at: now };
        self.roster.update(worker, |session| {
            session.let_go(now, attempt, stage);
            session.unable.forget(id.job, stage);
            session.last_returned = Some(returned);
            if let Some(usual) = usual {
                session.pace.learn(cpu, usual);
            }
            if usage == Use::Wanted && class != OutcomeClass::Inconclusive {
                session.results += 1;
                session.cpu = session.cpu.saturating_add(cpu);
            }
        });
        match (usage, class) {
            (Use::Unwanted, _) => self.file(id.job),
            (Use::Wanted, OutcomeClass::Inconclusive) => {
                self.on_inconclusive(now, worker, result);
            }
            (Use::Wanted, class) => {
                let UnitResult { outcome, log, .. } = result;
                let answer = outcome.answer();
                let opinion = Opinion { attempt, worker, answer, class, cpu };
                self.accept(now, stage, items, opinion, outcome, log);
            }
        }
        usage
    }

    fn accept(
        &mut self,
        now: Timestamp,
        stage: StageIndex,
        items: ItemRange,
        opinion: Opinion,
        outcome: Outcome,
        log: String,
    ) {
        let words = match opinion.class {
            OutcomeClass::Failure => outcome.to_string(),
            _ => String::new(),
        };
        let failed = failed_items(&outcome, items);
        self.gate.record(Record::ResultAccepted { opinion, outcome, log });
        let id = opinion.unit();
        let job = self.jobs.get_mut(&id.job).expect("a wanted result is of a known job");
        let quorum = job.quorum;
        let books = job.stage_mut(stage).expect("a wanted result is of a known stage");
        let (agreement, opinions) = books.on_opinion(opinion, quorum);
        match agreement {
            Agreement::Settled(class) => {
                self.note_failed(stage, id, failed);
                self.settle(now, stage, items, opinion);
                self.note_movement(now, id.job);
                if class == OutcomeClass::Failure {
                    let reason = format!("{id} (items {items}): {words}");
                    let cause = FailureCause::Task { unit: id.number };
                    self.end_job(now, id.job, JobEnd::Failed { reason, cause });
                }
            }
            Agreement::Open if opinions >= opinions_max(quorum) => {
                let reason = format!(
                    "{opinions} workers gave answers, no {quorum} of them the same; the task may \
                     depend on something other than its input"
                );
                self.on_no_answer(now, stage, id, FailureKind::Disputed, &reason);
            }
            Agreement::Open => {}
        }
    }

    /// Makes an opinion the unit's result, for ever.
    fn settle(&mut self, now: Timestamp, stage: StageIndex, items: ItemRange, opinion: Opinion) {
        let id = opinion.unit();
        let attempt = opinion.attempt;
        let closed = self.stage_of_unit(id, stage).settle(id.number, Some(opinion.cpu));
        let record = match closed.cut {
            CutKind::First => Record::UnitSettled { stage, items, attempt },
            CutKind::Alone => {
                let (item, attempt) = (items.start, Some(attempt.number));
                Record::ItemSettled { stage, item, unit: id, attempt }
            }
        };
        self.gate.record(record);
        self.after_closed(now, stage, id, closed, opinion.class);
    }

    /// Ends what still runs of a unit that is closed, and takes its stage to the reducer with the
    /// last one that is no failure of the job.
    fn after_closed(
        &mut self,
        now: Timestamp,
        stage: StageIndex,
        id: UnitId,
        closed: Closed,
        class: OutcomeClass,
    ) {
        for lease in &closed.leases {
            let attempt = AttemptId { unit: id, number: lease.attempt };
            self.charge_ended(now, attempt, stage, lease, LeaseEnd::Stopped);
        }
        self.withdraw_leases(now, [(id, stage, closed.leases)], WithdrawReason::Settled);
        if closed.last == LastUnit::Yes && class != OutcomeClass::Failure {
            let items = self.stage_of_unit(id, stage).items_settled();
            self.gate.speak(Action::Reduce { job: id.job, stage, items });
        }
    }

    /// A unit has had all the attempts it may. Its job fails; or, where the job goes on, its items
    /// are tried once more, each in a unit of its own, and an item alone has failed.
    fn on_no_answer(
        &mut self,
        now: Timestamp,
        stage: StageIndex,
        id: UnitId,
        kind: FailureKind,
        reason: &str,
    ) {
        let books = self.stage_of_unit(id, stage);
        let items = books.items_of(id.number).expect("a unit in flight is of a block");
        match books.on_failure() {
            OnFailure::Continue if items.len() > 1 => self.replace_unit(now, stage, id, items),
            OnFailure::Continue => {
                self.note_failed(stage, id, vec![FailedItems::new(items, kind, reason)]);
                let item = items.start;
                self.gate.record(Record::ItemSettled { stage, item, unit: id, attempt: None });
                let closed = self.stage_of_unit(id, stage).settle(id.number, None);
                self.after_closed(now, stage, id, closed, OutcomeClass::Inconclusive);
                self.note_movement(now, id.job);
            }
            OnFailure::Stop => {
                self.note_failed(stage, id, vec![FailedItems::new(items, kind, reason)]);
                let reason = format!("{id} (items {items}): {reason}");
                let cause = match kind {
                    FailureKind::Disputed => FailureCause::NoAgreement { unit: id.number },
                    _ => FailureCause::NoAnswer { unit: id.number },
                };
                self.end_job(now, id.job, JobEnd::Failed { reason, cause });
            }
        }
    }

    fn replace_unit(&mut self, now: Timestamp, stage: StageIndex, id: UnitId, items: ItemRange) {
        self.withdraw_units(now, [(id, stage)], WithdrawReason::Settled);
        let job = self.jobs.get_mut(&id.job).expect("a unit in flight is of a known job");
        let units = u32::try_from(items.len()).expect("a unit has at most 4,096 items");
        let block = Block { stage, first_unit: job.next_unit, units, items, unit_items: 1 };
        job.next_unit = block.end_unit();
        self.gate.record(Record::UnitReplaced { stage, unit: id });
        self.gate.record(Record::BlockCut { job: id.job, block });
        self.stage_of_unit(id, stage).replace(id.number, block);
    }

    fn note_failed(&mut self, stage: StageIndex, unit: UnitId, failed: Vec<FailedItems>) {
        if failed.is_empty() {
            return;
        }
        let items = failed.iter().map(|failed| failed.items.len()).sum();
        self.stage_of_unit(unit, stage).note_failed(items);
        self.gate.record(Record::ItemsFailed { stage, unit, failed });
    }

    /// The books of the stage of a unit in flight.
    fn stage_of_unit(&mut self, unit: UnitId, stage: StageIndex) -> &mut Stage {
        let job = self.jobs.get_mut(&unit.job).expect("a unit in flight is of a known job");
        job.stage_mut(stage).expect("a unit in flight is of a known stage")
    }

    fn on_inconclusive(&mut self, now: Timestamp, worker: WorkerId, result: UnitResult) {
        let UnitResult { claims, outcome, cpu, log, .. } = result;
        let LeaseClaims { attempt, stage, .. } = claims;
        let words = outcome.to_string();
        self.gate.record(Record::AttemptInconclusive { attempt, worker, outcome, cpu, log });
        let id = attempt.unit;
        let job = self.jobs.get_mut(&id.job).expect("a wanted result is of a known job");
        let (quorum, max_attempts) = (job.quorum, job.max_attempts);
        let books = job.stage_mut(stage).expect("a wanted result is of a known stage");
        let attempts = books.on_inconclusive(id.number, attempt.number, worker, cpu, quorum);
        if attempts >= max_attempts as usize {
            let reason =
                format!("{attempts} attempts ended without an answer, the last one: {words}");
            self.on_no_answer(now, stage, id, FailureKind::Unanswered, &reason);
        }
    }

    pub(crate) fn on_stage_reduced(
        &mut self,
        now: Timestamp,
        id: JobId,
        stage: StageIndex,
        outputs: Vec<StageOutput>,
        next: Result<Vec<Opening>, UnfitInput>,
        kept: &[KeptRun],
    ) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.is_running()) else { return };
        let Some(books) = job.stage_mut(stage) else { return };
        if books.state() != StageState::Reducing {
            return;
        }
        books.finish(outputs.clone());
        let following = job.stages_after(stage);
        let done = job.all_stages_done();
        self.holdings.add(job.owner, outputs.iter().map(|output| output.blob));
        self.gate.record(Record::StageDone { job: id, stage, outputs });
        match next {
            Ok(openings) => {
                for stage in following {
                    let opening = openings.iter().find(|opening| opening.stage == stage);
                    let opening = opening.expect("the items of each stage that waits are counted");
                    self.open_stage(id, *opening, kept);
                }
                self.note_movement(now, id);
            }
            Err(UnfitInput { reason }) => {
                let cause = FailureCause::Stage;
                self.end_job(now, id, JobEnd::Failed { reason, cause });
            }
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
        reason: String,
    ) {
        if self.jobs.get(&id).is_none_or(|job| job.stage(stage).is_none()) {
            return;
        }
        self.end_job(now, id, JobEnd::Failed { reason, cause: FailureCause::Stage });
    }

    /// Opens a stage with the answers of `kept` that are its own; one that has all goes to its
    /// reducer at once.
    pub(crate) fn open_stage(&mut self, id: JobId, opening: Opening, kept: &[KeptRun]) {
        let Opening { stage, items, made, .. } = opening;
        let kept = self.usable(id, stage, items, kept);
        let job = self.jobs.get_mut(&id).expect("a stage is opened of a known job");
        self.holdings.add(job.owner, made.into_iter());
        let books = job.stage_mut(stage).expect("a known stage is opened");
        books.open(opening, kept.clone());
        let state = books.state();
        let (answers, quorum) = (job.answers_key(stage), job.quorum);
        self.gate.record(Record::StageOpened { job: id, opening, answers, quorum });
        for run in kept {
            self.gate.record(Record::AnswersKept { job: id, run });
        }
        if state == StageState::Reducing {
            self.gate.speak(Action::Reduce { job: id, stage, items });
        }
    }

    /// Answers were looked up before this event: those of a job removed since are of no use, unless
    /// a retried job keeps them.
    fn usable(&self, id: JobId, stage: StageIndex, items: u64, kept: &[KeptRun]) -> Vec<KeptRun> {
        let mut end = 0;
        let usable = |run: &&KeptRun| {
            let fits = run.stage == stage
                && run.items.start >= end
                && run.items.end <= items
                && !run.items.is_empty()
                && (self.jobs.contains_key(&run.source) || self.is_kept_by_retried(id, run));
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
        self.watched.remove(&id);
        let job = self.jobs.get(&id).expect("a running job is known");
        let unit = |stage, number| (UnitId { job: id, number }, stage);
        let open: Vec<_> = (0..)
            .map(StageIndex)
            .zip(&job.stages)
            .flat_map(|(index, stage)| stage.units().map(move |(number, _)| unit(index, number)))
            .collect();
        self.withdraw_units(now, open, WithdrawReason::JobEnded);
        let job = self.jobs.get_mut(&id).expect("a running job is known");
        for stage in &mut job.stages {
            stage.abandon();
        }
        job.paused_at = None;
        job.end = Some((end.clone(), now));
        let lapse = job.kept_until().map(|until| (until, id));
        self.lapses.extend(lapse);
        self.gate.record(Record::JobEnded { job: id, end: end.clone(), at: now });
        self.tell_end(now, id, &end);
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
        self.file_all();
    }

    /// Ends the leases of units in flight.
    fn withdraw_units(
        &mut self,
        now: Timestamp,
        units: impl IntoIterator<Item = (UnitId, StageIndex)>,
        reason: WithdrawReason,
    ) {
        let leases = |(id, stage): (UnitId, StageIndex)| {
            let unit = self.jobs.get(&id.job)?.stage(stage)?.unit(id.number)?;
            Some((id, stage, unit.leases().to_vec()))
        };
        let leases: Vec<_> = units.into_iter().filter_map(leases).collect();
        self.withdraw_leases(now, leases, reason);
    }

    /// Ends leases. A worker is told of all that it held at once, as it ends a slot to take
    /// anything out of it.
    fn withdraw_leases(
        &mut self,
        now: Timestamp,
        leases: impl IntoIterator<Item = (UnitId, StageIndex, Vec<HeldLease>)>,
        reason: WithdrawReason,
    ) {
        let mut withdrawn = BTreeMap::<WorkerId, Vec<AttemptId>>::new();
        for (unit, stage, leases) in leases {
            for lease in leases {
                let attempt = AttemptId { unit, number: lease.attempt };
                self.end_lease(now, lease.worker, attempt, stage, LeaseEnd::Stopped);
                withdrawn.entry(lease.worker).or_default().push(attempt);
            }
        }
        for (worker, attempts) in withdrawn {
            self.withdraw(worker, attempts, reason);
        }
    }
}

/// The items that give no output if this outcome of a unit with these items settles it.
fn failed_items(outcome: &Outcome, items: ItemRange) -> Vec<FailedItems> {
    match outcome {
        Outcome::Completed { failures, .. } => failures.iter().map(FailedItems::from).collect(),
        Outcome::Refused { reason } => {
            vec![FailedItems::new(items, FailureKind::Refused, reason)]
        }
        outcome => ItemFailure::of(outcome).iter().map(FailedItems::from).collect(),
    }
}

/// How many differing opinions are asked for before a job is given up: enough for a few broken
/// machines beside a full quorum.
fn opinions_max(quorum: u32) -> usize {
    quorum as usize * 2 + 3
}
