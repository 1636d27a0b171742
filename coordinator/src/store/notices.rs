//! Notices on their way to whoever is to be told, until they are delivered or given up.

use gleaner_coordinator_core::{Notice, Occasion};
use gleaner_protocol::{JobId, NotifyTarget, SubmitterId, Timestamp, wire};
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Connection, Row, params};

use super::{Store, StoreError};

/// The most notices that are looked at in one go.
const AT_ONCE_MAX: u32 = 256;

/// The most of them for one submitter, or the operator, and for one target of theirs: however much
/// there is to tell one, others are seen.
pub(crate) const OF_SUBMITTER_MAX: u32 = 16;
pub(crate) const OF_TARGET_MAX: u32 = 2;

/// Names a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoticeId(pub u64);

/// A notice that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredNotice {
    /// Its name.
    pub id: NoticeId,
    /// The job it is about.
    pub job: JobId,
    /// The submitter from elsewhere whose job it is.
    pub submitter: Option<SubmitterId>,
    /// What is told to whom.
    pub notice: Notice,
    /// How often that was tried.
    pub tries: u32,
}

/// Notices whose time has come, those of the operator's own jobs first, and when there is more to
/// do. Of many for one target or submitter they are the first ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueNotices {
    /// To be tried now.
    pub due: Vec<StoredNotice>,
    /// When the next one is.
    pub next: Option<Timestamp>,
}

/// What became of a notice at a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoticeFate {
    /// Whoever was to be told was.
    Delivered,
    /// It is tried again.
    Again {
        /// When.
        due_at: Timestamp,
        /// Why it failed.
        failure: String,
    },
    /// It is tried no more.
    GivenUp {
        /// Why it failed.
        failure: String,
    },
}

impl Store {
    /// What is to be told by `now`.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn due_notices(&self, now: Timestamp) -> Result<DueNotices, StoreError> {
        self.read(move |connection| due(connection, now)).await
    }

    /// Whether any notice was not tried yet.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn has_untried_notices(&self) -> Result<bool, StoreError> {
        let query = "SELECT EXISTS (SELECT 1 FROM notice WHERE due_at IS NOT NULL AND tries = 0)";
        self.read(|connection| connection.query_row(query, [], |row| row.get(0))).await
    }

    /// The notices that were given up, in the order of their making, and why.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn notices_given_up(&self) -> Result<Vec<(JobId, String)>, StoreError> {
        self.read(|connection| {
            let query = "SELECT job, failure FROM notice WHERE due_at IS NULL ORDER BY notice";
            let row = |row: &Row<'_>| Ok((JobId(row.get(0)?), row.get(1)?));
            connection.prepare_cached(query)?.query_map([], row)?.collect()
        })
        .await
    }

    /// Notes what became of a notice. Durable when it is told; harmless when the notice has gone.
    ///
    /// # Errors
    /// [`StoreError`] when nothing is written now.
    pub async fn note_notice(&self, id: NoticeId, fate: NoticeFate) -> Result<(), StoreError> {
        let note = move |connection: &Connection| note(connection, id, &fate);
        self.inner.writer.statement(note).await
    }
}

/// Writes a new notice of a job, due at once.
pub(super) fn insert(connection: &Connection, job: JobId, notice: &Notice) -> rusqlite::Result<()> {
    let statement = "INSERT INTO notice (job, submitter, occasion, target, name, items, \
                     items_failed, text, at, tries, due_at) VALUES (?1, \
                     (SELECT submitter FROM job_owner WHERE job = ?1), \
                     ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?8)";
    let Notice { occasion, target, name, items, items_failed, text, at } = notice;
    let (occasion, target) = (occasion_word(*occasion), wire::encode(target));
    let values = params![job.0, occasion, target, name, items, items_failed, text, at.as_millis()];
    connection.prepare_cached(statement)?.execute(values).map(drop)
}

fn due(connection: &Connection, now: Timestamp) -> rusqlite::Result<DueNotices> {
    let query = "SELECT notice, job, submitter, occasion, target, name, items, items_failed, text, \
                 at, tries FROM notice WHERE notice IN ( \
                 SELECT notice FROM (SELECT notice, \
                 row_number() OVER (PARTITION BY submitter ORDER BY due_at, notice) AS place \
                 FROM (SELECT notice, submitter, due_at, row_number() OVER ( \
                 PARTITION BY submitter, target ORDER BY due_at, notice) AS place \
                 FROM notice WHERE due_at <= ?1) WHERE place <= ?2) WHERE place <= ?3) \
                 ORDER BY submitter IS NOT NULL, due_at, notice LIMIT ?4";
    let mut query = connection.prepare_cached(query)?;
    let values = params![now.as_millis(), OF_TARGET_MAX, OF_SUBMITTER_MAX, AT_ONCE_MAX];
    let due = query.query_map(values, stored)?;
    let due = due.collect::<rusqlite::Result<_>>()?;
    let query = "SELECT min(due_at) FROM notice WHERE due_at > ?1";
    let next: Option<u64> =
        connection.prepare_cached(query)?.query_row([now.as_millis()], |row| row.get(0))?;
    Ok(DueNotices { due, next: next.map(Timestamp::from_millis) })
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredNotice> {
    let target: Vec<u8> = row.get(4)?;
    let target: NotifyTarget = wire::decode(&target).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(4, Type::Blob, Box::new(error))
    })?;
    let notice = Notice {
        occasion: occasion_of(row.get_ref(3)?.as_str()?)?,
        target,
        name: row.get(5)?,
        items: row.get(6)?,
        items_failed: row.get(7)?,
        text: row.get(8)?,
        at: Timestamp::from_millis(row.get(9)?),
    };
    Ok(StoredNotice {
        id: NoticeId(row.get(0)?),
        job: JobId(row.get(1)?),
        submitter: row.get::<_, Option<[u8; 32]>>(2)?.map(SubmitterId),
        notice,
        tries: row.get(10)?,
    })
}

fn note(connection: &Connection, id: NoticeId, fate: &NoticeFate) -> rusqlite::Result<()> {
    let (due_at, failure) = match fate {
        NoticeFate::Delivered => {
            let statement = "DELETE FROM notice WHERE notice = ?1";
            return connection.prepare_cached(statement)?.execute([id.0]).map(drop);
        }
        NoticeFate::Again { due_at, failure } => (Some(due_at.as_millis()), failure),
        NoticeFate::GivenUp { failure } => (None, failure),
    };
    let statement = "UPDATE notice SET tries = tries + 1, due_at = ?2, failure = ?3 \
                     WHERE notice = ?1";
    connection.prepare_cached(statement)?.execute(params![id.0, due_at, failure]).map(drop)
}

fn occasion_word(occasion: Occasion) -> &'static str {
    match occasion {
        Occasion::Done => "done",
        Occasion::Failed => "failed",
        Occasion::Cancelled => "cancelled",
        Occasion::Stalled => "stalled",
    }
}

fn occasion_of(word: &str) -> rusqlite::Result<Occasion> {
    let all = [Occasion::Done, Occasion::Failed, Occasion::Cancelled, Occasion::Stalled];
    let found = all.into_iter().find(|occasion| occasion_word(*occasion) == word);
    found.ok_or_else(|| FromSqlError::Other(format!("no occasion {word:?}").into()).into())
}
