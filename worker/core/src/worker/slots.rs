//! Slots: which stage each serves, which attempt goes into which pipe, who is suspended.

use std::collections::VecDeque;
use std::time::Duration;

use gleaner_protocol::limits::SLOTS_MAX;
use gleaner_protocol::{AttemptId, Obstacle, ProjectId, ReleaseReason, Timestamp};

use super::{Life, Worker};
use crate::attempt::AttemptEvent;
use crate::event::{Action, AttemptKey, RunId, SlotIndex, StageKey};
use crate::limits::SLOT_IDLE_MAX;
use crate::slot::{Motion, Process, Slot};
use crate::stage::Stage;

impl Worker {
    /// Slots that may run now.
    fn slots_allowed(&self) -> u32 {
        match self.life {
            Life::Working => self.verdict.slots().min(SLOTS_MAX),
            Life::Stopping | Life::Stopped => 0,
        }
    }

    /// Slots that work may be asked for: none while slots cannot be started.
    pub(super) fn slots_usable(&self) -> u32 {
        if self.slot_pause.holds() { 0 } else { self.slots_allowed() }
    }

    /// Suspends slots beyond those allowed, resumes suspended ones when there is room again.
    pub(super) fn move_slots(&mut self) {
        let allowed = self.slots_allowed() as usize;
        if self.slots.len() < allowed {
            self.slots.resize_with(allowed, Slot::default);
        }
        let going = self.slots_going();
        if going <= allowed && !self.slots.iter().any(Slot::is_suspended) {
            return;
        }
        let (motion, count) = match going.checked_sub(allowed) {
            Some(excess) => (Motion::Suspended, excess),
            None => (Motion::Going, allowed - going),
        };
        let busy = |slot: &SlotIndex| self.slot(*slot).is_some_and(Slot::is_busy);
        let movable = |slot: &SlotIndex| {
            self.slot(*slot).is_some_and(|s| s.is_suspended() != (motion == Motion::Suspended))
        };
        let slots = self.slot_indices().filter(busy).filter(movable);
        let moved: Vec<_> = match motion {
            Motion::Suspended => slots.collect::<Vec<_>>().into_iter().rev().take(count).collect(),
            Motion::Going => slots.take(count).collect(),
        };
        for slot in moved {
            self.set_motion(slot, motion);
        }
    }

    fn set_motion(&mut self, slot: SlotIndex, motion: Motion) {
        let now = self.now;
        let Some(process) = self.slot_mut(slot).and_then(|slot| slot.process.as_mut()) else {
            return;
        };
        process.motion = motion;
        // What it stood still is no time that its unit took.
        process.since = process.since.max(now);
        let project = process.stage.project;
        let keys: Vec<_> = process.pipe.iter().copied().collect();
        let (event, action) = match motion {
            Motion::Suspended => (AttemptEvent::Suspended, Action::SuspendSlot { slot }),
            Motion::Going => (AttemptEvent::Resumed, Action::ResumeSlot { slot }),
        };
        self.actions.push_back(action);
        self.on_running_changed(project);
        for key in keys {
            let stepped = self.step(key, event);
            debug_assert!(stepped, "what is in a pipe moves with its slot");
            if let Some(attempt) = self.attempts.get_mut(&key) {
                attempt.interrupted = true;
            }
        }
    }

    /// Gives queued attempts to slots until none fits.
    pub(super) fn fill_slots(&mut self) {
        while let Some((slot, stage)) = self.next_dispatch() {
            self.dispatch(slot, stage);
        }
    }

    fn next_dispatch(&self) -> Option<(SlotIndex, StageKey)> {
        if self.stages.busy().all(|(_, stage)| stage.queue.is_empty()) {
            return None;
        }
        let neglected = self.neglected_stage();
        if self.slots_going() < self.slots_allowed() as usize
            && let Some(found) = self.dispatch_to_idle(neglected)
        {
            return Some(found);
        }
        // Pipes drain when a neglected stage needs one of their slots.
        if neglected.is_some() {
            return None;
        }
        self.dispatch_behind()
    }

    /// The stage that has waited longest of those that have waited too long and that no slot works
    /// on; of two that have waited equally, the one without a slot.
    fn neglected_stage(&self) -> Option<StageKey> {
        let impatient = self.stages.busy().filter(|(_, stage)| stage.is_impatient(self.now));
        let neglected = impatient.filter(|(key, _)| !self.is_worked_on(**key));
        let order = |key, stage: &Stage| (stage.served_at, self.is_served(key), stage.oldest());
        neglected.min_by_key(|(key, stage)| order(**key, stage)).map(|(key, _)| *key)
    }

