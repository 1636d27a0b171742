//! Invitations: made, listed, taken back.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use gleaner_protocol::api::{InvitationView, InviteReply, RevokeReply};
use gleaner_protocol::{InvitationId, ParseIdError};

use super::{Api, Control, Fault, json};

pub(super) async fn invite<C: Control>(
    State(api): State<Api<C>>,
    body: Body,
) -> Result<Json<InviteReply>, Fault> {
    Ok(Json(api.control.invite(json(body).await?).await?))
}

pub(super) async fn list<C: Control>(
    State(api): State<Api<C>>,
) -> Result<Json<Vec<InvitationView>>, Fault> {
    Ok(Json(api.control.invitations().await?))
}

pub(super) async fn revoke<C: Control>(
    State(api): State<Api<C>>,
    Path(invitation): Path<String>,
    body: Body,
) -> Result<Json<RevokeReply>, Fault> {
    let invitation: InvitationId = invitation.parse().map_err(|error: ParseIdError| {
        let hint = "`gleaner coordinator invite --list` lists the invitations there are";
        Fault::new(StatusCode::NOT_FOUND, error.to_string(), hint)
    })?;
    Ok(Json(api.control.revoke(invitation, json(body).await?).await?))
}
