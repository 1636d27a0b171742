//! Leases and the stages they belong to: taken, prepared, given back, withdrawn.

use std::collections::{BTreeMap, BTreeSet};

use gleaner_protocol::limits::LEASES_HELD_MAX;
use gleaner_protocol::{AttemptId, Obstacle, ProjectId, ReleaseReason, WithdrawReason};

use super::{Life, Worker};
use crate::attempt::{Attempt, AttemptEvent, AttemptState, Next};
use crate::event::{Action, AttemptKey, GrantedLease, HeldLease, InputsPlace, StageKey};
use crate::limits::STAGES_KNOWN_MAX;
use crate::session::Session;
use crate::stage::{Readiness, Stage};

impl Worker {
    pub(super) fn on_restored(&mut self, project: ProjectId, leases: Vec<HeldLease>) {
        for lease in leases {
            let key = AttemptKey { project, attempt: lease.claims.attempt };
            if !self.attempts.contains_key(&key) {
                self.insert(key, lease, AttemptState::Kept);
                self.put_unsent(key);
            }
        }
    }

    pub(super) fn on_task(&mut self, stage: StageKey) {
        if self.stages.contains_key(&stage) {
            return;
        }
        if self.stages.len() >= STAGES_KNOWN_MAX {
            self.forget_idle_stages(|_| true);
        }
        if self.stages.len() < STAGES_KNOWN_MAX && self.is_open(stage.project) {
            self.stages.learn(stage);
        } else {
            self.actions.push_back(Action::ForgetStage { stage });
        }
    }

    pub(super) fn on_leased(&mut self, project: ProjectId, leases: Vec<GrantedLease>) {
        if let Some(session) = self.sessions.get_mut(&project) {
            session.on_leased(leases.len());
        }
        let mut untaken = Vec::new();
        for granted in leases {
            let key = AttemptKey { project, attempt: granted.lease.claims.attempt };
            if self.attempts.contains_key(&key) {
                continue;
            }
            if self.can_take(key, &granted) {
                self.take(key, granted);
            } else {
                self.actions.push_back(Action::Discard { key });
                untaken.push(key.attempt);
            }
        }
        let reason = match self.life {
            Life::Working => ReleaseReason::Unable(Obstacle::Unasked),
            Life::Stopping | Life::Stopped => ReleaseReason::Stopping,
        };
        self.say_released(project, untaken, reason);
    }

    /// A lease without a stream is void, one of an unknown stage cannot be run, and one too many
    /// was not asked for.
    fn can_take(&self, key: AttemptKey, granted: &GrantedLease) -> bool {
        let stage = granted.lease.stage(key.project);
        let session = self.sessions.get(&key.project);
        self.life == Life::Working
            && session.is_some_and(|session| session.is_open() && session.held < LEASES_HELD_MAX)
            && self.stages.contains_key(&stage)
    }

    fn take(&mut self, key: AttemptKey, granted: GrantedLease) {
        let stage = granted.lease.stage(key.project);
        let state = match granted.inputs {
            InputsPlace::Here => AttemptState::Waiting,
            InputsPlace::Blob => AttemptState::Fetching,
        };
        self.insert(key, granted.lease, state);
        self.stages.count_unfinished(stage);
        self.prepare(stage);
        match granted.inputs {
            InputsPlace::Here => self.enqueue_if_ready(key, stage),
            InputsPlace::Blob => self.actions.push_back(Action::FetchInputs { key }),
        }
    }

    fn insert(&mut self, key: AttemptKey, lease: HeldLease, state: AttemptState) {
        self.arrivals += 1;
        let arrival = self.arrivals;
        let attempt = Attempt { lease, arrival, state, interrupted: false };
        self.attempts.insert(key, Box::new(attempt));
        self.sessions.entry_or_default(key.project).held += 1;
    }

    fn prepare(&mut self, stage: StageKey) {
        if let Some(known) = self.stages.get_mut(&stage)
            && known.readiness == Readiness::Known
        {
            known.readiness = Readiness::Preparing;
            self.actions.push_back(Action::Prepare { stage });
        }
    }

    fn enqueue_if_ready(&mut self, key: AttemptKey, stage: StageKey) {
        let ready = self.stages.get(&stage).is_some_and(|s| s.readiness == Readiness::Ready);
        if ready && self.step(key, AttemptEvent::StageReady) {
            self.enqueue(key);
        }
    }

