//! Project records: what a project's key says about its coordinators, checked.
//!
//! Whether a record is newer than the last one seen is for whoever remembers that one: the serial
//! is in the record. Deliberately absent: any memory.

use gleaner_protocol::wire::DecodeError;
use gleaner_protocol::{ProjectId, ProjectRecord, SignedProjectRecord, Timestamp};
use libp2p::identity::ed25519;

use crate::limits::RECORD_BYTES_MAX;

/// Why a project record is not to be believed. A retry never helps; a newer record may.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is longer than any record is.
    #[error("the project record has {bytes} bytes; at most {max} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The signature is not the project's.
    #[error("the project record was not signed by {project}")]
    Signature {
        /// The project expected.
        project: ProjectId,
    },
    /// The signed bytes are no record of this version.
    #[error("the project record cannot be read: {0}")]
    Malformed(#[from] DecodeError),
    /// The record names another project than the one that signed it.
    #[error("the project record is about {found}, not about {project}")]
    OtherProject {
        /// The project expected.
        project: ProjectId,
        /// The project named.
        found: ProjectId,
    },
    /// The record has ended.
    #[error(
        "the project record number {serial} has expired; the operator must renew it with \
         `gleaner project sign`"
    )]
    Expired {
        /// The record's serial.
        serial: u64,
        /// When it ended.
        expires_at: Timestamp,
    },
}

/// The record in `signed`, if `project` signed it about itself and it has not ended at `now`.
///
/// # Errors
/// The first [`RecordError`] that holds. The bytes are read only after the signature was found
/// good.
pub fn verify_record(
    signed: &SignedProjectRecord,
    project: ProjectId,
    now: Timestamp,
) -> Result<ProjectRecord, RecordError> {
    let bytes = signed.record.len();
    if bytes > RECORD_BYTES_MAX {
        return Err(RecordError::TooLong { bytes, max: RECORD_BYTES_MAX });
    }
    let message = SignedProjectRecord::signed_bytes(&signed.record);
    let key = ed25519::PublicKey::try_from_bytes(&project.0);
    if !key.is_ok_and(|key| key.verify(&message, &signed.signature.0)) {
        return Err(RecordError::Signature { project });
    }
    let record = signed.decode_unverified()?;
    if record.project != project {
        return Err(RecordError::OtherProject { project, found: record.project });
    }
    if now >= record.expires_at {
        return Err(RecordError::Expired { serial: record.serial, expires_at: record.expires_at });
    }
    Ok(record)
}

#[cfg(test)]
mod tests;
