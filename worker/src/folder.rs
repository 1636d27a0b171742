//! The worker's folder: what lies where, who may use it, and how a small file is replaced whole.
//!
//! ```text
//! host.key          who this host is
//! lock              held while a worker runs
//! projects/         a file for each project joined
//! results.db        results not yet acknowledged
//! blobs/            modules, files and outputs by hash
//! compiled/         compiled modules, the sandbox's
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use gleaner_folder::{FolderLock, LockError, NetworkFolders, NotLocal, check_local};

/// Modules, files and outputs in the worker's folder.
pub(crate) const BLOBS_FOLDER: &str = "blobs";

/// Compiled modules in the worker's folder.
pub(crate) const COMPILED_FOLDER: &str = "compiled";

/// Why the worker's folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another worker uses it. A retry helps once that one has stopped.
    #[error(
        "another worker uses the folder {} ({holder}); stop it, or give this one a folder of its \
         own with --data", folder.display()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// Its process as it wrote itself down.
        holder: String,
    },
    /// Other machines could use it too. A retry is of no use.
    #[error(transparent)]
    NotLocal(#[from] NotLocal),
    /// Something in it cannot be read or written. A retry helps once the cause is mended.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A worker's folder, locked for this process while this lives.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    _lock: FolderLock,
}

impl Folder {
    /// Creates the folder when it is not there, on a file system of this machine unless `network`
    /// allows another, and locks it.
    pub(crate) fn open(root: &Path, network: NetworkFolders) -> Result<Self, FolderError> {
        check_local(root, network)?;
        create(root)?;
        match FolderLock::take(root) {
            Ok(lock) => Ok(Self { root: root.to_owned(), _lock: lock }),
            Err(LockError::Held { holder }) => {
                Err(FolderError::InUse { folder: root.to_owned(), holder })
            }
            Err(LockError::Io { path, source }) => Err(FolderError::Io { path, source }),
        }
    }

    pub(crate) fn host_key(&self) -> PathBuf {
        self.root.join("host.key")
    }

    pub(crate) fn results(&self) -> PathBuf {
        self.root.join("results.db")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join(BLOBS_FOLDER)
    }

    pub(crate) fn compiled(&self) -> PathBuf {
        self.root.join(COMPILED_FOLDER)
    }
}

/// The folder of remembered projects below `root`; used without the lock, so that a project can be
/// joined while a worker runs.
pub(crate) fn projects(root: &Path) -> PathBuf {
    root.join("projects")
}

/// Creates a folder and those above it; nothing when it is there.
pub(crate) fn create(folder: &Path) -> Result<(), FolderError> {
    fs::create_dir_all(folder).map_err(|source| FolderError::Io { path: folder.to_owned(), source })
}

/// Replaces the file at `path` by `bytes`: after a crash it is the old one or the new one, whole.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let write = || -> io::Result<()> {
        let temporary = path.with_extension("new");
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_parent(path)
    };
    write().map_err(|source| FolderError::Io { path: path.to_owned(), source })
}

/// Makes a rename in the folder of `path` last.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_worker_is_refused_by_the_name_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = Folder::open(folder.path(), NetworkFolders::Refuse).unwrap();
        let error = Folder::open(folder.path(), NetworkFolders::Refuse).unwrap_err().to_string();
        assert!(error.contains(&folder.path().display().to_string()), "{error}");
        assert!(error.contains("--data"), "{error}");
        drop(first);
        Folder::open(folder.path(), NetworkFolders::Refuse).unwrap();
    }
}
