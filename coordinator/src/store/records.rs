//! Records of the core as rows.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use gleaner_coordinator_core::{
    Block, CutKind, FailureCause, JobEnd, KeptRun, Occasion, Opening, Opinion, Owner, Record,
    StageOutput,
};
use gleaner_protocol::{
    AttemptId, BlobHash, BlobRef, FailedItems, ItemRange, JobId, JobSpec, Outcome, OutcomeClass,
    StageIndex, SubmissionId, Timestamp, UnitId, WorkerId, wire,
};
use rusqlite::{Connection, ToSql, params};

use super::notices;
use super::schema::note_outcome_blob;

/// Writes the records of one transaction. Sums of stages are gathered and written once at its end.
pub(super) struct Batch<'c> {
    connection: &'c Connection,
    sums: HashMap<(JobId, StageIndex), Sums>,
    /// The opinion written last, which settles its unit as often as not, and its CPU time.
    last: Option<(AttemptId, Duration)>,
}

#[derive(Default)]
struct Sums {
    items: u64,
    items_failed: u64,
    units: u64,
    inconclusive: u64,
    cpu: Duration,
    cpu_unanswered: Duration,
}

impl<'c> Batch<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self { connection, sums: HashMap::new(), last: None }
    }

    /// Writes one record. A record that is there already is an error: the core never repeats one.
    pub(super) fn write(&mut self, record: &Record) -> rusqlite::Result<()> {
        match record {
            Record::JobAccepted { job, submission, owner, spec, retry_of, at } => {
                self.job_accepted(*job, *submission, spec, *at)?;
                self.job_retries(*job, *retry_of)?;
                self.job_owned(*job, *owner)
            }
            Record::StageOpened { job, opening, answers, quorum } => {
                self.stage_opened(*job, *opening)?;
                self.answers_named(*job, opening.stage, *answers, *quorum)
            }
            Record::AnswersKept { job, run } => self.answers_kept(*job, run),
            Record::BlockCut { job, block } => self.block_cut(*job, block),
            Record::AttemptOpened { attempt } => self.attempt_opened(*attempt),
            Record::ResultAccepted { opinion, outcome, log } => {
                self.result_accepted(opinion, outcome)?;
                self.logged(opinion.attempt, log)
            }
            Record::AttemptInconclusive { attempt, worker, outcome, cpu, log } => {
                self.attempt_inconclusive(*attempt, *worker, outcome, *cpu)?;
                self.logged(*attempt, log)
            }
            Record::UnitSettled { stage, items, attempt } => {
                self.unit_settled(*stage, *items, *attempt)
            }
            Record::ItemSettled { stage, item, unit, attempt } => {
                self.item_settled(*stage, *item, *unit, *attempt)
            }
            Record::UnitReplaced { stage, unit } => self.unit_replaced(*stage, *unit),
            Record::ItemsFailed { stage, unit, failed } => self.items_failed(*stage, *unit, failed),
            Record::StageDone { job, stage, outputs } => self.stage_done(*job, *stage, outputs),
            Record::JobPaused { job, at } => self.job_paused(*job, Some(*at)),
            Record::JobResumed { job } => self.job_paused(*job, None),
            Record::PrioritySet { job, priority } => self.priority_set(*job, *priority),
            Record::JobMoved { job, at } => self.job_moved(*job, *at),
            Record::NoticeDue { job, notice } => {
                self.stall_told(*job, notice.occasion)?;
                notices::insert(self.connection, *job, notice)
            }
            Record::JobEnded { job, end, at } => self.job_ended(*job, end, *at),
            Record::JobRemoved { job, submission, owner } => {
                self.job_removed(*job, *submission, *owner)
            }
        }
    }

    /// Writes the sums; to be called before the commit.
    pub(super) fn finish(self) -> rusqlite::Result<()> {
        for ((job, stage), sums) in &self.sums {
            let statement = "UPDATE stage SET items_settled = items_settled + ?3, \
                             units_settled = units_settled + ?4, \
                             attempts_inconclusive = attempts_inconclusive + ?5, \
                             cpu_us = CASE WHEN cpu_us > 9223372036854775807 - ?6 \
                             THEN 9223372036854775807 ELSE cpu_us + ?6 END \
                             WHERE job = ?1 AND stage = ?2";
            let cpu_us = micros(sums.cpu);
            let values = params![job.0, stage.0, sums.items, sums.units, sums.inconclusive, cpu_us];
            self.change_one(statement, values)?;
            if sums.items_failed > 0 {
                let statement = "INSERT INTO failed_sum (job, stage, items) VALUES (?1, ?2, ?3) \
                                 ON CONFLICT DO UPDATE SET items = items + excluded.items";
                self.change_one(statement, params![job.0, stage.0, sums.items_failed])?;
            }
            if !sums.cpu_unanswered.is_zero() {
                let statement = "UPDATE stage SET cpu_unanswered_us = \
                                 CASE WHEN cpu_unanswered_us > 9223372036854775807 - ?3 \
                                 THEN 9223372036854775807 ELSE cpu_unanswered_us + ?3 END \
                                 WHERE job = ?1 AND stage = ?2";
                let cpu_us = micros(sums.cpu_unanswered);
                self.change_one(statement, params![job.0, stage.0, cpu_us])?;
            }
        }
        Ok(())
    }

    fn job_accepted(
        &self,
        job: JobId,
        submission: SubmissionId,
        spec: &JobSpec,
        at: Timestamp,
    ) -> rusqlite::Result<()> {
        let statement = "INSERT INTO job (job, submission, spec, submitted_at) VALUES (?, ?, ?, ?)";
        let submission = submission.0.to_be_bytes();
        self.change_one(statement, params![job.0, submission, wire::encode(spec), at.as_millis()])?;
        for stage in 0..spec.stages.len() {
            self.change_one("INSERT INTO stage (job, stage) VALUES (?, ?)", params![job.0, stage])?;
        }
        Ok(())
    }

    fn job_retries(&self, job: JobId, retried: Option<JobId>) -> rusqlite::Result<()> {
        let Some(retried) = retried else { return Ok(()) };
        let statement = "INSERT INTO retry (job, retried) VALUES (?, ?)";
        self.change_one(statement, params![job.0, retried.0])
    }

    fn job_owned(&self, job: JobId, owner: Owner) -> rusqlite::Result<()> {
        let Owner::Submitter(submitter) = owner else { return Ok(()) };
        let statement = "INSERT INTO job_owner (job, submitter) VALUES (?, ?)";
        self.change_one(statement, params![job.0, submitter.0])
    }

    fn stage_opened(&self, job: JobId, opening: Opening) -> rusqlite::Result<()> {
        let Opening { stage, items, unit_items_max, made } = opening;
        let statement = "UPDATE stage SET items = ?3, unit_items_max = ?4 \
                         WHERE job = ?1 AND stage = ?2";
        let unit_items_max = unit_items_max.map(NonZeroU32::get);
        self.change_one(statement, params![job.0, stage.0, items, unit_items_max])?;
        let Some(BlobRef { hash, bytes }) = made else { return Ok(()) };
        let statement = "INSERT INTO made_items (job, stage, hash, bytes) VALUES (?, ?, ?, ?)";
        self.change_one(statement, params![job.0, stage.0, hash.0, bytes])
    }

    fn answers_named(
        &self,
        job: JobId,
        stage: StageIndex,
        key: BlobHash,
        quorum: u32,
    ) -> rusqlite::Result<()> {
        let statement = "INSERT INTO stage_answers (key, job, stage, quorum) VALUES (?, ?, ?, ?)";
        self.change_one(statement, params![key.0, job.0, stage.0, quorum])
    }

    fn answers_kept(&mut self, job: JobId, run: &KeptRun) -> rusqlite::Result<()> {
        let KeptRun { stage, items, source, source_stage, cut, first_unit, end_unit } = *run;
        let statement = "INSERT INTO kept (job, stage, items_start, items_end, source_job, \
                         source_stage, first_unit, end_unit, alone) \
                         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let source = (source.0, source_stage.0);
        self.change_one(
            statement,
            params![
                job.0,
                stage.0,
                items.start,
                items.end,
                source.0,
                source.1,
                first_unit,
                end_unit,
                cut == CutKind::Alone
            ],
        )?;
        self.sums.entry((job, stage)).or_default().items += items.len();
        Ok(())
    }

    fn block_cut(&self, job: JobId, block: &Block) -> rusqlite::Result<()> {
        let statement = "INSERT INTO block (job, first_unit, stage, units, items_start, \
                         items_end, unit_items) VALUES (?, ?, ?, ?, ?, ?, ?)";
        let Block { stage, first_unit, units, items, unit_items } = *block;
        self.change_one(
            statement,
            params![job.0, first_unit, stage.0, units, items.start, items.end, unit_items],
        )
    }

    fn attempt_opened(&self, attempt: AttemptId) -> rusqlite::Result<()> {
        let AttemptId { unit: UnitId { job, number: unit }, number } = attempt;
        let statement = "INSERT INTO attempt (job, unit, attempt) VALUES (?, ?, ?)";
        self.change_one(statement, params![job.0, unit, number])
    }

    fn result_accepted(&mut self, opinion: &Opinion, outcome: &Outcome) -> rusqlite::Result<()> {
        let AttemptId { unit: UnitId { job, number: unit }, number } = opinion.attempt;
        let statement = "INSERT INTO opinion (job, unit, attempt, worker, answer, class, cpu_us, \
                         outcome) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        let class = class_name(opinion.class);
        let (worker, answer, cpu_us) = (opinion.worker.0, opinion.answer.0, micros(opinion.cpu));
        let bytes = wire::encode(outcome);
        self.change_one(
            statement,
            params![job.0, unit, number, worker, answer, class, cpu_us, bytes],
        )?;
        self.last = Some((opinion.attempt, Duration::from_micros(cpu_us.unsigned_abs())));
        note_outcome_blob(self.connection, opinion.attempt, outcome)
    }

    fn attempt_inconclusive(
        &mut self,
        attempt: AttemptId,
        worker: WorkerId,
        outcome: &Outcome,
        cpu: Duration,
    ) -> rusqlite::Result<()> {
        let AttemptId { unit: UnitId { job, number: unit }, number } = attempt;
        let statement = "INSERT INTO inconclusive (job, unit, attempt, worker, outcome, cpu_us) \
                         VALUES (?, ?, ?, ?, ?, ?)";
        let (outcome, cpu_us) = (wire::encode(outcome), micros(cpu));
        self.change_one(statement, params![job.0, unit, number, worker.0, outcome, cpu_us])?;
        let stage = self.stage_of(attempt.unit)?;
        let sums = self.sums.entry((job, stage)).or_default();
        sums.inconclusive += 1;
        sums.cpu_unanswered = sums.cpu_unanswered.saturating_add(cpu);
        Ok(())
    }

    fn logged(&self, attempt: AttemptId, log: &str) -> rusqlite::Result<()> {
        if log.is_empty() {
            return Ok(());
        }
        let AttemptId { unit: UnitId { job, number: unit }, number } = attempt;
        let statement = "INSERT INTO attempt_log (job, unit, attempt, log) VALUES (?, ?, ?, ?)";
        self.change_one(statement, params![job.0, unit, number, log])
    }

    fn unit_settled(
        &mut self,
        stage: StageIndex,
        items: ItemRange,
        attempt: AttemptId,
    ) -> rusqlite::Result<()> {
        let AttemptId { unit: UnitId { job, number: unit }, number } = attempt;
        let statement = "INSERT INTO settled (job, stage, unit, attempt, items_start, items_end) \
                         VALUES (?, ?, ?, ?, ?, ?)";
        self.change_one(statement, params![job.0, stage.0, unit, number, items.start, items.end])?;
        let cpu = self.cpu_of(attempt)?;
        let sums = self.sums.entry((job, stage)).or_default();
        sums.items += items.len();
        sums.units += 1;
        sums.cpu = sums.cpu.saturating_add(cpu);
        Ok(())
    }

    fn item_settled(
        &mut self,
        stage: StageIndex,
        item: u64,
        unit: UnitId,
        attempt: Option<u32>,
    ) -> rusqlite::Result<()> {
        let UnitId { job, number } = unit;
        let statement = "INSERT INTO settled_alone (job, stage, item, unit, attempt) \
                         VALUES (?, ?, ?, ?, ?)";
        self.change_one(statement, params![job.0, stage.0, item, number, attempt])?;
        let cpu = match attempt {
            Some(number) => self.cpu_of(AttemptId { unit, number })?,
            None => Duration::ZERO,
        };
        let sums = self.sums.entry((job, stage)).or_default();
        sums.items += 1;
        sums.units += 1;
        sums.cpu = sums.cpu.saturating_add(cpu);
        Ok(())
    }

    fn unit_replaced(&self, stage: StageIndex, unit: UnitId) -> rusqlite::Result<()> {
        let statement = "INSERT INTO replaced (job, stage, unit) VALUES (?, ?, ?)";
        self.change_one(statement, params![unit.job.0, stage.0, unit.number])
    }

    fn items_failed(
        &mut self,
        stage: StageIndex,
        unit: UnitId,
        failed: &[FailedItems],
    ) -> rusqlite::Result<()> {
        let statement = "INSERT INTO failed (job, stage, items_start, items_end, unit, kind, \
                         message) VALUES (?, ?, ?, ?, ?, ?, ?)";
        let UnitId { job, number } = unit;
        for FailedItems { items, kind, message } in failed {
            let (start, end, kind) = (items.start, items.end, kind.word());
            self.change_one(statement, params![job.0, stage.0, start, end, number, kind, message])?;
            self.sums.entry((job, stage)).or_default().items_failed += items.len();
        }
        Ok(())
    }

    fn stage_done(
        &self,
        job: JobId,
        stage: StageIndex,
        outputs: &[StageOutput],
    ) -> rusqlite::Result<()> {
        let done = "UPDATE stage SET done = 1 WHERE job = ?1 AND stage = ?2";
        self.change_one(done, params![job.0, stage.0])?;
        let statement = "INSERT INTO output (job, stage, position, name, hash, bytes) \
                         VALUES (?, ?, ?, ?, ?, ?)";
        for (position, StageOutput { name, blob }) in outputs.iter().enumerate() {
            let name = name.as_str();
            self.change_one(
                statement,
                params![job.0, stage.0, position, name, blob.hash.0, blob.bytes],
            )?;
        }
        Ok(())
    }

    fn job_ended(&self, job: JobId, end: &JobEnd, at: Timestamp) -> rusqlite::Result<()> {
        let (ended, failure) = match end {
            JobEnd::Done => ("done", None),
            JobEnd::Failed { reason, cause } => {
                self.job_failed(job, *cause)?;
                ("failed", Some(reason))
            }
            JobEnd::Cancelled => ("cancelled", None),
        };
        let statement = "UPDATE job SET ended = ?2, failure = ?3, ended_at = ?4 WHERE job = ?1";
        self.change_one(statement, params![job.0, ended, failure, at.as_millis()])
    }

    fn job_removed(
        &self,
        job: JobId,
        submission: SubmissionId,
        owner: Owner,
    ) -> rusqlite::Result<()> {
        let submitter = match owner {
            Owner::Operator => None,
            Owner::Submitter(submitter) => Some(submitter.0),
        };
        let statement = "INSERT INTO removed_job (job, submission, submitter) VALUES (?, ?, ?)";
        self.change_one(statement, params![job.0, submission.0.to_be_bytes(), submitter])
    }

    fn job_paused(&self, job: JobId, at: Option<Timestamp>) -> rusqlite::Result<()> {
        let statement = "INSERT INTO job_order (job, paused_at) VALUES (?1, ?2) \
                         ON CONFLICT (job) DO UPDATE SET paused_at = excluded.paused_at";
        self.change_one(statement, params![job.0, at.map(Timestamp::as_millis)])
    }

    fn job_moved(&self, job: JobId, at: Timestamp) -> rusqlite::Result<()> {
        let statement = "INSERT INTO movement (job, moved_at) VALUES (?1, ?2) \
                         ON CONFLICT (job) DO UPDATE \
                         SET moved_at = excluded.moved_at, stall_told = 0";
        self.change_one(statement, params![job.0, at.as_millis()])
    }

    fn stall_told(&self, job: JobId, occasion: Occasion) -> rusqlite::Result<()> {
        if occasion != Occasion::Stalled {
            return Ok(());
        }
        // A job that an older version took has no row before it moves.
        let statement = "UPDATE movement SET stall_told = 1 WHERE job = ?1";
        self.connection.prepare_cached(statement)?.execute([job.0]).map(drop)
    }

    fn priority_set(&self, job: JobId, priority: i32) -> rusqlite::Result<()> {
        let statement = "INSERT INTO job_order (job, priority) VALUES (?1, ?2) \
                         ON CONFLICT (job) DO UPDATE SET priority = excluded.priority";
        self.change_one(statement, params![job.0, priority])
    }

    fn job_failed(&self, job: JobId, cause: FailureCause) -> rusqlite::Result<()> {
        let statement = "INSERT INTO job_failure (job, cause, unit) VALUES (?, ?, ?)";
        self.change_one(statement, params![job.0, cause_name(cause), cause.unit()])
    }

    /// An attempt's stage is its block's.
    fn stage_of(&self, unit: UnitId) -> rusqlite::Result<StageIndex> {
        let statement = "SELECT stage FROM block WHERE job = ?1 AND first_unit <= ?2 \
                         ORDER BY first_unit DESC LIMIT 1";
        let mut query = self.connection.prepare_cached(statement)?;
        query.query_row(params![unit.job.0, unit.number], |row| row.get(0).map(StageIndex))
    }

    fn cpu_of(&self, attempt: AttemptId) -> rusqlite::Result<Duration> {
        if let Some((_, cpu)) = self.last.filter(|(last, _)| *last == attempt) {
            return Ok(cpu);
        }
        let AttemptId { unit: UnitId { job, number: unit }, number } = attempt;
        let statement = "SELECT cpu_us FROM opinion WHERE job = ?1 AND unit = ?2 AND attempt = ?3";
        let mut query = self.connection.prepare_cached(statement)?;
        query.query_row(params![job.0, unit, number], |row| row.get(0).map(Duration::from_micros))
    }

    /// Runs a statement that must change exactly one row.
    fn change_one(&self, statement: &str, values: &[&dyn ToSql]) -> rusqlite::Result<()> {
        match self.connection.prepare_cached(statement)?.execute(values)? {
            1 => Ok(()),
            rows => Err(rusqlite::Error::StatementChangedRows(rows)),
        }
    }
}

/// As many microseconds as the store can hold: 290,000 years.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn class_name(class: OutcomeClass) -> &'static str {
    match class {
        OutcomeClass::Completed => "completed",
        OutcomeClass::Failure => "failure",
        OutcomeClass::Inconclusive => unreachable!("an inconclusive outcome is no opinion"),
    }
}

fn cause_name(cause: FailureCause) -> &'static str {
    match cause {
        FailureCause::Task { .. } => "task",
        FailureCause::NoAnswer { .. } => "no answer",
        FailureCause::NoAgreement { .. } => "no agreement",
        FailureCause::Stage => "stage",
    }
}
