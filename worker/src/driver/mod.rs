//! Feeds the core and carries out what it decides.
//!
//! One task owns everything; the tasks around it (a connector for each project, one for each slot,
//! fetches) tell it what happened through one bounded channel, and it never waits for any of them.
//! `incoming` turns what happened into events, `outgoing` actions into deeds.

mod incoming;
mod outgoing;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gleaner_clock::Clock;
use gleaner_protocol::{ProjectId, RefusedReason, StageTask, Timestamp, UnitResult, WorkerId};
use gleaner_worker_core::{
    AttemptKey, Event, HeldLease, RunId, SlotIndex, StageKey, Verdict, Worker as Core,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::blobs::Offered;
use crate::input::{Answer, Input};
use crate::journal::Journal;
use crate::link::{Connector, Link};
use crate::projects::Joined;
use crate::slot::{SlotHandle, UnitInputs};
use crate::stage::{Context, Prepared};

/// How many inputs wait for the driver before those who send them wait too.
pub(crate) const INPUTS_WAITING_MAX: usize = 1024;

/// How many inputs are taken at once.
const INPUTS_TAKEN_MAX: usize = 256;

/// How long streams may take to send their last words.
const FAREWELL_MAX: Duration = Duration::from_secs(5);

/// Everything the driver holds; see the module's documentation.
pub(crate) struct Driver {
    /// Dropped first, so that nobody waits for a listener who is gone.
    pub(crate) inbox: mpsc::Receiver<Input>,
    pub(crate) core: Core,
    pub(crate) clock: Clock,
    pub(crate) context: Context,
    pub(crate) journal: Journal,
    pub(crate) slot_memory_bytes: u64,
    pub(crate) projects: HashMap<ProjectId, Project>,
    pub(crate) stages: HashMap<StageKey, Stage>,
    pub(crate) units: HashMap<AttemptKey, Unit>,
    pub(crate) slots: HashMap<SlotIndex, SlotHandle>,
    pub(crate) connectors: JoinSet<()>,
    pub(crate) stop: CancellationToken,
    pub(crate) stopped: bool,
    /// Why nothing is left to run for.
    pub(crate) refusal: Option<Refusal>,
}

/// The last project that refused this worker, every other one having done so before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Its name.
    pub(crate) project: String,
    pub(crate) reason: RefusedReason,
}

/// A project and the stream to its coordinator.
pub(crate) struct Project {
    /// Read by the connector before each call, changed here when a record comes.
    pub(crate) joined: Arc<Mutex<Joined>>,
    pub(crate) link: Option<Link>,
    welcomed: Arc<AtomicU64>,
    stop: CancellationToken,
    /// Who of those it heeds have refused this worker.
    refused_by: BTreeSet<WorkerId>,
    is_refused: bool,
}

/// A stage's task and, while it is needed, what slots are started with.
pub(crate) struct Stage {
    task: Arc<StageTask>,
    prepared: Option<Arc<Prepared>>,
    /// Why its module is refused, once that is known.
    refused: Option<String>,
}

/// A lease and what belongs to it.
pub(crate) struct Unit {
    pub(crate) lease: HeldLease,
    pub(crate) inputs: Option<UnitInputs>,
    /// Where its inputs are to be fetched from.
    pub(crate) inputs_blob: Option<gleaner_protocol::BlobRef>,
    /// Given by a slot and not yet taken by the core.
    pub(crate) answer: Option<(RunId, Answer)>,
    pub(crate) result: StoredResult,
    /// Whether the disk has taken the result.
    pub(crate) is_on_disk: bool,
    /// The blob of its outputs, for as long as the coordinator may want it.
    pub(crate) outputs: Option<Offered>,
}

/// Where a unit's result is.
#[derive(Clone, Debug, Default)]
pub(crate) enum StoredResult {
    /// There is none yet.
    #[default]
    None,
    /// In memory, on its way to disk or there already.
    Memory(Arc<UnitResult>),
    /// On disk alone.
    Disk,
}

impl Driver {
    /// Works until it is told to stop, or refused by all, and has said goodbye.
    pub(crate) async fn run(mut self, slots: u32) -> Option<Refusal> {
        self.tell(Event::VerdictChanged(Verdict::Run { slots }));
        let mut inputs = Vec::with_capacity(INPUTS_TAKEN_MAX);
        while !self.stopped {
            let due = self.core.poll_timeout();
            let clock = self.clock;
            tokio::select! {
                biased;
                taken = self.inbox.recv_many(&mut inputs, INPUTS_TAKEN_MAX) => {
                    assert!(taken > 0, "the driver holds a sender itself");
                }
                () = sleep_until(clock, due) => {}
            }
            for input in inputs.drain(..) {
                self.on_input(input);
            }
            self.on_time();
        }
        let refusal = self.refusal.take();
        self.say_goodbye().await;
        refusal
    }

