//! What the control API asks of the coordinator behind it.

use gleaner_coordinator_core::{Owner, Subject};
use gleaner_protocol::api::{
    AddSubmitterReply, AddSubmitterRequest, ApiError, InvitationView, InviteReply, InviteRequest,
    JobView, OutputFile, PriorityRequest, ProjectView, RevokeReply, RevokeRequest, RoomView,
    SubmitReply, SubmitRequest, SubmitterView, UnitLogs, UnitsPage, WhyView, WorkerView,
};
use gleaner_protocol::{BlobHash, InvitationId, JobId, UnitId};

use super::Streamed;

/// The coordinator as the control API sees it. Every answer waits until what it depends on is
/// durable.
pub trait Control: Send + Sync + 'static {
    /// The project.
    fn project(&self) -> impl Future<Output = Result<ProjectView, ControlError>> + Send;

    /// Takes a job of `owner`'s; a repeat of a submission gets the same reply.
    fn submit(
        &self,
        owner: Owner,
        request: SubmitRequest,
    ) -> impl Future<Output = Result<SubmitReply, ControlError>> + Send;

    /// The jobs that `owner` may see, newest first: its own, and the operator all.
    fn jobs(&self, owner: Owner)
    -> impl Future<Output = Result<Vec<JobView>, ControlError>> + Send;

    /// Whose a job is.
    fn owner_of(&self, job: JobId) -> impl Future<Output = Result<Owner, ControlError>> + Send;

    /// Makes room for a blob of `bytes` bytes in `owner`'s quota; its length is none when the
    /// request does not tell. The room is kept until a job refers to the blob.
    fn reserve_blob(
        &self,
        owner: Owner,
        hash: BlobHash,
        bytes: Option<u64>,
    ) -> impl Future<Output = Result<(), ControlError>> + Send;

    /// What there is room for, for `owner`.
    fn room(&self, owner: Owner) -> impl Future<Output = Result<RoomView, ControlError>> + Send;

    /// One job.
    fn job(&self, job: JobId) -> impl Future<Output = Result<JobView, ControlError>> + Send;

    /// One job, once its version is over `after`. The caller stops waiting when it wants to.
    fn wait_job(
        &self,
        job: JobId,
        after: u64,
    ) -> impl Future<Output = Result<JobView, ControlError>> + Send;

    /// Ends a job; of no effect on one that has ended.
    fn cancel(&self, job: JobId) -> impl Future<Output = Result<JobView, ControlError>> + Send;

    /// Hands nothing of a job out for now; of no effect on one that has ended.
    fn pause(&self, job: JobId) -> impl Future<Output = Result<JobView, ControlError>> + Send;

    /// Lets a paused job go on; of no effect on others.
    fn resume(&self, job: JobId) -> impl Future<Output = Result<JobView, ControlError>> + Send;

    /// Takes a job that has ended without all its answers up again, by a new one, which it gives; a
    /// repeat gives the same one.
    fn retry(&self, job: JobId) -> impl Future<Output = Result<JobView, ControlError>> + Send;

    /// Removes a job that has ended, for good.
    fn remove(&self, job: JobId) -> impl Future<Output = Result<(), ControlError>> + Send;

    /// Orders a job among its submitter's; of no effect on one that has ended.
    fn prioritise(
        &self,
        job: JobId,
        request: PriorityRequest,
    ) -> impl Future<Output = Result<JobView, ControlError>> + Send;

    /// The files of the stages that are done.
    fn output(
        &self,
        job: JobId,
    ) -> impl Future<Output = Result<Vec<OutputFile>, ControlError>> + Send;

    /// The table of a job's failed items, as CSV.
    fn failed(&self, job: JobId) -> impl Future<Output = Result<Streamed, ControlError>> + Send;

    /// What made a job's outputs, as JSON, with no word of other jobs that `caller` may not see.
    fn provenance(
        &self,
        caller: Owner,
        job: JobId,
    ) -> impl Future<Output = Result<Streamed, ControlError>> + Send;

    /// Previews of what a job has not done, as files one after the other.
    fn partial(&self, job: JobId) -> impl Future<Output = Result<Streamed, ControlError>> + Send;

    /// A page of a job's units, with no word of other jobs that `caller` may not see.
    fn units(
        &self,
        caller: Owner,
        job: JobId,
        query: UnitsRequest,
    ) -> impl Future<Output = Result<UnitsPage, ControlError>> + Send;

    /// Why something is as it is.
    fn why(&self, subject: Subject) -> impl Future<Output = Result<WhyView, ControlError>> + Send;

    /// What a unit's tasks logged.
    fn logs(&self, unit: UnitId) -> impl Future<Output = Result<UnitLogs, ControlError>> + Send;

    /// The workers connected now.
    fn workers(&self) -> impl Future<Output = Result<Vec<WorkerView>, ControlError>> + Send;

    /// Makes an invitation.
    fn invite(
        &self,
        request: InviteRequest,
    ) -> impl Future<Output = Result<InviteReply, ControlError>> + Send;

    /// All invitations, newest first.
    fn invitations(&self)
    -> impl Future<Output = Result<Vec<InvitationView>, ControlError>> + Send;

    /// Takes an invitation back; of no further effect on one that was.
    fn revoke(
        &self,
        invitation: InvitationId,
        request: RevokeRequest,
    ) -> impl Future<Output = Result<RevokeReply, ControlError>> + Send;

    /// The submitters on the list.
    fn submitters(&self) -> impl Future<Output = Result<Vec<SubmitterView>, ControlError>> + Send;

    /// Puts a submitter on the list, or changes its terms.
    fn add_submitter(
        &self,
        request: AddSubmitterRequest,
    ) -> impl Future<Output = Result<AddSubmitterReply, ControlError>> + Send;

    /// Takes a submitter off the list: its requests under way end at once.
    fn remove_submitter(
        &self,
        name: String,
    ) -> impl Future<Output = Result<SubmitterView, ControlError>> + Send;
}

/// Which units of a job are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitsRequest {
    /// The number of the first unit to look at.
    #[serde(default)]
    pub from: u64,
    /// One stage's alone.
    pub stage: Option<String>,
    /// Only those with an attempt that failed or ended without an answer.
    #[serde(default)]
    pub failed: bool,
}

/// Why a request was not met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no such job.
    #[error("there is no {0}")]
    NoSuchJob(JobId),
    /// There is no such submitter.
    #[error("there is no submitter {0:?}")]
    NoSuchSubmitter(String),
    /// A quota of the submitter's does not allow it.
    #[error("{0}")]
    OverQuota(ApiError),
    /// There is no such unit.
    #[error("there is no {0}")]
    NoSuchUnit(UnitId),
    /// What is asked for was there, and was removed.
    #[error("{0}")]
    Removed(ApiError),
    /// The request cannot be met as it is; repeating it does not help.
    #[error("{0}")]
    Refused(ApiError),
    /// The coordinator cannot meet it now: its disk is full, say.
    #[error("{0}")]
    Failed(ApiError),
    /// As many reports of a kind are made as may be at a time; a repeat helps in a while.
    #[error("{max} requests for {report} are being answered, as many as may be at a time")]
    Busy {
        /// What is asked for.
        report: &'static str,
        /// The limit.
        max: usize,
    },
    /// The coordinator is stopping; a repeat helps once it runs again.
    #[error("the coordinator is stopping")]
    Stopping,
}
