//! The units of a job, and their logs.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use gleaner_coordinator_core::Owner;
use gleaner_protocol::UnitId;
use gleaner_protocol::api::{UnitLogs, UnitsPage};
use gleaner_protocol::limits::ID_MAX;

use super::{Api, parse_job};
use crate::http::answer::Fault;
use crate::http::{Control, UnitsRequest};

pub(super) async fn units<C: Control>(
    State(api): State<Api<C>>,
    Extension(caller): Extension<Owner>,
    Path(job): Path<String>,
    query: Result<Query<UnitsRequest>, QueryRejection>,
) -> Result<Json<UnitsPage>, Fault> {
    let job = parse_job(&job)?;
    let Query(query) = query.map_err(|error| {
        let hint = "the query is `?from=N&stage=NAME&failed=true`, each of them or none";
        Fault::new(StatusCode::BAD_REQUEST, error.body_text(), hint)
    })?;
    if query.from > ID_MAX {
        let error = format!("`from` is {}; a unit's number is at most {ID_MAX}", query.from);
        let hint = "go on from the unit that the page before names as `next`";
        return Err(Fault::new(StatusCode::BAD_REQUEST, error, hint));
    }
    Ok(Json(api.control.units(caller, job, query).await?))
}

pub(super) async fn logs<C: Control>(
    State(api): State<Api<C>>,
    Path(unit): Path<String>,
) -> Result<Json<UnitLogs>, Fault> {
    Ok(Json(api.control.logs(parse_unit(&unit)?).await?))
}

pub(super) fn parse_unit(text: &str) -> Result<UnitId, Fault> {
    text.parse().map_err(|error: gleaner_protocol::ParseIdError| {
        let hint = "`gleaner units JOB` lists the units of a job";
        Fault::new(StatusCode::NOT_FOUND, error.to_string(), hint)
    })
}
