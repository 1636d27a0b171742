//! Submitters from elsewhere: who they are, what they may use, and how a stream of the control API
//! begins.
//!
//! ```text
//! submitter                        coordinator
//!   ApiHello ─────────────────────────►
//!   ◄────────────── ApiGreeting: Welcome | Refused
//!   HTTP/1.1 ◄────────────────────────► HTTP/1.1
//! ```

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

use crate::hash::Bytes32;
use crate::id::serde_by_reader;
use crate::{ParseIdError, ProjectId, SignedProjectRecord};

/// The version of the API stream's greeting that this program speaks.
pub const API_STREAM_VERSION: u16 = 1;

/// The Ed25519 public key of one who submits jobs from elsewhere. Prints as `submitter-…`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubmitterId(pub [u8; 32]);

/// What a submitter may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitterTerms {
    /// Its share of the slots against other submitters'; the operator's own is 1.
    pub weight: NonZeroU32,
    /// The most jobs it may have running; no limit when absent.
    #[serde(default)]
    pub jobs_max: Option<u32>,
    /// The most bytes of blobs that its jobs may refer to, each blob once; no limit when absent.
    #[serde(default)]
    pub storage_bytes_max: Option<u64>,
}

/// What a submitter says first on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiHello {
    /// The newest version of the greeting that it speaks.
    pub version: u16,
    /// The project it wants.
    pub project: ProjectId,
}

/// What a coordinator answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiGreeting {
    /// Bytes of HTTP may follow.
    Welcome {
        /// The version both will speak.
        version: u16,
        /// The project's newest record, which names the coordinator.
        record: SignedProjectRecord,
    },
    /// The stream ends.
    Refused(ApiRefusal),
}

/// Why an API stream was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ApiRefusal {
    /// The coordinator serves another project.
    #[error("the coordinator there serves another project")]
    WrongProject,
    /// No version in common.
    #[error("the coordinator speaks versions {oldest} to {newest} of the API stream")]
    Version {
        /// The oldest version it speaks.
        oldest: u16,
        /// The newest.
        newest: u16,
    },
    /// The key is not on the list, or not any more.
    #[error("this key is not on the coordinator's list of submitters")]
    NotASubmitter,
}

impl Default for SubmitterTerms {
    fn default() -> Self {
        Self { weight: NonZeroU32::MIN, jobs_max: None, storage_bytes_max: None }
    }
}

impl SubmitterTerms {
    /// The largest weight: more would make one of the others wait for ever.
    pub const WEIGHT_MAX: u32 = 1000;
}

impl fmt::Display for SubmitterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "submitter-{}", BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for SubmitterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SubmitterId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        text.strip_prefix("submitter-")
            .and_then(|rest| BASE32_NOPAD.decode(rest.to_ascii_uppercase().as_bytes()).ok())
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| ParseIdError::new(text, "submitter", "submitter-…"))
    }
}

serde_by_reader!(SubmitterId as Bytes32, |id| Bytes32(id.0), |bytes| SubmitterId(bytes.0));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_prints_and_parses_back() {
        let key = SubmitterId([7; 32]);
        assert_eq!(key.to_string().parse(), Ok(key));
        let json = serde_json::to_string(&key).expect("text");
        assert_eq!(serde_json::from_str::<SubmitterId>(&json).expect("a key"), key);
        for text in ["", "submitter-", "worker-abc", &key.to_string()[..20]] {
            assert!(text.parse::<SubmitterId>().is_err(), "{text:?}");
        }
    }
}
