//! Why a blob could not be kept or read.

use std::io;
use std::path::PathBuf;

use gleaner_protocol::BlobHash;

/// Why a blob could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The bytes are not those that were announced; none were kept. Sending the right ones helps.
    #[error("the bytes have the hash {found}, not {expected}")]
    WrongHash {
        /// The hash announced.
        expected: BlobHash,
        /// The hash of what came.
        found: BlobHash,
    },
    /// The bytes are too many; none were kept.
    #[error("the blob has more than the {max} bytes that one may have")]
    TooLong {
        /// The limit.
        max: u64,
    },
    /// Whoever sent the bytes broke off; none were kept. Sending them again helps.
    #[error("the bytes broke off before their end")]
    BrokenOff {
        /// What the sender's side says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No such blob is held.
    #[error("blob {hash} is not held here")]
    Missing {
        /// Its hash.
        hash: BlobHash,
    },
    /// A blob that is held could not be read. A repeat may help.
    #[error("cannot read blob {hash}")]
    Read {
        /// Its hash.
        hash: BlobHash,
        /// What the file system says.
        #[source]
        source: io::Error,
    },
    /// The disk is full. A repeat helps once there is room.
    #[error("the disk that holds {folder:?} is full")]
    DiskFull {
        /// The blobs' folder.
        folder: PathBuf,
    },
    /// The file system refused.
    #[error("cannot use the blobs in {folder:?}")]
    Io {
        /// The blobs' folder.
        folder: PathBuf,
        /// What it says.
        #[source]
        source: io::Error,
    },
    /// The object store refused.
    #[error("cannot use the blobs in {folder:?}")]
    Store {
        /// The blobs' folder.
        folder: PathBuf,
        /// What it says.
        #[source]
        source: object_store::Error,
    },
}

pub(super) fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    if io.is_some_and(|io| io.kind() == io::ErrorKind::StorageFull) {
        return true;
    }
    error.source().is_some_and(is_disk_full)
}
