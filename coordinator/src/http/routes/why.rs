//! Why something is as it is.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use gleaner_coordinator_core::Subject;
use gleaner_protocol::api::WhyView;

use super::units::parse_unit;
use super::{Api, parse_job};
use crate::http::Control;
use crate::http::answer::Fault;

pub(super) async fn job<C: Control>(
    State(api): State<Api<C>>,
    Path(job): Path<String>,
) -> Result<Json<WhyView>, Fault> {
    Ok(Json(api.control.why(Subject::Job(parse_job(&job)?)).await?))
}

pub(super) async fn unit<C: Control>(
    State(api): State<Api<C>>,
    Path(unit): Path<String>,
) -> Result<Json<WhyView>, Fault> {
    Ok(Json(api.control.why(Subject::Unit(parse_unit(&unit)?)).await?))
}

pub(super) async fn worker<C: Control>(
    State(api): State<Api<C>>,
    Path(worker): Path<String>,
) -> Result<Json<WhyView>, Fault> {
    let worker = worker.parse().map_err(|error: gleaner_protocol::ParseIdError| {
        let hint = "`gleaner workers` lists those connected";
        Fault::new(StatusCode::NOT_FOUND, error.to_string(), hint)
    })?;
    Ok(Json(api.control.why(Subject::Worker(worker)).await?))
}
