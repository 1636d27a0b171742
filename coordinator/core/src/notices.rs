//! What is told of jobs to whom their submitters named: their end, and that they stand still.
//!
//! ```text
//!            something settles, or it is resumed
//!            ┌───────────────────────┐
//!            ▼                       │
//! running ─ moving ──stall_after──► told ──► (end)
//! ```
//! A job that is paused, or whose items all are settled and being put together, does not stall.
//! A notice is recorded with what it is about, in one batch, and says what was so then: nothing
//! that happens later changes or loses it. A restart goes on with the time of a standstill: a
//! movement is recorded, but not each, as results come by the thousand. Deliberately absent: how a
//! notice is delivered.

use std::time::Duration;

use gleaner_protocol::{JobId, Notify, NotifyTarget, Timestamp};

use crate::core::Core;
use crate::job::Job;
use crate::why::{count, span};
use crate::{Action, JobEnd, Record, RecoveredMovement, StageState};

/// The longest text of a notice in bytes; what comes after is cut off.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// How long after a restart no standstill is told: the coordinator may have been down for longer
/// than any of them takes, and workers come back and return something first.
const RESTART_PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Into how many parts the time of a standstill is cut: in each one movement is recorded at most.
const PARTS: u32 = 8;

/// Something to be told of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub occasion: Occasion,
    /// Who is told.
    pub target: NotifyTarget,
    /// The job's name.
    pub name: String,
    /// Items of all its stages that were settled.
    pub items: u64,
    /// Those of them that gave no output.
    pub items_failed: u64,
    /// It in words, a line for each sentence.
    pub text: String,
    /// When.
    pub at: Timestamp,
}

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The job is done.
    Done,
    /// It failed.
    Failed,
    /// Its submitter ended it.
    Cancelled,
    /// Nothing of it was settled for a while.
    Stalled,
}

/// Whether a job moves, for as long as it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Movement {
    /// When something of it was settled last, or it began or was taken up again.
    moved_at: Timestamp,
    /// The last of these times that is recorded.
    recorded_at: Timestamp,
    stall: Stall,
    /// Not before that time is it told that it stands still.
    patient_until: Timestamp,
}

/// Whether it was told since then that it stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stall {
    Untold,
    Told,
}

impl Movement {
    pub(crate) fn since(moved_at: Timestamp) -> Self {
        let (recorded_at, patient_until) = (moved_at, moved_at);
        Self { moved_at, recorded_at, stall: Stall::Untold, patient_until }
    }

    /// The movement of a job of which it is told after `stall_after`, as a restart finds it.
    pub(crate) fn recover(
        recovered: Option<RecoveredMovement>,
        stall_after: Duration,
        now: Timestamp,
    ) -> Self {
        let Some(RecoveredMovement { moved_at: recorded_at, stall_told }) = recovered else {
            return Self::since(now);
        };
        let moved_at = (recorded_at + stall_after / PARTS).min(now);
        let stall = if stall_told { Stall::Told } else { Stall::Untold };
        let patient_until = now + stall_after.min(RESTART_PATIENCE);
        Self { moved_at, recorded_at, stall, patient_until }
    }

    /// Something moves now; whether that is to be recorded.
    fn go_on(&mut self, stall_after: Duration, now: Timestamp) -> bool {
        let is_due = self.stall == Stall::Told || self.recorded_at + stall_after / PARTS <= now;
        (self.moved_at, self.stall) = (now, Stall::Untold);
        if is_due {
            self.recorded_at = now;
        }
        is_due
    }
}

impl Core {
    /// Something of a job was settled, or it goes on after a pause.
    pub(crate) fn note_movement(&mut self, now: Timestamp, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.is_watched()) else { return };
        let stall_after = job.notify().stall_after;
        if job.movement.go_on(stall_after, now) {
            self.gate.record(Record::JobMoved { job: id, at: now });
        }
    }

    /// When the next job will have stood still for too long.
    pub(crate) fn next_stall(&self) -> Option<Timestamp> {
        self.watched.iter().filter_map(|id| self.jobs[id].stalls_at()).min()
    }

    /// Tells of jobs that have stood still for too long by `now`.
    pub(crate) fn tell_stalls(&mut self, now: Timestamp) {
        let is_due = |id: &&JobId| self.jobs[*id].stalls_at().is_some_and(|at| at <= now);
        let due: Vec<JobId> = self.watched.iter().filter(is_due).copied().collect();
        for id in due {
            let job = &self.jobs[&id];
            let Notify { on_stall: Some(target), stall_after, .. } = job.notify() else { continue };
            let head =
                format!("{id} ({}): nothing was settled for {}", job.name(), span(*stall_after));
            let text = [vec![head], self.why_job(now, job)].concat().join("\n");
            let notice = job.notice(Occasion::Stalled, target, text, now);
            self.gate.record(Record::NoticeDue { job: id, notice });
            self.gate.speak(Action::Notify);
            self.jobs.get_mut(&id).expect("the job was just looked at").movement.stall =
                Stall::Told;
        }
    }

    /// Tells of a job's end whoever is to be told.
    pub(crate) fn tell_end(&mut self, now: Timestamp, id: JobId, end: &JobEnd) {
        let job = &self.jobs[&id];
        let Some(target) = &job.notify().on_done else { return };
        let (items, failed) = job.items_settled();
        let name = job.name();
        let (occasion, text) = match end {
            JobEnd::Done if failed == 0 => {
                (Occasion::Done, format!("{id} ({name}) is done: {}", count(items, "item")))
            }
            JobEnd::Done => (
                Occasion::Done,
                format!(
                    "{id} ({name}) is done: {}, {failed} of which failed",
                    count(items, "item")
                ),
            ),
            JobEnd::Failed { reason, .. } => {
                (Occasion::Failed, format!("{id} ({name}) failed: {reason}"))
            }
            JobEnd::Cancelled => (Occasion::Cancelled, format!("{id} ({name}) was cancelled")),
        };
        let notice = job.notice(occasion, target, text, now);
        self.gate.record(Record::NoticeDue { job: id, notice });
        self.gate.speak(Action::Notify);
    }
}

impl Job {
    /// Whether somebody is told when it stands still.
    pub(crate) fn is_watched(&self) -> bool {
        self.is_running() && self.notify().on_stall.is_some()
    }

    fn stalls_at(&self) -> Option<Timestamp> {
        let is_open = || self.stages.iter().any(|stage| stage.state() == StageState::Open);
        let may_stall = self.takes_turns() && self.movement.stall == Stall::Untold && is_open();
        let at = self.movement.moved_at + self.notify().stall_after;
        may_stall.then_some(at.max(self.movement.patient_until))
    }

    fn notice(
        &self,
        occasion: Occasion,
        target: &NotifyTarget,
        mut text: String,
        at: Timestamp,
    ) -> Notice {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        let (items, items_failed) = self.items_settled();
        let (target, name) = (target.clone(), self.name().to_owned());
        Notice { occasion, target, name, items, items_failed, text, at }
    }
}
