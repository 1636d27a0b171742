//! Files that are no blobs yet, and blobs that are thrown away.

use std::path::PathBuf;

use gleaner_protocol::limits::BLOB_BYTES_MAX;
use gleaner_protocol::{BlobHash, BlobRef};
use tokio::io::{AsyncWriteExt, BufWriter};

use super::{BlobError, Blobs, PART_BYTES};

impl Blobs {
    /// A new file that becomes a blob when it is whole.
    ///
    /// # Errors
    /// [`BlobError::DiskFull`] or [`BlobError::Io`].
    pub async fn scratch(&self) -> Result<Scratch, BlobError> {
        let path = self.scratch_path();
        let file = tokio::fs::File::create_new(&path).await.map_err(|e| self.io_error(e))?;
        Ok(Scratch {
            blobs: self.clone(),
            file: BufWriter::with_capacity(PART_BYTES, file),
            hasher: blake3::Hasher::new(),
            remove: RemoveOnDrop(path),
        })
    }

    /// Blobs apart from these, for what is thrown away: their folder goes with the value, and is
    /// removed when this folder is opened again after a crash.
    ///
    /// # Errors
    /// As [`Blobs::open`].
    pub fn apart(&self) -> Result<BlobsApart, BlobError> {
        let folder = self.scratch_path();
        let remove = RemoveFolderOnDrop(folder.clone());
        Ok(BlobsApart { blobs: Self::open(&folder)?, _remove: remove })
    }
}

/// A local file on its way to becoming a blob; dropped, it is gone.
#[derive(Debug)]
pub struct Scratch {
    blobs: Blobs,
    file: BufWriter<tokio::fs::File>,
    hasher: blake3::Hasher,
    remove: RemoveOnDrop,
}

impl Scratch {
    /// Appends `bytes`.
    ///
    /// # Errors
    /// [`BlobError::TooLong`], [`BlobError::DiskFull`] or [`BlobError::Io`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.hasher.update(bytes);
        if self.hasher.count() > BLOB_BYTES_MAX {
            return Err(BlobError::TooLong { max: BLOB_BYTES_MAX });
        }
        self.file.write_all(bytes).await.map_err(|error| self.blobs.io_error(error))
    }

    /// Makes a blob of what was written: synced to disk, then renamed into place.
    ///
    /// # Errors
    /// [`BlobError::DiskFull`], [`BlobError::Io`] or [`BlobError::Store`].
    pub async fn keep(mut self) -> Result<BlobRef, BlobError> {
        let hash = BlobHash(*self.hasher.finalize().as_bytes());
        let sync = async {
            self.file.flush().await?;
            self.file.get_ref().sync_all().await
        };
        sync.await.map_err(|error| self.blobs.io_error(error))?;
        self.blobs.adopt(&self.remove.0, hash).await?;
        Ok(BlobRef { hash, bytes: self.hasher.count() })
    }
}

/// Blobs in a folder of their own that goes with this value.
#[derive(Debug)]
pub struct BlobsApart {
    blobs: Blobs,
    _remove: RemoveFolderOnDrop,
}

impl std::ops::Deref for BlobsApart {
    type Target = Blobs;

    fn deref(&self) -> &Blobs {
        &self.blobs
    }
}

#[derive(Debug)]
struct RemoveFolderOnDrop(PathBuf);

impl Drop for RemoveFolderOnDrop {
    fn drop(&mut self) {
        // What cannot be removed now is removed when the folder above is opened again.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug)]
struct RemoveOnDrop(PathBuf);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        // After a rename into place it is not there; what cannot be removed now is removed when
        // the folder is opened again.
        let _ = std::fs::remove_file(&self.0);
    }
}
