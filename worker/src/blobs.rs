//! The blob cache: modules, files, inputs and outputs on disk, named by their hashes.
//!
//! Invariants: what is pinned has its hash (it was verified as it came, written here, or checked when
//! it was first used after a restart) and is never removed; what is kept is
//! within the cap, or else nothing but what is pinned. An output leaves this machine only to a
//! coordinator of the project it belongs to.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use gleaner_network::{BlobSource, FetchError, Node};
use gleaner_protocol::{BlobHash, BlobRef, ProjectId, WorkerId};
use tracing::warn;

use crate::folder::{self, FolderError};

/// Why a blob is not in the cache. A retry may help for all but [`BlobError::TooLarge`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    /// Nothing more can be removed to make room.
    #[error("no room for a blob of {bytes} bytes: {pinned} of {max} bytes are in use")]
    NoRoom { bytes: u64, pinned: u64, max: u64 },
    /// It is larger than the whole cache.
    #[error("a blob of {bytes} bytes is over the limit of {max} for all blobs")]
    TooLarge { bytes: u64, max: u64 },
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(Box<FetchError>),
    /// It could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// A handle to the cache; clones are handles to the same one.
#[derive(Clone, Debug)]
pub(crate) struct Blobs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    bytes_max: u64,
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    entries: HashMap<BlobHash, Entry>,
    /// Unpinned entries, the least recently used first.
    unpinned: BTreeMap<u64, BlobHash>,
    bytes: u64,
    /// Bytes promised to blobs that are being fetched or written.
    promised: u64,
    uses: u64,
    /// One fetch at a time for each blob; the others wait for its end.
    fetching: HashMap<BlobHash, Arc<tokio::sync::Mutex<()>>>,
    /// Outputs that wait for their project's coordinators, and how many results have each.
    shared: HashMap<(BlobHash, ProjectId), u32>,
    coordinators: HashMap<ProjectId, HashSet<WorkerId>>,
}

#[derive(Debug)]
struct Entry {
    bytes: u64,
    used: u64,
    pins: u32,
    check: Check,
}

/// Whether a blob is known to be what its name says: a disk may have changed it since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Due,
    Done,
}

/// A blob that stays while this lives.
#[derive(Debug)]
pub(crate) struct Pinned {
    blobs: Blobs,
    blob: BlobRef,
}

/// An output that its project's coordinators may fetch while this lives.
#[derive(Debug)]
pub(crate) struct Offered {
    pinned: Pinned,
    project: ProjectId,
}

/// Room promised to a blob on its way.
#[derive(Debug)]
struct Promise<'a> {
    blobs: &'a Blobs,
    bytes: u64,
}

