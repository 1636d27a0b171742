//! Results on disk until they are acknowledged.
//!
//! One thread owns the database (SQLite: WAL, synchronous FULL). It takes what has gathered while
//! the last commit was under way and commits it as one: the fsync is shared, and nobody waits
//! longer for it than one commit takes.
//!
//! Invariants: what was reported as [`Place::Disk`] survives a crash of the program and of the
//! machine until it is forgotten; what the disk would not take is reported as [`Place::Memory`],
//! stays here and is tried again until it is written or forgotten.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gleaner_protocol::{ProjectId, UnitResult, wire};
use gleaner_worker_core::AttemptKey;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tracing::{debug, info, warn};

/// The version of the tables.
const SCHEMA: u32 = 2;

/// The most changes in one commit: bounds how long a reader waits behind it.
const CHANGES_PER_COMMIT_MAX: usize = 1024;

/// How long to wait before a write that failed is tried again when nothing else is to be written.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why the results of an earlier run cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The database cannot be opened or read. A retry helps once the cause is mended; moving the
    /// file away gives up what it holds.
    #[error("cannot use the results in {}: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The system gave no thread to write from; a retry may help.
    #[error("no thread for writing results: {0}")]
    Thread(std::io::Error),
    /// A later version of this program wrote it.
    #[error(
        "the results in {} were written by a later version of Gleaner (tables {found}, this one \
         knows {known}); update this one", path.display()
    )]
    Later {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version known here.
        known: u32,
    },
}

/// Where a result is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Disk,
    Memory,
}

/// What is to be done with results that were read back: a closure, as the reader waits for
/// nothing.
pub(crate) type OnRead = Box<dyn FnOnce(Vec<UnitResult>) + Send>;

enum Command {
    Keep(AttemptKey, Arc<UnitResult>),
    Forget(AttemptKey),
    Read(Vec<AttemptKey>, OnRead),
}

/// Whether more commands may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Supply {
    Open,
    /// The journal was dropped, and every command was taken.
    Ended,
}

/// The results of this worker, on disk. Dropping it writes what is still to be written.
#[derive(Debug)]
pub(crate) struct Journal {
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// Opens the database at `path`, gives what an earlier run left in it, and starts the thread.
    /// `on_kept` hears of every result once, of those of one commit together.
    pub(crate) fn open(
        path: &Path,
        on_kept: impl Fn(Vec<AttemptKey>, Place) + Send + 'static,
    ) -> Result<(Self, Vec<(ProjectId, UnitResult)>), JournalError> {
        let failed = |source| JournalError::Database { path: path.to_owned(), source };
        let database = Connection::open(path).map_err(failed)?;
        let found = prepare(&database).map_err(failed)?;
        if found > SCHEMA {
            return Err(JournalError::Later { path: path.to_owned(), found, known: SCHEMA });
        }
        let Found { left, damaged } = read_all(&database).map_err(failed)?;
        delete_all(&database, &damaged).map_err(failed)?;
        let rows = left.iter().map(|(row, project, result)| (key_of(*project, result), *row));
        let mut writer =
            Writer::new(database, rows.collect(), Box::new(on_kept)).map_err(failed)?;
        let left = left.into_iter().map(|(_, project, result)| (project, result)).collect();
        let (commands, inbox) = mpsc::channel();
        let thread = std::thread::Builder::new().name("results".into());
        let thread = thread.spawn(move || writer.run(&inbox));
        let thread = thread.map_err(JournalError::Thread)?;
        Ok((Self { commands: Some(commands), thread: Some(thread) }, left))
    }

    pub(crate) fn keep(&self, key: AttemptKey, result: Arc<UnitResult>) {
        self.send(Command::Keep(key, result));
    }

    pub(crate) fn forget(&self, key: AttemptKey) {
        self.send(Command::Forget(key));
    }

    /// Reads results back; those that are not there are left out.
    pub(crate) fn read(&self, keys: Vec<AttemptKey>, then: OnRead) {
        self.send(Command::Read(keys, then));
    }

    fn send(&self, command: Command) {
        let sent = self.commands.as_ref().map(|commands| commands.send(command));
        assert!(matches!(sent, Some(Ok(()))), "the thread lives as long as its journal");
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.commands.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the thread that writes results panicked");
        }
    }
}

