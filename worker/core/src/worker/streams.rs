//! What is said to coordinators: hellos, requests, heartbeats, results.

use std::time::Duration;

use gleaner_protocol::limits::LEASES_HELD_MAX;
use gleaner_protocol::{AttemptId, ProjectId};

use super::{Life, Worker};
use crate::appetite::{Supply, is_worth_saying, units_wanted};
use crate::attempt::{AttemptEvent, AttemptState};
use crate::event::{Action, AttemptKey};
use crate::limits::{RESULTS_BATCH, RESULTS_DELAY, WORK_QUEUED};
use crate::session::{Requested, Session, SessionEvent};

impl Worker {
    pub(super) fn on_connected(&mut self, project: ProjectId) {
        let now = self.now;
        if !self.sessions.entry_or_default(project).step(now, SessionEvent::Connected) {
            return;
        }
        let held = self.keys_of(project).map(|key| self.attempts[&key].lease.clone()).collect();
        self.actions.push_back(Action::Greet { project, held });
    }

    pub(super) fn on_disconnected(&mut self, project: ProjectId) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(&project) else { return };
        if !session.step(now, SessionEvent::Disconnected) {
            return;
        }
        session.requested = None;
        session.running_changed_at = None;
        session.flush_at = None;
        for (_, attempt) in std::mem::take(&mut session.sent) {
            self.unsend(AttemptKey { project, attempt });
        }
        self.forget_idle_stages(|stage| stage.project == project);
    }

    pub(super) fn on_welcomed(&mut self, project: ProjectId, heartbeat_interval: Duration) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(&project) else { return };
        if !session.step(now, SessionEvent::Welcomed { heartbeat_interval }) {
            return;
        }
        session.flush_at = (!session.unsent.is_empty()).then_some(now);
        self.resume_fetching(project);
        // A coordinator forgets with the stream what was said on it.
        if !self.running_of(project).is_empty() {
            self.say_running(project);
        }
    }

    pub(super) fn on_refused(&mut self, project: ProjectId) {
        let now = self.now;
        if let Some(session) = self.sessions.get_mut(&project) {
            // A refusal after the welcome says nothing new; the stream's end will.
            let _ = session.step(now, SessionEvent::Refused);
        }
    }

    pub(super) fn heartbeat(&mut self, project: ProjectId) {
        let attempts = self.keys_of(project).map(|key| key.attempt).collect();
        let running = self.running_of(project);
        self.speak_for(project, attempts, running);
    }

    /// Says what runs once that has been another for a while.
    pub(super) fn say_running_if_due(&mut self, project: ProjectId) {
        let due = self.sessions.get(&project).and_then(Session::running_due);
        if due.is_some_and(|due| due <= self.now) {
            self.say_running(project);
        }
    }

    fn say_running(&mut self, project: ProjectId) {
        let running = self.running_of(project);
        self.speak_for(project, running.clone(), running);
    }

    /// Whoever holds nothing has nothing to say.
    fn speak_for(&mut self, project: ProjectId, attempts: Vec<AttemptId>, running: Vec<AttemptId>) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(&project) else { return };
        session.on_running_said(now);
        if session.held > 0 {
            self.actions.push_back(Action::Heartbeat { project, attempts, running });
        }
    }

    pub(super) fn on_kept(&mut self, key: AttemptKey) {
        if self.step(key, AttemptEvent::Kept) {
            self.answered -= 1;
            self.put_unsent(key);
        }
    }

    /// Puts a kept result among those that the next batch takes.
    pub(super) fn put_unsent(&mut self, key: AttemptKey) {
        let flush_at = self.now + RESULTS_DELAY;
        let session = self.sessions.entry_or_default(key.project);
        session.unsent.insert(key.attempt);
        if session.is_open() && session.flush_at.is_none() {
            session.flush_at = Some(flush_at);
        }
    }

    /// What was sent on a stream that ended, or long ago, counts as unsent.
    fn unsend(&mut self, key: AttemptKey) {
        if self.step(key, AttemptEvent::StreamLost) {
            self.put_unsent(key);
        }
    }

    pub(super) fn resend_overdue(&mut self, project: ProjectId, after: Duration) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(&project) else { return };
        let overdue = session.sent.iter().take_while(|(at, _)| *at + after <= now).count();
        let overdue: Vec<_> = session.sent.drain(..overdue).collect();
        for (sent_at, attempt) in overdue {
            let key = AttemptKey { project, attempt };
            let state = self.attempts.get(&key).map(|attempt| attempt.state);
            if state == Some(AttemptState::Sent { at: sent_at }) {
                self.unsend(key);
            }
        }
    }

    /// Sends the batches that are full or due; all of them when the worker is stopping. What runs
    /// instead of what has ended is said with them, unless that was said a moment ago.
    pub(super) fn flush_results(&mut self) {
        let now = self.now;
        let hurry = self.life != Life::Working;
        let (mut sent, mut news) = (Vec::new(), Vec::new());
        for (&project, session) in self.sessions.iter_mut() {
            while session.is_open() && is_batch_due(session, now, hurry) {
                let batch = take_batch(session);
                session.sent.extend(batch.iter().map(|attempt| (now, *attempt)));
                sent.extend(batch.iter().map(|&attempt| AttemptKey { project, attempt }));
                self.actions.push_back(Action::SendResults { project, attempts: batch });
                if session.is_running_news(now) && news.last() != Some(&project) {
                    news.push(project);
                }
            }
            if session.unsent.is_empty() {
                session.flush_at = None;
            }
        }
        for key in sent {
            let stepped = self.step(key, AttemptEvent::Sent { at: now });
            debug_assert!(stepped, "every unsent result is kept");
        }
        for project in news {
            self.say_running(project);
        }
    }

    /// Tells each coordinator what can be taken, when that has changed enough to be worth it.
    pub(super) fn ask_for_work(&mut self) {
        let slots = self.slots_usable();
        let typical = self.typical.duration().unwrap_or(WORK_QUEUED).max(self.longest_unknown());
        let supply = Supply {
            slots,
            units: self.stages.busy().map(|(_, stage)| stage.unfinished()).sum(),
            work: self.stages.busy().map(|(_, stage)| stage.work(typical)).sum(),
        };
        let wanted = units_wanted(supply, typical);
        for (&project, session) in self.sessions.iter_mut() {
            if !session.is_open() {
                continue;
            }
            let room = u32::try_from(LEASES_HELD_MAX.saturating_sub(session.held)).unwrap_or(0);
            let units = wanted.min(room);
            if is_request_due(session, slots, units, supply.units) {
                session.requested = Some(Requested { slots, outstanding: units });
                self.actions.push_back(Action::Request { project, slots, units });
            }
        }
    }
}

fn is_batch_due(session: &Session, now: gleaner_protocol::Timestamp, hurry: bool) -> bool {
    let due = hurry || session.flush_at.is_some_and(|at| at <= now);
    session.unsent.len() >= RESULTS_BATCH || (due && !session.unsent.is_empty())
}

fn take_batch(session: &mut Session) -> Vec<AttemptId> {
    let attempts = session.unsent.iter().take(RESULTS_BATCH).copied();
    let batch: Vec<_> = attempts.collect();
    for attempt in &batch {
        session.unsent.remove(attempt);
    }
    batch
}

fn is_request_due(session: &Session, slots: u32, units: u32, units_held: u32) -> bool {
    match session.requested {
        None => units > 0,
        Some(last) => last.slots != slots || is_worth_saying(units, last.outstanding, units_held),
    }
}
