//! What is left of removed jobs, swept away in steps.
//!
//! A removed job is told by its row in `removed_job`; everything else of it goes later, a few
//! hundred rows in a commit, so that nobody waits long for another. Invariants: answers that a job
//! took over stay until it is swept itself; a blob is noted as unused in the commit in which the
//! row that names it goes, so that a crash between two steps loses neither.

use gleaner_coordinator_core::{Owner, RemovedJob};
use gleaner_protocol::{BlobHash, JobId, JobSpec, SubmissionId, SubmitterId, wire};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, params};

use super::load::all;
use super::{Store, StoreError};

/// Rows that go in one step: with outcomes of 64 KiB each, 16 MiB.
const STEP_ROWS: u32 = 256;

/// Blobs told of at one time.
const BLOBS_TOLD: u32 = 256;

/// Tables that only the job itself needs, with what orders their rows within a job, in an order in
/// which nothing that is referred to goes first.
const OWN_TABLES: [(&str, &str); 13] = [
    ("kept", "stage, items_start"),
    ("output", "stage, position"),
    ("made_items", "stage"),
    ("attempt_log", "unit, attempt"),
    ("attempt", "unit, attempt"),
    ("inconclusive", "unit, attempt"),
    ("replaced", "stage, unit"),
    ("failed", "stage, items_start"),
    ("failed_sum", "stage"),
    ("job_failure", "job"),
    ("job_order", "job"),
    ("movement", "job"),
    ("retry", "job"),
];

/// Tables that hold answers, which other jobs may have taken over, and what stays with them.
const ANSWER_TABLES: [(&str, &str); 7] = [
    ("settled", "stage, unit"),
    ("settled_alone", "stage, item"),
    ("outcome_blob", "unit, attempt"),
    ("opinion", "unit, attempt"),
    ("block", "first_unit"),
    ("notice", "notice"),
    ("job_owner", "job"),
];

/// Whether a step found something to sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// There may be more.
    Some,
    /// Nothing is left but what others use.
    Nothing,
}

impl Store {
    /// Sweeps some of what is left of removed jobs. Durable when it is told.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] and [`StoreError::Failed`]; a repeat goes on from there.
    pub async fn sweep_removed(&self) -> Result<Swept, StoreError> {
        self.inner.writer.statement(step).await
    }

    /// Some of the blobs that removed jobs referred to, after `after` in the order of their hashes.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn unused_blobs(&self, after: Option<BlobHash>) -> Result<Vec<BlobHash>, StoreError> {
        let query = "SELECT hash FROM unused_blob WHERE hash > ?1 ORDER BY hash LIMIT ?2";
        let after = after.map_or_else(Vec::new, |hash| hash.0.to_vec());
        let read = move |connection: &Connection| {
            all(connection, query, params![after, BLOBS_TOLD], |row| row.get(0).map(BlobHash))
        };
        self.read(read).await
    }

    /// Forgets blobs that are removed, or of use after all.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] and [`StoreError::Failed`]; a repeat is harmless.
    pub async fn forget_unused(&self, blobs: Vec<BlobHash>) -> Result<(), StoreError> {
        let forget = move |connection: &Connection| {
            let mut statement =
                connection.prepare_cached("DELETE FROM unused_blob WHERE hash = ?1")?;
            blobs.iter().try_for_each(|hash| statement.execute([hash.0]).map(drop))
        };
        self.inner.writer.statement(forget).await
    }

    /// Those of `blobs` that hold outputs of units. What was committed before the call is seen.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn outcome_blobs(&self, blobs: Vec<BlobHash>) -> Result<Vec<BlobHash>, StoreError> {
        // In the writer's order: a result that is on its way to the disk is there when it is asked.
        let find = move |connection: &Connection| {
            let query = "SELECT EXISTS (SELECT 1 FROM outcome_blob WHERE hash = ?1)";
            let mut query = connection.prepare_cached(query)?;
            let mut found = Vec::new();
            for hash in blobs {
                if query.query_row([hash.0], |row| row.get(0))? {
                    found.push(hash);
                }
            }
            Ok(found)
        };
        self.inner.writer.statement(find).await
    }
}

