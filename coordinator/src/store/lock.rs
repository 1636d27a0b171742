//! One coordinator for a folder: a lock that ends with its process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::StoreError;

const FILE: &str = "lock";

/// The lock on a coordinator's folder, held while this value lives. The file stays: removing it
/// would let two processes hold locks on two files of one name.
#[derive(Debug)]
pub(super) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock, and writes down whose it is.
    pub(super) fn take(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        let io_error = |error| StoreError::of_io(&path, error);
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let (folder, process) = (folder.to_owned(), holder(&mut file));
                return Err(StoreError::InUse { folder, process });
            }
            Err(TryLockError::Error(error)) => return Err(io_error(error)),
        }
        file.set_len(0).map_err(io_error)?;
        file.seek(SeekFrom::Start(0)).map_err(io_error)?;
        writeln!(file, "{}", std::process::id()).map_err(io_error)?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> String {
    const PROCESS_ID_BYTES_MAX: u64 = 20;
    let mut text = String::new();
    let read = file.take(PROCESS_ID_BYTES_MAX).read_to_string(&mut text);
    match (read, text.trim()) {
        (Err(_), _) | (_, "") => "unknown".to_owned(),
        (Ok(_), process) => process.to_owned(),
    }
}
