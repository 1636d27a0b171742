//! The task that owns the core: feeds it events and the time, and does what it says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gleaner_clock::Clock;
use gleaner_coordinator_core::{
    Action, Core, Event, JobEnd, KeptRun, Owner, Question, Record, Reply, RequestId, Sequence,
};
use gleaner_protocol::{
    BlobHash, JobId, JobSpec, LeaseClaims, LeaseToken, Outcome, Payload, StageIndex, SubmissionId,
    ToWorker, WorkerId,
};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use super::inputs::Inputs;
use super::outbox::Outgoing;
use super::reduction::Reductions;
use super::refusals::WhileFull;
use super::served::Served;
use crate::blobs::Uses;
use crate::notify::Notices;
use crate::store::{Commits, Store, StoreError};

/// How many inputs may wait for the engine before their senders do.
const INBOX_MAX: usize = 4096;

/// How many inputs are taken before what they led to is done.
const INPUTS_AT_ONCE: usize = 256;

/// How long the engine sleeps at most: the core's clock must not be left behind by a machine that
/// slept.
const SLEEP_MAX: Duration = Duration::from_secs(10);

/// A handle on the engine's inbox. Sending waits while the inbox is full; what is sent to an
/// engine that has stopped is dropped, as after a crash.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    inbox: mpsc::Sender<Input>,
}

/// Tells the streams of one worker apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamNumber(pub(crate) u64);

#[derive(Debug)]
pub(crate) enum Input {
    /// An event that nobody waits on.
    Event(Event),
    /// A request of the control API.
    Ask { ask: Ask, reply: oneshot::Sender<Reply> },
    /// A worker was admitted; its earlier stream, if there is one, is of no more use.
    Attach {
        worker: WorkerId,
        stream: StreamNumber,
        outbox: mpsc::Sender<Outgoing>,
        /// Dropped when the engine is through with the stream.
        end: DropGuard,
        held: Vec<(LeaseClaims, LeaseToken)>,
    },
    /// A stream has ended.
    Detach { worker: WorkerId, stream: StreamNumber },
    /// A worker is a member no more: its stream ends, and what it holds goes to others.
    Expel { worker: WorkerId },
}

#[derive(Debug)]
pub(crate) enum Ask {
    Submit {
        submission: SubmissionId,
        owner: Owner,
        spec: Box<JobSpec>,
        retry_of: Option<JobId>,
        items: Vec<Option<u64>>,
        kept: Vec<KeptRun>,
    },
    Cancel(JobId),
    Pause(JobId),
    Resume(JobId),
    Remove(JobId),
    Prioritise(JobId, i32),
    Question(Question),
}

impl Ask {
    /// What becomes of it when its answer is not waited for, as the disk is full.
    pub(super) fn while_full(&self) -> WhileFull {
        match self {
            Self::Question(_) => WhileFull::Unanswered,
            Self::Submit { .. }
            | Self::Cancel(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::Remove(_)
            | Self::Prioritise(..) => WhileFull::MayComeYet,
        }
    }
}

/// What the engine works with, apart from the core.
pub(crate) struct EngineParts {
    pub(crate) core: Core,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) uses: Uses,
    /// Told when a job was removed.
    pub(crate) removed: Arc<Notify>,
    pub(crate) commits: Commits,
    pub(crate) inputs: Arc<Inputs>,
    pub(crate) served: Arc<Served>,
    pub(crate) reductions: Reductions,
    pub(crate) changes: Arc<Changes>,
    pub(crate) notices: Arc<Notices>,
}

/// Wakes those who wait for a job to change.
#[derive(Debug)]
pub(crate) struct Changes(watch::Sender<u64>);

struct Running {
    parts: EngineParts,
    peers: HashMap<WorkerId, Peer>,
    replies: HashMap<RequestId, oneshot::Sender<Reply>>,
    next_request: u64,
}

struct Peer {
    stream: StreamNumber,
    outbox: mpsc::Sender<Outgoing>,
    _end: DropGuard,
}

