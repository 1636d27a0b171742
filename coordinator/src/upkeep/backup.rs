//! A coordinator's folder copied while it works: whole, as it stood at one moment, or not at all.
//!
//! The store first, as SQLite reads it at one moment; then the blobs that this copy names. A hold
//! that is taken before keeps them in their places meanwhile, and no blob ever changes. The copy is
//! made under another name and renamed once all of it is on disk.
//!
//! What only the running coordinator needs is left out: the token and the address of its control
//! API, compiled tasks, files on their way. Secrets are in it: the keys of the host and, where it
//! was not taken away, of the project.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gleaner_folder::free_bytes;
use gleaner_protocol::{BlobRef, ProjectRecord};

use super::contents::NamedBlobs;
use super::manifest::{self, BackupFile, Manifest, ManifestError};
use super::pour::{self, PourError};
use super::unfinished::{Shelves, Unfinished, WriteError, create_private_file, write_private};
use super::{BlobFault, Progress, Step, Told};
use crate::blobs::{Hold, path_in};
use crate::driver::{BLOBS_FOLDER, rfc3339};
use crate::project::{self, HOST_KEY_FILE, LoadError, PROJECT_KEY_FILE, RECORD_FILE, wall_clock};
use crate::store::{self, BlobUse, Snapshot, StoreError};

/// The files beside the blobs that may be in a backup. The project's key may be kept elsewhere.
pub(super) const FILES: [&str; 5] =
    [store::FILE, HOST_KEY_FILE, RECORD_FILE, PROJECT_KEY_FILE, crate::port::FILE];

/// What to back up, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupOptions {
    /// The coordinator's folder.
    pub data: PathBuf,
    /// The backup's folder, which is not there yet.
    pub target: PathBuf,
    /// An earlier backup on the same file system, whose blobs are used again: they are linked, not
    /// copied.
    pub base: Option<PathBuf>,
}

/// What was backed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Where it is.
    pub folder: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    /// How many of its blobs are those of an earlier one.
    pub blobs_linked: u64,
}

/// Why there is no backup. Nothing of it is left, and nothing else was changed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is no project to back up, or its record cannot be read.
    #[error(transparent)]
    Project(#[from] LoadError),
    /// It has nothing yet of what a backup is of.
    #[error(
        "the coordinator in {} was never started: there is nothing to back up yet but its keys; \
         copy the folder, or start it once with `gleaner coordinator start`", data.display()
    )]
    NeverStarted {
        /// The coordinator's folder.
        data: PathBuf,
    },
    /// It would go with what it is to save.
    #[error(
        "the backup {} would lie in the folder that it is to save, {}; choose another place, best \
         on another disk", target.display(), data.display()
    )]
    Inside {
        /// Where it was to be.
        target: PathBuf,
        /// The coordinator's folder.
        data: PathBuf,
    },
    /// Something is there already.
    #[error("{} is there already; choose another name: a backup is never changed", target.display())]
    Exists {
        /// What is there.
        target: PathBuf,
    },
    /// There is no folder to put it in.
    #[error("there is no folder {}; make it, or choose another place", folder.display())]
    NoFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// It does not fit.
    #[error(
        "the backup needs {needed} bytes, and {} has {free} left; make room, or choose another \
         disk", folder.display()
    )]
    TooSmall {
        /// Where it was to be.
        folder: PathBuf,
        /// What is free there.
        free: u64,
        /// What is needed.
        needed: u64,
    },
    /// A blob that the store names cannot be copied.
    #[error(
        "the blob {}: {found} ({used}); `gleaner coordinator verify` tells all faults and what to \
         do", path.display()
    )]
    Blob {
        /// Where it lies, or should.
        path: PathBuf,
        /// What is wrong with it.
        found: BlobFault,
        /// What it is for, one of the things.
        used: BlobUse,
    },
    /// The store cannot be copied.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store is of an earlier version.
    #[error(
        "the store {} has version {found}, and this program reads {known}; start its coordinator \
         once, which brings it up to date", path.display()
    )]
    Older {
        /// The store's file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version that is read.
        known: u32,
    },
    /// The earlier backup is none.
    #[error(transparent)]
    Base(#[from] ManifestError),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// What is to be saved cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it says.
        #[source]
        source: io::Error,
    },
}

