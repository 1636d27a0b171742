//! Items that gave no output, read in the order of a job's stages and their items, a page at a time.

use gleaner_protocol::{ItemRange, JobId, JobSpec, StageIndex, SubmissionId, UnitId, wire};
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, params};

use super::load::all;
use super::{Store, StoreError};

/// Rows read at a time: with the longest messages, a quarter of a MiB.
const PAGE_ROWS: u32 = 512;

/// Items in a row that gave no output, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFailure {
    /// Their stage.
    pub stage: StageIndex,
    /// Which items.
    pub items: ItemRange,
    /// The unit they failed in.
    pub unit: UnitId,
    /// How, in one word.
    pub kind: String,
    /// Why.
    pub message: String,
}

/// A job as it was submitted.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredJob {
    /// Its submission.
    pub submission: SubmissionId,
    /// The job.
    pub spec: JobSpec,
}

/// What a row has of a failure.
pub(super) const FAILURE_COLUMNS: &str = "stage, items_start, items_end, unit, kind, message";

/// The failure of a row of [`FAILURE_COLUMNS`].
pub(super) fn failure(job: JobId, row: &Row<'_>) -> rusqlite::Result<StoredFailure> {
    Ok(StoredFailure {
        stage: StageIndex(row.get(0)?),
        items: ItemRange { start: row.get(1)?, end: row.get(2)? },
        unit: UnitId { job, number: row.get(3)? },
        kind: row.get(4)?,
        message: row.get(5)?,
    })
}

impl Store {
    /// A page of a job's failed items, from item `item` of `stage` on; empty after the last.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when something cannot be read back.
    pub async fn failures(
        &self,
        job: JobId,
        stage: StageIndex,
        item: u64,
    ) -> Result<Vec<StoredFailure>, StoreError> {
        let query = format!(
            "SELECT {FAILURE_COLUMNS} FROM failed \
             WHERE job = ?1 AND (stage, items_start) >= (?2, ?3) \
             ORDER BY stage, items_start LIMIT ?4"
        );
        self.read(move |connection| {
            let values = params![job.0, stage.0, item, PAGE_ROWS];
            all(connection, &query, values, |row| failure(job, row))
        })
        .await
    }

    /// A job as it was submitted; `None` when there is no such job.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it cannot be read back.
    pub async fn submitted(&self, job: JobId) -> Result<Option<StoredJob>, StoreError> {
        self.read(move |connection| {
            let query = "SELECT submission, spec FROM job WHERE job = ?1";
            let mut query = connection.prepare_cached(query)?;
            let stored = query.query_row([job.0], |row| {
                let spec: Vec<u8> = row.get(1)?;
                let spec = wire::decode(&spec).map_err(|error| {
                    rusqlite::Error::FromSqlConversionFailure(1, Type::Blob, Box::new(error))
                })?;
                Ok(StoredJob { submission: SubmissionId(u128::from_be_bytes(row.get(0)?)), spec })
            });
            stored.optional()
        })
        .await
    }
}
