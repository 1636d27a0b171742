//! One method for each route.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gleaner_protocol::JobId;
use gleaner_protocol::api::{
    JobView, OutputFile, ProjectView, RoomView, SubmitReply, SubmitRequest, WorkerView,
};
use http::{Method, Request};
use http_body_util::{BodyExt, Empty, Full};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::blobs::escape;
use crate::connection::{Answer, Body, Endpoint};
use crate::{ClientError, OpenError, Projects};

/// How long an ordinary request may take: a commit on a slow disk, and then some.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// How long a submission whose reply was lost is repeated: a coordinator that is restarted is back
/// by then.
const SUBMIT_REPEATED_FOR: Duration = Duration::from_secs(60);

/// Between two of these repeats.
const SUBMIT_PAUSE: Duration = Duration::from_millis(500);

/// How long a submission may take: the coordinator reads every record of the job's files, and
/// decompresses them, before it answers.
const SUBMIT_LIMIT: Duration = Duration::from_secs(60 * 60);

/// A coordinator's control API. Cheap to clone; each request has a connection of its own, or from
/// elsewhere a stream on the one connection that all clones share.
#[derive(Clone, Debug)]
pub struct Client {
    endpoint: Endpoint,
}

impl Client {
    /// The coordinator whose data is in `coordinator_data`, by the address and the token that it
    /// left there. Nothing is sent yet.
    ///
    /// # Errors
    /// When none runs there; [`OpenError::hint`] says how to start one.
    pub fn open(coordinator_data: &Path) -> Result<Self, OpenError> {
        Endpoint::open(coordinator_data).map(|endpoint| Self { endpoint })
    }

    /// The project called `name` of those that this user has tickets of. Nothing is sent yet.
    ///
    /// # Errors
    /// [`OpenError::Projects`] when there is none, or this user's key cannot be used.
    pub fn open_project(projects: Projects, name: &str) -> Result<Self, OpenError> {
        Ok(Self { endpoint: Endpoint::open_project(projects, name)? })
    }

    /// Says good-bye to a coordinator elsewhere, which otherwise takes some seconds to notice; of
    /// no effect on loopback. Other clones are of no more use then.
    pub async fn close(&self) {
        self.endpoint.close().await;
    }

    /// The project that the coordinator serves.
    ///
    /// # Errors
    /// As [`ClientError`] says; nothing is changed.
    pub async fn project(&self) -> Result<ProjectView, ClientError> {
        self.fetch("/v1/project").await
    }

    /// Hands in a job whose blobs are held already, and waits until it is durable.
    ///
    /// Once a reply was lost it is not known whether the job was taken, so the submission is
    /// repeated for a minute: its id makes a repeat return the same job.
    ///
    /// # Errors
    /// As [`ClientError`] says; when a reply was lost and the coordinator did not come back, the
    /// job may be there.
    pub async fn submit(&self, request: &SubmitRequest) -> Result<SubmitReply, ClientError> {
        let first_loss = match self.post_within(SUBMIT_LIMIT, "/v1/jobs", request).await {
            Err(error) if error.is_reply_loss() => error,
            answer => return answer,
        };
        let lost_at = Instant::now();
        while lost_at.elapsed() < SUBMIT_REPEATED_FOR {
            tokio::time::sleep(SUBMIT_PAUSE).await;
            match self.post_within(SUBMIT_LIMIT, "/v1/jobs", request).await {
                Err(error) if error.is_connection_loss() => {}
                answer => return answer,
            }
        }
        Err(first_loss)
    }

    /// All jobs, newest first.
    ///
    /// # Errors
    /// As [`ClientError`] says; nothing is changed.
    pub async fn jobs(&self) -> Result<Vec<JobView>, ClientError> {
        self.fetch("/v1/jobs").await
    }

    /// The jobs of one name, newest first.
    ///
    /// # Errors
    /// As [`ClientError`] says; nothing is changed.
    pub async fn jobs_named(&self, name: &str) -> Result<Vec<JobView>, ClientError> {
        self.fetch(&format!("/v1/jobs?name={}", escape(name))).await
    }

    /// Where a job stands.
    ///
    /// # Errors
    /// As [`ClientError`] says; nothing is changed.
    pub async fn job(&self, job: JobId) -> Result<JobView, ClientError> {
        self.fetch(&format!("/v1/jobs/{job}")).await
    }

    /// Where a job stands once its version is over `version`, or after `patience` in any case.
    ///
    /// # Errors
    /// As [`ClientError`] says; nothing is changed.
    pub async fn job_after(
        &self,
        job: JobId,
        version: u64,
        patience: Duration,
    ) -> Result<JobView, ClientError> {
        let path = format!("/v1/jobs/{job}?after={version}&wait_ms={}", patience.as_millis());
        self.send(Method::GET, &path, empty(), ANSWER_LIMIT + patience).await?.json().await
    }

    /// Ends a job. A job that has ended stays as it is.
    ///
    /// # Errors
    /// As [`ClientError`] says; a repeat is harmless.
    pub async fn cancel(&self, job: JobId) -> Result<JobView, ClientError> {
        let path = format!("/v1/jobs/{job}/cancel");
        self.send(Method::POST, &path, empty(), ANSWER_LIMIT).await?.json().await
    }

    /// The files of a job's output that are there.
    ///
    /// # Errors
    /// As [`ClientError`] says; nothing is changed.
    pub async fn output(&self, job: JobId) -> Result<Vec<OutputFile>, ClientError> {
        self.fetch(&format!("/v1/jobs/{job}/output")).await
    }

    /// The workers connected.
    ///
    /// # Errors
    /// As [`ClientError`] says; nothing is changed.
    pub async fn workers(&self) -> Result<Vec<WorkerView>, ClientError> {
        self.fetch("/v1/workers").await
    }

    /// What the coordinator has room for, for this user.
    ///
    /// # Errors
    /// As [`ClientError`] says; nothing is changed.
    pub async fn room(&self) -> Result<RoomView, ClientError> {
        self.fetch("/v1/room").await
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(crate) async fn fetch<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.send(Method::GET, path, empty(), ANSWER_LIMIT).await?.json().await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        value: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.post_within(ANSWER_LIMIT, path, value).await
    }

    async fn post_within<T: DeserializeOwned>(
        &self,
        limit: Duration,
        path: &str,
        value: &impl Serialize,
    ) -> Result<T, ClientError> {
        let json = serde_json::to_vec(value).expect("our types have text keys");
        let body = Full::new(Bytes::from(json)).map_err(|never| match never {}).boxed();
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(http::header::CONTENT_TYPE, "application/json");
        self.endpoint.send(request, body, limit).await?.json().await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Body,
        limit: Duration,
    ) -> Result<Answer, ClientError> {
        self.endpoint.send(Request::builder().method(method).uri(path), body, limit).await
    }
}

pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}
