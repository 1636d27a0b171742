//! What submitters say about their jobs.

use gleaner_protocol::JobId;
use gleaner_protocol::api::{JobView, PriorityRequest};
use http::{Method, StatusCode};

use crate::ClientError;
use crate::client::{ANSWER_LIMIT, Client, empty};

/// What became of a job that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is there no more.
    Removed,
    /// It was removed before: by somebody else, or by a call whose answer was lost.
    RemovedBefore,
}

impl Client {
    /// Removes a job that has ended, for good.
    ///
    /// # Errors
    /// As [`ClientError`] says: [`ClientError::Refused`] when it runs still. A repeat is harmless.
    pub async fn remove(&self, job: JobId) -> Result<Removal, ClientError> {
        let path = format!("/v1/jobs/{job}");
        match self.send(Method::DELETE, &path, empty(), ANSWER_LIMIT).await {
            Ok(_) => Ok(Removal::Removed),
            Err(error) if error.is_of_removed() => Ok(Removal::RemovedBefore),
            Err(error) => Err(error),
        }
    }

    /// Where a job stands; none when it was removed.
    ///
    /// # Errors
    /// As [`ClientError`] says; nothing is changed.
    pub async fn job_unless_removed(&self, job: JobId) -> Result<Option<JobView>, ClientError> {
        match self.job(job).await {
            Ok(view) => Ok(Some(view)),
            Err(error) if error.is_of_removed() => Ok(None),
            Err(error) => Err(error),
        }
    }

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

    /// Takes a job that has ended without all its answers up again, by a new one, which it gives. The
    /// old one stays as it is.
    ///
    /// # Errors
    /// As [`ClientError`] says: [`ClientError::Refused`] when it runs still, or has every answer. A
    /// repeat gives the same job.
    pub async fn retry(&self, job: JobId) -> Result<JobView, ClientError> {
        self.order(&format!("/v1/jobs/{job}/retry")).await
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

impl ClientError {
    /// Whether what was asked for is there no more.
    fn is_of_removed(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::GONE.as_u16())
    }
}
