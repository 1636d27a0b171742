//! How an ended job goes: from every listing at once, from the store in its own time.
//!
//! Its id and its submission are remembered for ever, so that neither means another job later, and
//! a submission that is repeated computes nothing in silence. Answers that other jobs took over
//! stay in the store until the last of these has gone too; nobody takes over more of them.

use gleaner_protocol::{JobId, SubmissionId, Timestamp};

use crate::core::Core;
use crate::{Owner, Question, Record, RemovedJob, Reply, RequestId};

impl Core {
    /// Forgets a job that has ended. One that runs stays, and is answered with.
    pub(crate) fn on_remove(&mut self, now: Timestamp, request: RequestId, id: JobId) {
        let Some(job) = self.jobs.get(&id).filter(|job| !job.is_running()) else {
            return self.on_question(now, request, Question::Job(id));
        };
        let (submission, owner) = (job.submission, job.owner);
        self.touch(id);
        self.jobs.remove(&id);
        self.removed.insert(id, owner);
        self.gate.record(Record::JobRemoved { job: id, submission, owner });
        self.gate.speak(crate::Action::Reply { request, reply: Reply::Removed(id) });
    }

    /// The answer to whoever asks for a job that is not there.
    pub(crate) fn absent(&self, id: JobId) -> Reply {
        match self.removed.get(&id) {
            Some(owner) => Reply::WasRemoved { job: id, owner: *owner },
            None => Reply::UnknownJob(id),
        }
    }

    /// The id of the next job: none that was ever given.
    pub(crate) fn next_job(&self) -> JobId {
        let last = self.jobs.last_key_value().map(|(id, _)| id.0);
        let last_removed = self.removed.last_key_value().map(|(id, _)| id.0);
        JobId(last.max(last_removed).unwrap_or(0) + 1)
    }
}

impl RemovedJob {
    /// Its submission, with the job that it names for ever.
    pub(crate) const fn submission(&self) -> (SubmissionId, JobId) {
        (self.submission, self.job)
    }

    pub(crate) const fn owner(&self) -> (JobId, Owner) {
        (self.job, self.owner)
    }
}