impl Blobs {
    /// The cache in `folder`, with what an earlier run left there; fragments are removed.
    pub(crate) fn open(folder: PathBuf, bytes_max: u64) -> Result<Self, FolderError> {
        folder::create(&folder)?;
        let failed = |source| FolderError::Io { path: folder.clone(), source };
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let hash = entry.file_name().to_str().and_then(|name| name.parse::<BlobHash>().ok());
            match hash {
                Some(hash) => found.push((hash, entry.metadata().map_err(failed)?)),
                None => fs::remove_file(entry.path()).map_err(failed)?,
            }
        }
        found.sort_by_key(|(_, data)| data.modified().unwrap_or(SystemTime::UNIX_EPOCH));
        let mut index = Index::default();
        for (hash, data) in found {
            index.insert(hash, data.len(), Check::Due);
        }
        let shared = Shared { folder, bytes_max, index: Mutex::new(index) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Pins the blob if it is here whole. Blocks when it must be checked first.
    pub(crate) fn find(&self, blob: BlobRef) -> Option<Pinned> {
        let mut index = self.index();
        let entry = index.entries.get(&blob.hash).filter(|entry| entry.bytes == blob.bytes)?;
        let check = entry.check;
        index.pin(blob.hash);
        drop(index);
        let pinned = Pinned { blobs: self.clone(), blob };
        if check == Check::Due && !is_intact(&pinned.path(), blob.hash) {
            warn!(blob = %blob.hash, "blob on disk is damaged and removed");
            self.remove(pinned);
            return None;
        }
        if let Some(entry) = self.index().entries.get_mut(&blob.hash) {
            entry.check = Check::Done;
        }
        Some(pinned)
    }

    /// Removes a damaged blob, unless someone else is about to find out the same.
    fn remove(&self, pinned: Pinned) {
        let hash = pinned.blob.hash;
        drop(pinned);
        let mut index = self.index();
        if index.entries.get(&hash).is_some_and(|entry| entry.pins == 0)
            && let Some(entry) = index.entries.remove(&hash)
        {
            index.unpinned.remove(&entry.used);
            index.bytes -= entry.bytes;
            remove_file(&self.path(hash));
        }
    }

    /// The blob from here, or else from `peer`, verified.
    ///
    /// # Errors
    /// Any [`BlobError`].
    pub(crate) async fn fetch(
        &self,
        node: &Node,
        peer: WorkerId,
        blob: BlobRef,
    ) -> Result<Pinned, BlobError> {
        let turn = Arc::clone(self.index().fetching.entry(blob.hash).or_default());
        let guard = turn.lock().await;
        let fetched = match self.find_checked(blob).await {
            Some(pinned) => Ok(pinned),
            None => self.fetch_missing(node, peer, blob).await,
        };
        drop(guard);
        // The map and this handle: nobody else waits.
        let mut index = self.index();
        if Arc::strong_count(&turn) == 2 {
            index.fetching.remove(&blob.hash);
        }
        drop(index);
        fetched
    }

    async fn find_checked(&self, blob: BlobRef) -> Option<Pinned> {
        let blobs = self.clone();
        let found = tokio::task::spawn_blocking(move || blobs.find(blob)).await;
        found.expect("looking for a blob does not panic")
    }

    async fn fetch_missing(
        &self,
        node: &Node,
        peer: WorkerId,
        blob: BlobRef,
    ) -> Result<Pinned, BlobError> {
        let _promise = self.make_room(blob.bytes)?;
        let fetched = node.fetch_blob(peer, blob, &self.path(blob.hash)).await;
        fetched.map_err(|error| BlobError::Fetch(Box::new(error)))?;
        Ok(self.admit(blob))
    }

    /// Writes `bytes` as a blob, durably. Blocks.
    ///
    /// # Errors
    /// Any [`BlobError`] but a failed fetch.
    pub(crate) fn insert(&self, bytes: &[u8]) -> Result<Pinned, BlobError> {
        let blob = BlobRef::of(bytes);
        if let Some(pinned) = self.find(blob) {
            return Ok(pinned);
        }
        let _promise = self.make_room(blob.bytes)?;
        let path = self.path(blob.hash);
        let written = write_durably(&self.shared.folder, &path, bytes);
        written.map_err(|source| BlobError::Write { path, source })?;
        Ok(self.admit(blob))
    }

    /// Lets the coordinators of `project` fetch a blob.
    pub(crate) fn offer(&self, pinned: Pinned, project: ProjectId) -> Offered {
        *self.index().shared.entry((pinned.blob.hash, project)).or_default() += 1;
        Offered { pinned, project }
    }

    /// Who the coordinators of `project` are, as its record says.
    pub(crate) fn set_coordinators(&self, project: ProjectId, coordinators: &[WorkerId]) {
        self.index().coordinators.insert(project, coordinators.iter().copied().collect());
    }

    fn path(&self, hash: BlobHash) -> PathBuf {
        self.shared.folder.join(hash.to_string())
    }

    fn admit(&self, blob: BlobRef) -> Pinned {
        let mut index = self.index();
        index.insert(blob.hash, blob.bytes, Check::Done);
        index.pin(blob.hash);
        drop(index);
        Pinned { blobs: self.clone(), blob }
    }

    /// Removes what was least recently used until `bytes` more fit.
    fn make_room(&self, bytes: u64) -> Result<Promise<'_>, BlobError> {
        let max = self.shared.bytes_max;
        if bytes > max {
            return Err(BlobError::TooLarge { bytes, max });
        }
        let mut index = self.index();
        while index.bytes + index.promised + bytes > max {
            let Some((_, hash)) = index.unpinned.pop_first() else {
                return Err(BlobError::NoRoom { bytes, pinned: index.bytes + index.promised, max });
            };
            if let Some(entry) = index.entries.remove(&hash) {
                index.bytes -= entry.bytes;
            }
            remove_file(&self.path(hash));
        }
        index.promised += bytes;
        Ok(Promise { blobs: self, bytes })
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.shared.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn insert(&mut self, hash: BlobHash, bytes: u64, check: Check) {
        if self.entries.contains_key(&hash) {
            return;
        }
        self.uses += 1;
        self.entries.insert(hash, Entry { bytes, used: self.uses, pins: 0, check });
        self.unpinned.insert(self.uses, hash);
        self.bytes += bytes;
    }

    fn pin(&mut self, hash: BlobHash) {
        if let Some(entry) = self.entries.get_mut(&hash) {
            entry.pins += 1;
            self.unpinned.remove(&entry.used);
        }
    }

    fn unpin(&mut self, hash: BlobHash) {
        self.uses += 1;
        let Some(entry) = self.entries.get_mut(&hash) else { return };
        entry.pins -= 1;
        if entry.pins == 0 {
            entry.used = self.uses;
            self.unpinned.insert(self.uses, hash);
        }
    }
}

impl Pinned {
    pub(crate) fn blob(&self) -> BlobRef {
        self.blob
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.blobs.path(self.blob.hash)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.blobs.index().unpin(self.blob.hash);
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        let mut index = self.pinned.blobs.index();
        let key = (self.pinned.blob.hash, self.project);
        if let Some(results) = index.shared.get_mut(&key) {
            *results -= 1;
            if *results == 0 {
                index.shared.remove(&key);
            }
        }
    }
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        self.blobs.index().promised -= self.bytes;
    }
}

