//! Invitations into a lab project, as its operator sees them.

use serde::{Deserialize, Serialize};

use crate::{InvitationId, WorkerId};

/// A request for an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InviteRequest {
    /// How long it can be used.
    pub valid_seconds: u64,
    /// How many workers may come by it; as many as there are when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_max: Option<u32>,
    /// For whom it is, in the operator's words; at most
    /// [`NAME_BYTES_MAX`](crate::limits::NAME_BYTES_MAX) bytes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// An invitation that was made: the only time that its ticket is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteReply {
    /// Its number.
    pub invitation: InvitationId,
    /// The line to send to a colleague.
    pub ticket: String,
    /// RFC 3339, UTC.
    pub expires_at: String,
    /// How many workers may come by it; any number when null.
    pub uses_max: Option<u32>,
}

/// Whether an invitation can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvitationState {
    /// Workers can come by it.
    Open,
    /// As many came by it as may.
    UsedUp,
    /// Its time is over.
    Expired,
    /// The operator took it back.
    Revoked,
}

/// An invitation; its ticket is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationView {
    /// Its number.
    pub invitation: InvitationId,
    /// For whom it is, in the operator's words; may be empty.
    pub note: String,
    /// Whether it can be used.
    pub state: InvitationState,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// RFC 3339, UTC.
    pub expires_at: String,
    /// How many workers may come by it; any number when null.
    pub uses_max: Option<u32>,
    /// The members that came by it, in their order.
    pub members: Vec<MemberView>,
}

/// A worker that came by an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// Its key.
    pub worker: WorkerId,
    /// RFC 3339, UTC.
    pub admitted_at: String,
}

/// What becomes of those who came by an invitation that is revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembersFate {
    /// They stay members.
    #[default]
    Keep,
    /// They are members no more; what they hold goes to others.
    Remove,
}

/// A request to take an invitation back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeRequest {
    /// What becomes of those who came by it.
    #[serde(default)]
    pub members: MembersFate,
}

/// An invitation that was taken back; a repeat is answered alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeReply {
    /// As it is now: its members are those who stay.
    pub invitation: InvitationView,
    /// Those who are members no more.
    pub removed: Vec<WorkerId>,
}
