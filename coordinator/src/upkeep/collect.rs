//! What a coordinator's folder has no use for, given back to the disk.

use std::path::{Path, PathBuf};

use super::{Progress, Step, Told};
use crate::blobs::{BlobError, Blobs};
use crate::driver::BLOBS_FOLDER;
use crate::store::{self, Compacted, Store, StoreError};
use crate::sweep::{Sweep, SweepError, note_uses};

/// What was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collected {
    /// How many blobs were removed.
    pub blobs: u64,
    /// How many bytes they had.
    pub blob_bytes: u64,
    /// The store's file.
    pub store: Compacted,
}

/// Why not all was given back. What was removed by then is gone, and nothing else was changed.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// There is no store.
    #[error(
        "there is no store in {}, so no coordinator was ever started there; choose another folder \
         with --data", folder.display()
    )]
    NoStore {
        /// The folder.
        folder: PathBuf,
    },
    /// A coordinator is at work in it.
    #[error(
        "the coordinator of {} runs ({holder}); it removes by itself what nobody uses, and only \
         its store's file stays as large as it ever was: stop it to make that smaller", folder.display()
    )]
    AtWork {
        /// The folder.
        folder: PathBuf,
        /// The process as it wrote itself down.
        holder: String,
    },
    /// The store cannot be opened, or not be written anew: that takes as much room as it has.
    #[error(transparent)]
    Store(StoreError),
    /// The blobs cannot be opened.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// What nobody uses cannot be removed.
    #[error(transparent)]
    Sweep(#[from] SweepError),
    /// The system gives no runtime.
    #[error("cannot start the store's readers")]
    Runtime(#[source] std::io::Error),
}

/// Removes what removed jobs left and files that nobody has used for a day, and makes the store's
/// file as small as what it holds. Blocks; no coordinator may run on the folder.
///
/// # Errors
/// [`CollectError`].
pub fn collect(folder: &Path, told: Told<'_>) -> Result<Collected, CollectError> {
    if !folder.join(store::FILE).is_file() {
        return Err(CollectError::NoStore { folder: folder.to_owned() });
    }
    let (store, _) = Store::open(folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let (blobs, blob_bytes) =
        runtime.map_err(CollectError::Runtime)?.block_on(sweep(folder, &store, told))?;
    told(Progress { step: Step::Compaction, done: 0, of: 0 });
    Ok(Collected { blobs, blob_bytes, store: store.compact()? })
}

async fn sweep(folder: &Path, store: &Store, told: Told<'_>) -> Result<(u64, u64), CollectError> {
    let sweep = Sweep { store: store.clone(), blobs: Blobs::open(&folder.join(BLOBS_FOLDER))? };
    note_uses(&store.load().await?, &sweep.blobs);
    let (mut blobs, mut bytes) = (0, 0);
    told(Progress { step: Step::Removal, done: 0, of: 0 });
    sweep
        .all(&mut |removed| {
            blobs += removed.len() as u64;
            bytes += removed.iter().map(|blob| blob.bytes).sum::<u64>();
            told(Progress { step: Step::Removal, done: blobs, of: 0 });
        })
        .await?;
    Ok((blobs, bytes))
}

impl From<StoreError> for CollectError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::InUse { folder, holder } => Self::AtWork { folder, holder },
            error => Self::Store(error),
        }
    }
}
