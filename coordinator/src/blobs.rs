//! Blobs by their BLAKE3 hash: modules, files of jobs, large outputs, files of results.
//!
//! Invariants: a blob that is there is whole, has the hash it is called by, and survived an
//! `fsync` of its bytes and of its folder; it never changes. Bytes are hashed while they stream
//! in, so that memory is bounded whatever their length.
//!
//! Kept through the object_store crate, so that S3 and its kin can take the place of the local
//! folder: what needs a real file ([`Blobs::path`], [`Scratch`]) says so. Deliberately absent: who
//! may read a blob.

mod error;
mod hold;
mod scratch;
mod shelves;
#[cfg(test)]
mod tests;
mod uses;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use gleaner_protocol::limits::BLOB_BYTES_MAX;
use gleaner_protocol::{BlobHash, BlobRef};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};

use crate::files::sync_name;
use error::is_disk_full;
use shelves::Shelves;

pub use error::BlobError;
pub(crate) use hold::{Hold, Removals};
pub use scratch::{BlobsApart, Scratch};
pub(crate) use uses::{Fate, UNUSED_FOR, Uses};

/// How much of a stream is gathered before it is written: large enough for a disk, small enough
/// for many uploads at once.
const PART_BYTES: usize = 1024 * 1024;

/// Where files stand that are not blobs yet, below the blobs' own folder so that they can be
/// renamed into place.
const SCRATCH_FOLDER: &str = "incoming";

/// Where files stand that were made from blobs and can be made again, in the same place for the
/// same reason.
const DERIVED_FOLDER: &str = "derived";

/// The blobs of one coordinator. Clones share them.
#[derive(Clone, Debug)]
pub struct Blobs {
    store: Arc<LocalFileSystem>,
    folder: Arc<Path>,
    scratch_count: Arc<AtomicU64>,
    uses: Uses,
    shelves: Shelves,
}

