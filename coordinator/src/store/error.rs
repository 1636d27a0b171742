//! What can go wrong with the store, told apart by what an operator must do.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;

/// Why the store could not be opened, read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another coordinator runs on the same folder. Stopping it helps.
    #[error(
        "the folder {folder:?} is in use by a running coordinator ({holder}); stop it, or choose \
         another folder with --data"
    )]
    InUse {
        /// The coordinator's folder.
        folder: PathBuf,
        /// Its process as it wrote itself down.
        holder: String,
    },
    /// The disk is full. A repeat helps once there is room; records that wait need none.
    #[error("the disk that holds {path:?} is full")]
    DiskFull {
        /// The store's file.
        path: PathBuf,
    },
    /// The store's file is damaged, or is no store. A repeat does not help.
    #[error(
        "the store {path:?} is damaged; check the disk and restore the folder from a backup: {found}"
    )]
    Corrupt {
        /// The store's file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// Another program holds the store's file. A repeat helps once it lets go.
    #[error("another program holds a lock on the store {path:?}; end it")]
    Locked {
        /// The store's file.
        path: PathBuf,
    },
    /// The store was written by a later version of Gleaner.
    #[error(
        "the store {path:?} has version {found}, this program knows {known}; update this program"
    )]
    TooNew {
        /// The store's file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },
    /// The file system refused.
    #[error("cannot use {path:?}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it says.
        #[source]
        source: Arc<io::Error>,
    },
    /// SQLite refused for another reason.
    #[error("cannot use the store {path:?}")]
    Sqlite {
        /// The store's file.
        path: PathBuf,
        /// What it says.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// An earlier commit failed, and what it left is not known: nothing is written any more. The
    /// store must be opened again.
    #[error("the store {path:?} takes no more records since a commit failed")]
    Failed {
        /// The store's file.
        path: PathBuf,
    },
}

impl StoreError {
    /// An error of SQLite on the file at `path`.
    pub(super) fn of_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull { path },
            Some(_) if lacks_room_for_index(&source) => Self::DiskFull { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Corrupt { path, found: source.to_string() }
            }
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Locked { path },
            Some(_) => Self::Sqlite { path, source: Arc::new(source) },
            None => Self::of_rusqlite(path, source),
        }
    }

    /// An error of the binding: a value that is not what the schema says was not written by us.
    fn of_rusqlite(path: PathBuf, source: rusqlite::Error) -> Self {
        match source {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::QueryReturnedNoRows => {
                Self::Corrupt { path, found: source.to_string() }
            }
            _ => Self::Sqlite { path, source: Arc::new(source) },
        }
    }

    pub(super) fn of_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull => Self::DiskFull { path },
            _ => Self::Io { path, source: Arc::new(source) },
        }
    }
}

/// Whether the log's index, the first file that SQLite makes larger, found no room: it has a code of
/// its own, which says no more than that it could not be made as large as it must be.
fn lacks_room_for_index(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    code == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE)
}
