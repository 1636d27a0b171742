//! A job that has ended, taken up again by a new one of the same specification.
//!
//! Nothing is sent, checked or cut anew: blobs, and the items that a split function made, are the old
//! job's, which keeps them for as long as it is there. The new submission has a name of its own: a
//! repeat is told by the old job, which has one retry at a time.

use gleaner_coordinator_core::{JobSnapshot, Question, Reply};
use gleaner_protocol::api::JobView;
use gleaner_protocol::{JobId, JobSpec};

use super::answers;
use super::control::DriverControl;
use super::engine::Ask;
use super::refusals::{
    WhileFull, check_retry, disk_full, not_ended, not_there, over_quota, store_failed,
};
use super::reports::JobParts;
use super::submission_names::unnamed;
use super::views;
use crate::http::ControlError;

impl DriverControl {
    /// The job that retries `job`: the one that was made before, if it is there still, or a new one.
    pub(super) async fn take_up(&self, job: JobId) -> Result<JobView, ControlError> {
        let old = self.snapshot(Ask::Question(Question::Job(job))).await?;
        check_retry(&views::job(old.clone(), None))?;
        if let Some(full) = self.store.full() {
            return Err(disk_full(&full, WhileFull::NotTaken));
        }
        let (_, JobParts { spec, .. }) = self.parts(&old).await?;
        // If the old job is removed before they are pinned, the core takes no retry of it.
        let _inputs = self.blobs.uses().pin(spec.blobs().map(|blob| blob.hash));
        let items = items_known(&spec, &old);
        let kept = answers::known_at_submission(&self.store, &spec, &items, Some(job)).await;
        let kept = kept.map_err(store_failed)?;
        let ask = Ask::Submit {
            submission: unnamed(),
            owner: old.owner,
            spec: Box::new(spec),
            retry_of: Some(job),
            items,
            kept,
        };
        let retry = match self.ask(ask).await? {
            Reply::Submitted(retry) => retry,
            reply => return Err(self.not_taken_up(&old, reply)),
        };
        let retry = self.snapshot(Ask::Question(Question::Job(retry))).await?;
        Ok(self.view(retry))
    }

    fn not_taken_up(&self, old: &JobSnapshot, reply: Reply) -> ControlError {
        match reply {
            Reply::OverQuota(over) => over_quota(&self.submitter_name(old.owner), over),
            Reply::Job(_) => not_ended(old.job),
            other => not_there(other),
        }
    }
}

/// How many items each stage has that waits for no other: as many as in the old job.
fn items_known(spec: &JobSpec, old: &JobSnapshot) -> Vec<Option<u64>> {
    let stages = spec.stages.iter().zip(&old.stages);
    let known = stages.map(|(spec, stage)| match spec.splitter.earlier_stage() {
        Some(_) => None,
        None => stage.items,
    });
    known.collect()
}
