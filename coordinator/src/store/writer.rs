//! The one thread that writes: everything queued goes into one transaction (group commit), so that
//! a sync to disk is shared by all who wait for it.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use gleaner_coordinator_core::{Record, Sequence};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};

use super::StoreError;
use super::records::Batch;

/// Writes that wait, and at most as many in one transaction: a tenth of a second's worth at full
/// speed, so that who waits is told soon.
const QUEUE_MAX: usize = 1024;

/// One thing to write.
pub(super) enum Write {
    /// Records of the core, all or none.
    Records {
        /// Their number.
        sequence: Sequence,
        /// The records.
        records: Vec<Record>,
    },
    /// Anything else.
    Statement(Statement),
}

/// Writes something, and gives what to do once it is durable. Dropped when it is not.
pub(super) type Statement = Box<dyn FnOnce(&Connection) -> rusqlite::Result<Deferred> + Send>;
type Deferred = Box<dyn FnOnce() + Send>;

/// How far the writer is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Every commit up to this one is durable.
    pub(super) durable: Sequence,
    /// Why nothing is written any more.
    pub(super) failure: Option<StoreError>,
}

/// The writer's thread; dropped, it writes what is queued and ends.
#[derive(Debug)]
pub(super) struct Writer {
    path: Arc<Path>,
    queue: Option<mpsc::Sender<Write>>,
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
        Ok((Self { path, queue: Some(queue), thread: Some(thread) }, receiver))
    }

    pub(super) async fn send(&self, write: Write) -> Result<(), StoreError> {
        let queue = self.queue.as_ref().expect("the queue is there until the writer is dropped");
        queue.send(write).await.map_err(|_| self.failed())
    }

    /// Writes by `statement` and gives its answer once that is durable.
    pub(super) async fn statement<T: Send + 'static>(
        &self,
        statement: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, answer) = oneshot::channel();
        let deferred = move |connection: &Connection| -> rusqlite::Result<Deferred> {
            let value = statement(connection)?;
            // Whoever asked may have given up waiting.
            Ok(Box::new(move || drop(sender.send(value))))
        };
        self.send(Write::Statement(Box::new(deferred))).await?;
        answer.await.map_err(|_| self.failed())
    }

    fn failed(&self) -> StoreError {
        StoreError::Failed { path: self.path.to_path_buf() }
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
            match commit(&mut self.connection, batch.drain(..)) {
                Ok(committed) => self.report(committed),
                Err(error) => return self.fail(StoreError::of_sqlite(&self.path, error)),
            }
        }
    }

    fn report(&self, committed: Committed) {
        if let Some(durable) = committed.sequence {
            self.progress.send_modify(|progress| progress.durable = durable);
        }
        committed.deferred.into_iter().for_each(|deferred| deferred());
    }

    fn fail(&self, error: StoreError) {
        tracing::error!(store = ?self.path, %error, "a commit failed; the store takes no more");
        self.progress.send_modify(|progress| progress.failure = Some(error));
    }
}

struct Committed {
    sequence: Option<Sequence>,
    deferred: Vec<Deferred>,
}

fn commit(
    connection: &mut Connection,
    writes: impl Iterator<Item = Write>,
) -> rusqlite::Result<Committed> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut batch = Batch::new(&transaction);
    let mut committed = Committed { sequence: None, deferred: Vec::new() };
    for write in writes {
        match write {
            Write::Records { sequence, records } => {
                debug_assert!(committed.sequence < Some(sequence), "commits come in order");
                records.iter().try_for_each(|record| batch.write(record))?;
                committed.sequence = Some(sequence);
            }
            Write::Statement(statement) => committed.deferred.push(statement(&transaction)?),
        }
    }
    batch.finish()?;
    transaction.commit()?;
    Ok(committed)
}