/// Backs a coordinator's folder up. It may run meanwhile.
///
/// # Errors
/// [`BackupError`].
pub fn back_up(options: &BackupOptions, told: Told<'_>) -> Result<Backup, BackupError> {
    let (_, record) = project::read_record(&options.data)?;
    let record = record
        .decode_unverified()
        .map_err(|source| LoadError::Damaged { path: options.data.join(RECORD_FILE), source })?;
    let base = options.base.as_deref();
    base.map(Manifest::read).transpose()?;
    let target = place(options)?;
    let blobs = options.data.join(BLOBS_FOLDER);
    if !blobs.exists() && !options.data.join(store::FILE).exists() {
        return Err(BackupError::NeverStarted { data: options.data.clone() });
    }
    let hold = Hold::take(&blobs).map_err(|source| io_error(&blobs, source))?;
    let copying = Copying {
        data: &options.data,
        base: base.map(|base| base.join(BLOBS_FOLDER)),
        unfinished: Unfinished::begin(&target)?,
    };
    let (manifest, blobs_linked) = copying.copy(record, told)?;
    drop(hold);
    copying.unfinished.finish()?;
    Ok(Backup { folder: target, manifest, blobs_linked })
}

/// Where the backup is to be, as a path from the root.
fn place(options: &BackupOptions) -> Result<PathBuf, BackupError> {
    let target = std::path::absolute(&options.target);
    let target = target.map_err(|source| io_error(&options.target, source))?;
    let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(BackupError::Exists { target });
    };
    let folder = folder.canonicalize().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            BackupError::NoFolder { folder: folder.to_owned() }
        }
        _ => io_error(folder, source),
    })?;
    let target = folder.join(name);
    let data = &options.data;
    let data = data.canonicalize().map_err(|source| io_error(data, source))?;
    if target.starts_with(&data) {
        return Err(BackupError::Inside { target, data });
    }
    match target.symlink_metadata() {
        Ok(_) => Err(BackupError::Exists { target }),
        Err(_) => Ok(target),
    }
}

/// A backup on its way.
struct Copying<'a> {
    data: &'a Path,
    /// The blobs of an earlier backup.
    base: Option<PathBuf>,
    unfinished: Unfinished,
}