    /// An idle slot goes on with its own stage; where there is nothing of it, or another stage is
    /// neglected, the stage that has waited longest gets an empty slot or takes one over.
    fn dispatch_to_idle(&self, neglected: Option<StageKey>) -> Option<(SlotIndex, StageKey)> {
        let idle = || self.slot_indices().filter(|s| self.slot(*s).is_some_and(|s| !s.is_busy()));
        let own = |slot: SlotIndex| self.slot(slot).and_then(Slot::stage);
        let continued = idle().find_map(|slot| {
            let stage = own(slot).filter(|stage| neglected.is_none_or(|other| other == *stage))?;
            self.has_queued(stage).then_some((slot, stage))
        });
        if continued.is_some() || self.slot_pause.holds() {
            return continued;
        }
        let waiting = self.stages.busy().filter(|(_, stage)| !stage.queue.is_empty());
        let oldest = waiting.min_by_key(|(_, stage)| stage.oldest()).map(|(key, _)| *key);
        let stage = neglected.or(oldest)?;
        let slot = idle().min_by_key(|slot| own(*slot).is_some())?;
        Some((slot, stage))
    }

    /// The shortest pipe that has room for one more of its stage.
    fn dispatch_behind(&self) -> Option<(SlotIndex, StageKey)> {
        let queued = self.stages.busy().filter(|(_, stage)| !stage.queue.is_empty());
        let deep = queued.filter_map(|(key, stage)| {
            // A busy slot has one in its pipe at least.
            Some((*key, stage.estimate.pipe_depth())).filter(|(_, depth)| *depth > 1)
        });
        let with_room = deep.flat_map(|(key, depth)| {
            self.slot_indices().filter_map(move |index| {
                let slot = self.slot(index).filter(|slot| slot.stage() == Some(key))?;
                let has_room = slot.is_busy() && !slot.is_suspended() && slot.in_pipe() < depth;
                has_room.then_some((slot.in_pipe(), index, key))
            })
        });
        with_room.min().map(|(_, slot, stage)| (slot, stage))
    }

    fn dispatch(&mut self, slot: SlotIndex, stage: StageKey) {
        if self.slot(slot).and_then(Slot::stage).is_some_and(|own| own != stage) {
            self.end_slot(slot);
        }
        if self.slot(slot).is_some_and(|slot| slot.process.is_none()) {
            self.start_slot(slot, stage);
        }
        if self.slot(slot).is_some_and(Slot::is_suspended) {
            self.set_motion(slot, Motion::Going);
        }
        let now = self.now;
        let run = self.next_run();
        let Some(key) = self.stages.get_mut(&stage).and_then(|stage| stage.dequeue(now)) else {
            return;
        };
        let stepped = self.step(key, AttemptEvent::Dispatched { slot, run });
        debug_assert!(stepped, "what is in a queue is queued");
        if let Some(process) = self.slot_mut(slot).and_then(|slot| slot.process.as_mut()) {
            let is_first = process.pipe.is_empty();
            process.pipe.push_back(key);
            if is_first {
                process.since = now;
                self.on_running_changed(stage.project);
            }
        }
        self.actions.push_back(Action::Run { slot, key, run });
    }

    fn start_slot(&mut self, slot: SlotIndex, stage: StageKey) {
        let life = self.next_run();
        let since = self.now;
        if let Some(slot) = self.slot_mut(slot) {
            let (pipe, motion) = (VecDeque::new(), Motion::Going);
            slot.process = Some(Process { life, stage, pipe, motion, since });
        }
        self.actions.push_back(Action::StartSlot { slot, life, stage });
    }

    /// Ends a slot's process; what was in its pipe is queued again.
    pub(super) fn end_slot(&mut self, slot: SlotIndex) {
        let Some(process) = self.slot_mut(slot).and_then(|slot| slot.process.take()) else {
            return;
        };
        self.actions.push_back(Action::EndSlot { slot });
        if !process.pipe.is_empty() {
            self.on_running_changed(process.stage.project);
        }
        for key in process.pipe {
            if self.step(key, AttemptEvent::SlotEnded) {
                self.enqueue(key);
            }
        }
        self.rest_if_idle(process.stage);
    }

