//! The worker as one state machine: sessions, stages, attempts and slots together.
//!
//! `streams` speaks with coordinators, `leases` takes and gives back work, `slots` runs it, `surplus`
//! keeps it from being hoarded.

mod invariants;
mod leases;
mod slots;
mod streams;
mod surplus;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use gleaner_protocol::{ProjectId, Timestamp};

use crate::appetite::Estimate;
use crate::attempt::{Attempt, AttemptEvent, Next};
use crate::event::{Action, AttemptKey, Event, RunId, SlotIndex, Verdict};
use crate::few::Few;
use crate::limits::RESULT_RESEND_AFTER;
use crate::pause::Pause;
use crate::session::{Session, SessionEvent, SessionState};
use crate::slot::Slot;
use crate::stage::Stages;

/// Decides for one worker process; see the crate's documentation.
///
/// Feed it with [`Worker::handle_event`] and, when [`Worker::poll_timeout`] is due,
/// [`Worker::handle_timeout`]; after either, carry out what [`Worker::poll_action`] gives until it
/// gives nothing. Time never goes backwards for it: an earlier `now` counts as the latest seen.
#[derive(Debug)]
pub struct Worker {
    now: Timestamp,
    verdict: Verdict,
    life: Life,
    sessions: Few<ProjectId, Session>,
    stages: Stages,
    /// In boxes, as a map's nodes have room for eleven.
    attempts: BTreeMap<AttemptKey, Box<Attempt>>,
    slots: Vec<Slot>,
    /// How long units take, whichever stage they are of.
    typical: Estimate,
    /// Holds back the starting of slots after one could not be started.
    slot_pause: Pause,
    /// Attempts whose results are being written.
    answered: usize,
    arrivals: u64,
    runs: u64,
    actions: VecDeque<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Working,
    Stopping,
    Stopped,
}

impl Default for Worker {
    fn default() -> Self {
        Self::new()
    }
}

impl Worker {
    /// A worker that knows no project and may run nothing until a verdict comes.
    pub fn new() -> Self {
        Self {
            now: Timestamp::ZERO,
            verdict: Verdict::Run { slots: 0 },
            life: Life::Working,
            sessions: Few::default(),
            stages: Stages::default(),
            attempts: BTreeMap::new(),
            slots: Vec::new(),
            typical: Estimate::default(),
            slot_pause: Pause::default(),
            answered: 0,
            arrivals: 0,
            runs: 0,
            actions: VecDeque::new(),
        }
    }

    /// Takes in what happened. Late, repeated and stale events change nothing.
    pub fn handle_event(&mut self, now: Timestamp, event: Event) {
        self.now = self.now.max(now);
        match event {
            Event::Restored { project, leases } => self.on_restored(project, leases),
            Event::Connected { project } => self.on_connected(project),
            Event::Disconnected { project } => self.on_disconnected(project),
            Event::Welcomed { project, heartbeat_interval } => {
                self.on_welcomed(project, heartbeat_interval);
            }
            Event::Refused { project } => self.on_refused(project),
            Event::TaskArrived { stage } => self.on_task(stage),
            Event::Leased { project, leases } => self.on_leased(project, leases),
            Event::Acknowledged { project, attempts } => {
                self.on_acknowledged(project, &attempts);
                return self.advance_streams();
            }
            Event::Withdrawn { project, attempts, reason } => {
                self.on_withdrawn(project, &attempts, reason);
            }
            Event::StageReady { stage } => self.on_stage_ready(stage),
            Event::StageRefused { stage } => self.on_stage_refused(stage),
            Event::StageUnavailable { stage, obstacle } => {
                self.on_stage_unavailable(stage, obstacle);
            }
            Event::InputsHad { key } => self.on_inputs_had(key),
            Event::InputsUnavailable { key, obstacle } => self.on_inputs_unavailable(key, obstacle),
            Event::Finished { key, run, elapsed } => self.on_finished(key, run, elapsed),
            Event::SlotFailed { slot, life, obstacle } => self.on_slot_failed(slot, life, obstacle),
            Event::Kept { key } => {
                self.on_kept(key);
                return self.advance_streams();
            }
            Event::VerdictChanged(verdict) => self.verdict = verdict,
            Event::Stop => self.on_stop(),
        }
        self.advance();
    }

    /// Does what is due at `now`; nothing when nothing is.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        let now = self.now;
        self.slot_pause.on_timeout(now);
        for place in 0..self.sessions.len() {
            let project = self.sessions.key_at(place).expect("no project is ever forgotten");
            self.on_session_timeout(project);
        }
        self.advance();
    }

    /// The next thing to be done, in order; none when all is done for now.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Worker::handle_timeout`] is due though nothing happens.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let sessions = self.sessions.values().filter_map(Session::timeout);
        let slots = self.slot_idle_timeout().into_iter().chain(self.surplus_timeout());
        sessions.chain(self.slot_pause.until()).chain(slots).min()
    }

    /// What follows from the state as a whole, whatever has just happened.
    fn advance(&mut self) {
        self.move_slots();
        self.fill_slots();
        self.end_idle_slots();
        // What is given back must not be granted again at once.
        self.advance_streams();
        self.give_back_surplus();
    }

    /// What follows where nothing has changed but what is owed to coordinators.
    fn advance_streams(&mut self) {
        self.flush_results();
        self.ask_for_work();
        self.finish_stopping();
    }

    fn on_session_timeout(&mut self, project: ProjectId) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(&project) else { return };
        match session.state {
            SessionState::Greeting { deadline } if deadline <= now => {
                self.actions.push_back(Action::Disconnect { project });
                self.on_disconnected(project);
            }
            SessionState::Open { heartbeat_at, .. } if heartbeat_at <= now => {
                let due = session.step(now, SessionEvent::HeartbeatDue);
                debug_assert!(due, "an open session can always send a heartbeat");
                self.heartbeat(project);
            }
            _ => {}
        }
        self.say_running_if_due(project);
        self.resend_overdue(project, RESULT_RESEND_AFTER);
    }

    /// Applies `event` to an attempt; false when it says nothing new. An attempt that is over is
    /// taken out by `remove` instead.
    #[must_use]
    fn step(&mut self, key: AttemptKey, event: AttemptEvent) -> bool {
        let Some(attempt) = self.attempts.get_mut(&key) else { return false };
        let Next::Becomes(state) = attempt.state.next(event) else { return false };
        attempt.state = state;
        true
    }

    fn next_run(&mut self) -> RunId {
        self.runs += 1;
        RunId(self.runs)
    }

    fn keys_of(&self, project: ProjectId) -> impl Iterator<Item = AttemptKey> + '_ {
        self.attempts.keys().filter(move |key| key.project == project).copied()
    }

    fn slot(&self, slot: SlotIndex) -> Option<&Slot> {
        self.slots.get(slot.0 as usize)
    }

    fn slot_mut(&mut self, slot: SlotIndex) -> Option<&mut Slot> {
        self.slots.get_mut(slot.0 as usize)
    }

    fn slot_indices(&self) -> impl Iterator<Item = SlotIndex> + use<> {
        (0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX)).map(SlotIndex)
    }
}
