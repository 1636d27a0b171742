//! What submitters say about their jobs while they run.

use gleaner_protocol::JobId;
use gleaner_protocol::api::{JobView, PriorityRequest};
use http::Method;

use crate::ClientError;
use crate::client::{ANSWER_LIMIT, Client, empty};

impl Client {
    /// Hands nothing of a job out until it is resumed; what runs may finish and counts. A job that
    /// has ended stays as it is.
    ///
    /// # Errors
    /// As [`ClientError`] says; a repeat is harmless.
    pub async fn pause(&self, job: JobId) -> Result<JobView, ClientError> {
        self.order(&format!("/v1/jobs/{job}/pause")).await
    }

    /// Lets a paused job go on. Any other stays as it is.
    ///
    /// # Errors
    /// As [`ClientError`] says; a repeat is harmless.
    pub async fn resume(&self, job: JobId) -> Result<JobView, ClientError> {
        self.order(&format!("/v1/jobs/{job}/resume")).await
    }

    /// Orders a job among its submitter's: those of higher priority go first. A job that has ended
    /// stays as it is.
    ///
    /// # Errors
    /// As [`ClientError`] says; a repeat is harmless.
    pub async fn prioritise(&self, job: JobId, priority: i32) -> Result<JobView, ClientError> {
        self.post(&format!("/v1/jobs/{job}/priority"), &PriorityRequest { priority }).await
    }

    async fn order(&self, path: &str) -> Result<JobView, ClientError> {
        self.send(Method::POST, path, empty(), ANSWER_LIMIT).await?.json().await
    }
}
