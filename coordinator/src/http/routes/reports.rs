//! Reports about a job, streamed.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use gleaner_coordinator_core::Owner;
use gleaner_protocol::api::FILES_CONTENT_TYPE;
use gleaner_protocol::results::{FAILED_FILE, PROVENANCE_FILE};

use super::{Api, attachment, parse_job};
use crate::http::answer::Fault;
use crate::http::{Control, Streamed};

pub(super) async fn failed<C: Control>(
    State(api): State<Api<C>>,
    Path(job): Path<String>,
) -> Result<Response, Fault> {
    let table = api.control.failed(parse_job(&job)?).await?;
    Ok(file(FAILED_FILE, "text/csv; charset=utf-8", table))
}

pub(super) async fn provenance<C: Control>(
    State(api): State<Api<C>>,
    Extension(caller): Extension<Owner>,
    Path(job): Path<String>,
) -> Result<Response, Fault> {
    let provenance = api.control.provenance(caller, parse_job(&job)?).await?;
    Ok(file(PROVENANCE_FILE, "application/json", provenance))
}

pub(super) async fn partial<C: Control>(
    State(api): State<Api<C>>,
    Path(job): Path<String>,
) -> Result<Response, Fault> {
    let files = api.control.partial(parse_job(&job)?).await?;
    Ok(([(header::CONTENT_TYPE, FILES_CONTENT_TYPE)], Body::from(files)).into_response())
}

fn file(name: &str, kind: &'static str, bytes: Streamed) -> Response {
    let headers =
        [(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, attachment(name))];
    (headers, Body::from(bytes)).into_response()
}
