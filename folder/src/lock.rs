//! One process for a folder: a lock that ends with its process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::platform;

const FILE: &str = "lock";

/// What is read of a lock file that somebody else wrote.
const HOLDER_BYTES_MAX: u64 = 300;

/// The lock on a folder, held while this value lives. The file stays: removing it would let two
/// processes hold locks on two files of one name.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// Why a folder could not be locked. A retry helps once the cause is mended.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("held by {holder}")]
    Held {
        /// Which, as it wrote itself down: `process 12`, and the host's name when it is another.
        holder: String,
    },
    /// The file system refused.
    #[error("cannot use {path:?}")]
    Io {
        /// The lock's file.
        path: PathBuf,
        /// What it says.
        #[source]
        source: io::Error,
    },
}

impl FolderLock {
    /// Takes the lock on `folder`, which is there, and writes down whose it is.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join(FILE);
        let io_error = |source| LockError::Io { path: path.clone(), source };
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        let mut file = options.open(&path).map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { holder: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(io_error(error)),
        }
        // Whose it is matters to people alone: a full disk must not keep a service from starting.
        let _ = write_holder(&mut file);
        Ok(Self { _file: file })
    }
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", std::process::id())?;
    writeln!(file, "{}", platform::host_name().unwrap_or_default())
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(HOLDER_BYTES_MAX).read_to_string(&mut text);
    let mut lines = text.lines();
    let (process, host) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    if read.is_err() || process.is_empty() {
        return "another process".to_owned();
    }
    match platform::host_name() {
        Some(own) if !host.is_empty() && host != own => {
            format!("process {process} on the host {host}")
        }
        _ => format!("process {process}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(folder: &Path) -> String {
        FolderLock::take(folder).expect_err("it is held").to_string()
    }

    #[test]
    fn who_holds_a_folder_is_told_and_it_is_free_again_afterwards() {
        let folder = tempfile::tempdir().expect("a folder");
        let lock = FolderLock::take(folder.path()).expect("it is free");
        let own = format!("held by process {}", std::process::id());
        assert_eq!(refusal(folder.path()), own);
        std::fs::write(folder.path().join(FILE), "12\nfar-away\n").expect("written");
        let far = refusal(folder.path());
        assert!(far == "held by process 12 on the host far-away" || far == "held by process 12");
        std::fs::write(folder.path().join(FILE), [0xFF; 8]).expect("written");
        assert_eq!(refusal(folder.path()), "held by another process");
        drop(lock);
        FolderLock::take(folder.path()).expect("it is free again");
    }
}
