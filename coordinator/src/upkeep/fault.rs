//! What can be wrong with a coordinator's folder, and what to do about it.

use std::path::{Path, PathBuf};

use gleaner_protocol::{BlobHash, BlobRef};

use crate::store::{BlobUse, Finding};

/// Something that is not as it must be: what, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The project cannot be served from here.
    #[error("{found}")]
    Project {
        /// Why.
        found: String,
    },
    /// The store's file is damaged; what it holds was not looked at.
    #[error("the store {} is damaged: {found}", path.display())]
    Store {
        /// The store's file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// The store's records contradict themselves.
    #[error("the store {}: {}: {}", path.display(), finding.about, finding.found)]
    Record {
        /// The store's file.
        path: PathBuf,
        /// What was found.
        finding: Finding,
    },
    /// A file of a backup is not what the backup says.
    #[error("the backup's {}: {found}", path.display())]
    Backup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: BlobFault,
    },
    /// A blob that the store names cannot be used.
    #[error("the blob {}: {found} ({used})", path.display())]
    Blob {
        /// Its hash.
        hash: BlobHash,
        /// Where it lies, or should.
        path: PathBuf,
        /// What is wrong with it.
        found: BlobFault,
        /// What it is for, one of the things.
        used: BlobUse,
    },
}

/// What is wrong with a file that is called by its hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobFault {
    /// It is not there.
    #[error("it is missing")]
    Missing,
    /// It has another length.
    #[error("it has {bytes} bytes instead of {expected}")]
    Length {
        /// The length it has.
        bytes: u64,
        /// The length it must have.
        expected: u64,
    },
    /// It has the right length and other bytes.
    #[error("its bytes have changed: their hash is {found}")]
    Content {
        /// The hash of its bytes.
        found: BlobHash,
    },
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

impl BlobFault {
    /// What is wrong with what was `found` in the place of `expected`.
    pub(super) fn between(expected: BlobRef, found: BlobRef) -> Option<Self> {
        if found.bytes != expected.bytes {
            return Some(Self::Length { bytes: found.bytes, expected: expected.bytes });
        }
        (found.hash != expected.hash).then_some(Self::Content { found: found.hash })
    }
}

impl Fault {
    /// What kind it is, in one word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Project { .. } => "project",
            Self::Store { .. } => "store",
            Self::Record { .. } => "record",
            Self::Backup { .. } => "backup",
            Self::Blob { .. } => "blob",
        }
    }

    /// Whether it is about the file of a backup at `path`.
    pub(super) fn is_of(&self, path: &Path) -> bool {
        matches!(self, Self::Backup { path: of, .. } if of == path)
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Project { .. } => {
                "put the file back from a backup; a record that has expired is renewed by \
                 `gleaner project sign`"
                    .to_owned()
            }
            Self::Store { .. } => {
                "stop the coordinator, check the disk, and restore the folder from a backup"
                    .to_owned()
            }
            Self::Record { .. } => {
                "this is damage or a defect of Gleaner: keep a copy of the folder, and restore it \
                 from a backup"
                    .to_owned()
            }
            Self::Backup { .. } => "use another backup".to_owned(),
            Self::Blob { used, .. } => {
                let job = used.job();
                format!(
                    "put the file back from a backup, where it lies in the same place, or give \
                     {job} up (`gleaner cancel {job}`, `gleaner rm {job}`)"
                )
            }
        }
    }
}