impl Copying<'_> {
    /// Copies everything, and writes down what it was and how many blobs were linked.
    fn copy(&self, record: ProjectRecord, told: Told<'_>) -> Result<(Manifest, u64), BackupError> {
        let made_at = rfc3339(wall_clock());
        let target = self.unfinished.path();
        told(Progress { step: Step::Store, done: 0, of: 0 });
        let mut files = vec![self.copy_store()?];
        let snapshot = Snapshot::open(target)?;
        let (found, known) = (snapshot.version(), store::VERSION);
        if found < known {
            let path = self.data.join(store::FILE);
            return Err(BackupError::Older { path, found, known });
        }
        let named = NamedBlobs::of(&snapshot)?;
        let blobs_linked = self.copy_blobs(&named, told)?;
        for name in FILES.iter().filter(|name| **name != store::FILE) {
            files.extend(self.copy_file(name)?);
        }
        let manifest = Manifest {
            form: Manifest::FORM,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            made_at,
            project: record.project,
            name: record.name,
            jobs: snapshot.jobs()?,
            files,
            blobs: named.count,
            blob_bytes: named.bytes,
        };
        let text = serde_json::to_vec_pretty(&manifest).expect("a manifest is JSON");
        write_private(&target.join(manifest::FILE), &text)?;
        Ok((manifest, blobs_linked))
    }

    fn copy_store(&self) -> Result<BackupFile, BackupError> {
        let source = self.data.join(store::FILE);
        let bytes = source.metadata().map_err(|error| io_error(&source, error))?.len();
        self.check_room(bytes)?;
        let path = self.unfinished.path().join(store::FILE);
        // SQLite takes an empty file for a new one, and leaves it to its owner alone.
        create_private_file(&path).map_err(|error| WriteError::of(&path, error))?;
        store::copy(self.data, &path).map_err(|error| match error {
            // It is the copy that found no room.
            StoreError::DiskFull { .. } => {
                WriteError::of(&path, io::ErrorKind::StorageFull.into()).into()
            }
            error => BackupError::from(error),
        })?;
        let read = || -> io::Result<BlobRef> {
            let file = fs::File::open(&path)?;
            file.sync_all()?;
            pour::pour(file, io::sink(), &mut |_| {}).map_err(PourError::into_io)
        };
        let BlobRef { hash, bytes } = read().map_err(|error| WriteError::of(&path, error))?;
        Ok(BackupFile { name: store::FILE.to_owned(), bytes, hash })
    }

    /// Copies a small file, if it is there.
    fn copy_file(&self, name: &str) -> Result<Option<BackupFile>, BackupError> {
        let source = self.data.join(name);
        let bytes = match fs::read(&source) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(&source, error)),
        };
        write_private(&self.unfinished.path().join(name), &bytes)?;
        let BlobRef { hash, bytes } = BlobRef::of(&bytes);
        Ok(Some(BackupFile { name: name.to_owned(), bytes, hash }))
    }

    fn copy_blobs(&self, named: &NamedBlobs<'_>, told: Told<'_>) -> Result<u64, BackupError> {
        let mut missing = 0_u64;
        named.each(&mut |blob, _| {
            if self.in_base(blob).is_none() {
                missing = missing.saturating_add(blob.bytes);
            }
        })?;
        self.check_room(missing)?;
        let mut shelves = Shelves::new(&self.unfinished.path().join(BLOBS_FOLDER))?;
        let (mut done, of, mut linked) = (0, named.bytes, 0);
        let mut failed = None;
        named.each(&mut |blob, used| {
            if failed.is_some() {
                return;
            }
            let mut poured = |bytes: u64| {
                done += bytes;
                told(Progress { step: Step::Blobs, done, of });
            };
            match self.copy_blob(blob, used, &mut shelves, &mut poured) {
                Ok(is_linked) => linked += u64::from(is_linked),
                Err(error) => failed = Some(error),
            }
        })?;
        match failed {
            Some(error) => Err(error),
            None => Ok(shelves.sync().map(|()| linked)?),
        }
    }

    /// Whether the blob was linked.
    fn copy_blob(
        &self,
        blob: BlobRef,
        used: BlobUse,
        shelves: &mut Shelves,
        poured: &mut dyn FnMut(u64),
    ) -> Result<bool, BackupError> {
        let target = shelves.place(blob)?;
        if let Some(earlier) = self.in_base(blob)
            && fs::hard_link(earlier, &target).is_ok()
        {
            poured(blob.bytes);
            return Ok(true);
        }
        let path = path_in(&self.data.join(BLOBS_FOLDER), blob.hash);
        match pour::copy(&path, blob, &target, poured) {
            Ok(()) => Ok(false),
            Err(pour::CopyError::Source(found)) => Err(BackupError::Blob { path, found, used }),
            Err(pour::CopyError::Target(error)) => Err(WriteError::of(&target, error).into()),
        }
    }

    /// The blob as an earlier backup has it.
    fn in_base(&self, blob: BlobRef) -> Option<PathBuf> {
        let path = path_in(self.base.as_ref()?, blob.hash);
        path.metadata().is_ok_and(|earlier| earlier.len() == blob.bytes).then_some(path)
    }

    fn check_room(&self, needed: u64) -> Result<(), BackupError> {
        let folder = self.unfinished.path();
        match free_bytes(folder) {
            Some(free) if free < needed => {
                Err(BackupError::TooSmall { folder: folder.to_owned(), free, needed })
            }
            _ => Ok(()),
        }
    }
}

fn io_error(path: &Path, source: io::Error) -> BackupError {
    BackupError::Io { path: path.to_owned(), source }
}
