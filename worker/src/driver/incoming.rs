//! What happened, as events for the core.

use std::sync::Arc;

use gleaner_network::verify_record;
use gleaner_protocol::limits::LEASES_PER_MESSAGE_MAX;
use gleaner_protocol::{
    JobId, Lease, Obstacle, Payload, ProjectId, RefusedReason, SignedProjectRecord, StageIndex,
    StageTask, ToWorker, WORK_PROTOCOL_VERSION,
};
use gleaner_worker_core::{
    AttemptKey, Event, GrantedLease, HeldLease, InputsPlace, RunId, StageKey,
};
use tracing::{debug, error, info, trace, warn};

use super::{Driver, Refusal, Stage, Unit, lock};
use crate::blobs::Pinned;
use crate::input::{Answer, Input};
use crate::journal::Place;
use crate::link::{Link, StreamId};
use crate::obstacle;
use crate::slot::UnitInputs;
use crate::stage::{PrepareError, Prepared};

/// What a coordinator did wrong; the stream is closed.
#[derive(Debug, thiserror::Error)]
enum Violation {
    #[error("{leases} leases in one message; at most {LEASES_PER_MESSAGE_MAX} are allowed")]
    TooManyLeases { leases: usize },
    #[error("an answer to what was not asked")]
    Unasked,
    #[error("a lease for another worker")]
    OtherWorker,
    #[error("a lease of {items} items with {inputs} inputs")]
    InputCount { items: u64, inputs: usize },
    #[error("version {version} of the work protocol, which was not offered")]
    Version { version: u16 },
    #[error("another task for {job} {stage} than before")]
    OtherTask { job: JobId, stage: StageIndex },
}

impl Driver {
    pub(super) fn on_input(&mut self, input: Input) {
        match input {
            Input::Opened { project, link } => self.on_opened(project, link),
            Input::Received { project, id, message } => {
                if self.is_current(project, id) {
                    self.on_message(project, message);
                }
            }
            Input::Closed { project, id } => {
                if self.is_current(project, id) {
                    self.unlink(project);
                }
            }
            Input::Prepared { stage, prepared } => self.on_prepared(stage, prepared),
            Input::Inputs { key, blob } => self.on_inputs(key, blob.map(Arc::new)),
            Input::Answered { key, run, answer, elapsed } => {
                self.on_answered(key, run, answer, elapsed);
            }
            Input::InputsLost { key } => {
                let obstacle = Obstacle::FilesMissing;
                self.tell(Event::InputsUnavailable { key, obstacle });
            }
            Input::SlotFailed { slot, life, obstacle } => {
                self.tell(Event::SlotFailed { slot, life, obstacle });
            }
            Input::SlotRefused { stage, reason } => self.on_refused_stage(stage, reason),
            Input::Kept { keys, place } => {
                keys.into_iter().for_each(|key| self.on_kept(key, place))
            }
            Input::Stop => self.tell(Event::Stop),
        }
    }

    fn on_opened(&mut self, project: ProjectId, link: Link) {
        let Some(known) = self.projects.get_mut(&project) else { return };
        known.link = Some(link);
        self.tell(Event::Connected { project });
    }

    fn is_current(&self, project: ProjectId, id: StreamId) -> bool {
        let link = self.projects.get(&project).and_then(|project| project.link.as_ref());
        link.is_some_and(|link| link.id == id)
    }

    /// Gives the stream of a project up; it closes after what was queued.
    pub(super) fn unlink(&mut self, project: ProjectId) {
        let link = self.projects.get_mut(&project).and_then(|project| project.link.take());
        if link.is_some() {
            self.tell(Event::Disconnected { project });
        }
    }

