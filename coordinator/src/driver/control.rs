//! The control API's requests, put to the engine.

use std::sync::Arc;
use std::time::Duration;

use gleaner_clock::Clock;
use gleaner_coordinator_core::{JobSnapshot, Question, Reply};
use gleaner_network::Node;
use gleaner_protocol::JobId;
use gleaner_protocol::api::{
    ApiError, InviteReply, InviteRequest, JobView, OutputFile, ProjectView, SubmitReply,
    SubmitRequest, WorkerView,
};

use super::engine::{Ask, Changes, Engine};
use super::submission::{self, SubmissionError};
use super::views;
use crate::blobs::Blobs;
use crate::http::{Control, ControlError};
use crate::project::{InviteError, Project};
use crate::store::Store;

pub(crate) struct DriverControl {
    pub(crate) project: Project,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) blobs: Blobs,
    pub(crate) node: Node,
    pub(crate) engine: Engine,
    pub(crate) changes: Arc<Changes>,
}

impl Control for DriverControl {
    async fn project(&self) -> Result<ProjectView, ControlError> {
        let record = &self.project.record;
        Ok(ProjectView {
            project: record.project,
            name: record.name.clone(),
            operator: record.operator.clone(),
            purpose: record.purpose.clone(),
            record_expires_at: views::rfc3339(record.expires_at),
            addresses: self.node.addresses(),
        })
    }

    async fn submit(&self, request: SubmitRequest) -> Result<SubmitReply, ControlError> {
        let SubmitRequest { submission, job: spec } = request;
        let items = submission::check_submission(&spec, &self.blobs).await.map_err(|error| {
            let told = error.to_api();
            match error {
                SubmissionError::Blob(_) | SubmissionError::Input(_) => ControlError::Failed(told),
                SubmissionError::Job(_) | SubmissionError::BlobMissing { .. } => {
                    ControlError::Refused(told)
                }
            }
        })?;
        let ask = Ask::Submit { submission, spec: Box::new(spec), items };
        match self.ask(ask).await? {
            Reply::Submitted(job) => Ok(SubmitReply { job }),
            other => unreachable!("a submission was answered with {other:?}"),
        }
    }

    async fn jobs(&self) -> Result<Vec<JobView>, ControlError> {
        match self.ask(Ask::Question(Question::Jobs)).await? {
            Reply::Jobs(jobs) => Ok(jobs.into_iter().map(views::job).collect()),
            other => unreachable!("a question about jobs was answered with {other:?}"),
        }
    }

    async fn job(&self, job: JobId) -> Result<JobView, ControlError> {
        self.snapshot(Ask::Question(Question::Job(job))).await.map(views::job)
    }

    async fn wait_job(&self, job: JobId, after: u64) -> Result<JobView, ControlError> {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let view = self.job(job).await?;
            if view.version > after {
                return Ok(view);
            }
            changes.changed().await.map_err(|_| ControlError::Stopping)?;
        }
    }

    async fn cancel(&self, job: JobId) -> Result<JobView, ControlError> {
        self.snapshot(Ask::Cancel(job)).await.map(views::job)
    }

    async fn output(&self, job: JobId) -> Result<Vec<OutputFile>, ControlError> {
        self.snapshot(Ask::Question(Question::Job(job))).await.map(views::outputs)
    }

    async fn workers(&self) -> Result<Vec<WorkerView>, ControlError> {
        match self.ask(Ask::Question(Question::Workers)).await? {
            Reply::Workers(workers) => Ok(workers.into_iter().map(views::worker).collect()),
            other => unreachable!("a question about workers was answered with {other:?}"),
        }
    }

    async fn invite(&self, request: InviteRequest) -> Result<InviteReply, ControlError> {
        let valid = Duration::from_secs(request.valid_seconds);
        let (addresses, now) = (self.node.addresses(), self.clock.now());
        let invited = self.project.invite(&self.store, addresses, valid, now).await;
        let (ticket, expires_at) = invited.map_err(|error| {
            let told = ApiError { error: error.to_string(), hint: None };
            match error {
                InviteError::Valid => ControlError::Refused(told),
                InviteError::Store(_) => ControlError::Failed(told),
            }
        })?;
        Ok(InviteReply { ticket: ticket.to_string(), expires_at: views::rfc3339(expires_at) })
    }
}

impl DriverControl {
    async fn ask(&self, ask: Ask) -> Result<Reply, ControlError> {
        self.engine.ask(ask).await.ok_or(ControlError::Stopping)
    }

    async fn snapshot(&self, ask: Ask) -> Result<JobSnapshot, ControlError> {
        match self.ask(ask).await? {
            Reply::Job(snapshot) => Ok(*snapshot),
            Reply::UnknownJob(job) => Err(ControlError::NoSuchJob(job)),
            other => unreachable!("a question about a job was answered with {other:?}"),
        }
    }
}
