//! Compiled modules kept in a folder that the worker alone writes.
//!
//! A file's name is `KEY-HASH.compiled`: what was compiled and with what, and the BLAKE3 of the
//! file. It appears whole (written under another name, synced, renamed) and is checked each time it
//! is used, so a torn or altered file is compiled again, never loaded. The time of change of a file
//! is its last use; the least recently used go first.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use gleaner_protocol::BlobHash;

use super::Source;

/// How the name of a whole file ends.
const WHOLE: &str = ".compiled";

/// How the name of a file being written ends.
const UNFINISHED: &str = ".unfinished";

/// What a compiled module was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(BlobHash);

impl Key {
    pub(super) fn new(identity: &[u8; 32], source: Source) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(identity);
        hasher.update(&source.module.0);
        hasher.update(source.floats.name().as_bytes());
        Self(BlobHash(*hasher.finalize().as_bytes()))
    }
}

/// The folder.
pub(super) struct Cache {
    folder: PathBuf,
    bytes_max: u64,
}

struct Entry {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl Cache {
    /// Makes the folder when there is none, and removes what an earlier worker left unfinished.
    pub(super) fn open(folder: &Path, bytes_max: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(UNFINISHED) {
                fs::remove_file(path)?;
            }
        }
        Ok(Self { folder: folder.to_owned(), bytes_max })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The compiled module of `key`, checked. Files that are not what their name says are removed.
    pub(super) fn find(&self, key: &Key) -> io::Result<Option<File>> {
        let prefix = format!("{}-", key.0);
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(OsStr::to_str) else { continue };
            let Some(hash) = name.strip_prefix(&prefix) else { continue };
            let Some(hash) = hash.strip_suffix(WHOLE) else { continue };
            match check(&path, hash) {
                Ok(Some(file)) => return Ok(Some(file)),
                Ok(None) => {
                    tracing::warn!(path = %path.display(), "a compiled module was damaged");
                    fs::remove_file(&path)?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Keeps `artifact` under `key` and makes room for it.
    pub(super) fn store(&self, key: &Key, artifact: &[u8]) -> io::Result<File> {
        let hash = BlobHash::of(artifact);
        let path = self.folder.join(format!("{}-{hash}{WHOLE}", key.0));
        let unfinished = self.folder.join(format!("{}-{hash}{UNFINISHED}", key.0));
        let written = write(&unfinished, artifact).and_then(|()| fs::rename(&unfinished, &path));
        if let Err(error) = written {
            // The first error is the one to tell.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        let file = File::open(&path)?;
        self.make_room(&path)?;
        Ok(file)
    }

    /// Removes the least recently used files until the rest fits; never `newest`. Slots that have
    /// one open keep it.
    fn make_room(&self, newest: &Path) -> io::Result<()> {
        let mut entries = self.entries()?;
        entries.sort_by_key(|entry| entry.used);
        let mut bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
        for entry in entries {
            if bytes <= self.bytes_max {
                break;
            }
            if entry.path != newest {
                fs::remove_file(&entry.path)?;
                bytes -= entry.bytes;
            }
        }
        Ok(())
    }

    fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if entry.path().to_string_lossy().ends_with(WHOLE) {
                let used = metadata.modified()?;
                entries.push(Entry { path: entry.path(), bytes: metadata.len(), used });
            }
        }
        Ok(entries)
    }
}

/// The file at `path` when its bytes have the hash that its name says, marked as used.
fn check(path: &Path, hash: &str) -> io::Result<Option<File>> {
    let file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&file)?;
    if BlobHash(*hasher.finalize().as_bytes()).to_string() != hash {
        return Ok(None);
    }
    (&file).rewind()?;
    // A wrong order of removal is all that a failure costs.
    let _ = file.set_modified(SystemTime::now());
    Ok(Some(file))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Duration;

    use gleaner_protocol::Floats;

    use super::*;

    fn source(byte: u8) -> Source {
        Source { module: BlobHash([byte; 32]), floats: Floats::Plain }
    }

    fn key(byte: u8) -> Key {
        Key::new(&[1; 32], source(byte))
    }

    fn read(mut file: File) -> Vec<u8> {
        let mut bytes = vec![];
        file.read_to_end(&mut bytes).expect("readable");
        bytes
    }

    #[test]
    fn what_is_stored_is_found_under_its_key_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(folder.path(), 100).expect("opens");
        assert!(cache.find(&key(1)).expect("reads").is_none());
        assert_eq!(read(cache.store(&key(1), b"code").expect("stores")), b"code");
        assert_eq!(read(cache.find(&key(1)).expect("reads").expect("found")), b"code");
        assert!(cache.find(&key(2)).expect("reads").is_none());
        let other_engine = Key::new(&[2; 32], source(1));
        assert!(cache.find(&other_engine).expect("reads").is_none());
        let rewritten = Key::new(&[1; 32], Source { floats: Floats::Strict, ..source(1) });
        assert!(cache.find(&rewritten).expect("reads").is_none());
    }

    #[test]
    fn a_damaged_file_is_removed_and_not_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(folder.path(), 100).expect("opens");
        cache.store(&key(1), b"code").expect("stores");
        let path = fs::read_dir(folder.path()).expect("reads").next().expect("one").expect("one");
        fs::write(path.path(), b"c0de").expect("writes");
        assert!(cache.find(&key(1)).expect("reads").is_none());
        assert!(!path.path().exists());
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(folder.path(), 100).expect("opens");
        for byte in 1..=3 {
            let file = cache.store(&key(byte), &[byte; 30]).expect("stores");
            let ago = Duration::from_secs(100 - u64::from(byte));
            file.set_modified(SystemTime::now() - ago).expect("sets");
        }
        assert!(cache.find(&key(1)).expect("reads").is_some(), "used now");
        cache.store(&key(4), &[4; 30]).expect("stores");
        let found = |byte| cache.find(&key(byte)).expect("reads").is_some();
        assert_eq!([found(1), found(2), found(3), found(4)], [true, false, true, true]);
        cache.store(&key(5), &[5; 200]).expect("stores");
        assert_eq!([found(1), found(3), found(4), found(5)], [false, false, false, true]);
    }

    #[test]
    fn what_was_left_unfinished_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let left = folder.path().join(format!("x{UNFINISHED}"));
        fs::write(&left, b"half").expect("writes");
        Cache::open(folder.path(), 100).expect("opens");
        assert!(!left.exists());
    }
}
