//! The one thread that writes: everything queued goes into one transaction (group commit), so that
//! a sync to disk is shared by all who wait for it.
//!
//! A full disk is waited out: a transaction that found no room left nothing behind, so its records
//! are tried again until there is some. The core is ahead of the store meanwhile, as it is during
//! any commit, and what depends on the records waits with them. How many wait is bounded by the
//! leases that are out, as new ones wait for their records too. Statements are not tried again:
//! whoever asked for one is told.
//!
//! A statement that breaks a rule of the schema, or has a value that no column holds, is undone by
//! itself and told to whoever asked for it. Records are not: the core has gone on from them, so one
//! that cannot be written ends the store, and a restart begins from what it holds.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use gleaner_coordinator_core::{Record, Sequence};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};

use super::StoreError;
use super::records::Batch;

/// Writes that wait, and at most as many in one transaction: a tenth of a second's worth at full
/// speed, so that who waits is told soon.
const QUEUE_MAX: usize = 1024;

/// How long to wait before records that found no room are tried again.
const ROOM_RETRY_AFTER: Duration = Duration::from_secs(1);

/// One thing to write.
pub(super) enum Write {
    /// Records of the core, all or none.
    Records {
        /// Their number.
        sequence: Sequence,
        /// The records.
        records: Vec<Record>,
    },
    /// Anything else; none once it has been tried.
    Statement(Option<Statement>),
}

/// Writes something, and gives what to do once it is durable. Dropped when it is not.
pub(super) type Statement = Box<dyn FnOnce(&Connection) -> rusqlite::Result<Deferred> + Send>;
type Deferred = Box<dyn FnOnce() + Send>;

/// How far the writer is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Every commit up to this one is durable.
    pub(super) durable: Sequence,
    /// Why nothing is written now, while the disk is full.
    pub(super) full: Option<StoreError>,
    /// Why nothing is written any more.
    pub(super) failure: Option<StoreError>,
}

/// The writer's thread; dropped, it writes what is queued and ends.
#[derive(Debug)]
pub(super) struct Writer {
    path: Arc<Path>,
    queue: Option<mpsc::Sender<Write>>,
    progress: watch::Receiver<Progress>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        path: Arc<Path>,
    ) -> Result<(Self, watch::Receiver<Progress>), StoreError> {
        let (queue, writes) = mpsc::channel(QUEUE_MAX);
        let (progress, receiver) = watch::channel(Progress::default());
        let state = State { connection, path: path.clone(), writes, progress };
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || state.run())
            .map_err(|error| StoreError::of_io(&path, error))?;
        let progress = receiver.clone();
        Ok((Self { path, queue: Some(queue), progress, thread: Some(thread) }, receiver))
    }

    pub(super) async fn send(&self, write: Write) -> Result<(), StoreError> {
        let queue = self.queue.as_ref().expect("the queue is there until the writer is dropped");
        queue.send(write).await.map_err(|_| self.failed())
    }

    /// Writes by `statement` and gives its answer once that is durable. One that fails by itself
    /// changes nothing, and nothing else.
    pub(super) async fn statement<T: Send + 'static>(
        &self,
        statement: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, answer) = oneshot::channel();
        let path = self.path.clone();
        let deferred = move |connection: &Connection| -> rusqlite::Result<Deferred> {
            let value = by_itself(connection, statement)?;
            let value = value.map_err(|error| StoreError::of_sqlite(&path, error));
            // Whoever asked may have given up waiting.
            Ok(Box::new(move || drop(sender.send(value))))
        };
        self.send(Write::Statement(Some(Box::new(deferred)))).await?;
        answer.await.unwrap_or_else(|_| Err(self.failed()))
    }

    /// Why the disk takes nothing now, if it is full.
    pub(super) fn full(&self) -> Option<StoreError> {
        self.progress.borrow().full.clone()
    }

    /// Waits until the disk is full; for ever when that does not happen.
    pub(super) async fn until_full(&self) -> StoreError {
        let mut progress = self.progress.clone();
        let full = progress.wait_for(|progress| progress.full.is_some()).await;
        let full = full.ok().and_then(|progress| progress.full.clone());
        match full {
            Some(full) => full,
            // The writer has ended: whoever waits for a write is told by that one.
            None => std::future::pending().await,
        }
    }

    fn failed(&self) -> StoreError {
        self.full().unwrap_or_else(|| StoreError::Failed { path: self.path.to_path_buf() })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was reported on its own thread; there is nothing more to save.
            let _ = thread.join();
        }
    }
}

struct State {
    connection: Connection,
    path: Arc<Path>,
    writes: mpsc::Receiver<Write>,
    progress: watch::Sender<Progress>,
}

impl State {
    /// Until the queue is closed and empty, or a commit fails.
    fn run(mut self) {
        let mut batch = Vec::with_capacity(QUEUE_MAX);
        while self.writes.blocking_recv_many(&mut batch, QUEUE_MAX) > 0 {
            if let Err(error) = self.write(&mut batch) {
                return self.fail(error);
            }
        }
    }

    /// Commits the batch, once there is room for it.
    fn write(&mut self, batch: &mut Vec<Write>) -> Result<(), StoreError> {
        loop {
            let committed = match batch.is_empty() {
                false => commit(&mut self.connection, batch),
                // Nothing waits: there is room once something else would fit.
                true => probe(&self.connection).map(|()| Committed::default()),
            };
            let error = match committed {
                Ok(committed) => {
                    batch.clear();
                    self.report(committed);
                    return Ok(());
                }
                Err(error) => StoreError::of_sqlite(&self.path, error),
            };
            if !matches!(error, StoreError::DiskFull { .. }) {
                return Err(error);
            }
            self.wait_for_room(batch, error)?;
        }
    }