    /// Starts calling the coordinators of a project.
    pub(crate) fn add_project(&mut self, joined: Joined) {
        let project = joined.id();
        let joined = Arc::new(Mutex::new(joined));
        let welcomed = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&joined);
        let stop = self.stop.child_token();
        let connector = Connector {
            project,
            node: self.context.node.clone(),
            coordinators: Box::new(move || lock(&shown).coordinators()),
            inputs: self.context.inputs.clone(),
            welcomed: Arc::clone(&welcomed),
            stop: stop.clone(),
        };
        self.connectors.spawn(connector.run());
        let known = Project {
            joined,
            link: None,
            welcomed,
            stop,
            refused_by: BTreeSet::new(),
            is_refused: false,
        };
        self.projects.insert(project, known);
    }

    /// Takes up the results that an earlier run left on disk.
    pub(crate) fn restore(&mut self, left: Vec<(ProjectId, UnitResult)>) {
        let mut restored = HashMap::<ProjectId, Vec<HeldLease>>::new();
        for (project, result) in left {
            let key = AttemptKey { project, attempt: result.claims.attempt };
            if !self.projects.contains_key(&project) {
                warn!(%project, attempt = %key.attempt, "a result of a project that was left is given up");
                self.journal.forget(key);
                continue;
            }
            let lease = HeldLease { claims: result.claims.clone(), token: result.token };
            let Ok(outputs) = self.offered_again(project, &result) else {
                warn!(attempt = %key.attempt, "outputs of a result are gone; the result is given up");
                self.journal.forget(key);
                continue;
            };
            let result = StoredResult::Disk;
            let unit = Unit { result, is_on_disk: true, outputs, ..Unit::new(lease.clone()) };
            self.units.insert(key, unit);
            restored.entry(project).or_default().push(lease);
        }
        for (project, leases) in restored {
            info!(%project, results = leases.len(), "results found on disk");
            self.tell(Event::Restored { project, leases });
        }
    }

    /// The outputs of a result that was found on disk, if it has any in a blob.
    fn offered_again(
        &self,
        project: ProjectId,
        result: &UnitResult,
    ) -> Result<Option<Offered>, ()> {
        use gleaner_protocol::{Outcome, Payload};
        let Outcome::Completed { outputs: Payload::Blob(blob), .. } = &result.outcome else {
            return Ok(None);
        };
        let pinned = self.context.blobs.find(*blob).ok_or(())?;
        Ok(Some(self.context.blobs.offer(pinned, project)))
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Tells the core what happened and does what it says.
    fn tell(&mut self, event: Event) {
        self.core.handle_event(self.clock.now(), event);
        self.act();
    }

    fn on_time(&mut self) {
        let now = self.now();
        if self.core.poll_timeout().is_some_and(|due| due <= now) {
            self.core.handle_timeout(now);
            self.act();
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.core.poll_action() {
            self.carry_out(action);
        }
    }

    /// Ends slots, lets streams say what was queued, and writes what is to be written.
    async fn say_goodbye(mut self) {
        self.slots.clear();
        self.stop.cancel();
        for project in self.projects.values_mut() {
            project.link = None;
        }
        // Those who still talk must not wait for a listener.
        let listening = async { while self.inbox.recv().await.is_some() {} };
        let leaving = async { while self.connectors.join_next().await.is_some() {} };
        let farewell = async {
            tokio::select! { () = listening => {}, () = leaving => {} }
        };
        if tokio::time::timeout(FAREWELL_MAX, farewell).await.is_err() {
            debug!("a coordinator did not take its last messages");
        }
        drop(self.inbox);
        let journal = self.journal;
        let written = tokio::task::spawn_blocking(move || drop(journal)).await;
        written.expect("ending the journal does not panic");
        self.context.node.stop().await;
    }
}

impl Unit {
    fn new(lease: HeldLease) -> Self {
        Self {
            lease,
            inputs: None,
            inputs_blob: None,
            answer: None,
            result: StoredResult::None,
            is_on_disk: false,
            outputs: None,
        }
    }
}

impl Project {
    fn on_welcomed(&mut self, peer: WorkerId) {
        self.refused_by.remove(&peer);
        self.welcomed.fetch_add(1, Ordering::Relaxed);
    }
}

async fn sleep_until(clock: Clock, due: Option<Timestamp>) {
    match due {
        Some(due) => tokio::time::sleep(due.saturating_since(clock.now())).await,
        None => std::future::pending().await,
    }
}

fn lock(joined: &Mutex<Joined>) -> std::sync::MutexGuard<'_, Joined> {
    joined.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