    /// Puts a queued attempt into its stage's queue, at the place its arrival gives it.
    pub(super) fn enqueue(&mut self, key: AttemptKey) {
        let now = self.now;
        if let Some(attempt) = self.attempts.get(&key)
            && let Some(stage) = self.stages.get_mut(&attempt.stage(key.project))
        {
            stage.enqueue(now, attempt.arrival, key);
        }
    }

    pub(super) fn on_stage_ready(&mut self, stage: StageKey) {
        let Some(known) = self.stages.get_mut(&stage) else { return };
        if known.readiness != Readiness::Preparing {
            return;
        }
        known.readiness = Readiness::Ready;
        for key in self.unfinished_of(stage) {
            self.enqueue_if_ready(key, stage);
        }
        self.rest_if_idle(stage);
    }

    pub(super) fn on_stage_refused(&mut self, stage: StageKey) {
        let Some(known) = self.stages.get_mut(&stage) else { return };
        if known.readiness == Readiness::Known {
            return;
        }
        known.queue.clear();
        self.unprepare(stage);
        for key in self.unfinished_of(stage) {
            let slot = self.attempts[&key].state.slot();
            if self.step(key, AttemptEvent::StageRefused) {
                if let Some(slot) = slot {
                    self.take_from_pipe(slot, key);
                }
                self.actions.push_back(Action::AnswerRefused { key });
                self.count_answered(stage);
            }
        }
        self.end_idle_slots_of(|served| *served == stage);
    }

    /// Gives back what cannot be run here. Whoever gave it gives no more of the stage for a while.
    pub(super) fn on_stage_unavailable(&mut self, stage: StageKey, obstacle: Obstacle) {
        if self.unprepare(stage) && self.is_open(stage.project) {
            let keys = self.unfinished_of(stage);
            self.release(stage.project, keys, ReleaseReason::Unable(obstacle));
        }
    }

    /// Ends the preparing of a stage without success; false when it was not being prepared.
    fn unprepare(&mut self, stage: StageKey) -> bool {
        let Some(known) = self.stages.get_mut(&stage) else { return false };
        let was_preparing = known.readiness == Readiness::Preparing;
        if was_preparing {
            known.readiness = Readiness::Known;
        }
        was_preparing
    }

    pub(super) fn on_inputs_had(&mut self, key: AttemptKey) {
        if self.step(key, AttemptEvent::InputsHad) {
            let stage = self.attempts[&key].stage(key.project);
            self.enqueue_if_ready(key, stage);
        }
    }

    pub(super) fn on_inputs_unavailable(&mut self, key: AttemptKey, obstacle: Obstacle) {
        let state = self.attempts.get(&key).map(|attempt| attempt.state);
        let running = state.is_some_and(|state| state.slot().is_some());
        let fetching = state == Some(AttemptState::Fetching) && self.is_open(key.project);
        if running || fetching {
            self.release(key.project, vec![key], ReleaseReason::Unable(obstacle));
        }
    }

    /// What could not be fetched while there was no stream is fetched now.
    pub(super) fn resume_fetching(&mut self, project: ProjectId) {
        let keys: Vec<_> = self.keys_of(project).collect();
        for key in keys {
            let attempt = &self.attempts[&key];
            let (state, stage) = (attempt.state, attempt.stage(project));
            if state.is_unfinished() {
                self.prepare(stage);
            }
            if state == AttemptState::Fetching {
                self.actions.push_back(Action::FetchInputs { key });
            }
        }
    }

    pub(super) fn on_acknowledged(&mut self, project: ProjectId, attempts: &[AttemptId]) {
        for &attempt in attempts {
            self.remove(AttemptKey { project, attempt }, AttemptEvent::Acknowledged);
        }
    }

    pub(super) fn on_withdrawn(
        &mut self,
        project: ProjectId,
        attempts: &[AttemptId],
        reason: WithdrawReason,
    ) {
        let keys = attempts.iter().map(|&attempt| AttemptKey { project, attempt });
        self.remove_all(keys, AttemptEvent::Withdrawn);
        if reason == WithdrawReason::JobEnded {
            let jobs: BTreeSet<_> = attempts.iter().map(|attempt| attempt.unit.job).collect();
            self.end_idle_slots_of(|stage| stage.project == project && jobs.contains(&stage.job));
            self.forget_idle_stages(|stage| stage.project == project && jobs.contains(&stage.job));
        }
    }

    pub(super) fn release(
        &mut self,
        project: ProjectId,
        keys: Vec<AttemptKey>,
        reason: ReleaseReason,
    ) {
        let released = self.remove_all(keys, AttemptEvent::Released);
        self.say_released(project, released, reason);
    }

