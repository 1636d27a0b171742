//! How an ended job goes, when its owner says so or the time it is kept for is over: from every
//! listing at once, from the store in its own time.
//!
//! Its id and its submission are remembered for ever, so that neither means another job later, and
//! a submission that is repeated computes nothing in silence. Answers that other jobs took over
//! stay in the store until the last of these has gone too; nobody takes over more of them.

use gleaner_protocol::{JobId, SubmissionId, Timestamp};

use crate::core::Core;
use crate::job::Job;
use crate::{Action, Owner, Question, Record, RemovedJob, Reply, RequestId};

impl Core {
    /// Forgets a job that has ended. One that runs stays, and is answered with.
    pub(crate) fn on_remove(&mut self, now: Timestamp, request: RequestId, id: JobId) {
        if self.jobs.get(&id).is_none_or(Job::is_running) {
            return self.on_question(now, request, Question::Job(id));
        }
        self.remove_job(id);
        self.gate.speak(Action::Reply { request, reply: Reply::Removed(id) });
    }

    /// Forgets the jobs that are not to be kept any longer.
    pub(crate) fn remove_lapsed(&mut self, now: Timestamp) {
        while let Some((_, id)) = self.lapses.first().filter(|(until, _)| *until <= now) {
            self.remove_job(*id);
        }
    }

    /// When the next job is not to be kept any longer.
    pub(crate) fn next_lapse(&self) -> Option<Timestamp> {
        self.lapses.first().map(|(until, _)| *until)
    }

    fn remove_job(&mut self, id: JobId) {
        self.touch(id);
        let job = self.jobs.remove(&id).expect("only a known job is removed");
        self.holdings.remove(job.owner, job.blobs());
        if let Some(until) = job.kept_until() {
            self.lapses.remove(&(until, id));
        }
        self.removed.insert(id, job.owner);
        let (submission, owner) = (job.submission, job.owner);
        self.gate.record(Record::JobRemoved { job: id, submission, owner });
        self.set_retried_by(job.retry_of, None);
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
        let next = JobId(last.max(last_removed).unwrap_or(0) + 1);
        next.max(self.first.job)
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