impl BlobSource for Blobs {
    fn open(&self, peer: WorkerId, hash: BlobHash) -> Option<PathBuf> {
        let index = self.index();
        let mut projects = index.coordinators.iter().filter(|(_, keys)| keys.contains(&peer));
        let offered = projects.any(|(project, _)| index.shared.contains_key(&(hash, *project)));
        offered.then(|| self.path(hash))
    }
}

fn is_intact(path: &Path, hash: BlobHash) -> bool {
    let mut hasher = blake3::Hasher::new();
    let read = File::open(path).and_then(|file| hasher.update_reader(file).map(|_| ()));
    read.is_ok() && BlobHash(*hasher.finalize().as_bytes()) == hash
}

fn remove_file(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        warn!(path = %path.display(), %error, "blob not removed");
    }
}

fn write_durably(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROJECT: ProjectId = ProjectId([1; 32]);

    fn open(folder: &Path, bytes_max: u64) -> Blobs {
        Blobs::open(folder.join("blobs"), bytes_max).unwrap()
    }

    fn here(blobs: &Blobs, bytes: &[u8]) -> bool {
        blobs.find(BlobRef::of(bytes)).is_some()
    }

    #[test]
    fn the_least_recently_used_blob_makes_room_and_a_pinned_one_never() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = open(folder.path(), 30);
        let first = blobs.insert(&[1; 10]).unwrap();
        drop(blobs.insert(&[2; 10]).unwrap());
        drop(blobs.insert(&[3; 10]).unwrap());
        drop(blobs.find(BlobRef::of(&[2; 10])));
        drop(blobs.insert(&[4; 10]).unwrap());
        let left: Vec<_> = (1..=4).map(|byte| here(&blobs, &[byte; 10])).collect();
        assert_eq!(left, [true, true, false, true]);
        assert!(matches!(blobs.insert(&[5; 21]), Err(BlobError::NoRoom { pinned: 10, .. })));
        assert!(matches!(blobs.insert(&[5; 31]), Err(BlobError::TooLarge { .. })));
        drop(first);
        drop(blobs.insert(&[5; 30]).unwrap());
        assert_eq!(fs::read_dir(folder.path().join("blobs")).unwrap().count(), 1);
    }

    #[test]
    fn what_an_earlier_run_left_is_found_and_fragments_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path(), 30).insert(&[1; 10]).unwrap());
        let fragment = folder.path().join("blobs").join(".fetching-1");
        fs::write(&fragment, "half").unwrap();
        let blobs = open(folder.path(), 30);
        assert!(here(&blobs, &[1; 10]));
        assert!(!fragment.exists());
    }

    #[test]
    fn a_blob_that_the_disk_has_changed_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = open(folder.path(), 30).insert(&[1; 10]).unwrap().path();
        fs::write(&path, [2; 10]).unwrap();
        let blobs = open(folder.path(), 30);
        assert!(!here(&blobs, &[1; 10]));
        assert!(!path.exists());
        drop(blobs.insert(&[1; 10]).unwrap());
        assert!(here(&blobs, &[1; 10]));
    }

    #[test]
    fn an_output_is_given_to_its_projects_coordinators_while_it_is_offered() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = open(folder.path(), 30);
        let (coordinator, stranger) = (WorkerId([2; 32]), WorkerId([3; 32]));
        blobs.set_coordinators(PROJECT, &[coordinator]);
        blobs.set_coordinators(ProjectId([9; 32]), &[stranger]);
        let pinned = blobs.insert(&[1; 10]).unwrap();
        let hash = pinned.blob().hash;
        assert_eq!(blobs.open(coordinator, hash), None);
        let offered = blobs.offer(pinned, PROJECT);
        assert!(blobs.open(coordinator, hash).is_some_and(|path| path.exists()));
        assert_eq!(blobs.open(stranger, hash), None);
        drop(offered);
        assert_eq!(blobs.open(coordinator, hash), None);
    }
}