impl Engine {
    /// An engine's inbox and its handle.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Input>) {
        let (inbox, receiver) = mpsc::channel(INBOX_MAX);
        (Self { inbox }, receiver)
    }

    pub(crate) async fn send(&self, input: Input) {
        // An engine that has stopped takes nothing: the far side comes back after the restart.
        let _ = self.inbox.send(input).await;
    }

    /// Asks and waits for the answer; `None` when the engine stops meanwhile.
    pub(crate) async fn ask(&self, ask: Ask) -> Option<Reply> {
        let (reply, answer) = oneshot::channel();
        self.send(Input::Ask { ask, reply }).await;
        answer.await.ok()
    }
}

impl Changes {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    fn tell(&self) {
        self.0.send_modify(|count| *count += 1);
    }
}

/// Runs until `stop` is cancelled or the store fails. The core dies with it: after a failure its
/// state may be ahead of the store's.
///
/// # Errors
/// Why the store failed.
pub(crate) async fn run(
    parts: EngineParts,
    mut inbox: mpsc::Receiver<Input>,
    stop: CancellationToken,
) -> Result<(), StoreError> {
    let mut running = Running::new(parts);
    running.act().await?;
    loop {
        let sleep = running.time_to_next();
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            durable = running.parts.commits.next() => {
                running.feed(Event::Persisted { through: durable? });
            }
            input = inbox.recv() => match input {
                Some(input) => running.take_all(input, &mut inbox),
                None => return Ok(()),
            },
            () = tokio::time::sleep(sleep) => {
                let now = running.parts.clock.now();
                running.parts.core.handle_timeout(now);
            }
        }
        running.act().await?;
    }
}

impl Running {
    fn new(parts: EngineParts) -> Self {
        Self { parts, peers: HashMap::new(), replies: HashMap::new(), next_request: 0 }
    }

    fn time_to_next(&self) -> Duration {
        let now = self.parts.clock.now();
        let due = self.parts.core.poll_timeout().map(|at| at.saturating_since(now));
        due.unwrap_or(SLEEP_MAX).min(SLEEP_MAX)
    }

    fn feed(&mut self, event: Event) {
        self.parts.core.handle_event(self.parts.clock.now(), event);
    }

    /// Takes an input and those that wait behind it, so that one commit serves many.
    fn take_all(&mut self, first: Input, inbox: &mut mpsc::Receiver<Input>) {
        self.take(first);
        for _ in 1..INPUTS_AT_ONCE {
            let Ok(input) = inbox.try_recv() else { return };
            self.take(input);
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Event(event) => self.feed(event),
            Input::Ask { ask, reply } => self.on_ask(ask, reply),
            Input::Attach { worker, stream, outbox, end, held } => {
                self.peers.insert(worker, Peer { stream, outbox, _end: end });
                self.feed(Event::WorkerConnected { worker, held });
            }
            Input::Detach { worker, stream } => {
                if self.peers.get(&worker).is_some_and(|peer| peer.stream == stream) {
                    self.detach(worker);
                }
            }
            Input::Expel { worker } => {
                if self.peers.contains_key(&worker) {
                    self.detach(worker);
                }
            }
        }
    }

    fn on_ask(&mut self, ask: Ask, reply: oneshot::Sender<Reply>) {
        self.next_request += 1;
        let request = RequestId(self.next_request);
        self.replies.insert(request, reply);
        self.feed(match ask {
            Ask::Submit { submission, owner, spec, retry_of, items, kept } => {
                let spec = *spec;
                Event::JobSubmitted { request, submission, owner, spec, retry_of, items, kept }
            }
            Ask::Cancel(job) => Event::CancelRequested { request, job },
            Ask::Pause(job) => Event::PauseRequested { request, job },
            Ask::Remove(job) => Event::RemoveRequested { request, job },
            Ask::Resume(job) => Event::ResumeRequested { request, job },
            Ask::Prioritise(job, priority) => Event::PriorityRequested { request, job, priority },
            Ask::Question(question) => Event::Asked { request, question },
        });
    }

    fn detach(&mut self, worker: WorkerId) {
        self.peers.remove(&worker);
        self.parts.served.forget(worker);
        self.feed(Event::WorkerDisconnected { worker });
    }

