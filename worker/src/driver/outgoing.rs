//! What the core decided, as deeds.

use std::collections::HashMap;
use std::sync::Arc;

use gleaner_protocol::limits::{
    FRAME_BYTES_MAX, INLINE_BYTES_MAX, UNIT_FAILURES_BYTES_MAX, UNIT_LOG_BYTES_MAX,
};
use gleaner_protocol::{
    AttemptId, AttemptProgress, Capacity, Invitation, Obstacle, Outcome, Payload, ProjectId,
    RefusalWords, ToCoordinator, UnitResult, WORK_PROTOCOL_VERSION,
};
use gleaner_worker_core::{Action, AttemptKey, HeldLease, RunId, SlotIndex, StageKey};
use tracing::{debug, info, trace};

use super::{Driver, StoredResult, lock};
use crate::blobs::Pinned;
use crate::input::{Answer, Input};
use crate::obstacle;
use crate::slot::{SlotHandle, SlotJob, UnitInputs, read_items};

/// Results of more than this leave memory once they are on disk and sent.
const RESULT_IN_MEMORY_BYTES_MAX: usize = 4 * 1024;

/// Results are cut into messages of about this size, well below a frame.
const RESULTS_MESSAGE_BYTES: usize = FRAME_BYTES_MAX / 4;

// One more result than fits begins a new message, so that the largest never overfills one.
const _: () = assert!(
    RESULTS_MESSAGE_BYTES + 2 * (INLINE_BYTES_MAX + UNIT_FAILURES_BYTES_MAX + UNIT_LOG_BYTES_MAX)
        < FRAME_BYTES_MAX
);

impl Driver {
    pub(super) fn carry_out(&mut self, action: Action) {
        trace!(?action, "action");
        match action {
            Action::Greet { project, held } => self.greet(project, held),
            Action::Disconnect { project } => {
                debug!(%project, "the coordinator does not answer");
                if let Some(project) = self.projects.get_mut(&project) {
                    project.link = None;
                }
            }
            Action::Request { project, slots, units } => {
                let slot_memory_bytes = self.slot_memory_bytes;
                let capacity = Capacity { slots, units, slot_memory_bytes };
                self.say(project, ToCoordinator::Request(capacity));
            }
            Action::Heartbeat { project, attempts, running } => {
                self.heartbeat(project, attempts, running);
            }
            Action::SendResults { project, attempts } => self.send_results(project, attempts),
            Action::Release { project, attempts, reason } => {
                debug!(%project, attempts = attempts.len(), ?reason, "leases released");
                self.say(project, ToCoordinator::Release { attempts, reason });
            }
            Action::Prepare { stage } => self.prepare(stage),
            Action::Rest { stage } => {
                if let Some(stage) = self.stages.get_mut(&stage) {
                    stage.prepared = None;
                }
            }
            Action::ForgetStage { stage } => drop(self.stages.remove(&stage)),
            Action::FetchInputs { key } => self.fetch_inputs(key),
            Action::StartSlot { slot, life, stage } => self.start_slot(slot, life, stage),
            Action::Run { slot, key, run } => self.run_unit(slot, key, run),
            Action::SuspendSlot { slot } => self.with_slot(slot, SlotHandle::suspend),
            Action::ResumeSlot { slot } => self.with_slot(slot, SlotHandle::resume),
            Action::EndSlot { slot } => drop(self.slots.remove(&slot)),
            Action::Keep { key, run } => self.keep(key, run),
            Action::AnswerRefused { key } => self.answer_refused(key),
            Action::Discard { key } => self.discard(key),
            Action::Stopped => {
                info!("nothing left to do");
                self.stopped = true;
            }
        }
    }

    /// Queues a message; without a stream there is nobody to tell.
    fn say(&self, project: ProjectId, message: ToCoordinator) {
        trace!(%project, ?message, "sending");
        if let Some(link) = self.projects.get(&project).and_then(|project| project.link.as_ref()) {
            // A stream that has just ended is noticed by its end.
            let _ = link.outbox.send(message);
        }
    }

