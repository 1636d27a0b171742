//! What must survive: the core's records, the project's members, a few secrets; in SQLite.
//!
//! Invariants: one process on a folder at a time; one thread writes; a commit is reported once it
//! is synced to disk (WAL, `synchronous=FULL`) and never before; commits become durable in their
//! order; a full disk is waited out; once a commit fails otherwise, nothing is written until the
//! store is opened again, since what the failed one left is not known. Each opening has an epoch of its own, durable before anything
//! else is.
//!
//! Deliberately absent: what records mean (that is the core's), and bytes of blobs.

mod anew;
mod compact;
mod error;
mod failed;
mod kept;
mod load;
mod log;
mod members;
mod notices;
mod records;
mod removal;
mod results;
mod schema;
mod snapshot;
mod submitters;
mod units;
mod work;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gleaner_coordinator_core::{Record, Recovered, Sequence};
use gleaner_folder::{FolderLock, LockError};
use gleaner_protocol::{Epoch, LeaseKey};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::watch;

pub(crate) use anew::begin_anew;
pub use compact::Compacted;
pub use error::StoreError;
pub use failed::{StoredFailure, StoredJob};
pub use kept::Question;
pub use members::{Admission, Denial, InvitationTerms, StoredInvitation};
pub use notices::{DueNotices, NoticeFate, NoticeId, StoredNotice};
pub(crate) use notices::{OF_SUBMITTER_MAX, OF_TARGET_MAX};
pub use removal::Swept;
pub use results::{SettledResults, SettledUnit};
pub(crate) use schema::VERSION;
pub use snapshot::{BlobUse, Finding};
pub(crate) use snapshot::{Snapshot, copy};
pub use submitters::{AddSubmitterError, StoredSubmitter};
pub use units::{
    StoredAttempt, StoredLog, StoredUnit, StoredUnits, Unanswered, UnitChoice, UnitEntry,
    UnitsQuery,
};
pub use work::SettledWork;

use writer::{Progress, Write, Writer};

/// The store's file in the coordinator's folder.
pub(crate) const FILE: &str = "store.sqlite";

/// The store of one coordinator. Clones share it; when the last one goes, what was queued is
/// written and the folder is free again.
#[derive(Clone, Debug)]
pub struct Store {
    reader: Arc<Mutex<Connection>>,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: Arc<Path>,
    epoch: Epoch,
    lease_key: LeaseKey,
    /// Ends before the lock is let go, since fields are dropped in this order.
    writer: Writer,
    _lock: FolderLock,
}

/// Tells how far the store is, in order.
#[derive(Debug)]
pub struct Commits {
    progress: watch::Receiver<Progress>,
    path: Arc<Path>,
}

impl Store {
    /// Opens the store in the coordinator's folder, or makes one. Blocks while it does.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it; any other [`StoreError`] as it says.
    pub fn open(folder: &Path) -> Result<(Self, Commits), StoreError> {
        let lock = FolderLock::take(folder).map_err(|error| not_locked(folder, error))?;
        let path: Arc<Path> = folder.join(FILE).into();
        log::write_again(&path).map_err(|error| StoreError::of_io(&path, error))?;
        let connection = schema::open_writer(&path)?;
        Self::start(lock, path, connection)
    }

    fn start(
        lock: FolderLock,
        path: Arc<Path>,
        connection: Connection,
    ) -> Result<(Self, Commits), StoreError> {
        let (epoch, lease_key) =
            begin(&connection).map_err(|error| StoreError::of_sqlite(&path, error))?;
        // What was begun is in the log, so that there is one.
        log::sync_names(&path).map_err(|error| StoreError::of_io(&path, error))?;
        let reader = schema::open_reader(&path)?;
        let (writer, progress) = Writer::start(connection, path.clone())?;
        let commits = Commits { progress, path: path.clone() };
        let reader = Arc::new(Mutex::new(reader));
        let inner = Inner { path, epoch, lease_key, writer, _lock: lock };
        Ok((Self { reader, inner: Arc::new(inner) }, commits))
    }

    /// The same store, read over a connection of its own: long readings keep nobody else waiting.
    ///
    /// # Errors
    /// Any [`StoreError`] of opening it.
    pub fn read_apart(&self) -> Result<Self, StoreError> {
        let reader = schema::open_reader(&self.inner.path)?;
        Ok(Self { reader: Arc::new(Mutex::new(reader)), inner: self.inner.clone() })
    }

