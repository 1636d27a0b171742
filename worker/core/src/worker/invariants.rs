//! What holds after every event, whatever came before.

use gleaner_protocol::Timestamp;

use super::{Life, Worker};
use crate::attempt::AttemptState;
use crate::session::SessionState;
use crate::stage::Readiness;

impl Worker {
    /// Asserts what must hold between any two events: each lease is in one place, counts agree,
    /// and nothing runs that the verdict does not allow.
    ///
    /// # Panics
    /// When something does not hold: a bug of this crate.
    pub fn check_invariants(&self) {
        self.check_attempts();
        self.check_slots();
        self.check_stages();
        self.check_sessions();
        if self.life != Life::Working {
            let unfinished = self.attempts.values().filter(|a| a.state.is_unfinished()).count();
            assert_eq!(unfinished, 0, "a stopping worker keeps no unfinished lease");
        }
    }

    fn check_attempts(&self) {
        for (key, attempt) in &self.attempts {
            assert_eq!(key.attempt, attempt.lease.claims.attempt);
            let session = self.sessions.get(&key.project).expect("a lease is of a known project");
            let stage = self.stages.get(&attempt.stage(key.project));
            let queued = stage.is_some_and(|s| s.queue.get(&attempt.arrival) == Some(key));
            assert_eq!(queued, attempt.state == AttemptState::Queued, "{key:?} and its queue");
            let unsent = session.unsent.contains(&key.attempt);
            assert_eq!(unsent, attempt.state == AttemptState::Kept, "{key:?} is unsent if kept");
            match attempt.state {
                AttemptState::Running { slot, .. } | AttemptState::Suspended { slot, .. } => {
                    let slot = self.slot(slot).expect("a run has a slot");
                    let process = slot.process.as_ref().expect("a run has a process");
                    assert!(process.pipe.contains(key), "{key:?} is in its slot's pipe");
                    let suspended = matches!(attempt.state, AttemptState::Suspended { .. });
                    assert_eq!(suspended, slot.is_suspended(), "{key:?} moves with its slot");
                }
                AttemptState::Waiting => {
                    let stage = stage.expect("an unfinished attempt has a stage");
                    assert_ne!(stage.readiness, Readiness::Ready, "{key:?} waits for its stage");
                }
                AttemptState::Sent { at } => {
                    assert!(session.is_open(), "{key:?} was sent on a stream");
                    assert!(session.sent.contains(&(at, key.attempt)), "{key:?} can be resent");
                }
                _ => {}
            }
        }
        let answered = self.attempts.values().filter(|a| a.state == AttemptState::Answered);
        assert_eq!(answered.count(), self.answered);
    }

    fn check_slots(&self) {
        let mut going = 0;
        for slot in &self.slots {
            let Some(process) = &slot.process else { continue };
            for key in &process.pipe {
                let attempt = &self.attempts[key];
                assert_eq!(attempt.stage(key.project), process.stage, "a slot serves one stage");
                let held = attempt.state.slot().and_then(|index| self.slot(index));
                assert!(held.is_some_and(|held| std::ptr::eq(held, slot)), "{key:?} is here alone");
            }
            assert!(self.stages.contains_key(&process.stage), "a served stage is known");
            going += u32::from(slot.is_busy() && !slot.is_suspended());
        }
        let allowed = if self.life == Life::Working { self.verdict.slots() } else { 0 };
        assert!(going <= allowed, "{going} slots run, {allowed} may");
    }

    fn check_stages(&self) {
        self.stages.check_invariants();
        for (key, stage) in self.stages.iter() {
            let unfinished = self.attempts.iter().filter(|(k, a)| a.stage(k.project) == *key);
            let unfinished = unfinished.filter(|(_, a)| a.state.is_unfinished()).count();
            assert_eq!(unfinished, stage.unfinished() as usize, "unfinished of {key:?}");
            let needed = unfinished > 0 || self.is_served(*key);
            match stage.readiness {
                Readiness::Ready => assert!(needed, "{key:?} rests when nothing needs it"),
                Readiness::Known => {
                    assert!(!self.is_served(*key), "{key:?} is served, so it is ready");
                    assert!(stage.queue.is_empty(), "{key:?} cannot be run");
                }
                Readiness::Preparing => assert!(stage.queue.is_empty(), "{key:?} cannot be run"),
            }
        }
    }

    fn check_sessions(&self) {
        for (project, session) in self.sessions.iter() {
            assert_eq!(self.keys_of(*project).count(), session.held, "leases of {project}");
            if !session.is_open() {
                assert_eq!(session.requested, None, "requests end with their stream");
                assert_eq!(session.running_due(), None, "nothing is said without a stream");
                assert_eq!(session.flush_at, None, "nothing is sent without a stream");
                assert!(session.sent.is_empty(), "what was sent ends with its stream");
            } else if !session.unsent.is_empty() {
                let due = session.flush_at.expect("a kept result has a time to be sent");
                assert!(due > self.now || self.now == Timestamp::ZERO, "sending is not overdue");
            }
            if let SessionState::Greeting { deadline } = session.state {
                assert!(deadline > Timestamp::ZERO);
            }
        }
    }
}
