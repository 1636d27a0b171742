//! The routes, one handler each.

mod invitations;
mod orders;
mod reports;
mod submitters;
mod units;
mod why;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, head, post};
use axum::{Extension, Json, Router, middleware};
use gleaner_coordinator_core::Owner;
use gleaner_protocol::api::{
    JobView, OPENAPI, OutputFile, ProjectView, RoomView, SubmitReply, WorkerView,
};
use gleaner_protocol::limits::BLOB_BYTES_MAX;
use gleaner_protocol::{BlobHash, JobId};
use serde::Deserialize;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use super::Control;
use super::answer::{Fault, json, no_method, no_route};
use super::callers::keep_to_own;
use crate::blobs::{BlobError, Blobs};

/// The longest that a request for a job's next version waits: clients ask again, and those that
/// have gone are noticed.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(60);

/// How much of a file is read at a time when it is served.
const SERVE_BYTES: usize = 64 * 1024;

/// What every handler works with.
pub(super) struct Api<C> {
    pub(super) control: Arc<C>,
    blobs: Blobs,
    stop: CancellationToken,
}

/// Written out, as deriving it would ask for a `C` that can be cloned.
impl<C> Clone for Api<C> {
    fn clone(&self) -> Self {
        let Self { control, blobs, stop } = self;
        Self { control: control.clone(), blobs: blobs.clone(), stop: stop.clone() }
    }
}