/// What is remembered of removed jobs.
pub(super) fn removed(connection: &Connection) -> rusqlite::Result<Vec<RemovedJob>> {
    let query = "SELECT job, submission, submitter FROM removed_job ORDER BY job";
    all(connection, query, [], |row| {
        let submitter: Option<[u8; 32]> = row.get(2)?;
        Ok(RemovedJob {
            job: JobId(row.get(0)?),
            submission: SubmissionId(u128::from_be_bytes(row.get(1)?)),
            owner: submitter.map_or(Owner::Operator, |key| Owner::Submitter(SubmitterId(key))),
        })
    })
}

fn step(connection: &Connection) -> rusqlite::Result<Swept> {
    let query = "SELECT job, swept FROM removed_job WHERE swept < 2 ORDER BY job";
    let removed: Vec<(u64, u32)> =
        all(connection, query, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (job, swept) in removed {
        let swept = match swept {
            0 => sweep_own(connection, job)?,
            _ if is_needed(connection, job)? => Swept::Nothing,
            _ => sweep_answers(connection, job)?,
        };
        if swept == Swept::Some {
            return Ok(swept);
        }
    }
    Ok(Swept::Nothing)
}

/// Whether another job took answers of this one over, or somebody is still to be told of it.
fn is_needed(connection: &Connection, job: u64) -> rusqlite::Result<bool> {
    let query = "SELECT EXISTS (SELECT 1 FROM kept WHERE source_job = ?1) OR EXISTS ( \
                 SELECT 1 FROM notice WHERE job = ?1 AND due_at IS NOT NULL)";
    connection.prepare_cached(query)?.query_row([job], |row| row.get(0))
}

fn sweep_own(connection: &Connection, job: u64) -> rusqlite::Result<Swept> {
    for (table, order) in OWN_TABLES {
        if sweep_rows(connection, job, table, order)? == Swept::Some {
            return Ok(Swept::Some);
        }
    }
    connection.execute("DELETE FROM stage_answers WHERE job = ?1", [job])?;
    note_spec_blobs(connection, job)?;
    connection.execute("UPDATE removed_job SET swept = 1 WHERE job = ?1", [job])?;
    Ok(Swept::Some)
}

fn sweep_answers(connection: &Connection, job: u64) -> rusqlite::Result<Swept> {
    for (table, order) in ANSWER_TABLES {
        if sweep_rows(connection, job, table, order)? == Swept::Some {
            return Ok(Swept::Some);
        }
    }
    connection.execute("DELETE FROM stage WHERE job = ?1", [job])?;
    connection.execute("DELETE FROM job WHERE job = ?1", [job])?;
    connection.execute("UPDATE removed_job SET swept = 2 WHERE job = ?1", [job])?;
    Ok(Swept::Some)
}

/// Deletes the first rows of a job in a table, and notes the blobs that they name.
fn sweep_rows(
    connection: &Connection,
    job: u64,
    table: &str,
    order: &str,
) -> rusqlite::Result<Swept> {
    let backwards = order.replace(',', " DESC,") + " DESC";
    let first = format!(
        "job = ?1 AND ({order}) <= (SELECT {order} FROM \
         (SELECT {order} FROM {table} WHERE job = ?1 ORDER BY {order} LIMIT {STEP_ROWS}) \
         ORDER BY {backwards} LIMIT 1)"
    );
    if ["output", "made_items", "outcome_blob"].contains(&table) {
        let note = format!(
            "INSERT OR IGNORE INTO unused_blob (hash) SELECT hash FROM {table} WHERE {first}"
        );
        connection.prepare_cached(&note)?.execute([job])?;
    }
    let delete = format!("DELETE FROM {table} WHERE {first}");
    Ok(match connection.prepare_cached(&delete)?.execute([job])? {
        0 => Swept::Nothing,
        _ => Swept::Some,
    })
}

fn note_spec_blobs(connection: &Connection, job: u64) -> rusqlite::Result<()> {
    let query = "SELECT spec FROM job WHERE job = ?1";
    let spec: Option<Vec<u8>> = connection.query_row(query, [job], |row| row.get(0)).optional()?;
    let Some(spec) = spec else { return Ok(()) };
    let spec: JobSpec = wire::decode(&spec).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, Box::new(error))
    })?;
    let mut note =
        connection.prepare_cached("INSERT OR IGNORE INTO unused_blob (hash) VALUES (?1)")?;
    spec.blobs().try_for_each(|blob| note.execute([blob.hash.0]).map(drop))
}