    pub(super) fn on_finished(&mut self, key: AttemptKey, run: RunId, elapsed: Duration) {
        let Some(attempt) = self.attempts.get(&key) else { return };
        let (stage, slot, whole) =
            (attempt.stage(key.project), attempt.state.slot(), !attempt.interrupted);
        if !self.step(key, AttemptEvent::Finished { run }) {
            return;
        }
        if let Some(slot) = slot {
            self.take_from_pipe(slot, key);
        }
        if whole {
            self.typical.observe(elapsed);
            if let Some(stage) = self.stages.get_mut(&stage) {
                stage.estimate.observe(elapsed);
                stage.recent.observe(elapsed);
            }
        }
        self.slot_pause.on_success();
        self.actions.push_back(Action::Keep { key, run });
        self.count_answered(stage);
    }

    /// A slot that cannot be started is no fault of its units: others may have them, and the next
    /// start waits a while. Where no other slot serves the stage, that is so of all its units.
    pub(super) fn on_slot_failed(&mut self, slot: SlotIndex, life: RunId, obstacle: Obstacle) {
        let process = self.slot(slot).and_then(|slot| slot.process.as_ref());
        let Some(process) = process.filter(|process| process.life == life) else { return };
        let stage = process.stage;
        let mut keys: Vec<_> = process.pipe.iter().copied().collect();
        let serving = self.slots.iter().filter(|slot| slot.stage() == Some(stage)).count();
        if serving == 1 {
            keys = self.unfinished_of(stage);
        }
        self.slot_pause.on_failure(self.now);
        self.release(stage.project, keys, ReleaseReason::Unable(obstacle));
        self.end_slot(slot);
    }

    pub(super) fn take_from_pipe(&mut self, slot: SlotIndex, key: AttemptKey) {
        let now = self.now;
        let Some(process) = self.slot_mut(slot).and_then(|slot| slot.process.as_mut()) else {
            return;
        };
        // Answers come in order.
        if process.pipe.pop_front_if(|first| *first == key).is_none() {
            process.pipe.retain(|other| *other != key);
        }
        process.since = now;
        // That nothing follows is told by what becomes of the last one.
        if let Some(next) = process.pipe.front().copied() {
            self.on_running_changed(next.project);
        }
    }

    /// The attempts of a project that have a slot for themselves now.
    pub(super) fn running_of(&self, project: ProjectId) -> Vec<AttemptId> {
        let running = self.slots.iter().filter_map(Slot::running);
        running.filter(|key| key.project == project).map(|key| key.attempt).collect()
    }

    fn on_running_changed(&mut self, project: ProjectId) {
        let now = self.now;
        if let Some(session) = self.sessions.get_mut(&project) {
            session.on_running_changed(now);
        }
    }

    pub(super) fn end_idle_slots(&mut self) {
        let now = self.now;
        for slot in self.slot_indices() {
            if self.slot(slot).and_then(idle_until).is_some_and(|until| until <= now) {
                self.end_slot(slot);
            }
        }
    }

    /// Ends idle slots that serve a stage named by `which`.
    pub(super) fn end_idle_slots_of(&mut self, which: impl Fn(&StageKey) -> bool) {
        for index in self.slot_indices() {
            let idle = self.slot(index).filter(|slot| !slot.is_busy()).and_then(Slot::stage);
            if idle.is_some_and(|stage| which(&stage)) {
                self.end_slot(index);
            }
        }
    }

    pub(super) fn slot_idle_timeout(&self) -> Option<Timestamp> {
        self.slots.iter().filter_map(idle_until).min()
    }

    /// Busy slots that are not suspended.
    fn slots_going(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_busy() && !slot.is_suspended()).count()
    }

    fn has_queued(&self, stage: StageKey) -> bool {
        self.stages.get(&stage).is_some_and(|stage| !stage.queue.is_empty())
    }

    /// Whether a slot process of the stage exists.
    pub(super) fn is_served(&self, stage: StageKey) -> bool {
        self.slots.iter().any(|slot| slot.stage() == Some(stage))
    }

    fn is_worked_on(&self, stage: StageKey) -> bool {
        self.slots.iter().any(|slot| slot.is_busy() && slot.stage() == Some(stage))
    }
}

fn idle_until(slot: &Slot) -> Option<Timestamp> {
    let process = slot.process.as_ref().filter(|process| process.pipe.is_empty())?;
    Some(process.since + SLOT_IDLE_MAX)
}
