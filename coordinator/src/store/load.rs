//! Everything read back after a restart.
//!
//! Of units already settled only their numbers are read: opinions are looked up in the gaps
//! between them, which are as many as units in flight, not as units done.

use std::num::NonZeroU32;
use std::time::Duration;

use gleaner_coordinator_core::{
    Block, FailureCause, JobEnd, Opinion, Owner, Recovered, RecoveredJob, RecoveredMovement,
    RecoveredStage, StageOutput,
};
use gleaner_protocol::{
    AnswerHash, AttemptId, BlobHash, BlobRef, ItemRange, JobId, JobSpec, OutcomeClass, StageIndex,
    SubmissionId, SubmitterId, Timestamp, UnitId, WorkerId, wire,
};
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Connection, Params, Row, params};

use super::submitters::submitters;

/// The sum of all records.
pub(super) fn recovered(connection: &Connection) -> rusqlite::Result<Recovered> {
    // One transaction, so that a commit between two queries does not show in one of them only.
    recovered_within(&*connection.unchecked_transaction()?)
}

/// The same, within a transaction that has begun.
pub(super) fn recovered_within(connection: &Connection) -> rusqlite::Result<Recovered> {
    let query = "SELECT job, submission, spec, submitted_at, ended, failure, ended_at, submitter, \
                 cause, unit, priority, paused_at, retried, moved_at, stall_told FROM job \
                 LEFT JOIN job_owner USING (job) \
                 LEFT JOIN job_failure USING (job) LEFT JOIN job_order USING (job) \
                 LEFT JOIN retry USING (job) LEFT JOIN movement USING (job) \
                 WHERE job NOT IN (SELECT job FROM removed_job) ORDER BY job";
    let mut jobs = all(connection, query, [], job)?;
    for job in &mut jobs {
        job.stages = stages(connection, job)?;
    }
    let submitters = submitters(connection)?;
    let submitters = submitters.into_iter().map(|stored| (stored.submitter, stored.terms));
    let removed = super::removal::removed(connection)?;
    let first = super::anew::first_numbers(connection)?;
    Ok(Recovered { jobs, removed, submitters: submitters.collect(), first })
}

fn job(row: &Row<'_>) -> rusqlite::Result<RecoveredJob> {
    Ok(RecoveredJob {
        job: JobId(row.get(0)?),
        submission: SubmissionId(u128::from_be_bytes(row.get(1)?)),
        owner: match row.get(7)? {
            None => Owner::Operator,
            Some(submitter) => Owner::Submitter(SubmitterId(submitter)),
        },
        spec: spec(row)?,
        retry_of: row.get::<_, Option<u64>>(12)?.map(JobId),
        submitted_at: Timestamp::from_millis(row.get(3)?),
        priority: row.get(10)?,
        // What was paused when it ended is paused no more.
        paused_at: match row.get::<_, Option<String>>(4)? {
            None => row.get::<_, Option<u64>>(11)?.map(Timestamp::from_millis),
            Some(_) => None,
        },
        movement: match row.get(13)? {
            None => None,
            Some(moved_at) => Some(RecoveredMovement {
                moved_at: Timestamp::from_millis(moved_at),
                stall_told: row.get(14)?,
            }),
        },
        end: job_end(row)?,
        stages: Vec::new(),
    })
}

fn spec(row: &Row<'_>) -> rusqlite::Result<JobSpec> {
    let bytes: Vec<u8> = row.get(2)?;
    wire::decode(&bytes)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(2, Type::Blob, Box::new(error)))
}

fn job_end(row: &Row<'_>) -> rusqlite::Result<Option<(JobEnd, Timestamp)>> {
    let Some(ended) = row.get::<_, Option<String>>(4)? else { return Ok(None) };
    let end = match ended.as_str() {
        "done" => JobEnd::Done,
        "failed" => JobEnd::Failed { reason: row.get(5)?, cause: failure_cause(row)? },
        "cancelled" => JobEnd::Cancelled,
        _ => return Err(unknown_word(4)),
    };
    Ok(Some((end, Timestamp::from_millis(row.get(6)?))))
}

fn failure_cause(row: &Row<'_>) -> rusqlite::Result<FailureCause> {
    let cause: String = row.get(8)?;
    Ok(match cause.as_str() {
        "task" => FailureCause::Task { unit: row.get(9)? },
        "no answer" => FailureCause::NoAnswer { unit: row.get(9)? },
        "no agreement" => FailureCause::NoAgreement { unit: row.get(9)? },
        "stage" => FailureCause::Stage,
        _ => return Err(unknown_word(8)),
    })
}