    fn greet(&self, project: ProjectId, held: Vec<HeldLease>) {
        let Some(known) = self.projects.get(&project) else { return };
        let invitation = lock(&known.joined).ticket.invitation;
        let hello = ToCoordinator::Hello {
            version: WORK_PROTOCOL_VERSION,
            project,
            invitation: invitation.map(|secret| Invitation { secret }),
            held: held.into_iter().map(|lease| (lease.claims, lease.token)).collect(),
            refusals: RefusalWords::Invitations,
        };
        self.say(project, hello);
    }

    fn heartbeat(&self, project: ProjectId, attempts: Vec<AttemptId>, running: Vec<AttemptId>) {
        let slots: HashMap<_, _> = self.slots.values().filter_map(SlotHandle::progress).collect();
        // A slot that is being started is not seen to be anywhere yet.
        let fraction = |attempt| slots.get(&attempt).copied().unwrap_or(0.0);
        let progress = |attempt| AttemptProgress { attempt, fraction: fraction(attempt) };
        let running = running.into_iter().map(progress).collect();
        self.say(project, ToCoordinator::Heartbeat { attempts, running });
    }

    fn send_results(&mut self, project: ProjectId, attempts: Vec<AttemptId>) {
        let mut here = Vec::new();
        let mut on_disk = Vec::new();
        for attempt in attempts {
            let key = AttemptKey { project, attempt };
            let Some(unit) = self.units.get_mut(&key) else { continue };
            match &unit.result {
                StoredResult::Memory(result) => here.push(UnitResult::clone(result)),
                StoredResult::Disk => on_disk.push(key),
                StoredResult::None => {}
            }
            unit.leave_memory();
        }
        for message in results_messages(here) {
            self.say(project, message);
        }
        if !on_disk.is_empty() {
            self.send_from_disk(project, on_disk);
        }
    }

    fn send_from_disk(&self, project: ProjectId, keys: Vec<AttemptKey>) {
        let link = self.projects.get(&project).and_then(|project| project.link.as_ref());
        let Some(outbox) = link.map(|link| link.outbox.clone()) else { return };
        let then = move |results| {
            for message in results_messages(results) {
                // A stream that has just ended is noticed by its end.
                let _ = outbox.send(message);
            }
        };
        self.journal.read(keys, Box::new(then));
    }

    fn prepare(&self, stage: StageKey) {
        let Some(known) = self.stages.get(&stage) else { return };
        let (context, task) = (self.context.clone(), Arc::clone(&known.task));
        let peer = self.peer(stage.project);
        tokio::spawn(async move {
            let prepared = context.prepare(peer, task).await.map(Arc::new);
            // Nobody listens only when the worker stops.
            let _ = context.inputs.send(Input::Prepared { stage, prepared }).await;
        });
    }

    fn fetch_inputs(&self, key: AttemptKey) {
        let Some(unit) = self.units.get(&key) else { return };
        let Some(blob) = unit.inputs_blob else { return };
        let items = unit.lease.claims.items.len();
        let (context, peer) = (self.context.clone(), self.peer(key.project));
        tokio::spawn(async move {
            let blob = match context.have(peer, blob).await {
                Ok(pinned) => check_inputs(pinned, items).await,
                Err(error) => {
                    debug!(attempt = %key.attempt, %error, "inputs not fetched");
                    Err(obstacle::of_preparing(&error))
                }
            };
            // Nobody listens only when the worker stops.
            let _ = context.inputs.send(Input::Inputs { key, blob }).await;
        });
    }

    fn start_slot(&mut self, slot: SlotIndex, life: RunId, stage: StageKey) {
        let prepared = self.stages.get(&stage).and_then(|stage| stage.prepared.clone());
        let prepared = prepared.expect("slots are started for stages that are ready");
        let handle = SlotHandle::start(self.context.clone(), (slot, life), stage, prepared);
        self.slots.insert(slot, handle);
    }

    fn run_unit(&mut self, slot: SlotIndex, key: AttemptKey, run: RunId) {
        let unit = self.units.get(&key).expect("a lease that runs is held");
        let inputs: UnitInputs = unit.inputs.clone().expect("a unit that runs has its inputs");
        let claims = unit.lease.claims.clone();
        let slot = self.slots.get(&slot).expect("a slot that runs a unit was started");
        slot.run(SlotJob { key, run, claims, inputs });
    }

    fn with_slot(&self, slot: SlotIndex, act: impl FnOnce(&SlotHandle)) {
        if let Some(slot) = self.slots.get(&slot) {
            act(slot);
        }
    }

