//! One slot process as the driver uses it: units in, answers out, suspended and ended on command.
//!
//! Invariants: commands take effect in the order given; an answer's large outputs are a blob on disk
//! before the answer is told, however long the disk refuses, and the slot takes no more units
//! meanwhile than it had; dropping the handle ends the process.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use gleaner_protocol::{AttemptId, LeaseClaims, Outcome, Payload, item_seed};
use gleaner_sandbox::{Slot, SlotAnswer, SlotUnit, SpawnError};
use gleaner_worker_core::{AttemptKey, RunId, SlotIndex, StageKey};
use serde_bytes::ByteBuf;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::blobs::{Offered, Pinned};
use crate::input::{Answer, Input};
use crate::obstacle;
use crate::stage::{Context, Prepared};

/// How long to wait before outputs are offered again to a disk that did not take them.
const WRITE_RETRY_AFTER: Duration = Duration::from_secs(5);

/// A unit's inputs, ready to be read.
#[derive(Clone, Debug)]
pub(crate) enum UnitInputs {
    /// As they came with the lease.
    Inline(Arc<Vec<ByteBuf>>),
    /// In a blob.
    Blob(Arc<Pinned>),
}

/// A unit to run.
pub(crate) struct SlotJob {
    pub(crate) key: AttemptKey,
    pub(crate) run: RunId,
    pub(crate) claims: LeaseClaims,
    pub(crate) inputs: UnitInputs,
}

enum Command {
    Run(Box<SlotJob>, Instant),
    Suspend,
    Resume,
}

/// A slot as the driver holds it.
pub(crate) struct SlotHandle {
    commands: mpsc::UnboundedSender<Command>,
    face: Arc<Mutex<Face>>,
}

/// What can be seen of a slot from outside.
#[derive(Default)]
struct Face {
    slot: Option<Slot>,
    /// What it was given and has not answered, in order.
    pipe: VecDeque<AttemptId>,
}

impl SlotHandle {
    /// Starts a slot for a stage; its answers go to the inputs of `context`.
    pub(crate) fn start(
        context: Context,
        place: (SlotIndex, RunId),
        stage: StageKey,
        prepared: Arc<Prepared>,
    ) -> Self {
        let (commands, received) = mpsc::unbounded_channel();
        let face = Arc::new(Mutex::new(Face::default()));
        let server = Server { context, place, stage, prepared, face: Arc::clone(&face) };
        tokio::spawn(server.run(received));
        Self { commands, face }
    }

    pub(crate) fn run(&self, job: SlotJob) {
        self.face().pipe.push_back(job.key.attempt);
        self.send(Command::Run(Box::new(job), Instant::now()));
    }

    pub(crate) fn suspend(&self) {
        self.send(Command::Suspend);
    }

    pub(crate) fn resume(&self) {
        self.send(Command::Resume);
    }

    /// The attempt that is running and how far it is.
    pub(crate) fn progress(&self) -> Option<(AttemptId, f32)> {
        let face = self.face();
        Some((*face.pipe.front()?, face.slot.as_ref()?.progress()))
    }

    /// A slot that could not be started has said so, and is ended by the core.
    fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    fn face(&self) -> MutexGuard<'_, Face> {
        lock(&self.face)
    }
}

impl Face {
    fn answered(&mut self, attempt: AttemptId) {
        // Answers come in order, but for units whose inputs were not there.
        if self.pipe.pop_front_if(|first| *first == attempt).is_none() {
            self.pipe.retain(|other| *other != attempt);
        }
    }
}

fn lock(face: &Mutex<Face>) -> MutexGuard<'_, Face> {
    face.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Server {
    context: Context,
    place: (SlotIndex, RunId),
    stage: StageKey,
    prepared: Arc<Prepared>,
    face: Arc<Mutex<Face>>,
}

/// A unit that a slot has answered, or whose inputs were not there.
struct Done {
    key: AttemptKey,
    run: RunId,
    given_at: Instant,
    answered_at: Instant,
    answer: Result<Answer, io::Error>,
}

