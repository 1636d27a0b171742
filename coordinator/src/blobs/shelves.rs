//! Which names of blobs survive a power cut.
//!
//! A blob is there for all to see from its renaming on, and durable once its shelf is synced. In
//! between stand a put that is under way, one whose sync failed, and one that a killed process
//! began: whoever finds such a blob must not be told that it is held. So a shelf is synced before
//! one of its blobs is said to be found, unless nothing was put onto it since it was synced last. A
//! put that succeeds has synced its shelf itself, but not the shelf's own name, which an earlier
//! process may have made: that is done once for each.

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
    /// How often something was put onto it; what earlier processes put is one change.
    changes: u64,
    /// How many of them were under way or over when it was synced last.
    synced: u64,
    /// Whether its own name is durable.
    is_named: bool,
}

impl Shelves {
    /// Something is about to be put onto a shelf.
    pub(super) fn on_put(&self, shelf: &OsStr) {
        self.change(shelf, |shelf| shelf.changes += 1);
    }

    /// Makes the name of the shelf at `path`, which is there, survive a power cut. Blocks.
    pub(super) fn sync_name(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = parts(path);
        if !self.change(name, |_| {}).is_named {
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
        let Shelf { changes, synced, .. } = self.change(name, |_| {});
        if synced < changes {
            sync_folder(path)?;
            self.change(name, |shelf| shelf.synced = shelf.synced.max(changes));
        }
        Ok(())
    }

    fn change(&self, name: &OsStr, change: impl FnOnce(&mut Shelf)) -> Shelf {
        let mut shelves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = Shelf { changes: 1, synced: 0, is_named: false };
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