    /// Without a stream nothing is said: the next hello does not name them.
    fn say_released(
        &mut self,
        project: ProjectId,
        attempts: Vec<AttemptId>,
        reason: ReleaseReason,
    ) {
        if !attempts.is_empty() && self.is_open(project) {
            self.actions.push_back(Action::Release { project, attempts, reason });
        }
    }

    pub(super) fn on_stop(&mut self) {
        if self.life != Life::Working {
            return;
        }
        self.life = Life::Stopping;
        let mut unfinished = BTreeMap::<ProjectId, Vec<AttemptKey>>::new();
        for (key, attempt) in &self.attempts {
            if attempt.state.is_unfinished() {
                unfinished.entry(key.project).or_default().push(*key);
            }
        }
        for (project, keys) in unfinished {
            self.release(project, keys, ReleaseReason::Stopping);
        }
        self.end_idle_slots_of(|_| true);
    }

    pub(super) fn finish_stopping(&mut self) {
        let flushed = |session: &Session| !session.is_open() || session.unsent.is_empty();
        if self.life == Life::Stopping && self.answered == 0 && self.sessions.values().all(flushed)
        {
            self.life = Life::Stopped;
            self.actions.push_back(Action::Stopped);
        }
    }

    /// Takes out attempts that are over. A slot in which one of them was is ended, as a single unit
    /// cannot be taken out of a pipe; the others in it run again elsewhere.
    fn remove_all(
        &mut self,
        keys: impl IntoIterator<Item = AttemptKey>,
        event: AttemptEvent,
    ) -> Vec<AttemptId> {
        let mut removed = Vec::new();
        let mut slots = BTreeSet::new();
        for key in keys {
            if let Some(attempt) = self.remove(key, event) {
                removed.push(key.attempt);
                slots.extend(attempt.state.slot());
            }
        }
        for slot in slots {
            self.end_slot(slot);
        }
        removed
    }

    /// Takes out an attempt that `event` ends; none when it does not.
    fn remove(&mut self, key: AttemptKey, event: AttemptEvent) -> Option<Box<Attempt>> {
        if self.attempts.get(&key)?.state.next(event) != Next::Gone {
            return None;
        }
        let attempt = self.attempts.remove(&key)?;
        if let Some(session) = self.sessions.get_mut(&key.project) {
            session.held -= 1;
            session.unsent.remove(&key.attempt);
        }
        if let Some(slot) = attempt.state.slot() {
            self.take_from_pipe(slot, key);
        }
        let stage = attempt.stage(key.project);
        if attempt.state.is_unfinished() {
            if let Some(stage) = self.stages.get_mut(&stage) {
                stage.queue.remove(&attempt.arrival);
            }
            self.stages.uncount_unfinished(stage);
        }
        self.answered -= usize::from(attempt.state == AttemptState::Answered);
        self.actions.push_back(Action::Discard { key });
        self.rest_if_idle(stage);
        Some(attempt)
    }

    /// An attempt of `stage` went from unfinished to answered.
    pub(super) fn count_answered(&mut self, stage: StageKey) {
        self.answered += 1;
        self.stages.uncount_unfinished(stage);
        self.rest_if_idle(stage);
    }

    pub(super) fn rest_if_idle(&mut self, stage: StageKey) {
        let served = self.is_served(stage);
        if let Some(known) = self.stages.get_mut(&stage)
            && known.readiness == Readiness::Ready
            && known.unfinished() == 0
            && !served
        {
            known.readiness = Readiness::Known;
            self.actions.push_back(Action::Rest { stage });
        }
    }

    /// Forgets those of the stages named by `which` that nothing at hand belongs to.
    pub(super) fn forget_idle_stages(&mut self, which: impl Fn(&StageKey) -> bool) {
        let idle = |stage: &Stage| stage.readiness == Readiness::Known;
        let forgotten = self.stages.forget(|key, stage| which(key) && idle(stage));
        let forgotten = forgotten.map(|stage| Action::ForgetStage { stage });
        self.actions.extend(forgotten);
    }

    pub(super) fn unfinished_of(&self, stage: StageKey) -> Vec<AttemptKey> {
        let keys = self.keys_of(stage.project);
        keys.filter(|key| {
            let attempt = &self.attempts[key];
            attempt.stage(key.project) == stage && attempt.state.is_unfinished()
        })
        .collect()
    }

    pub(super) fn is_open(&self, project: ProjectId) -> bool {
        self.sessions.get(&project).is_some_and(Session::is_open)
    }
}