/// A change that is not on disk yet: a result, or none to forget one.
type Change = Option<Arc<UnitResult>>;

struct Writer {
    database: Connection,
    /// Where each result on disk is.
    rows: HashMap<AttemptKey, i64>,
    /// Beyond every row there is.
    next_row: i64,
    /// Changes the disk would not take, the last one for each attempt. The results among them were
    /// reported as [`Place::Memory`] when they came, and are not reported again.
    unwritten: BTreeMap<AttemptKey, Change>,
    on_kept: Box<dyn Fn(Vec<AttemptKey>, Place) + Send>,
}

impl Writer {
    fn new(
        database: Connection,
        rows: HashMap<AttemptKey, i64>,
        on_kept: Box<dyn Fn(Vec<AttemptKey>, Place) + Send>,
    ) -> rusqlite::Result<Self> {
        let last = "SELECT ifnull(max(row), 0) FROM result";
        let next_row = 1 + database.query_row(last, [], |row| row.get::<_, i64>(0))?;
        Ok(Self { database, rows, next_row, unwritten: BTreeMap::new(), on_kept })
    }

    fn run(&mut self, inbox: &mpsc::Receiver<Command>) {
        let mut failed_at = None;
        loop {
            let (batch, supply) = receive(inbox, failed_at);
            let due = failed_at.is_some_and(|at: Instant| at.elapsed() >= RETRY_AFTER);
            let mut changes = BTreeMap::new();
            let mut reads = Vec::new();
            for command in batch {
                match command {
                    Command::Keep(key, result) => drop(changes.insert(key, Some(result))),
                    Command::Forget(key) => drop(changes.insert(key, None)),
                    Command::Read(keys, then) => reads.push((keys, then)),
                }
            }
            let last_chance = supply == Supply::Ended && !self.unwritten.is_empty();
            if !changes.is_empty() || due || last_chance {
                failed_at = match self.commit(changes) {
                    Place::Disk => None,
                    Place::Memory => Some(Instant::now()),
                };
            }
            for (keys, then) in reads {
                then(keys.into_iter().filter_map(|key| self.read(key)).collect());
            }
            if supply == Supply::Ended {
                return;
            }
        }
    }

    /// Writes `changes` and what could not be written before: where all of them are now.
    fn commit(&mut self, changes: BTreeMap<AttemptKey, Change>) -> Place {
        let kept: Vec<_> =
            changes.iter().filter(|(_, change)| change.is_some()).map(|(key, _)| *key).collect();
        let mended = !self.unwritten.is_empty();
        self.unwritten.extend(changes);
        let written = self.write();
        let place = match &written {
            Ok(()) => Place::Disk,
            // Said once: it is tried again and again.
            Err(error) if !mended => {
                warn!(%error, "results not written to disk; kept in memory until it takes them");
                Place::Memory
            }
            Err(error) => {
                let results = self.unwritten.len();
                debug!(%error, results, "results still not written to disk");
                Place::Memory
            }
        };
        if written.is_ok() {
            if mended {
                info!(results = self.unwritten.len(), "results written to disk again");
            }
            self.unwritten.clear();
        }
        if !kept.is_empty() {
            (self.on_kept)(kept, place);
        }
        place
    }

    /// Writes all of `unwritten`, or nothing.
    fn write(&mut self) -> rusqlite::Result<()> {
        let mut next_row = self.next_row;
        let mut rows = Vec::with_capacity(self.unwritten.len());
        let transaction = self.database.transaction()?;
        for (key, change) in &self.unwritten {
            if let Some(row) = self.rows.get(key) {
                delete(&transaction, *row)?;
            }
            if let Some(result) = change {
                insert(&transaction, next_row, key.project, result)?;
            }
            rows.push((*key, change.as_ref().map(|_| next_row)));
            next_row += i64::from(change.is_some());
        }
        transaction.commit()?;
        self.next_row = next_row;
        for (key, row) in rows {
            match row {
                Some(row) => self.rows.insert(key, row),
                None => self.rows.remove(&key),
            };
        }
        Ok(())
    }

    fn read(&self, key: AttemptKey) -> Option<UnitResult> {
        if let Some(change) = self.unwritten.get(&key) {
            return change.as_deref().cloned();
        }
        let row = *self.rows.get(&key)?;
        read_one(&self.database, row).unwrap_or_else(|error| {
            warn!(attempt = %key.attempt, %error, "result not read from disk");
            None
        })
    }
}

