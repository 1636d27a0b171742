//! The store's file made as small as what it holds: rows that went leave their room in it, which
//! only rows that come after use.

use rusqlite::Connection;

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
    /// twice, and as much room beside it and in the folder for temporary files (`SQLITE_TMPDIR`, or
    /// the system's); nothing else can be written meanwhile, so this is not for a coordinator at
    /// work. Blocks.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] and any other [`StoreError`]; the store is as it was.
    pub fn compact(&self) -> Result<Compacted, StoreError> {
        let path = &self.inner.path;
        let connection = schema::open_writer(path)?;
        let compact = || {
            let before = length(&connection)?;
            connection.execute_batch("VACUUM")?;
            // Whoever reads the store meanwhile holds its log: the file shrinks once they are through.
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            Ok(Compacted { before, after: length(&connection)? })
        };
        compact().map_err(|error| StoreError::of_sqlite(path, error))
    }
}

fn length(connection: &Connection) -> rusqlite::Result<u64> {
    let query = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
    connection.query_row(query, [], |row| row.get(0))
}