    /// How often this store has been opened, this time included.
    pub fn epoch(&self) -> Epoch {
        self.inner.epoch
    }

    /// The key for the MACs of leases, made when the store was.
    pub fn lease_key(&self) -> LeaseKey {
        self.inner.lease_key.clone()
    }

    /// The store's file.
    pub fn path(&self) -> PathBuf {
        self.inner.path.to_path_buf()
    }

    /// Queues records, to be committed together and after all that were queued before; waits
    /// while the queue is full. [`Commits`] tells when they are durable.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when nothing is written any more.
    pub async fn commit(&self, sequence: Sequence, records: Vec<Record>) -> Result<(), StoreError> {
        self.inner.writer.send(Write::Records { sequence, records }).await
    }

    /// Why nothing is written now, if the disk is full: records wait for room, anything else is
    /// refused.
    pub fn full(&self) -> Option<StoreError> {
        self.inner.writer.full()
    }

    /// Waits until the disk is full; for ever when that does not happen.
    pub async fn until_full(&self) -> StoreError {
        self.inner.writer.until_full().await
    }

    /// The sum of all records that are durable.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when something cannot be read back.
    pub async fn load(&self) -> Result<Recovered, StoreError> {
        self.read(load::recovered).await
    }

    /// Runs a query beside the writer.
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = self.reader.clone();
        let task = tokio::task::spawn_blocking(move || {
            // A query that panicked changed nothing: the connection only reads.
            query(&reader.lock().unwrap_or_else(PoisonError::into_inner))
        });
        let result = task.await.expect("queries do not panic");
        result.map_err(|error| StoreError::of_sqlite(&self.inner.path, error))
    }
}

impl Commits {
    /// Waits until more is durable, and says up to where. What became durable since the last call
    /// is told at once; several commits may be told as one.
    ///
    /// # Errors
    /// Why a commit failed; from then on always. Records after the last number told may or may
    /// not be durable: the store must be opened again and asked.
    pub async fn next(&mut self) -> Result<Sequence, StoreError> {
        let failed = StoreError::Failed { path: self.path.to_path_buf() };
        if let Some(error) = &self.progress.borrow().failure {
            return Err(error.clone());
        }
        self.progress.changed().await.map_err(|_| failed)?;
        let progress = self.progress.borrow_and_update();
        match &progress.failure {
            Some(error) => Err(error.clone()),
            None => Ok(progress.durable),
        }
    }
}

fn not_locked(folder: &Path, error: LockError) -> StoreError {
    match error {
        LockError::Held { holder } => StoreError::InUse { folder: folder.to_owned(), holder },
        LockError::Io { path, source } => StoreError::of_io(&path, source),
    }
}

/// Makes this opening's epoch durable, and gives it with the lease key.
fn begin(connection: &Connection) -> rusqlite::Result<(Epoch, LeaseKey)> {
    let transaction = connection.unchecked_transaction()?;
    let epoch = 1 + meta::<u64>(&transaction, "epoch")?.unwrap_or(0);
    set_meta(&transaction, "epoch", epoch)?;
    let key = match meta::<[u8; 32]>(&transaction, "lease_key")? {
        Some(key) => key,
        None => {
            let mut key = [0; 32];
            getrandom::fill(&mut key).expect("the system has random numbers");
            set_meta(&transaction, "lease_key", key)?;
            key
        }
    };
    transaction.commit()?;
    Ok((Epoch(epoch), LeaseKey::new(key)))
}

fn meta<T: rusqlite::types::FromSql>(
    connection: &Connection,
    name: &str,
) -> rusqlite::Result<Option<T>> {
    let mut query = connection.prepare("SELECT value FROM meta WHERE name = ?1")?;
    query.query_row([name], |row| row.get(0)).optional()
}

fn set_meta(
    connection: &Connection,
    name: &str,
    value: impl rusqlite::ToSql,
) -> rusqlite::Result<usize> {
    let statement = "INSERT INTO meta (name, value) VALUES (?1, ?2) \
                     ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    connection.execute(statement, params![name, value])
}

#[cfg(test)]
mod tests;