impl Server {
    async fn run(self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let slot = match self.context.sandbox.spawn(self.prepared.slot()).await {
            Ok(slot) => slot,
            Err(error) => return self.on_not_started(error).await,
        };
        debug!(slot = self.place.0.0, job = %self.stage.job, stage = %self.stage.stage, "slot started");
        lock(&self.face).slot = Some(slot.clone());
        let mut running = FuturesUnordered::<BoxFuture<'_, Done>>::new();
        let mut last_answer = Instant::now();
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Run(job, given_at)) => {
                        running.push(Box::pin(self.compute(&slot, *job, given_at)));
                    }
                    Some(Command::Suspend) => slot.suspend(),
                    Some(Command::Resume) => slot.resume(),
                    None => break,
                },
                Some(done) = running.next() => {
                    let began = done.given_at.max(last_answer);
                    last_answer = last_answer.max(done.answered_at);
                    self.tell(done, began).await;
                }
            }
        }
        drop(running);
        slot.kill().await;
    }

    async fn on_not_started(&self, error: SpawnError) {
        let (slot, life) = self.place;
        let input = match error {
            SpawnError::NoEntry(_) => {
                Input::SlotRefused { stage: self.stage, reason: error.to_string() }
            }
            error => {
                warn!(slot = slot.0, %error, "slot not started");
                Input::SlotFailed { slot, life, obstacle: obstacle::of_starting(&error) }
            }
        };
        // Nobody listens only when the worker stops.
        let _ = self.context.inputs.send(input).await;
    }

    /// Runs one unit and makes its answer fit to be kept.
    async fn compute(&self, slot: &Slot, job: SlotJob, given_at: Instant) -> Done {
        let SlotJob { key, run, claims, inputs } = job;
        let unit = match read(inputs).await {
            Ok(items) => unit_of(&claims, items, self.prepared.seed()),
            Err(error) => {
                let answered_at = Instant::now();
                return Done { key, run, given_at, answered_at, answer: Err(error) };
            }
        };
        let SlotAnswer { outcome, cpu, log } = slot.run(unit).await;
        lock(&self.face).answered(key.attempt);
        let answered_at = Instant::now();
        let (outcome, outputs) = self.put_away(key, outcome).await;
        let answer = Ok(Answer { outcome, cpu, log, outputs });
        Done { key, run, given_at, answered_at, answer }
    }

    /// Moves outputs that are too large for a message into a blob.
    async fn put_away(&self, key: AttemptKey, outcome: Outcome) -> (Outcome, Option<Offered>) {
        let (items, failures) = match outcome {
            Outcome::Completed { outputs: Payload::Inline(items), failures }
                if !Payload::fits_inline(&items) =>
            {
                (items, failures)
            }
            outcome => return (outcome, None),
        };
        let bytes = Arc::new(Payload::encode_items(&items));
        drop(items);
        let mut tries = 0_u32;
        loop {
            let (blobs, bytes) = (self.context.blobs.clone(), Arc::clone(&bytes));
            let written = tokio::task::spawn_blocking(move || blobs.insert(&bytes)).await;
            match written.expect("writing a blob does not panic") {
                Ok(pinned) => {
                    let outputs = Payload::Blob(pinned.blob());
                    let offered = self.context.blobs.offer(pinned, key.project);
                    return (Outcome::Completed { outputs, failures }, Some(offered));
                }
                Err(error) => {
                    // Said once: it is tried again and again.
                    if tries == 0 {
                        warn!(attempt = %key.attempt, %error, "outputs not written; kept in memory");
                    }
                    tries += 1;
                    tokio::time::sleep(WRITE_RETRY_AFTER).await;
                }
            }
        }
    }

    async fn tell(&self, done: Done, began: Instant) {
        let Done { key, run, answered_at, .. } = done;
        let input = match done.answer {
            Ok(answer) => {
                let elapsed = answered_at.saturating_duration_since(began);
                Input::Answered { key, run, answer, elapsed }
            }
            Err(error) => {
                warn!(attempt = %key.attempt, %error, "inputs not read");
                Input::InputsLost { key }
            }
        };
        // Nobody listens only when the worker stops.
        let _ = self.context.inputs.send(input).await;
    }
}

async fn read(inputs: UnitInputs) -> io::Result<Vec<ByteBuf>> {
    match inputs {
        UnitInputs::Inline(items) => Ok(Arc::unwrap_or_clone(items)),
        UnitInputs::Blob(pinned) => {
            let read = tokio::task::spawn_blocking(move || read_items(&pinned));
            read.await.expect("reading a blob does not panic")
        }
    }
}

/// The inputs in a blob. Blocks.
pub(crate) fn read_items(pinned: &Pinned) -> io::Result<Vec<ByteBuf>> {
    let bytes = std::fs::read(pinned.path())?;
    Payload::decode_items(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn unit_of(claims: &LeaseClaims, items: Vec<ByteBuf>, job_seed: u64) -> SlotUnit {
    let range = claims.items;
    let seeds = (range.start..range.end).map(|item| item_seed(job_seed, claims.stage, item));
    SlotUnit { first_item: range.start, items, seeds: seeds.collect() }
}
