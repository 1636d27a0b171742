//! How a job that has ended is taken up again: by a new one of the same specification, which has
//! the answers of the old one from the beginning.
//!
//! What has ended stays as it ended: what was told of it, fetched and noted is never taken back.

use std::iter;

use gleaner_protocol::JobId;

use crate::core::Core;
use crate::job::Job;
use crate::{KeptRun, Reply};

impl Core {
    /// Why a job cannot be taken up again: it is not there, or has not ended, and then it is the
    /// answer.
    pub(crate) fn not_retried(&self, retried: JobId) -> Option<Reply> {
        match self.jobs.get(&retried) {
            None => Some(self.absent(retried)),
            Some(job) if job.is_running() => Some(Reply::Job(Box::new(job.snapshot()))),
            Some(_) => None,
        }
    }

    /// Whether a job that `id` retries took over the answers of `run`. They stay for as long as it
    /// does, even when the job that gave them is removed.
    pub(crate) fn is_kept_by_retried(&self, id: JobId, run: &KeptRun) -> bool {
        let retried = |job: &&Job| self.jobs.get(&job.retry_of?);
        iter::successors(self.jobs.get(&id), retried).skip(1).any(|job| job.has_kept(run))
    }
}
