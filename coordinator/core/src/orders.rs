//! What submitters say about jobs that run: pause, resume, another priority.
//!
//! Each is a fact that is recorded once: a repeat changes nothing and is answered as the first was.

use gleaner_protocol::limits::PRIORITY_MAX;
use gleaner_protocol::{JobId, Timestamp};

use crate::core::Core;
use crate::{Question, Record, RequestId};

impl Core {
    pub(crate) fn on_pause(&mut self, now: Timestamp, request: RequestId, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id).filter(|job| job.takes_turns()) {
            job.paused_at = Some(now);
            self.gate.record(Record::JobPaused { job: id, at: now });
            self.touch(id);
        }
        self.on_question(now, request, Question::Job(id));
    }

    pub(crate) fn on_resume(&mut self, now: Timestamp, request: RequestId, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id).filter(|job| job.paused_at.is_some()) {
            job.paused_at = None;
            self.note_movement(now, id);
            self.gate.record(Record::JobResumed { job: id });
            self.touch(id);
        }
        self.on_question(now, request, Question::Job(id));
    }

    pub(crate) fn on_priority(
        &mut self,
        now: Timestamp,
        request: RequestId,
        id: JobId,
        priority: i32,
    ) {
        let priority = priority.clamp(-PRIORITY_MAX, PRIORITY_MAX);
        let job = self.jobs.get_mut(&id).filter(|job| job.is_running());
        if let Some(job) = job.filter(|job| job.priority != priority) {
            job.priority = priority;
            self.gate.record(Record::PrioritySet { job: id, priority });
            self.touch(id);
        }
        self.on_question(now, request, Question::Job(id));
    }
}
