//! How a job that has ended is taken up again: by a new one of the same specification, which has
//! the answers of the old one from the beginning.
//!
//! What has ended stays as it ended: what was told of it, fetched and noted is never taken back. At
//! most one job retries another at a time, so that a repeat finds it: whoever wants one more
//! retries that one, or removes it first.

use std::collections::BTreeMap;
use std::iter;

use gleaner_protocol::JobId;

use crate::core::Core;
use crate::job::Job;
use crate::{KeptRun, Reply};

impl Core {
    /// The answer to a retry that makes no new job: the old one is not there, or has not ended, and
    /// then it is the answer, or another job retries it already.
    pub(crate) fn without_new_retry(&self, retried: JobId) -> Option<Reply> {
        match self.jobs.get(&retried) {
            None => Some(self.absent(retried)),
            Some(job) if job.is_running() => Some(Reply::Job(Box::new(job.snapshot()))),
            Some(job) => job.retried_by.map(Reply::Submitted),
        }
    }

    /// Notes by which job one is taken up again, or that it is no more.
    pub(crate) fn set_retried_by(&mut self, retried: Option<JobId>, by: Option<JobId>) {
        if let Some(job) = retried.and_then(|retried| self.jobs.get_mut(&retried)) {
            job.retried_by = by;
            let retried = job.id;
            self.touch(retried);
        }
    }

    /// After a restart: notes by which job each is taken up again.
    pub(crate) fn note_retries(jobs: &mut BTreeMap<JobId, Job>) {
        let retries = jobs.values().filter_map(|job| Some((job.retry_of?, job.id)));
        for (retried, by) in retries.collect::<Vec<_>>() {
            if let Some(job) = jobs.get_mut(&retried) {
                job.retried_by = Some(by);
            }
        }
    }

    /// Whether a job that `id` retries took over the answers of `run`. They stay for as long as it
    /// does, even when the job that gave them is removed.
    pub(crate) fn is_kept_by_retried(&self, id: JobId, run: &KeptRun) -> bool {
        let retried = |job: &&Job| self.jobs.get(&job.retry_of?);
        iter::successors(self.jobs.get(&id), retried).skip(1).any(|job| job.has_kept(run))
    }

    /// # Panics
    /// When a job and the one that it retries, or that retries it, disagree.
    pub(crate) fn check_retry(&self, job: &Job) {
        if let Some(retried) = job.retry_of.and_then(|retried| self.jobs.get(&retried)) {
            assert!(!retried.is_running(), "{} retries one that runs", job.id);
            assert_eq!(retried.retried_by, Some(job.id), "{} has several retries", retried.id);
        }
        if let Some(by) = job.retried_by {
            let retry_of = self.jobs.get(&by).and_then(|by| by.retry_of);
            assert_eq!(retry_of, Some(job.id), "{by} does not retry {}", job.id);
        }
    }
}