    fn on_message(&mut self, project: ProjectId, message: ToWorker) {
        trace!(%project, ?message, "received");
        let judged = match message {
            ToWorker::Welcome { version, record, heartbeat_interval, .. } => {
                self.on_welcome(project, version, &record, heartbeat_interval)
            }
            ToWorker::Refused(reason) => {
                self.on_refused(project, reason);
                Ok(())
            }
            // Only who asks about a project is introduced to it, and that is not the driver.
            ToWorker::Introduction { .. } => Err(Violation::Unasked),
            ToWorker::Task { job, stage, task } => self.on_task(project, job, stage, task),
            ToWorker::Leases { leases } => self.on_leases(project, leases),
            ToWorker::Acknowledge { attempts } => {
                for attempt in &attempts {
                    debug!(%attempt, "acknowledged");
                }
                self.tell(Event::Acknowledged { project, attempts });
                Ok(())
            }
            ToWorker::Withdraw { attempts, reason } => {
                debug!(%project, attempts = attempts.len(), ?reason, "attempts withdrawn");
                self.tell(Event::Withdrawn { project, attempts, reason });
                Ok(())
            }
        };
        if let Err(violation) = judged {
            warn!(%project, %violation, "coordinator broke the protocol");
            self.unlink(project);
        }
    }

    /// Whoever answers must show a record that the project signed and that names them.
    fn on_welcome(
        &mut self,
        project: ProjectId,
        version: u16,
        record: &SignedProjectRecord,
        heartbeat_interval: std::time::Duration,
    ) -> Result<(), Violation> {
        if version != WORK_PROTOCOL_VERSION {
            return Err(Violation::Version { version });
        }
        let now = self.now();
        let Some(known) = self.projects.get_mut(&project) else { return Ok(()) };
        let Some(peer) = known.link.as_ref().map(|link| link.peer) else { return Ok(()) };
        let record = match verify_record(record, project, now) {
            Ok(record) => record,
            Err(error) => {
                error!(%project, coordinator = %peer, %error, "coordinator not trusted");
                self.unlink(project);
                return Ok(());
            }
        };
        let unsaved = |error| warn!(%project, %error, "project record not remembered");
        let learnt = lock(&known.joined).learn(&record, unsaved);
        if let Err(error) = learnt {
            error!(%project, coordinator = %peer, %error, "coordinator not trusted");
            self.unlink(project);
        } else if !record.coordinators.contains(&peer) {
            error!(%project, coordinator = %peer, "the project's record does not name this coordinator");
            self.unlink(project);
        } else {
            known.on_welcomed(peer);
            info!(%project, name = ?record.name, coordinator = %peer, "welcome");
            self.context.blobs.set_coordinators(project, &record.coordinators);
            self.tell(Event::Welcomed { project, heartbeat_interval });
        }
        Ok(())
    }

    /// Whoever can be reached at an address of the ticket can say no, so only those are heeded whom
    /// the project itself has named; and the project has refused this worker once all of them have.
    fn on_refused(&mut self, project: ProjectId, reason: RefusedReason) {
        let Some(known) = self.projects.get_mut(&project) else { return };
        let Some(peer) = known.link.as_ref().map(|link| link.peer) else { return };
        let heeded = lock(&known.joined).heeded();
        if !heeded.contains(&peer) {
            warn!(%project, %peer, %reason, "refused by a peer that the project's record does not name");
            return self.unlink(project);
        }
        known.refused_by.insert(peer);
        let hint = reason.hint();
        if heeded.iter().any(|coordinator| !known.refused_by.contains(coordinator)) {
            warn!(%project, coordinator = %peer, %reason, hint, "one of the coordinators refused this worker");
            return self.unlink(project);
        }
        error!(%project, coordinator = %peer, %reason, hint, "the coordinator refused this worker");
        self.give_up(project, reason);
    }

    /// A project that refuses this worker is not called again: what it says now it would say again.
    /// Without any other project there is nothing to run for.
    fn give_up(&mut self, project: ProjectId, reason: RefusedReason) {
        self.tell(Event::Refused { project });
        self.unlink(project);
        let Some(known) = self.projects.get_mut(&project) else { return };
        known.stop.cancel();
        known.is_refused = true;
        let name = lock(&known.joined).view().name;
        if self.projects.values().all(|project| project.is_refused) {
            self.refusal = Some(Refusal { project: name, reason });
            self.tell(Event::Stop);
        }
    }

    fn on_task(
        &mut self,
        project: ProjectId,
        job: JobId,
        stage: StageIndex,
        task: StageTask,
    ) -> Result<(), Violation> {
        let key = StageKey { project, job, stage };
        if let Some(known) = self.stages.get(&key) {
            let same = *known.task == task;
            return if same { Ok(()) } else { Err(Violation::OtherTask { job, stage }) };
        }
        let task = Arc::new(task);
        self.stages.insert(key, Stage { task, prepared: None, refused: None });
        self.tell(Event::TaskArrived { stage: key });
        Ok(())
    }

