//! Which names of blobs survive a power cut.
//!
//! A blob is there for all to see from its renaming on, and durable once its shelf is synced. In
//! between stand a put that is under way, one whose sync failed, and one that a killed process
//! began: whoever finds such a blob must not be told that it is held. So a shelf is synced before
//! one of its blobs is said to be found, unless no put was under way when it was synced last, nor
//! has begun since. A put that is given up may go on where nobody sees it, and stays under way as
//! long as the process lives. A put that succeeds has synced its shelf itself, but not the shelf's
//! own name, which an earlier process may have made: that is done once for each.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::files::sync_folder;

/// The shelves of one folder. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelves(Arc<Mutex<HashMap<OsString, Shelf>>>);

/// What is known of a shelf.
#[derive(Clone, Copy, Debug)]
struct Shelf {
    /// How many puts onto it have begun and not ended.
    under_way: u64,
    /// How many have ended, well or not; what earlier processes put is one.
    ended: u64,
    /// How many of those are durable.
    synced: u64,
    /// Whether its own name is durable.
    is_named: bool,
}

impl Shelves {
    /// Something is about to be put onto a shelf.
    pub(super) fn on_put(&self, shelf: &OsStr) {
        self.change(shelf, |shelf| shelf.under_way += 1);
    }

    /// A put onto a shelf has ended, well or not: nothing comes of it any more.
    pub(super) fn on_put_end(&self, shelf: &OsStr) {
        self.change(shelf, |shelf| {
            shelf.under_way -= 1;
            shelf.ended += 1;
        });
    }

    /// Whether a shelf's own name is known to survive a power cut.
    pub(super) fn is_named(&self, shelf: &OsStr) -> bool {
        self.change(shelf, |_| {}).is_named
    }

    /// Makes the name of the shelf at `path`, which is there, survive a power cut. Blocks.
    pub(super) fn sync_name(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = parts(path);
        if !self.is_named(name) {
            sync_folder(folder)?;
            self.change(name, |shelf| shelf.is_named = true);
        }
        Ok(())
    }

    /// Makes the name of the shelf at `path`, which is there, and those of all that is on it
    /// survive a power cut. Blocks.
    pub(super) fn sync(&self, path: &Path) -> io::Result<()> {
        self.sync_name(path)?;
        let (_, name) = parts(path);
        let Shelf { under_way, ended, synced, .. } = self.change(name, |_| {});
        if under_way == 0 && synced == ended {
            return Ok(());
        }
        sync_folder(path)?;
        // What those under way put may have come too late for it; their ends count anew.
        self.change(name, |shelf| shelf.synced = shelf.synced.max(ended));
        Ok(())
    }

    fn change(&self, name: &OsStr, change: impl FnOnce(&mut Shelf)) -> Shelf {
        let mut shelves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = Shelf { under_way: 0, ended: 1, synced: 0, is_named: false };
        let shelf = shelves.entry(name.to_owned()).or_insert(unknown);
        change(shelf);
        *shelf
    }
}

/// The folder of shelves, and the shelf's name in it.
fn parts(path: &Path) -> (&Path, &OsStr) {
    let folder = path.parent().expect("a shelf lies in a folder");
    (folder, path.file_name().expect("a shelf has a name"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Whether a shelf is synced when one of its blobs is found: it cannot be when it is not there.
    fn is_synced_again(shelves: &Shelves, path: &Path) -> bool {
        fs::remove_dir(path).expect("removed");
        let synced = shelves.sync(path);
        fs::create_dir(path).expect("made");
        synced.is_err()
    }

    #[test]
    fn a_shelf_is_synced_unless_all_puts_had_ended_when_it_was_synced_last() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ab");
        fs::create_dir(&path).expect("made");
        let (shelves, name) = (Shelves::default(), OsStr::new("ab"));
        let is_synced_again = || is_synced_again(&shelves, &path);
        let sync = || shelves.sync(&path).expect("synced");
        assert!(is_synced_again(), "an earlier process may have put something");
        sync();
        assert!(!is_synced_again());
        shelves.on_put(name);
        sync();
        assert!(is_synced_again(), "a put is under way");
        shelves.on_put(name);
        shelves.on_put_end(name);
        sync();
        assert!(is_synced_again(), "one of two puts is under way");
        shelves.on_put_end(name);
        assert!(is_synced_again(), "it may have come too late for the sync");
        sync();
        assert!(!is_synced_again());
    }
}
