//! Results on disk until they are acknowledged.
//!
//! One thread owns the database (SQLite: WAL, synchronous FULL). It takes what has gathered while
//! the last commit was under way and commits it as one: the fsync is shared, and nobody waits
//! longer for it than one commit takes.
//!
//! Invariants: what was reported as [`Place::Disk`] survives a crash of the program and of the
//! machine until it is forgotten; what the disk would not take is reported as [`Place::Memory`],
//! stays here and is tried again until it is written or forgotten.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gleaner_protocol::{AttemptId, ProjectId, UnitResult, wire};
use gleaner_worker_core::AttemptKey;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tracing::{debug, info, warn};

/// The version of the tables.
const SCHEMA: u32 = 1;

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
    /// `on_kept` hears of every result once.
    pub(crate) fn open(
        path: &Path,
        on_kept: impl Fn(AttemptKey, Place) + Send + 'static,
    ) -> Result<(Self, Vec<(ProjectId, UnitResult)>), JournalError> {
        let failed = |source| JournalError::Database { path: path.to_owned(), source };
        let database = Connection::open(path).map_err(failed)?;
        let found = prepare(&database).map_err(failed)?;
        if found > SCHEMA {
            return Err(JournalError::Later { path: path.to_owned(), found, known: SCHEMA });
        }
        let left = read_all(&database).map_err(failed)?;
        let (commands, inbox) = mpsc::channel();
        let mut writer =
            Writer { database, unwritten: BTreeMap::new(), on_kept: Box::new(on_kept) };
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
    /// Changes the disk would not take, the last one for each attempt. The results among them were
    /// reported as [`Place::Memory`] when they came, and are not reported again.
    unwritten: BTreeMap<AttemptKey, Change>,
    on_kept: Box<dyn Fn(AttemptKey, Place) + Send>,
}

impl Writer {
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
        let written = write(&mut self.database, &self.unwritten);
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
        for key in kept {
            (self.on_kept)(key, place);
        }
        place
    }

    fn read(&self, key: AttemptKey) -> Option<UnitResult> {
        if let Some(change) = self.unwritten.get(&key) {
            return change.as_deref().cloned();
        }
        read_one(&self.database, key).unwrap_or_else(|error| {
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

/// Makes the tables where there are none; gives the version found.
fn prepare(database: &Connection) -> rusqlite::Result<u32> {
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    let found = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found == 0 {
        database.execute_batch(&format!(
            "BEGIN;
             CREATE TABLE results (
                 project BLOB NOT NULL,
                 attempt BLOB NOT NULL,
                 result BLOB NOT NULL,
                 PRIMARY KEY (project, attempt)
             );
             PRAGMA user_version = {SCHEMA};
             COMMIT;"
        ))?;
    }
    Ok(found)
}

fn write(
    database: &mut Connection,
    changes: &BTreeMap<AttemptKey, Change>,
) -> rusqlite::Result<()> {
    let transaction = database.transaction()?;
    for (key, change) in changes {
        write_one(&transaction, *key, change.as_deref())?;
    }
    transaction.commit()
}

fn write_one(
    transaction: &Transaction<'_>,
    key: AttemptKey,
    change: Option<&UnitResult>,
) -> rusqlite::Result<()> {
    let (project, attempt) = (key.project.0, wire::encode(&key.attempt));
    match change {
        Some(result) => transaction
            .prepare_cached("INSERT OR REPLACE INTO results VALUES (?1, ?2, ?3)")?
            .execute(params![project, attempt, wire::encode(result)]),
        None => transaction
            .prepare_cached("DELETE FROM results WHERE project = ?1 AND attempt = ?2")?
            .execute(params![project, attempt]),
    }?;
    Ok(())
}

fn read_one(database: &Connection, key: AttemptKey) -> rusqlite::Result<Option<UnitResult>> {
    let mut statement = database
        .prepare_cached("SELECT result FROM results WHERE project = ?1 AND attempt = ?2")?;
    let attempt = wire::encode(&key.attempt);
    let row = statement.query_row(params![key.project.0, attempt], |row| row.get::<_, Vec<u8>>(0));
    Ok(row.optional()?.and_then(|bytes| decode(&key.attempt.to_string(), &bytes)))
}

fn read_all(database: &Connection) -> rusqlite::Result<Vec<(ProjectId, UnitResult)>> {
    let mut statement = database.prepare("SELECT project, attempt, result FROM results")?;
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?))
    })?;
    let mut results = Vec::new();
    for row in rows {
        let (project, attempt, result) = row?;
        let name =
            wire::decode::<AttemptId>(&attempt).map_or_else(|_| "?".into(), |a| a.to_string());
        results.extend(decode(&name, &result).map(|result| (ProjectId(project), result)));
    }
    Ok(results)
}

/// A result that cannot be read is given up: its unit will be computed again.
fn decode(name: &str, bytes: &[u8]) -> Option<UnitResult> {
    let result = wire::decode(bytes);
    result.inspect_err(|error| warn!(attempt = name, %error, "result on disk is damaged")).ok()
}

#[cfg(test)]
mod tests;
