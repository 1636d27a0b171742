//! Projects and their members: keys, and the record that a project's key signs.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};

use crate::hash::Bytes32;
use crate::id::serde_by_reader;
use crate::{ParseIdError, Timestamp, wire};

/// A project's Ed25519 public key: what volunteers choose to support. Prints as `project-…`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectId(pub [u8; 32]);

/// A host's Ed25519 public key. Prints as `worker-…`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub [u8; 32]);

/// An Ed25519 signature (RFC 8032).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

/// The secret of an invitation into a lab project: whoever holds it may join.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InvitationSecret(pub [u8; 16]);

/// An invitation as a worker presents it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The secret from the ticket.
    pub secret: InvitationSecret,
}

/// Whom a project admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectKind {
    /// Holders of its tickets only.
    Lab,
}

/// What a project's key signs about its coordinators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectRecord {
    /// The project's key.
    pub project: ProjectId,
    /// Grows with each record; workers refuse a lower one than they have seen.
    pub serial: u64,
    /// The project's name, as volunteers see it.
    pub name: String,
    /// Who runs it.
    pub operator: String,
    /// What it computes, in a sentence.
    pub purpose: String,
    /// Whom it admits.
    pub kind: ProjectKind,
    /// The keys of its coordinators' hosts.
    pub coordinators: Vec<WorkerId>,
    /// When the record ends; a newer one must be signed before.
    pub expires_at: Timestamp,
    /// The project's next key, when it moves to one.
    pub successor: Option<ProjectId>,
}

/// A project record as it travels: the very bytes that were signed, and the signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedProjectRecord {
    /// [`wire::encode`] of the [`ProjectRecord`].
    #[serde(with = "serde_bytes")]
    pub record: Vec<u8>,
    /// The project key's signature over [`SignedProjectRecord::signed_bytes`].
    pub signature: Signature,
}

impl SignedProjectRecord {
    /// What the signature covers: a domain tag and the record's bytes.
    pub fn signed_bytes(record: &[u8]) -> Vec<u8> {
        [b"gleaner project record v1\0".as_slice(), record].concat()
    }

    /// The record, its signature not yet checked.
    ///
    /// # Errors
    /// When the bytes are no record.
    pub fn decode_unverified(&self) -> Result<ProjectRecord, wire::DecodeError> {
        wire::decode(&self.record)
    }
}

impl ProjectId {
    /// A short form for people to compare: the first 60 bits in groups of four letters.
    pub fn fingerprint(&self) -> String {
        let text = BASE32_NOPAD.encode(&self.0[..10]).to_ascii_lowercase();
        let groups: Vec<_> = (0..3).map(|group| &text[group * 4..group * 4 + 4]).collect();
        groups.join("-")
    }
}

/// Keys and secrets print as a prefix and lower-case base 32 (RFC 4648, no padding).
macro_rules! printed_bytes {
    ($id:ident, $prefix:literal, $kind:literal) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
            }
        }

        impl FromStr for $id {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.strip_prefix($prefix)
                    .and_then(|rest| BASE32_NOPAD.decode(rest.to_ascii_uppercase().as_bytes()).ok())
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(Self)
                    .ok_or_else(|| ParseIdError::new(text, $kind, concat!($prefix, "…")))
            }
        }
    };
}

printed_bytes!(ProjectId, "project-", "project");
printed_bytes!(WorkerId, "worker-", "worker");
printed_bytes!(Signature, "signature-", "signature");
printed_bytes!(InvitationSecret, "invitation-", "invitation");

serde_by_reader!(ProjectId as Bytes32, |id| Bytes32(id.0), |bytes| ProjectId(bytes.0));
serde_by_reader!(WorkerId as Bytes32, |id| Bytes32(id.0), |bytes| WorkerId(bytes.0));
serde_by_reader!(
    Signature as serde_bytes::ByteArray<64>,
    |signature| serde_bytes::ByteArray::new(signature.0),
    |bytes| Signature(bytes.into_array())
);
serde_by_reader!(
    InvitationSecret as serde_bytes::ByteArray<16>,
    |secret| serde_bytes::ByteArray::new(secret.0),
    |bytes| InvitationSecret(bytes.into_array())
);

impl fmt::Debug for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for InvitationSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InvitationSecret(secret)")
    }
}
