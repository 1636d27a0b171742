//! What the control API asks of the coordinator behind it.

use gleaner_protocol::JobId;
use gleaner_protocol::api::{
    ApiError, InviteReply, InviteRequest, JobView, OutputFile, ProjectView, SubmitReply,
    SubmitRequest, WorkerView,
};

/// The coordinator as the control API sees it. Every answer waits until what it depends on is
/// durable.
pub trait Control: Send + Sync + 'static {
    /// The project.
    fn project(&self) -> impl Future<Output = Result<ProjectView, ControlError>> + Send;

    /// Takes a job; a repeat of a submission gets the same reply.
    fn submit(
        &self,
        request: SubmitRequest,
    ) -> impl Future<Output = Result<SubmitReply, ControlError>> + Send;

    /// All jobs, newest first.
    fn jobs(&self) -> impl Future<Output = Result<Vec<JobView>, ControlError>> + Send;

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

    /// The files of the stages that are done.
    fn output(
        &self,
        job: JobId,
    ) -> impl Future<Output = Result<Vec<OutputFile>, ControlError>> + Send;

    /// The workers connected now.
    fn workers(&self) -> impl Future<Output = Result<Vec<WorkerView>, ControlError>> + Send;

    /// Makes an invitation.
    fn invite(
        &self,
        request: InviteRequest,
    ) -> impl Future<Output = Result<InviteReply, ControlError>> + Send;
}

/// Why a request was not met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no such job.
    #[error("there is no {0}")]
    NoSuchJob(JobId),
    /// The request cannot be met as it is; repeating it does not help.
    #[error("{0}")]
    Refused(ApiError),
    /// The coordinator cannot meet it now: its disk is full, say.
    #[error("{0}")]
    Failed(ApiError),
    /// The coordinator is stopping; a repeat helps once it runs again.
    #[error("the coordinator is stopping")]
    Stopping,
}