/// Waits for one command and takes those that came with it; for none when a write that failed is
/// due before one comes.
fn receive(inbox: &mpsc::Receiver<Command>, failed_at: Option<Instant>) -> (Vec<Command>, Supply) {
    let first = match failed_at {
        None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        Some(at) => inbox.recv_timeout(RETRY_AFTER.saturating_sub(at.elapsed())),
    };
    match first {
        Ok(command) => {
            let more = inbox.try_iter().take(CHANGES_PER_COMMIT_MAX - 1);
            (std::iter::once(command).chain(more).collect(), Supply::Open)
        }
        Err(RecvTimeoutError::Timeout) => (Vec::new(), Supply::Open),
        Err(RecvTimeoutError::Disconnected) => (Vec::new(), Supply::Ended),
    }
}

/// Makes the table where there is none, and brings an older one up to date; gives the version found.
///
/// Rows are numbered as they come, so that keeping and forgetting results touches the two ends of
/// one tree.
fn prepare(database: &Connection) -> rusqlite::Result<u32> {
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    let found = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let older = match found {
        0 => "",
        1 => {
            "INSERT INTO result (project, result) SELECT project, result FROM results;
             DROP TABLE results;"
        }
        _ => return Ok(found),
    };
    database.execute_batch(&format!(
        "BEGIN;
         CREATE TABLE result (
             row INTEGER PRIMARY KEY,
             project BLOB NOT NULL,
             result BLOB NOT NULL
         );
         {older}
         PRAGMA user_version = {SCHEMA};
         COMMIT;"
    ))?;
    Ok(found)
}

fn insert(
    transaction: &Transaction<'_>,
    row: i64,
    project: ProjectId,
    result: &UnitResult,
) -> rusqlite::Result<()> {
    let statement = "INSERT INTO result (row, project, result) VALUES (?1, ?2, ?3)";
    let values = params![row, project.0, wire::encode(result)];
    transaction.prepare_cached(statement)?.execute(values).map(drop)
}

fn delete(transaction: &Transaction<'_>, row: i64) -> rusqlite::Result<()> {
    transaction.prepare_cached("DELETE FROM result WHERE row = ?1")?.execute([row]).map(drop)
}

fn read_one(database: &Connection, row: i64) -> rusqlite::Result<Option<UnitResult>> {
    let mut statement = database.prepare_cached("SELECT result FROM result WHERE row = ?1")?;
    let bytes = statement.query_row([row], |columns| columns.get::<_, Vec<u8>>(0));
    Ok(bytes.optional()?.and_then(|bytes| decode(row, &bytes)))
}

/// What an earlier run left.
#[derive(Default)]
struct Found {
    /// The results with their rows.
    left: Vec<(i64, ProjectId, UnitResult)>,
    /// Rows of those that cannot be read.
    damaged: Vec<i64>,
}

fn read_all(database: &Connection) -> rusqlite::Result<Found> {
    let mut statement = database.prepare("SELECT row, project, result FROM result")?;
    let rows = statement.query_map([], |columns| {
        let project = ProjectId(columns.get::<_, [u8; 32]>(1)?);
        Ok((columns.get::<_, i64>(0)?, project, columns.get::<_, Vec<u8>>(2)?))
    })?;
    let mut found = Found::default();
    for stored in rows {
        let (row, project, bytes) = stored?;
        match decode(row, &bytes) {
            Some(result) => found.left.push((row, project, result)),
            None => found.damaged.push(row),
        }
    }
    Ok(found)
}

fn delete_all(database: &Connection, rows: &[i64]) -> rusqlite::Result<()> {
    let transaction = database.unchecked_transaction()?;
    rows.iter().try_for_each(|row| delete(&transaction, *row))?;
    transaction.commit()
}

/// A result that cannot be read is given up: its unit will be computed again.
fn decode(row: i64, bytes: &[u8]) -> Option<UnitResult> {
    let result = wire::decode(bytes);
    result.inspect_err(|error| warn!(row, %error, "result on disk is damaged")).ok()
}

fn key_of(project: ProjectId, result: &UnitResult) -> AttemptKey {
    AttemptKey { project, attempt: result.claims.attempt }
}

#[cfg(test)]
mod tests;
