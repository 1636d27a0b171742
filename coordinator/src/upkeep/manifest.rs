//! What a backup says of itself: whose it is, from when, and what its files must be.
//!
//! Blobs are not in it one by one: they are called by their hashes, and the copy of the store names
//! those that belong to it.

use std::io;
use std::path::{Path, PathBuf};

use gleaner_protocol::{BlobHash, BlobRef, ProjectId};
use serde::{Deserialize, Serialize};

/// The manifest's file in a backup. It is written last.
pub(super) const FILE: &str = "manifest.json";

/// The form of backup that this program makes and reads.
const FORM: u32 = 1;

/// The longest manifest that is read: it has a few lines.
const BYTES_MAX: u64 = 1024 * 1024;

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of backup.
    pub form: u32,
    /// The version of the program that made it.
    pub program: String,
    /// When it was begun: RFC 3339, UTC. It holds at least what was durable then.
    pub made_at: String,
    /// The project.
    pub project: ProjectId,
    /// What the project is called.
    pub name: String,
    /// How many jobs there are in it.
    pub jobs: u64,
    /// Its files, blobs left out.
    pub files: Vec<BackupFile>,
    /// How many blobs there are.
    pub blobs: u64,
    /// How many bytes they have.
    pub blob_bytes: u64,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of its bytes.
    pub hash: BlobHash,
}

/// Why a folder cannot be read as a backup.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It has no manifest.
    #[error(
        "{} is no backup: it has no {FILE}; name a folder that `gleaner coordinator backup` made",
        folder.display()
    )]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// The manifest cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The manifest.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It is damaged.
    #[error("{} is damaged; use another backup", path.display())]
    Damaged {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// It names a file that none of ours is called.
    #[error("{} names a file {name:?}, which no backup has; use another backup", path.display())]
    Foreign {
        /// The manifest.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// It is of another form.
    #[error(
        "{} is of form {found}, and this program reads {FORM}; use the version {program} of \
         Gleaner", path.display()
    )]
    Form {
        /// The manifest.
        path: PathBuf,
        /// Its form.
        found: u32,
        /// What made it.
        program: String,
    },
}

impl Manifest {
    /// The form that is written.
    pub(super) const FORM: u32 = FORM;

    /// That of the backup in `folder`.
    pub(super) fn read(folder: &Path) -> Result<Self, ManifestError> {
        let path = folder.join(FILE);
        let bytes = read_at_most(&path, BYTES_MAX).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                ManifestError::Missing { folder: folder.to_owned() }
            }
            _ => ManifestError::Io { path: path.clone(), source },
        })?;
        let manifest: Self = serde_json::from_slice(&bytes)
            .map_err(|source| ManifestError::Damaged { path: path.clone(), source })?;
        if manifest.form != FORM {
            let Self { form: found, program, .. } = manifest;
            return Err(ManifestError::Form { path, found, program });
        }
        let is_foreign = |file: &&BackupFile| !super::backup::FILES.contains(&file.name.as_str());
        if let Some(file) = manifest.files.iter().find(is_foreign) {
            return Err(ManifestError::Foreign { path, name: file.name.clone() });
        }
        Ok(manifest)
    }
}

impl BackupFile {
    /// What its bytes must be.
    pub(super) fn content(&self) -> BlobRef {
        BlobRef { hash: self.hash, bytes: self.bytes }
    }
}

fn read_at_most(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    use std::io::Read;

    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}