impl Blobs {
    /// The blobs in `folder`, which is made when it is not there. What uploads left unfinished
    /// when a process died is removed, and so is what was derived from blobs; so only one process
    /// may use a folder: the store's lock sees to that.
    ///
    /// # Errors
    /// [`BlobError::Io`] or [`BlobError::Store`] when the folder cannot be used.
    pub fn open(folder: &Path) -> Result<Self, BlobError> {
        let io_error = |source| BlobError::Io { folder: folder.to_owned(), source };
        for emptied in [SCRATCH_FOLDER, DERIVED_FOLDER] {
            let emptied = folder.join(emptied);
            match std::fs::remove_dir_all(&emptied) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error(error));
                }
                _ => std::fs::create_dir_all(&emptied).map_err(io_error)?,
            }
        }
        sync_name(folder).map_err(io_error)?;
        remove_unfinished_uploads(folder).map_err(io_error)?;
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|source| BlobError::Store { folder: folder.to_owned(), source })?
            .with_fsync(true);
        let (scratch_count, uses, shelves) = (Arc::default(), Uses::default(), Shelves::default());
        Ok(Self { store: Arc::new(store), folder: folder.into(), scratch_count, uses, shelves })
    }

    /// Who uses which blobs.
    pub(crate) fn uses(&self) -> &Uses {
        &self.uses
    }

    /// How many bytes are free on the disk that holds them, for this user.
    ///
    /// # Errors
    /// [`BlobError::Io`] when the system does not tell.
    pub(crate) fn disk_bytes_free(&self) -> Result<u64, BlobError> {
        let disk = rustix::fs::statvfs(&*self.folder).map_err(|error| BlobError::Io {
            folder: self.folder.to_path_buf(),
            source: error.into(),
        })?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// The length of a blob, or `None` when it is not held. One that is found stays for a day, for
    /// a job to refer to.
    ///
    /// # Errors
    /// [`BlobError::Store`] when it cannot be told, [`BlobError::Io`] when it is there and cannot be
    /// made to survive a power cut.
    pub async fn find(&self, hash: BlobHash) -> Result<Option<BlobRef>, BlobError> {
        self.uses.claim(hash);
        match self.store.head(&location(hash)).await {
            Ok(meta) => {
                self.sync(hash, Shelves::sync).await?;
                Ok(Some(BlobRef { hash, bytes: meta.size }))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.store_error(error)),
        }
    }

    /// Keeps `bytes`. Keeping them again changes nothing.
    ///
    /// # Errors
    /// [`BlobError::DiskFull`], [`BlobError::Store`] or [`BlobError::Io`]. The blob may be there
    /// then, and go with a power cut; keeping it again is safe.
    pub async fn put(&self, bytes: impl Into<Bytes>) -> Result<BlobRef, BlobError> {
        let bytes = bytes.into();
        let blob = BlobRef::of(&bytes);
        let location = location(blob.hash);
        self.put_by(blob.hash, self.store.put(&location, PutPayload::from_bytes(bytes))).await?;
        Ok(blob)
    }

    /// Keeps what `stream` gives when it has the hash `expected`, holding a part of it in memory
    /// at a time. Keeping a blob again changes nothing.
    ///
    /// # Errors
    /// [`BlobError::WrongHash`], [`BlobError::TooLong`], [`BlobError::BrokenOff`],
    /// [`BlobError::DiskFull`], [`BlobError::Store`] or [`BlobError::Io`]; with the last three the
    /// blob may be there and go with a power cut, and keeping it again is safe. Nothing is kept with
    /// the others.
    pub async fn put_stream<S, E>(
        &self,
        expected: BlobHash,
        stream: S,
    ) -> Result<BlobRef, BlobError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let upload = self.store.put_multipart(&location(expected)).await;
        let mut upload = upload.map_err(|error| self.store_error(error))?;
        match self.receive(expected, stream, upload.as_mut()).await {
            Ok(bytes) => {
                self.put_by(expected, upload.complete()).await?;
                Ok(BlobRef { hash: expected, bytes })
            }
            Err(error) => {
                // What cannot be removed now is removed when the folder is opened again.
                let _ = upload.abort().await;
                Err(error)
            }
        }
    }

    /// The length of what was received, when it has the expected hash.
    async fn receive<S, E>(
        &self,
        expected: BlobHash,
        stream: S,
        upload: &mut dyn MultipartUpload,
    ) -> Result<u64, BlobError>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut stream = std::pin::pin!(stream);
        let mut hasher = blake3::Hasher::new();
        let mut part = BytesMut::new();
        while let Some(bytes) = stream.next().await {
            let bytes = bytes.map_err(|error| BlobError::BrokenOff { source: error.into() })?;
            hasher.update(&bytes);
            if hasher.count() > BLOB_BYTES_MAX {
                return Err(BlobError::TooLong { max: BLOB_BYTES_MAX });
            }
            part.extend_from_slice(&bytes);
            if part.len() >= PART_BYTES {
                self.put_part(upload, part.split().freeze()).await?;
            }
        }
        self.put_part(upload, part.freeze()).await?;
        let found = BlobHash(*hasher.finalize().as_bytes());
        if found == expected {
            return Ok(hasher.count());
        }
        Err(BlobError::WrongHash { expected, found })
    }

    async fn put_part(
        &self,
        upload: &mut dyn MultipartUpload,
        part: Bytes,
    ) -> Result<(), BlobError> {
        let put = upload.put_part(PutPayload::from_bytes(part)).await;
        put.map_err(|error| self.store_error(error))
    }

    /// All the bytes of a blob that is known to be small enough to hold.
    ///
    /// # Errors
    /// [`BlobError::Missing`] or [`BlobError::Store`].
    pub async fn read(&self, hash: BlobHash) -> Result<Bytes, BlobError> {
        let read = async { self.store.get(&location(hash)).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(bytes),
            Err(object_store::Error::NotFound { .. }) => Err(BlobError::Missing { hash }),
            Err(error) => Err(self.store_error(error)),
        }
    }

    /// A blob opened for reading.
    ///
    /// # Errors
    /// [`BlobError::Missing`] or [`BlobError::Io`].
    pub async fn open_file(&self, hash: BlobHash) -> Result<tokio::fs::File, BlobError> {
        match tokio::fs::File::open(self.path_of(hash)).await {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(BlobError::Missing { hash })
            }
            Err(error) => Err(self.io_error(error)),
        }
    }

    /// The file of a blob that is held, for a server or a child process that opens it by itself.
    pub fn path(&self, hash: BlobHash) -> Option<PathBuf> {
        Some(self.path_of(hash)).filter(|path| path.is_file())
    }

    /// A path where nothing is yet, for someone else to write a whole file to that
    /// [`Blobs::adopt`] then takes. What is not taken is removed when the folder is opened again.
    pub fn scratch_path(&self) -> PathBuf {
        let number = self.scratch_count.fetch_add(1, Ordering::Relaxed);
        self.folder.join(SCRATCH_FOLDER).join(number.to_string())
    }

    /// Where a file that is made from the blob `hash` belongs: moved there from a
    /// [`Blobs::scratch_path`], so that it is whole or absent. It may vanish and need not be synced:
    /// whoever wants it makes it again.
    pub fn derived_path(&self, hash: BlobHash) -> PathBuf {
        self.folder.join(DERIVED_FOLDER).join(hash.to_string())
    }

    /// Removes what was made from the blob `hash`.
    pub fn remove_derived(&self, hash: BlobHash) {
        // Mostly there is none; what cannot be removed now is removed when the folder is opened
        // again.
        let _ = std::fs::remove_file(self.derived_path(hash));
    }

    /// Takes the file at `path`, a path from [`Blobs::scratch_path`], as the blob `hash`. Whoever
    /// wrote it has checked its hash and synced it to disk, as the network's fetch does.
    ///
    /// # Errors
    /// [`BlobError::DiskFull`] or [`BlobError::Store`] when it cannot be renamed into place for good,
    /// [`BlobError::Io`] when its shelf cannot be made to survive a power cut. It may be in its place
    /// then, and go with a power cut; adopting the same bytes from another path is safe.
    pub async fn adopt(&self, path: &Path, hash: BlobHash) -> Result<(), BlobError> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let from = Location::from_iter([SCRATCH_FOLDER, name]);
        self.put_by(hash, self.store.rename(&from, &location(hash))).await
    }

    /// Has `put` put a blob onto its shelf.
    async fn put_by<T>(
        &self,
        hash: BlobHash,
        put: impl Future<Output = object_store::Result<T>>,
    ) -> Result<(), BlobError> {
        self.uses.claim(hash);
        let shelf = location_parts(hash).0;
        self.shelves.on_put(shelf.as_ref());
        let put = put.await;
        // Not when this is dropped meanwhile: the thread that the store gave it to goes on.
        self.shelves.on_put_end(shelf.as_ref());
        put.map_err(|error| self.store_error(error))?;
        if self.shelves.is_named(shelf.as_ref()) {
            return Ok(());
        }
        self.sync(hash, Shelves::sync_name).await
    }

    /// Makes names around a blob that is there survive a power cut.
    async fn sync(
        &self,
        hash: BlobHash,
        sync: fn(&Shelves, &Path) -> io::Result<()>,
    ) -> Result<(), BlobError> {
        let shelves = self.shelves.clone();
        let shelf = self.folder.join(location_parts(hash).0);
        let task = tokio::task::spawn_blocking(move || sync(&shelves, &shelf));
        // A runtime that ends does not begin what it has queued.
        let synced = task.await.unwrap_or_else(|ended| Err(ended.into()));
        synced.map_err(|error| self.io_error(error))
    }

    /// Has the file at `path`, which has the hash `hash`, as a blob without copying its bytes. For
    /// blobs that go before the file can change: nothing of what this module promises holds of it
    /// afterwards.
    ///
    /// # Errors
    /// [`BlobError::Io`] or [`BlobError::Store`].
    pub async fn borrow(&self, path: &Path, hash: BlobHash) -> Result<(), BlobError> {
        let link = self.scratch_path();
        let linked = std::path::absolute(path).and_then(|path| link_or_copy(&path, &link));
        linked.map_err(|error| self.io_error(error))?;
        self.adopt(&link, hash).await
    }

    /// Removes a blob that is condemned, and what was made from it; gives it if it was.
    ///
    /// # Errors
    /// [`BlobError::Io`] when the file cannot be removed; it stays, and so does the condemnation's
    /// reason.
    pub(crate) fn remove_condemned(&self, hash: BlobHash) -> Result<Option<BlobRef>, BlobError> {
        let removed = self.uses.execute(hash, || {
            self.remove_derived(hash);
            let path = self.path_of(hash);
            let bytes = path.metadata()?.len();
            std::fs::remove_file(path).map(|()| bytes)
        });
        match removed {
            None => Ok(None),
            Some(Ok(bytes)) => Ok(Some(BlobRef { hash, bytes })),
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Some(BlobRef { hash, bytes: 0 }))
            }
            Some(Err(error)) => Err(self.io_error(error)),
        }
    }

    /// The names of the folders that blobs lie in.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub(crate) fn shelves(&self) -> Result<Vec<PathBuf>, BlobError> {
        let list = || -> io::Result<Vec<PathBuf>> {
            let entries = std::fs::read_dir(&self.folder)?.collect::<io::Result<Vec<_>>>()?;
            let is_shelf = |path: &PathBuf| path.file_name().is_some_and(|name| name.len() == 2);
            Ok(entries.iter().map(std::fs::DirEntry::path).filter(is_shelf).collect())
        };
        list().map_err(|error| self.io_error(error))
    }

    /// The blobs in one of these folders that have lain there for `age`.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub(crate) fn older_than(
        &self,
        shelf: &Path,
        age: std::time::Duration,
    ) -> Result<Vec<BlobHash>, BlobError> {
        let before = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        let list = || -> io::Result<Vec<BlobHash>> {
            let mut old = Vec::new();
            for entry in std::fs::read_dir(shelf)? {
                let entry = entry?;
                let (folder, name) = (shelf.file_name().unwrap_or_default(), entry.file_name());
                let name = format!("{}{}", folder.to_string_lossy(), name.to_string_lossy());
                // What is on its way to becoming a blob has another kind of name.
                if let Ok(hash) = name.parse()
                    && entry.metadata()?.modified()? < before
                {
                    old.push(hash);
                }
            }
            Ok(old)
        };
        list().map_err(|error| self.io_error(error))
    }

    /// Leave to remove blobs while it is held; none while another process reads them whole.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub(crate) fn removals(&self) -> Result<Option<Removals>, BlobError> {
        Removals::begin(&self.folder).map_err(|error| self.io_error(error))
    }

    fn path_of(&self, hash: BlobHash) -> PathBuf {
        path_in(&self.folder, hash)
    }

    fn store_error(&self, source: object_store::Error) -> BlobError {
        if is_disk_full(&source) {
            return BlobError::DiskFull { folder: self.folder.to_path_buf() };
        }
        BlobError::Store { folder: self.folder.to_path_buf(), source }
    }

    pub(crate) fn io_error(&self, source: io::Error) -> BlobError {
        if is_disk_full(&source) {
            return BlobError::DiskFull { folder: self.folder.to_path_buf() };
        }
        BlobError::Io { folder: self.folder.to_path_buf(), source }
    }
}

#[cfg(unix)]
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(from, to)
}

/// Links need rights there that users do not have.
#[cfg(not(unix))]
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::copy(from, to).map(drop)
}

/// Folders of two digits, so that none holds millions of files.
fn location_parts(hash: BlobHash) -> (String, String) {
    let mut folder = hash.to_string();
    let name = folder.split_off(2);
    (folder, name)
}

/// Where a blob lies in the folder of blobs.
pub(crate) fn path_in(folder: &Path, hash: BlobHash) -> PathBuf {
    let (shelf, name) = location_parts(hash);
    folder.join(shelf).join(name)
}

fn location(hash: BlobHash) -> Location {
    let (folder, name) = location_parts(hash);
    Location::from_iter([folder, name])
}

/// The local object store writes to `NAME#NUMBER` first; a crash leaves such files behind.
fn remove_unfinished_uploads(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(entry.path())? {
            let file = file?;
            if file.file_name().to_string_lossy().contains('#') {
                std::fs::remove_file(file.path())?;
            }
        }
    }
    Ok(())
}