    async fn act(&mut self) -> Result<(), StoreError> {
        while let Some(action) = self.parts.core.poll_action() {
            match action {
                Action::Persist { sequence, records } => self.persist(sequence, records).await?,
                Action::Grant { worker, grants } => self.tell(worker, Outgoing::Grants(grants)),
                Action::Acknowledge { worker, attempts } => {
                    self.tell(worker, Outgoing::Message(ToWorker::Acknowledge { attempts }));
                }
                Action::Withdraw { worker, attempts, reason } => {
                    let message = ToWorker::Withdraw { attempts, reason };
                    self.tell(worker, Outgoing::Message(message));
                }
                Action::Reduce { job, stage, items } => self.reduce(job, stage, items),
                Action::Reply { request, reply } => {
                    if let Some(waiting) = self.replies.remove(&request) {
                        // Whoever asked may have gone.
                        let _ = waiting.send(reply);
                    }
                }
                Action::Notify => self.parts.notices.ring(),
                Action::JobChanged { .. } => self.parts.changes.tell(),
            }
        }
        Ok(())
    }

    async fn persist(
        &mut self,
        sequence: Sequence,
        records: Vec<Record>,
    ) -> Result<(), StoreError> {
        for record in &records {
            self.follow(record);
        }
        let (outputs, removed) = (outcome_blobs(&records), removes(&records));
        self.parts.store.commit(sequence, records).await?;
        // From here on the store names them to whoever asks it.
        outputs.into_iter().for_each(|hash| self.parts.uses.settle(hash));
        if removed {
            self.parts.removed.notify_one();
        }
        Ok(())
    }

    /// Keeps the inputs of running jobs at hand.
    fn follow(&self, record: &Record) {
        match record {
            Record::JobAccepted { job, spec, .. } => {
                info!(%job, name = %spec.name, "job submitted");
                self.parts.uses.refer(*job, spec.blobs().map(|blob| blob.hash));
                self.parts.inputs.add_job(*job, Arc::new(spec.clone()));
            }
            Record::StageOpened { job, opening, .. } => {
                self.parts.uses.refer(*job, opening.made.map(|made| made.hash));
            }
            Record::StageDone { job, stage, outputs } => {
                info!(%job, %stage, files = outputs.len(), "stage done");
                self.parts.uses.refer(*job, outputs.iter().map(|output| output.blob.hash));
                if let Some(output) = outputs.first() {
                    self.parts.inputs.add_output(*job, *stage, output.blob);
                }
            }
            Record::JobRemoved { job, .. } => {
                info!(%job, "job removed");
                self.parts.uses.release(*job);
            }
            Record::JobPaused { job, .. } => info!(%job, "job paused"),
            Record::JobResumed { job } => info!(%job, "job resumed"),
            Record::JobEnded { job, end, .. } => {
                match end {
                    JobEnd::Failed { reason, .. } => warn!(%job, reason, "job failed"),
                    JobEnd::Done => info!(%job, "job done"),
                    JobEnd::Cancelled => info!(%job, "job cancelled"),
                }
                self.parts.inputs.remove_job(*job);
                self.parts.reductions.end_job(*job);
            }
            _ => {}
        }
    }

    /// Puts something in a worker's outbox. One that is full belongs to a worker that does not
    /// read: its stream ends, and it comes back when it can.
    fn tell(&mut self, worker: WorkerId, outgoing: Outgoing) {
        let Some(peer) = self.peers.get(&worker) else { return };
        if peer.outbox.try_send(outgoing).is_err() {
            warn!(%worker, "a worker does not read; its stream is ended");
            self.detach(worker);
        }
    }

    fn reduce(&self, job: JobId, stage: StageIndex, items: u64) {
        if let Some(spec) = self.parts.inputs.spec(job) {
            self.parts.reductions.start(job, stage, items, spec);
        }
    }
}

/// The blobs that accepted results name.
fn outcome_blobs(records: &[Record]) -> Vec<BlobHash> {
    let blob = |record: &Record| match record {
        Record::ResultAccepted {
            outcome: Outcome::Completed { outputs: Payload::Blob(blob), .. },
            ..
        } => Some(blob.hash),
        _ => None,
    };
    records.iter().filter_map(blob).collect()
}

fn removes(records: &[Record]) -> bool {
    records.iter().any(|record| matches!(record, Record::JobRemoved { .. }))
}
