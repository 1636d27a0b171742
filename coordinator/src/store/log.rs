//! What SQLite leaves undone for its log to survive a power cut: after a process that did not end
//! in good order, and where the log's name is not synced.
//!
//! Where a sync fails, Linux takes the pages to be written all the same: whoever reads them finds
//! what was to be written, until the machine starts again, and no later sync writes it. (A. Rebello
//! and others, "Can applications recover from fsync failures?", USENIX ATC 2020.) A process that
//! ends because a commit was not synced leaves such a log. SQLite would find that commit in it, go
//! on behind it, and sync what it adds; and a power cut would take the commit, and with it all that
//! stands behind a gap, which nobody reads.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::files::sync_folder;

/// Makes the names of the store at `path` and of its log, which is there, survive a power cut. SQLite
/// syncs their folder when it syncs a log first, and passes over it when that fails.
pub(super) fn sync_names(path: &Path) -> io::Result<()> {
    sync_folder(path.parent().expect("a store lies in a folder"))
}

/// How much is in memory at a time.
const PART_BYTES: usize = 1024 * 1024;

/// Writes the log of the store at `path` once more, as it is read now, and syncs it: then what is
/// found in it is durable. Nobody else writes it meanwhile.
pub(super) fn write_again(path: &Path) -> io::Result<()> {
    let mut log = OsString::from(path);
    log.push("-wal");
    let mut file = match OpenOptions::new().read(true).write(true).open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut part = vec![0; PART_BYTES];
    let mut offset = 0;
    loop {
        file.seek(SeekFrom::Start(offset))?;
        let bytes = file.read(&mut part)?;
        if bytes == 0 {
            return file.sync_all();
        }
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(&part[..bytes])?;
        offset += bytes as u64;
    }
}
