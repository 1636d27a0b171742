//! Submitters from elsewhere: their names, keys and terms.

use std::num::NonZeroU32;

use gleaner_protocol::{SubmitterId, SubmitterTerms, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Store, StoreError};

/// A submitter as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSubmitter {
    /// Its key.
    pub submitter: SubmitterId,
    /// The operator's name for it.
    pub name: String,
    /// What it may use.
    pub terms: SubmitterTerms,
    /// When it was put on the list last.
    pub added_at: Timestamp,
    /// When it was taken off the list, if it was.
    pub removed_at: Option<Timestamp>,
}

/// Why a submitter cannot be put on the list. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AddSubmitterError {
    /// The name is another key's.
    #[error("{name:?} is on the list with another key, {submitter}")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        submitter: SubmitterId,
    },
    /// The key has another name.
    #[error("this key is on the list as {name:?}")]
    KeyListed {
        /// Its name.
        name: String,
    },
    /// Nothing is written any more.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const COLUMNS: &str = "submitter, name, weight, jobs_max, storage_bytes_max, added_at, removed_at";

impl Store {
    /// Puts a submitter on the list; one that is there under this name has these terms from now
    /// on. Durable when it is told.
    ///
    /// # Errors
    /// [`AddSubmitterError`].
    pub async fn add_submitter(
        &self,
        submitter: SubmitterId,
        name: String,
        terms: SubmitterTerms,
        now: Timestamp,
    ) -> Result<StoredSubmitter, AddSubmitterError> {
        let add = move |connection: &Connection| add(connection, submitter, &name, terms, now);
        match self.inner.writer.statement(add).await? {
            Ok(stored) => Ok(stored),
            Err(taken) => Err(match taken.submitter == submitter {
                true => AddSubmitterError::KeyListed { name: taken.name },
                false => {
                    AddSubmitterError::NameTaken { name: taken.name, submitter: taken.submitter }
                }
            }),
        }
    }

    /// Takes the submitter called `name` off the list; none when there is none. Durable when it is
    /// told.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when nothing is written any more.
    pub async fn remove_submitter(
        &self,
        name: String,
        now: Timestamp,
    ) -> Result<Option<StoredSubmitter>, StoreError> {
        let remove = move |connection: &Connection| {
            let statement = format!(
                "UPDATE submitter SET removed_at = ?2 WHERE name = ?1 AND removed_at IS NULL \
                 RETURNING {COLUMNS}"
            );
            let values = params![name, now.as_millis()];
            connection.prepare_cached(&statement)?.query_row(values, stored).optional()
        };
        self.inner.writer.statement(remove).await
    }

    /// All submitters there ever were, by their names.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn submitters(&self) -> Result<Vec<StoredSubmitter>, StoreError> {
        self.read(submitters).await
    }
}

pub(super) fn submitters(connection: &Connection) -> rusqlite::Result<Vec<StoredSubmitter>> {
    let query = format!("SELECT {COLUMNS} FROM submitter ORDER BY name, added_at");
    connection.prepare(&query)?.query_map([], stored)?.collect()
}

/// The submitter as it is on the list now, or the one on the list that is in its way.
fn add(
    connection: &Connection,
    submitter: SubmitterId,
    name: &str,
    terms: SubmitterTerms,
    now: Timestamp,
) -> rusqlite::Result<Result<StoredSubmitter, StoredSubmitter>> {
    let listed = format!(
        "SELECT {COLUMNS} FROM submitter WHERE removed_at IS NULL \
         AND (name = ?1) <> (submitter = ?2)"
    );
    let mut listed = connection.prepare_cached(&listed)?;
    if let Some(other) = listed.query_row(params![name, submitter.0], stored).optional()? {
        return Ok(Err(other));
    }
    let statement = format!(
        "INSERT INTO submitter (submitter, name, weight, jobs_max, storage_bytes_max, added_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (submitter) DO UPDATE SET \
         name = ?2, weight = ?3, jobs_max = ?4, storage_bytes_max = ?5, \
         added_at = iif(removed_at IS NULL, added_at, ?6), removed_at = NULL RETURNING {COLUMNS}"
    );
    let values = params![
        submitter.0,
        name,
        terms.weight.get(),
        terms.jobs_max,
        terms.storage_bytes_max,
        now.as_millis()
    ];
    connection.prepare_cached(&statement)?.query_row(values, stored).map(Ok)
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredSubmitter> {
    let weight = NonZeroU32::new(row.get(2)?).ok_or_else(|| {
        let cause = "a weight is at least 1".into();
        rusqlite::Error::FromSqlConversionFailure(2, Type::Integer, cause)
    })?;
    Ok(StoredSubmitter {
        submitter: SubmitterId(row.get(0)?),
        name: row.get(1)?,
        terms: SubmitterTerms { weight, jobs_max: row.get(3)?, storage_bytes_max: row.get(4)? },
        added_at: Timestamp::from_millis(row.get(5)?),
        removed_at: row.get::<_, Option<u64>>(6)?.map(Timestamp::from_millis),
    })
}
