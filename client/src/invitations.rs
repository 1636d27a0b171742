//! Invitations: made, listed, taken back.

use gleaner_protocol::InvitationId;
use gleaner_protocol::api::{
    InvitationView, InviteReply, InviteRequest, MembersFate, RevokeReply, RevokeRequest,
};

use crate::{Client, ClientError};

impl Client {
    /// A new invitation.
    ///
    /// # Errors
    /// As [`ClientError`] says; a repeat makes another invitation.
    pub async fn invite(&self, request: &InviteRequest) -> Result<InviteReply, ClientError> {
        self.post("/v1/invitations", request).await
    }

    /// All invitations, newest first.
    ///
    /// # Errors
    /// As [`ClientError`] says; nothing is changed.
    pub async fn invitations(&self) -> Result<Vec<InvitationView>, ClientError> {
        self.fetch("/v1/invitations").await
    }

    /// Takes an invitation back; what becomes of those who came by it is `members`.
    ///
    /// # Errors
    /// As [`ClientError`] says; a repeat is harmless.
    pub async fn revoke(
        &self,
        invitation: InvitationId,
        members: MembersFate,
    ) -> Result<RevokeReply, ClientError> {
        let path = format!("/v1/invitations/{invitation}/revoke");
        self.post(&path, &RevokeRequest { members }).await
    }
}
