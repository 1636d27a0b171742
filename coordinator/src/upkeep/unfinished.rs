//! A folder that is there whole or not at all: made under another name, and renamed once all of it
//! is on disk.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use gleaner_folder::{FolderLock, LockError};
use gleaner_protocol::BlobRef;

use crate::blobs::path_in;
use crate::files::{create_private_folder, create_private_folder_unsynced, sync_folder};

/// What is added to a folder's name until it is whole.
const SUFFIX: &str = ".unfinished";

/// The file of the lock on a folder, by which one of ours is known.
const LOCK_FILE: &str = "lock";

/// A folder on its way; dropped, it is gone.
#[derive(Debug)]
pub(super) struct Unfinished {
    target: PathBuf,
    path: PathBuf,
    is_finished: bool,
    _lock: FolderLock,
}

/// Why a folder could not be made. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Another process makes it.
    #[error("{} is being made already ({holder})", target.display())]
    InUse {
        /// What is to be made.
        target: PathBuf,
        /// By which process.
        holder: String,
    },
    /// The name that it has meanwhile is taken.
    #[error("{} is in the way; remove it", path.display())]
    InTheWay {
        /// What is there.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("the disk of {} is full; make room, or choose another one", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot write {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it says.
        #[source]
        source: io::Error,
    },
}

impl Unfinished {
    /// Begins the folder `target`, for its owner alone. What an earlier attempt left is removed.
    pub(super) fn begin(target: &Path) -> Result<Self, WriteError> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(SUFFIX);
        let path = target.with_file_name(name);
        let io_error = |source| WriteError::of(&path, source);
        if path.join(LOCK_FILE).is_file() {
            let lock = lock(target, &path)?;
            fs::remove_dir_all(&path).map_err(io_error)?;
            drop(lock);
        } else if path.exists() && !is_empty(&path) {
            // An attempt that ended before it had its lock has left an empty one.
            return Err(WriteError::InTheWay { path });
        }
        create_private_folder(&path).map_err(io_error)?;
        let lock = lock(target, &path)?;
        Ok(Self { target: target.to_owned(), path, is_finished: false, _lock: lock })
    }

    /// Where it is meanwhile.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, all that is in it being on disk but for the names in the folder itself.
    pub(super) fn finish(mut self) -> Result<(), WriteError> {
        let renamed = self.rename();
        renamed.map_err(|source| WriteError::of(&self.target, source))?;
        self.is_finished = true;
        Ok(())
    }

    fn rename(&self) -> io::Result<()> {
        fs::remove_file(self.path.join(LOCK_FILE))?;
        sync_folder(&self.path)?;
        match fs::remove_dir(&self.target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            // An empty folder makes room.
            _ => fs::rename(&self.path, &self.target)?,
        }
        sync_folder(self.target.parent().expect("a folder with a name lies in another"))
    }
}

impl WriteError {
    /// What the file system says of `path`.
    pub(super) fn of(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull => Self::DiskFull { path },
            _ => Self::Io { path, source },
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_finished {
            // What cannot be removed now is removed by the next attempt.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

fn lock(target: &Path, path: &Path) -> Result<FolderLock, WriteError> {
    FolderLock::take(path).map_err(|error| match error {
        LockError::Held { holder } => WriteError::InUse { target: target.to_owned(), holder },
        LockError::Io { path, source } => WriteError::of(&path, source),
    })
}

/// A new file that its owner alone may read.
pub(super) fn create_private_file(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Folders that blobs are put into.
pub(super) struct Shelves {
    folder: PathBuf,
    made: BTreeSet<PathBuf>,
}

impl Shelves {
    /// New ones, in the new folder `folder`.
    pub(super) fn new(folder: &Path) -> Result<Self, WriteError> {
        create_private_folder(folder).map_err(|error| WriteError::of(folder, error))?;
        Ok(Self { folder: folder.to_owned(), made: BTreeSet::new() })
    }

    /// Where a blob belongs.
    pub(super) fn place(&mut self, blob: BlobRef) -> Result<PathBuf, WriteError> {
        let path = path_in(&self.folder, blob.hash);
        let shelf = path.parent().expect("a blob lies on a shelf");
        if !self.made.contains(shelf) {
            create_private_folder_unsynced(shelf).map_err(|error| WriteError::of(shelf, error))?;
            self.made.insert(shelf.to_owned());
        }
        Ok(path)
    }

    /// Makes the names of all that was put into them survive a power cut.
    pub(super) fn sync(self) -> Result<(), WriteError> {
        let folders = self.made.iter().chain([&self.folder]);
        for folder in folders {
            sync_folder(folder).map_err(|error| WriteError::of(folder, error))?;
        }
        Ok(())
    }
}

/// Writes a new file that its owner alone may read, synced to disk.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let write = || -> io::Result<()> {
        let mut file = create_private_file(path)?;
        io::Write::write_all(&mut file, bytes)?;
        file.sync_all()
    };
    write().map_err(|error| WriteError::of(path, error))
}
