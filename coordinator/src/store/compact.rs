//! The store's file made as small as what it holds: rows that went leave their room in it, which
//! only rows that come after use.

use super::{Store, StoreError, schema};

/// The length of the store's file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// As it was.
    pub before: u64,
    /// As it is.
    pub after: u64,
}

impl Store {
    /// Writes the whole file anew, whole or not at all. Takes as long as the disk takes to write it
    /// twice, and as much room beside it; nothing else can be written meanwhile, so this is not for
    /// a coordinator at work. Blocks.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] and any other [`StoreError`]; the store is as it was.
    pub fn compact(&self) -> Result<Compacted, StoreError> {
        let path = &self.inner.path;
        let connection = schema::open_writer(path)?;
        let checkpoint = || connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let length = || {
            checkpoint().map_err(|error| StoreError::of_sqlite(path, error))?;
            let file = path.metadata().map_err(|error| StoreError::of_io(path, error))?;
            Ok(file.len())
        };
        let before = length()?;
        let compacted = connection.execute_batch("VACUUM");
        compacted.map_err(|error| StoreError::of_sqlite(path, error))?;
        Ok(Compacted { before, after: length()? })
    }
}