    fn on_leases(&mut self, project: ProjectId, leases: Vec<Lease>) -> Result<(), Violation> {
        if leases.len() > LEASES_PER_MESSAGE_MAX {
            return Err(Violation::TooManyLeases { leases: leases.len() });
        }
        for lease in &leases {
            self.check_lease(lease)?;
        }
        let granted = leases.into_iter().map(|lease| self.take_lease(project, lease)).collect();
        self.tell(Event::Leased { project, leases: granted });
        Ok(())
    }

    fn check_lease(&self, lease: &Lease) -> Result<(), Violation> {
        if lease.claims.worker != self.context.node.id() {
            return Err(Violation::OtherWorker);
        }
        let items = lease.claims.items.len();
        match &lease.inputs {
            Payload::Inline(inputs) if inputs.len() as u64 != items => {
                Err(Violation::InputCount { items, inputs: inputs.len() })
            }
            _ => Ok(()),
        }
    }

    /// Keeps what the core has no use for; a lease that it does not take is discarded again.
    fn take_lease(&mut self, project: ProjectId, lease: Lease) -> GrantedLease {
        let key = AttemptKey { project, attempt: lease.claims.attempt };
        let held = HeldLease { claims: lease.claims, token: lease.token };
        debug!(attempt = %key.attempt, items = %held.claims.items, "leased");
        let (place, inputs, inputs_blob) = match lease.inputs {
            Payload::Inline(items) => {
                (InputsPlace::Here, Some(UnitInputs::Inline(Arc::new(items))), None)
            }
            Payload::Blob(blob) => (InputsPlace::Blob, None, Some(blob)),
        };
        let unit = Unit { inputs, inputs_blob, ..Unit::new(held.clone()) };
        self.units.entry(key).or_insert(unit);
        GrantedLease { lease: held, inputs: place }
    }

    fn on_prepared(&mut self, stage: StageKey, prepared: Result<Arc<Prepared>, PrepareError>) {
        match prepared {
            Ok(prepared) => {
                let Some(known) = self.stages.get_mut(&stage) else { return };
                known.prepared = Some(prepared);
                info!(project = %stage.project, job = %stage.job, stage = %stage.stage, "stage ready");
                self.tell(Event::StageReady { stage });
            }
            Err(PrepareError::Refused { reason }) => self.on_refused_stage(stage, reason),
            Err(error) => {
                warn!(project = %stage.project, job = %stage.job, %error, "stage not ready");
                let obstacle = obstacle::of_preparing(&error);
                self.tell(Event::StageUnavailable { stage, obstacle });
            }
        }
    }

    fn on_refused_stage(&mut self, stage: StageKey, reason: String) {
        let Some(known) = self.stages.get_mut(&stage) else { return };
        info!(project = %stage.project, job = %stage.job, %reason, "module refused");
        known.refused = Some(reason);
        self.tell(Event::StageRefused { stage });
    }

    fn on_inputs(&mut self, key: AttemptKey, blob: Result<Arc<Pinned>, Obstacle>) {
        let Some(unit) = self.units.get_mut(&key) else { return };
        let event = match blob {
            Ok(blob) => {
                unit.inputs = Some(UnitInputs::Blob(blob));
                Event::InputsHad { key }
            }
            Err(obstacle) => Event::InputsUnavailable { key, obstacle },
        };
        self.tell(event);
    }

    /// The core says whether it has a use for the answer before anything else happens.
    fn on_answered(
        &mut self,
        key: AttemptKey,
        run: RunId,
        answer: Answer,
        elapsed: std::time::Duration,
    ) {
        debug!(attempt = %key.attempt, outcome = %answer.outcome, ?elapsed, "answered");
        let Some(unit) = self.units.get_mut(&key) else { return };
        unit.answer = Some((run, answer));
        self.tell(Event::Finished { key, run, elapsed });
        if let Some(unit) = self.units.get_mut(&key) {
            unit.answer = None;
        }
    }

    fn on_kept(&mut self, key: AttemptKey, place: Place) {
        if let Some(unit) = self.units.get_mut(&key) {
            unit.is_on_disk = place == Place::Disk;
        }
        self.tell(Event::Kept { key });
    }
}
