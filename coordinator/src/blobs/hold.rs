//! Blobs that another process reads whole, as a backup does, stay until it is through.
//!
//! A lock on a file beside the blobs, shared by all who read and had alone by who removes. It ends
//! with its process, however that ends. Who takes a hold before it looks into the store finds all
//! blobs that the store names then for as long as it has the hold: a blob is removed only once no
//! row names it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// The lock's file; a name that no shelf has.
const FILE: &str = "hold";

/// No process removes a blob while this is held.
#[derive(Debug)]
pub(crate) struct Hold {
    _file: File,
}

/// Nobody has a [`Hold`] while this is held.
#[derive(Debug)]
pub(crate) struct Removals {
    _file: File,
}

impl Hold {
    /// Waits for a removal under way, which is a short one, and keeps others from beginning.
    pub(crate) fn take(folder: &Path) -> io::Result<Self> {
        let file = open(folder)?;
        file.lock_shared()?;
        Ok(Self { _file: file })
    }
}

impl Removals {
    /// None while there is a hold.
    pub(super) fn begin(folder: &Path) -> io::Result<Option<Self>> {
        let file = open(folder)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn open(folder: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).open(folder.join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_removed_as_long_as_anybody_holds_the_blobs() {
        let folder = tempfile::tempdir().expect("a folder");
        let begins = || Removals::begin(folder.path()).expect("the lock works").is_some();
        assert!(begins());
        let holds = [Hold::take(folder.path()), Hold::take(folder.path())];
        let [first, second] = holds.map(|hold| hold.expect("the lock works"));
        assert!(!begins());
        drop(first);
        assert!(!begins());
        drop(second);
        assert!(begins());
    }
}