    fn keep(&mut self, key: AttemptKey, run: RunId) {
        let unit = self.units.get_mut(&key).expect("a lease that was answered is held");
        let (given, answer) = unit.answer.take().expect("the answer has just come");
        assert_eq!(given, run, "the core takes the answer that it was told of");
        unit.inputs = None;
        self.store(key, answer);
    }

    fn answer_refused(&mut self, key: AttemptKey) {
        let unit = self.units.get(&key).expect("a lease that was answered is held");
        let claims = &unit.lease.claims;
        let (project, job, stage) = (key.project, claims.attempt.unit.job, claims.stage);
        let stage = self.stages.get(&StageKey { project, job, stage });
        let reason = stage.and_then(|stage| stage.refused.clone());
        let reason = reason.expect("a stage that was refused says why");
        let (outcome, cpu) = (Outcome::Refused { reason }, std::time::Duration::ZERO);
        self.store(key, Answer { outcome, cpu, log: String::new(), outputs: None });
    }

    fn store(&mut self, key: AttemptKey, answer: Answer) {
        let Some(unit) = self.units.get_mut(&key) else { return };
        let Answer { outcome, cpu, log, outputs } = answer;
        let HeldLease { claims, token } = unit.lease.clone();
        let result = Arc::new(UnitResult { claims, token, outcome, cpu, log });
        unit.outputs = outputs;
        unit.result = StoredResult::Memory(Arc::clone(&result));
        self.journal.keep(key, result);
    }

    fn discard(&mut self, key: AttemptKey) {
        if let Some(unit) = self.units.remove(&key)
            && !matches!(unit.result, StoredResult::None)
        {
            self.journal.forget(key);
        }
    }

    fn peer(&self, project: ProjectId) -> Option<gleaner_protocol::WorkerId> {
        self.projects.get(&project)?.link.as_ref().map(|link| link.peer)
    }
}

/// The inputs, if there is one for each item: a unit that cannot be run is given back before it is
/// queued.
async fn check_inputs(pinned: Pinned, items: u64) -> Result<Pinned, Obstacle> {
    let checked = tokio::task::spawn_blocking(move || {
        let found = read_items(&pinned).map(|inputs| inputs.len() as u64);
        if found.is_ok_and(|found| found == items) {
            Ok(pinned)
        } else {
            Err(Obstacle::FilesMissing)
        }
    });
    checked.await.expect("reading a blob does not panic")
}

/// The bytes that a result takes in a message, roughly and never too few.
pub(super) fn result_bytes(result: &UnitResult) -> usize {
    const CLAIMS_AND_NAMES: usize = 512;
    const FAILURE_AND_NAMES: usize = 128;
    let outcome = match &result.outcome {
        Outcome::Completed { outputs, failures } => {
            let outputs: usize = match outputs {
                Payload::Inline(items) => items.iter().map(|item| item.len() + 5).sum(),
                Payload::Blob(_) => 0,
            };
            let words = failures.iter().map(|failure| failure.message.len() + FAILURE_AND_NAMES);
            outputs + words.sum::<usize>()
        }
        Outcome::Failed { message, .. } | Outcome::Trapped { message, .. } => message.len(),
        Outcome::Refused { reason } => reason.len(),
        Outcome::SlotCrashed { status } => status.len(),
        _ => 0,
    };
    outcome + result.log.len() + CLAIMS_AND_NAMES
}

fn results_messages(results: Vec<UnitResult>) -> Vec<ToCoordinator> {
    let mut batches = vec![Vec::new()];
    let mut bytes = 0;
    for result in results {
        let more = result_bytes(&result);
        if bytes + more > RESULTS_MESSAGE_BYTES && bytes > 0 {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        batches.last_mut().expect("there is always one").push(result);
    }
    batches.retain(|batch| !batch.is_empty());
    batches.into_iter().map(|results| ToCoordinator::Results { results }).collect()
}

impl super::Unit {
    /// A large result that is on disk and was sent is read from there when it is needed again.
    fn leave_memory(&mut self) {
        if let StoredResult::Memory(result) = &self.result
            && self.is_on_disk
            && result_bytes(result) > RESULT_IN_MEMORY_BYTES_MAX
        {
            self.result = StoredResult::Disk;
        }
    }
}
