//! Answers that are not what was asked for, always as [`ApiError`].

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gleaner_protocol::api::ApiError;
use gleaner_protocol::limits::FRAME_BYTES_MAX;
use serde::de::DeserializeOwned;

use super::ControlError;
use crate::blobs::BlobError;

/// The longest body of a request that is no blob: what a job with all its files and grids takes,
/// and what travels to workers anyway.
pub(super) const JSON_BYTES_MAX: usize = FRAME_BYTES_MAX;

/// A status and the words that go with it.
#[derive(Debug)]
pub(super) struct Fault {
    status: StatusCode,
    error: ApiError,
}

impl Fault {
    pub(super) fn new(
        status: StatusCode,
        error: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { status, error: ApiError { error: error.into(), hint: Some(hint.into()) } }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.error)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

impl From<ControlError> for Fault {
    fn from(error: ControlError) -> Self {
        let words = error.to_string();
        match error {
            ControlError::NoSuchJob(_) => {
                Self::new(StatusCode::NOT_FOUND, words, "`gleaner jobs` lists the jobs there are")
            }
            ControlError::NoSuchSubmitter(_) => {
                let hint = "`gleaner coordinator submitter list` lists those there are";
                Self::new(StatusCode::NOT_FOUND, words, hint)
            }
            ControlError::OverQuota(error) => Self { status: StatusCode::FORBIDDEN, error },
            ControlError::NoSuchUnit(unit) => {
                let hint = format!("`gleaner units {}` lists the job's units", unit.job);
                Self::new(StatusCode::NOT_FOUND, words, hint)
            }
            ControlError::Removed(error) => Self { status: StatusCode::GONE, error },
            ControlError::Refused(error) => Self { status: StatusCode::BAD_REQUEST, error },
            ControlError::Failed(error) => {
                Self { status: StatusCode::INTERNAL_SERVER_ERROR, error }
            }
            ControlError::Busy { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, words, "ask again in a minute")
            }
            ControlError::Stopping => {
                let hint = "repeat the request when it runs again";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, words, hint)
            }
        }
    }
}

impl From<BlobError> for Fault {
    fn from(error: BlobError) -> Self {
        let (status, hint) = match &error {
            BlobError::WrongHash { .. } => (
                StatusCode::BAD_REQUEST,
                "the address must end in the BLAKE3 hash of the bytes; was the file changed?",
            ),
            BlobError::TooLong { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "cut the file into smaller ones")
            }
            BlobError::BrokenOff { .. } => (StatusCode::BAD_REQUEST, "send the bytes again"),
            BlobError::Missing { .. } => (StatusCode::NOT_FOUND, "send the blob first"),
            BlobError::DiskFull { .. } => {
                (StatusCode::INSUFFICIENT_STORAGE, "make room on the coordinator's disk")
            }
            BlobError::Read { .. } | BlobError::Io { .. } | BlobError::Store { .. } => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "the coordinator's log says more; check its disk",
            ),
        };
        if status.is_server_error() {
            tracing::error!(%error, source = ?std::error::Error::source(&error), "a blob failed");
        }
        Self::new(status, error.to_string(), hint)
    }
}

/// A request's body as JSON of the expected type.
pub(super) async fn json<T: DeserializeOwned>(body: Body) -> Result<T, Fault> {
    let bytes = axum::body::to_bytes(body, JSON_BYTES_MAX).await.map_err(|_| {
        let error = format!("the body broke off, or has more than {JSON_BYTES_MAX} bytes");
        Fault::new(StatusCode::PAYLOAD_TOO_LARGE, error, "send files as blobs, by their hash")
    })?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let error = format!("the body is not the JSON expected: {error}");
        let hint = "use a client of the same version as the coordinator";
        Fault::new(StatusCode::BAD_REQUEST, error, hint)
    })
}

/// The answer to a path that is none of ours.
pub(super) async fn no_route() -> Fault {
    let hint = "the routes of this version begin with /v1/";
    Fault::new(StatusCode::NOT_FOUND, "there is no such route", hint)
}

/// The answer to a known path with another method.
pub(super) async fn no_method() -> Fault {
    let hint = "use a client of the same version as the coordinator";
    Fault::new(StatusCode::METHOD_NOT_ALLOWED, "the route does not take this method", hint)
}