/// All routes, for whoever has been let in: each request carries the [`Owner`] on whose behalf it
/// is made.
pub(super) fn router<C: Control>(control: Arc<C>, blobs: Blobs, stop: CancellationToken) -> Router {
    let api = Api { control, blobs, stop };
    Router::new()
        .route("/v1/openapi.json", get(openapi))
        .route("/v1/project", get(project::<C>))
        .route("/v1/blobs/{hash}", head(find_blob::<C>).put(put_blob::<C>))
        .route("/v1/room", get(room::<C>))
        .route("/v1/jobs", get(jobs::<C>).post(submit::<C>))
        .route("/v1/jobs/{job}", get(job::<C>).delete(orders::remove::<C>))
        .route("/v1/jobs/{job}/cancel", post(cancel::<C>))
        .route("/v1/jobs/{job}/pause", post(orders::pause::<C>))
        .route("/v1/jobs/{job}/resume", post(orders::resume::<C>))
        .route("/v1/jobs/{job}/retry", post(orders::retry::<C>))
        .route("/v1/jobs/{job}/priority", post(orders::prioritise::<C>))
        .route("/v1/jobs/{job}/output", get(output::<C>))
        .route("/v1/jobs/{job}/output/{stage}/{*name}", get(output_file::<C>))
        .route("/v1/jobs/{job}/failed.csv", get(reports::failed::<C>))
        .route("/v1/jobs/{job}/provenance.json", get(reports::provenance::<C>))
        .route("/v1/jobs/{job}/partial", get(reports::partial::<C>))
        .route("/v1/jobs/{job}/units", get(units::units::<C>))
        .route("/v1/units/{unit}/logs", get(units::logs::<C>))
        .route("/v1/jobs/{job}/why", get(why::job::<C>))
        .route("/v1/units/{unit}/why", get(why::unit::<C>))
        .route("/v1/workers/{worker}/why", get(why::worker::<C>))
        .route("/v1/workers", get(workers::<C>))
        .route("/v1/invitations", get(invitations::list::<C>).post(invitations::invite::<C>))
        .route("/v1/invitations/{invitation}/revoke", post(invitations::revoke::<C>))
        .route("/v1/submitters", get(submitters::list::<C>).post(submitters::add::<C>))
        .route("/v1/submitters/{name}/remove", post(submitters::remove::<C>))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        // Bodies are bounded where they are read: blobs and JSON have different limits.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(api.clone(), keep_to_own::<C>))
        .with_state(api)
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

async fn project<C: Control>(State(api): State<Api<C>>) -> Result<Json<ProjectView>, Fault> {
    Ok(Json(api.control.project().await?))
}

async fn find_blob<C: Control>(
    State(api): State<Api<C>>,
    Path(hash): Path<String>,
) -> Result<StatusCode, Fault> {
    let hash = parse_hash(&hash)?;
    match api.blobs.find(hash).await? {
        Some(_) => Ok(StatusCode::OK),
        None => Err(BlobError::Missing { hash }.into()),
    }
}

async fn put_blob<C: Control>(
    State(api): State<Api<C>>,
    Extension(owner): Extension<Owner>,
    Path(hash): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Fault> {
    let hash = parse_hash(&hash)?;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let length = length.and_then(|length| length.parse().ok());
    if length > Some(BLOB_BYTES_MAX) {
        return Err(BlobError::TooLong { max: BLOB_BYTES_MAX }.into());
    }
    api.control.reserve_blob(owner, hash, length).await?;
    api.blobs.put_stream(hash, body.into_data_stream()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn room<C: Control>(
    State(api): State<Api<C>>,
    Extension(owner): Extension<Owner>,
) -> Result<Json<RoomView>, Fault> {
    Ok(Json(api.control.room(owner).await?))
}

async fn submit<C: Control>(
    State(api): State<Api<C>>,
    Extension(owner): Extension<Owner>,
    body: Body,
) -> Result<Json<SubmitReply>, Fault> {
    Ok(Json(api.control.submit(owner, json(body).await?).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Jobs {
    name: Option<String>,
}

async fn jobs<C: Control>(
    State(api): State<Api<C>>,
    Extension(owner): Extension<Owner>,
    query: Result<Query<Jobs>, QueryRejection>,
) -> Result<Json<Vec<JobView>>, Fault> {
    let Query(Jobs { name }) = query.map_err(|error| {
        let hint = "the query is `?name=NAME`, or nothing";
        Fault::new(StatusCode::BAD_REQUEST, error.body_text(), hint)
    })?;
    let mut jobs = api.control.jobs(owner).await?;
    jobs.retain(|job| name.as_ref().is_none_or(|name| job.name == *name));
    Ok(Json(jobs))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    after: Option<u64>,
    #[serde(default)]
    wait_ms: u64,
}

async fn job<C: Control>(
    State(api): State<Api<C>>,
    Path(job): Path<String>,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Result<Json<JobView>, Fault> {
    let job = parse_job(&job)?;
    let Query(wait) = wait.map_err(|error| {
        let hint = "the query is `?after=N&wait_ms=M`, or nothing";
        Fault::new(StatusCode::BAD_REQUEST, error.body_text(), hint)
    })?;
    let Some(after) = wait.after else { return Ok(Json(api.control.job(job).await?)) };
    let patience = Duration::from_millis(wait.wait_ms).min(WAIT_MAX);
    tokio::select! {
        view = api.control.wait_job(job, after) => Ok(Json(view?)),
        () = tokio::time::sleep(patience) => Ok(Json(api.control.job(job).await?)),
        () = api.stop.cancelled() => Ok(Json(api.control.job(job).await?)),
    }
}

async fn cancel<C: Control>(
    State(api): State<Api<C>>,
    Path(job): Path<String>,
) -> Result<Json<JobView>, Fault> {
    Ok(Json(api.control.cancel(parse_job(&job)?).await?))
}

async fn output<C: Control>(
    State(api): State<Api<C>>,
    Path(job): Path<String>,
) -> Result<Json<Vec<OutputFile>>, Fault> {
    Ok(Json(api.control.output(parse_job(&job)?).await?))
}

async fn output_file<C: Control>(
    State(api): State<Api<C>>,
    Path((job, stage, name)): Path<(String, String, String)>,
) -> Result<Response, Fault> {
    let job = parse_job(&job)?;
    let files = api.control.output(job).await?;
    let file = files.into_iter().find(|file| file.stage == stage && file.name.as_str() == name);
    let Some(file) = file else {
        let error = format!("{job} has no output {name:?} of stage {stage:?}");
        let hint = "the outputs of stages that are done are listed under `output`";
        return Err(Fault::new(StatusCode::NOT_FOUND, error, hint));
    };
    let bytes = api.blobs.open_file(file.hash).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, file.bytes.to_string()),
        (header::CONTENT_DISPOSITION, attachment(file.name.as_str())),
        (header::ETAG, format!("\"{}\"", file.hash)),
    ];
    let stream = ReaderStream::with_capacity(bytes, SERVE_BYTES);
    Ok((headers, Body::from_stream(stream)).into_response())
}

async fn workers<C: Control>(State(api): State<Api<C>>) -> Result<Json<Vec<WorkerView>>, Fault> {
    Ok(Json(api.control.workers().await?))
}

fn parse_hash(text: &str) -> Result<BlobHash, Fault> {
    text.parse().map_err(|error: gleaner_protocol::ParseHashError| {
        Fault::new(StatusCode::BAD_REQUEST, error.to_string(), "name the blob by its BLAKE3 hash")
    })
}

fn parse_job(text: &str) -> Result<JobId, Fault> {
    text.parse().map_err(|error: gleaner_protocol::ParseIdError| {
        let hint = "`gleaner jobs` lists the jobs there are";
        Fault::new(StatusCode::NOT_FOUND, error.to_string(), hint)
    })
}

/// A file to save, under the last part of its name (RFC 6266, RFC 8187).
fn attachment(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name);
    let plain: String = name.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect();
    let encoded: String = name.bytes().map(percent_encoded).collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

fn percent_encoded(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    }
}

#[cfg(test)]
mod tests;