    /// Keeps the records and adds those that come meanwhile; whoever wants something else is told.
    fn wait_for_room(
        &mut self,
        batch: &mut Vec<Write>,
        full: StoreError,
    ) -> Result<(), StoreError> {
        if self.progress.borrow().full.is_none() {
            tracing::error!(error = %full, "what is to be written waits until there is room");
            self.progress.send_modify(|progress| progress.full = Some(full.clone()));
        }
        std::thread::sleep(ROOM_RETRY_AFTER);
        while let Ok(write) = self.writes.try_recv() {
            batch.push(write);
        }
        batch.retain(|write| matches!(write, Write::Records { .. }));
        // Everyone has gone: what is not durable was told to nobody.
        if self.writes.is_closed() { Err(full) } else { Ok(()) }
    }

    fn report(&self, committed: Committed) {
        if self.progress.borrow().full.is_some() {
            tracing::info!(store = ?self.path, "there is room again");
            self.progress.send_modify(|progress| progress.full = None);
        }
        if let Some(durable) = committed.sequence {
            self.progress.send_modify(|progress| progress.durable = durable);
        }
        committed.deferred.into_iter().for_each(|deferred| deferred());
    }

    fn fail(&self, error: StoreError) {
        let source = std::error::Error::source(&error);
        tracing::error!(%error, source, "a commit failed; the store takes no more");
        self.progress.send_modify(|progress| progress.failure = Some(error));
    }
}

#[derive(Default)]
struct Committed {
    sequence: Option<Sequence>,
    deferred: Vec<Deferred>,
}

/// Runs a statement within a transaction. What is wrong with it alone is given inside, with
/// nothing left of it; what is wrong with the disk or the store is the transaction's.
fn by_itself<T>(
    connection: &Connection,
    statement: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<rusqlite::Result<T>> {
    let run = |words| connection.prepare_cached(words)?.execute([]).map(drop);
    run("SAVEPOINT one")?;
    let value = match statement(connection) {
        Ok(value) => Ok(value),
        Err(error) if is_of_statement(&error) => {
            run("ROLLBACK TO one")?;
            Err(error)
        }
        Err(error) => return Err(error),
    };
    run("RELEASE one")?;
    Ok(value)
}

/// Whether an error says nothing of the disk, the store or the process.
fn is_of_statement(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(
            code,
            ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig
        ),
        None => matches!(error, rusqlite::Error::ToSqlConversionFailure(_)),
    }
}

/// Writes something of no meaning, and takes it back.
fn probe(connection: &Connection) -> rusqlite::Result<()> {
    const PROBE: &str =
        "INSERT OR REPLACE INTO meta (name, value) VALUES ('room', zeroblob(32768))";
    connection.execute(PROBE, [])?;
    connection.execute("DELETE FROM meta WHERE name = 'room'", []).map(drop)
}

fn commit(connection: &mut Connection, writes: &mut [Write]) -> rusqlite::Result<Committed> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut batch = Batch::new(&transaction);
    let mut committed = Committed { sequence: None, deferred: Vec::new() };
    for write in writes {
        match write {
            Write::Records { sequence, records } => {
                debug_assert!(committed.sequence < Some(*sequence), "commits come in order");
                records.iter().try_for_each(|record| batch.write(record))?;
                committed.sequence = Some(*sequence);
            }
            Write::Statement(statement) => {
                if let Some(statement) = statement.take() {
                    committed.deferred.push(statement(&transaction)?);
                }
            }
        }
    }
    batch.finish()?;
    transaction.commit()?;
    Ok(committed)
}

#[cfg(test)]
mod tests {
    use rusqlite::params;

    use super::*;

    fn put(connection: &Connection, key: u64, value: i64) -> rusqlite::Result<usize> {
        connection.execute("INSERT INTO pair (key, value) VALUES (?1, ?2)", params![key, value])
    }

    #[test]
    fn a_statement_that_fails_by_itself_is_undone_and_takes_nothing_with_it() {
        let connection = Connection::open_in_memory().expect("opens");
        let table = "CREATE TABLE pair (key INTEGER PRIMARY KEY, value INTEGER) STRICT; BEGIN";
        connection.execute_batch(table).expect("made");
        put(&connection, 1, 1).expect("put");
        for bad_key in [1, u64::MAX] {
            let half = |connection: &Connection| {
                put(connection, 2, 2)?;
                put(connection, bad_key, 3)
            };
            by_itself(&connection, half).expect("the store is well").expect_err("it fails");
        }
        let whole = |connection: &Connection| put(connection, 3, 3);
        assert_eq!(by_itself(&connection, whole), Ok(Ok(1)));
        connection.execute_batch("COMMIT").expect("committed");
        let mut keys = connection.prepare("SELECT key FROM pair ORDER BY key").expect("reads");
        let keys = keys.query_map([], |row| row.get(0)).expect("reads");
        assert_eq!(keys.collect::<rusqlite::Result<Vec<u64>>>(), Ok(vec![1, 3]));
    }

    #[test]
    fn what_is_wrong_with_the_disk_is_wrong_with_all_that_was_to_be_committed() {
        let of_sqlite =
            |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        use rusqlite::ffi::{
            SQLITE_CONSTRAINT, SQLITE_CORRUPT, SQLITE_FULL, SQLITE_IOERR, SQLITE_NOMEM,
        };
        assert!(is_of_statement(&of_sqlite(SQLITE_CONSTRAINT)));
        for code in [SQLITE_FULL, SQLITE_IOERR, SQLITE_CORRUPT, SQLITE_NOMEM] {
            assert!(!is_of_statement(&of_sqlite(code)), "{code}");
        }
    }
}