fn stages(connection: &Connection, job: &RecoveredJob) -> rusqlite::Result<Vec<RecoveredStage>> {
    let query = "SELECT stage.items, items_settled, units_settled, attempts_inconclusive, cpu_us, \
                 done, coalesce(failed_sum.items, 0), unit_items_max, \
                 made_items.hash, made_items.bytes, cpu_unanswered_us \
                 FROM stage LEFT JOIN failed_sum USING (job, stage) \
                 LEFT JOIN made_items USING (job, stage) WHERE job = ?1 ORDER BY stage";
    let mut stages = all(connection, query, params![job.job.0], |row| {
        let made = match row.get(8)? {
            None => None,
            Some(hash) => Some(BlobRef { hash: BlobHash(hash), bytes: row.get(9)? }),
        };
        let stage = RecoveredStage {
            items: row.get(0)?,
            items_settled: row.get(1)?,
            units_settled: row.get(2)?,
            attempts_inconclusive: row.get(3)?,
            cpu: Duration::from_micros(row.get(4)?),
            cpu_unanswered: Duration::from_micros(row.get(10)?),
            items_failed: row.get(6)?,
            unit_items_max: row.get::<_, Option<u32>>(7)?.and_then(NonZeroU32::new),
            made,
            ..RecoveredStage::default()
        };
        Ok((stage, row.get::<_, bool>(5)?))
    })?;
    for (index, (stage, done)) in (0..).map(StageIndex).zip(&mut stages) {
        if *done {
            stage.outputs = Some(outputs(connection, job.job, index)?);
        }
        stage.kept = super::kept::runs_of(connection, job.job, index)?;
        if job.end.is_none() {
            load_units(connection, job.job, index, stage)?;
        }
    }
    Ok(stages.into_iter().map(|(stage, _)| stage).collect())
}

fn outputs(
    connection: &Connection,
    job: JobId,
    stage: StageIndex,
) -> rusqlite::Result<Vec<StageOutput>> {
    let query = "SELECT name, hash, bytes FROM output WHERE job = ?1 AND stage = ?2 \
                 ORDER BY position";
    all(connection, query, params![job.0, stage.0], |row| {
        let name: String = row.get(0)?;
        let name = name.parse().map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))
        })?;
        let blob = BlobRef { hash: BlobHash(row.get(1)?), bytes: row.get(2)? };
        Ok(StageOutput { name, blob })
    })
}

fn load_units(
    connection: &Connection,
    job: JobId,
    index: StageIndex,
    stage: &mut RecoveredStage,
) -> rusqlite::Result<()> {
    let blocks = "SELECT first_unit, units, items_start, items_end, unit_items FROM block \
                  WHERE job = ?1 AND stage = ?2 ORDER BY first_unit";
    stage.blocks = all(connection, blocks, params![job.0, index.0], |row| {
        Ok(Block {
            stage: index,
            first_unit: row.get(0)?,
            units: row.get(1)?,
            items: ItemRange { start: row.get(2)?, end: row.get(3)? },
            unit_items: row.get(4)?,
        })
    })?;
    let settled = "SELECT unit FROM settled WHERE job = ?1 AND stage = ?2 UNION ALL \
                   SELECT unit FROM settled_alone WHERE job = ?1 AND stage = ?2 UNION ALL \
                   SELECT unit FROM replaced WHERE job = ?1 AND stage = ?2 ORDER BY unit";
    stage.settled = all(connection, settled, params![job.0, index.0], |row| row.get(0))?;
    for (start, end) in gaps(&stage.blocks, &stage.settled) {
        let units = params![job.0, start, end];
        let opinions = "SELECT unit, attempt, worker, answer, class, cpu_us FROM opinion \
                        WHERE job = ?1 AND unit >= ?2 AND unit < ?3 ORDER BY unit, attempt";
        stage.opinions.extend(all(connection, opinions, units, |row| opinion(job, row))?);
        let attempts = "SELECT unit, attempt FROM attempt \
                        WHERE job = ?1 AND unit >= ?2 AND unit < ?3 ORDER BY unit, attempt";
        stage.attempts.extend(all(connection, attempts, units, |row| attempt(job, row))?);
        let inconclusive = "SELECT unit, attempt, worker FROM inconclusive \
                            WHERE job = ?1 AND unit >= ?2 AND unit < ?3 ORDER BY unit, attempt";
        stage.inconclusive.extend(all(connection, inconclusive, units, |row| {
            Ok((attempt(job, row)?, WorkerId(row.get(2)?)))
        })?);
    }
    Ok(())
}

/// The runs of units that were cut and are not settled, each from its first to past its last.
pub(super) fn gaps(blocks: &[Block], settled: &[u64]) -> Vec<(u64, u64)> {
    let mut gaps = Vec::new();
    let mut settled = settled.iter().copied().peekable();
    for block in blocks {
        let mut next = block.first_unit;
        while let Some(unit) = settled.next_if(|unit| *unit < block.end_unit()) {
            if unit > next {
                gaps.push((next, unit));
            }
            next = unit + 1;
        }
        if next < block.end_unit() {
            gaps.push((next, block.end_unit()));
        }
    }
    gaps
}

fn opinion(job: JobId, row: &Row<'_>) -> rusqlite::Result<Opinion> {
    let class: String = row.get(4)?;
    Ok(Opinion {
        attempt: attempt(job, row)?,
        worker: WorkerId(row.get(2)?),
        answer: AnswerHash(row.get(3)?),
        class: match class.as_str() {
            "completed" => OutcomeClass::Completed,
            "failure" => OutcomeClass::Failure,
            _ => return Err(unknown_word(4)),
        },
        cpu: Duration::from_micros(row.get(5)?),
    })
}

/// An attempt whose unit and number are a row's first two values.
fn attempt(job: JobId, row: &Row<'_>) -> rusqlite::Result<AttemptId> {
    Ok(AttemptId { unit: UnitId { job, number: row.get(0)? }, number: row.get(1)? })
}

pub(super) fn unknown_word(column: usize) -> rusqlite::Error {
    let cause = Box::new(FromSqlError::InvalidType);
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, cause)
}

pub(super) fn all<T>(
    connection: &Connection,
    query: &str,
    values: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(query)?.query_map(values, read)?.collect()
}
