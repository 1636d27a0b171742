//! Submitters from elsewhere, as the operator sees them.

use serde::{Deserialize, Serialize};

use crate::{SubmitterId, SubmitterTerms};

/// A request to put a submitter on the list, or to change its terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddSubmitterRequest {
    /// The operator's name for it.
    pub name: String,
    /// Its key.
    pub submitter: SubmitterId,
    /// What it may use; replaces what was said before.
    pub terms: SubmitterTerms,
}

/// The submitter is on the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddSubmitterReply {
    /// The submitter.
    pub submitter: SubmitterView,
    /// The line to send to it: the project's key and where it is. It holds no secret.
    pub ticket: String,
}

/// A submitter on the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitterView {
    /// The operator's name for it.
    pub name: String,
    /// Its key.
    pub submitter: SubmitterId,
    /// What it may use.
    pub terms: SubmitterTerms,
    /// Its jobs that run.
    pub jobs_running: u32,
    /// Bytes of the blobs that its jobs refer to, ended ones and outputs too, each blob once.
    pub storage_bytes: u64,
    /// RFC 3339, UTC; when it was put on the list.
    pub added_at: String,
}
