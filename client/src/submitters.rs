//! The list of submitters, for the operator.

use gleaner_protocol::api::{AddSubmitterReply, AddSubmitterRequest, SubmitterView};
use http::Method;

use crate::ClientError;
use crate::blobs::escape;
use crate::client::{ANSWER_LIMIT, Client, empty};

impl Client {
    /// The submitters on the coordinator's list.
    ///
    /// # Errors
    /// As [`ClientError`] says; nothing is changed.
    pub async fn submitters(&self) -> Result<Vec<SubmitterView>, ClientError> {
        self.fetch("/v1/submitters").await
    }

    /// Puts a submitter on the list, or gives one that is there other terms.
    ///
    /// # Errors
    /// As [`ClientError`] says; a repeat is harmless.
    pub async fn add_submitter(
        &self,
        request: &AddSubmitterRequest,
    ) -> Result<AddSubmitterReply, ClientError> {
        self.post("/v1/submitters", request).await
    }

    /// Takes a submitter off the list; what it has under way is cut off.
    ///
    /// # Errors
    /// As [`ClientError`] says: [`ClientError::Refused`] when there is none of this name.
    pub async fn remove_submitter(&self, name: &str) -> Result<SubmitterView, ClientError> {
        let path = format!("/v1/submitters/{}/remove", escape(name));
        self.send(Method::POST, &path, empty(), ANSWER_LIMIT).await?.json().await
    }
}
