//! What submitters say about their jobs.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use gleaner_protocol::api::JobView;

use super::{Api, parse_job};
use crate::http::Control;
use crate::http::answer::{Fault, json};

pub(super) async fn pause<C: Control>(
    State(api): State<Api<C>>,
    Path(job): Path<String>,
) -> Result<Json<JobView>, Fault> {
    Ok(Json(api.control.pause(parse_job(&job)?).await?))
}

pub(super) async fn resume<C: Control>(
    State(api): State<Api<C>>,
    Path(job): Path<String>,
) -> Result<Json<JobView>, Fault> {
    Ok(Json(api.control.resume(parse_job(&job)?).await?))
}

pub(super) async fn retry<C: Control>(
    State(api): State<Api<C>>,
    Path(job): Path<String>,
) -> Result<Json<JobView>, Fault> {
    Ok(Json(api.control.retry(parse_job(&job)?).await?))
}

pub(super) async fn prioritise<C: Control>(
    State(api): State<Api<C>>,
    Path(job): Path<String>,
    body: Body,
) -> Result<Json<JobView>, Fault> {
    Ok(Json(api.control.prioritise(parse_job(&job)?, json(body).await?).await?))
}

pub(super) async fn remove<C: Control>(
    State(api): State<Api<C>>,
    Path(job): Path<String>,
) -> Result<StatusCode, Fault> {
    api.control.remove(parse_job(&job)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
