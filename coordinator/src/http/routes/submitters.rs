//! The list of submitters.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use gleaner_protocol::api::{AddSubmitterReply, SubmitterView};

use super::Api;
use crate::http::Control;
use crate::http::answer::{Fault, json};

pub(super) async fn list<C: Control>(
    State(api): State<Api<C>>,
) -> Result<Json<Vec<SubmitterView>>, Fault> {
    Ok(Json(api.control.submitters().await?))
}

pub(super) async fn add<C: Control>(
    State(api): State<Api<C>>,
    body: Body,
) -> Result<Json<AddSubmitterReply>, Fault> {
    Ok(Json(api.control.add_submitter(json(body).await?).await?))
}

pub(super) async fn remove<C: Control>(
    State(api): State<Api<C>>,
    Path(name): Path<String>,
) -> Result<Json<SubmitterView>, Fault> {
    Ok(Json(api.control.remove_submitter(name).await?))
}
