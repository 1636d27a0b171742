//! A coordinator's folder made anew from a backup.
//!
//! The restored store goes on from the moment of the backup, and the lost one went on, too: it has
//! taken jobs since, cut units, handed out leases, and workers hold these still. None of that may
//! be taken for the restored store's own, so it gets a new identity before it is opened:
//! - a lease key of its own: no lease or result of the lost one is believed, and workers are told
//!   to drop them, so that a unit that was cut otherwise since cannot be answered by them;
//! - first numbers beyond all that the lost one can have given ([`FirstNumbers`]), half a million at
//!   the least: no job and no attempt is called like one of the lost store's, so what is said of
//!   these, by workers or by people, meets nothing of the restored one's;
//! - an epoch beyond the lost one's, in the same way.
//!
//! What was computed since the backup is computed again, to the same bytes. The lost coordinator
//! must not come back: both would serve the same project, and workers would go to either.
//!
//! [`FirstNumbers`]: gleaner_coordinator_core::FirstNumbers

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gleaner_folder::{NetworkFolders, NotLocal, check_local, free_bytes};
use gleaner_protocol::BlobRef;

use super::contents::NamedBlobs;
use super::manifest::{Manifest, ManifestError};
use super::pour::{self, CopyError};
use super::unfinished::{Shelves, Unfinished, WriteError};
use super::{BlobFault, Progress, Step, Told};
use crate::blobs::path_in;
use crate::driver::BLOBS_FOLDER;
use crate::files::create_private_folder;
use crate::project::PROJECT_KEY_FILE;
use crate::store::{self, Snapshot, StoreError};

/// Names of files in a folder that are told.
const NAMES_TOLD_MAX: usize = 3;

/// What to restore, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreOptions {
    /// The backup's folder.
    pub backup: PathBuf,
    /// The coordinator's folder, which is empty or not there.
    pub data: PathBuf,
    /// Whether it may lie on a network file system.
    pub network_folders: NetworkFolders,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// Whether the project's key was in it.
    pub has_project_key: bool,
}

/// Why nothing was restored. The folder is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Other machines could use the folder.
    #[error(transparent)]
    NotLocal(#[from] NotLocal),
    /// There is something in the folder.
    #[error(
        "the folder {} is not empty ({}); move it away, or choose another with --data",
        folder.display(), found.join(", ")
    )]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
        /// Some of what is in it.
        found: Vec<String>,
    },
    /// A file of the backup is not what the backup says.
    #[error("the backup is damaged, {}: {found}; use another one", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: BlobFault,
    },
    /// It does not fit.
    #[error(
        "the backup needs {needed} bytes, and {} has {free} left; make room, or choose another \
         disk with --data", folder.display()
    )]
    TooSmall {
        /// Where it was to be.
        folder: PathBuf,
        /// What is free there.
        free: u64,
        /// What is needed.
        needed: u64,
    },
    /// The restored store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Makes a coordinator's folder from a backup, whole or not at all.
///
/// # Errors
/// [`RestoreError`].
pub fn restore(options: &RestoreOptions, told: Told<'_>) -> Result<Restored, RestoreError> {
    let RestoreOptions { backup, data, network_folders } = options;
    let manifest = Manifest::read(backup)?;
    check_local(data, *network_folders)?;
    check_empty(data)?;
    if let Some(folder) = data.parent() {
        create_private_folder(folder).map_err(|error| WriteError::of(folder, error))?;
    }
    let unfinished = Unfinished::begin(data)?;
    check_room(unfinished.path(), &manifest)?;
    told(Progress { step: Step::Store, done: 0, of: 0 });
    for file in &manifest.files {
        let (from, to) = (backup.join(&file.name), unfinished.path().join(&file.name));
        copied(&from, pour::copy(&from, file.content(), &to, &mut |_| {}), &to)?;
    }
    store::begin_anew(unfinished.path())?;
    copy_blobs(backup, unfinished.path(), told)?;
    unfinished.finish()?;
    let has_project_key = manifest.files.iter().any(|file| file.name == PROJECT_KEY_FILE);
    Ok(Restored { manifest, has_project_key })
}

fn check_empty(folder: &Path) -> Result<(), RestoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(WriteError::of(folder, error).into()),
    };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().display().to_string()));
    let found: Vec<_> = names.take(NAMES_TOLD_MAX).collect();
    match found.is_empty() {
        true => Ok(()),
        false => Err(RestoreError::NotEmpty { folder: folder.to_owned(), found }),
    }
}

fn check_room(folder: &Path, manifest: &Manifest) -> Result<(), RestoreError> {
    let files: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    let needed = files.saturating_add(manifest.blob_bytes);
    match free_bytes(folder) {
        Some(free) if free < needed => {
            Err(RestoreError::TooSmall { folder: folder.to_owned(), free, needed })
        }
        _ => Ok(()),
    }
}

/// Copies the blobs that the restored store names.
fn copy_blobs(backup: &Path, folder: &Path, told: Told<'_>) -> Result<(), RestoreError> {
    let snapshot = Snapshot::open(folder)?;
    let named = NamedBlobs::of(&snapshot)?;
    let from = backup.join(BLOBS_FOLDER);
    let mut shelves = Shelves::new(&folder.join(BLOBS_FOLDER))?;
    let (mut done, of) = (0, named.bytes);
    let mut copy = |blob: BlobRef| {
        let (path, target) = (path_in(&from, blob.hash), shelves.place(blob)?);
        let poured = &mut |bytes: u64| {
            done += bytes;
            told(Progress { step: Step::Blobs, done, of });
        };
        copied(&path, pour::copy(&path, blob, &target, poured), &target)
    };
    let mut ended = Ok(());
    named.each(&mut |blob, _| {
        if ended.is_ok() {
            ended = copy(blob);
        }
    })?;
    ended?;
    Ok(shelves.sync()?)
}

fn copied(from: &Path, copied: Result<(), CopyError>, to: &Path) -> Result<(), RestoreError> {
    copied.map_err(|error| match error {
        CopyError::Source(found) => RestoreError::Damaged { path: from.to_owned(), found },
        CopyError::Target(error) => WriteError::of(to, error).into(),
    })
}
