//! A [`Disk`] as a file system that any process can use.
//!
//! The kernel keeps pages of files (no `direct_io`), so that files can be mapped into memory as
//! SQLite maps the index of its log; every write of a process still comes here before it returns,
//! and every sync. Locks are the kernel's own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use end_to_end::wait_until;
use fuser::{
    BackgroundSession, BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request,
    TimeOrNow, WriteFlags,
};
use rustix::io::Errno as SystemError;
use rustix::mount::{UnmountFlags, unmount};

use crate::Disk;
use crate::disk::{Inner, Node};
use crate::file::Contents;
use crate::folder::Names;

/// Nobody else changes the disk, so what the kernel knows stays true.
const KNOWN_FOR: Duration = Duration::from_secs(3600);

/// How long processes that were killed may take to let go of their files.
const LET_GO_LIMIT: Duration = Duration::from_secs(20);

const BLOCK_BYTES: u32 = 4096;

/// As large as no test needs: 4 GiB.
const BLOCKS: u64 = 1 << 20;

/// A disk at a path. Dropped, it is there no more.
pub struct Mount {
    disk: SharedDisk,
    path: PathBuf,
    session: Option<BackgroundSession>,
}

#[derive(Clone)]
struct SharedDisk {
    disk: Arc<Mutex<Disk>>,
    hold: Arc<Mutex<Hold>>,
}

/// Whether a sync of a file is kept waiting.
enum Hold {
    Nothing,
    Next,
    Sync(INodeNo, ReplyEmpty),
}

/// Why no file system can be mounted here; `None` when one can.
pub fn refusal() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("a file system of one's own needs root to be mounted".to_owned());
    }
    if !Path::new("/dev/fuse").exists() {
        return Some(
            "there is no /dev/fuse: `modprobe fuse`, or run with `--device /dev/fuse`".into(),
        );
    }
    let probe = || -> Result<()> {
        let folder = tempfile::tempdir()?;
        Mount::new(Disk::new(None), folder.path())?.end().map(drop)
    };
    let error = probe().err()?;
    Some(format!("no file system can be mounted here (CAP_SYS_ADMIN is needed): {error:#}"))
}

impl Mount {
    /// Puts `disk` at the folder `path`.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new(disk: Disk, path: &Path) -> Result<Self> {
        let hold = Arc::new(Mutex::new(Hold::Nothing));
        let disk = SharedDisk { disk: Arc::new(Mutex::new(disk)), hold };
        let mut config = fuser::Config::default();
        config.mount_options = vec![MountOption::FSName("gleaner-faults".to_owned())];
        let session = fuser::spawn_mount(disk.clone(), path, &config);
        let session = session.with_context(|| format!("cannot mount {}", path.display()))?;
        Ok(Self { disk, path: path.to_owned(), session: Some(session) })
    }

    /// The disk.
    pub fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock()
    }

    /// Has the next sync of a file wait until it is let go; whatever else is asked of the disk goes
    /// on.
    pub fn hold_next_sync(&self) {
        *self.disk.hold() = Hold::Next;
    }

    /// Whether a sync waits.
    pub fn holds_sync(&self) -> bool {
        matches!(*self.disk.hold(), Hold::Sync(..))
    }

    /// Lets the sync that waits happen.
    pub fn let_go(&self) {
        let held = std::mem::replace(&mut *self.disk.hold(), Hold::Nothing);
        if let Hold::Sync(ino, reply) = held {
            reply_empty(reply, self.disk.lock().sync(ino.0));
        }
    }

    /// Takes the disk away, once nobody uses it any more.
    ///
    /// # Errors
    /// When somebody still does after a while.
    pub fn end(mut self) -> Result<Disk> {
        let session = self.session.take().context("it is mounted until its end")?;
        wait_until("the end of whoever uses the disk", LET_GO_LIMIT, || {
            match unmount(&self.path, UnmountFlags::empty()) {
                Ok(()) => Ok(Some(())),
                Err(SystemError::BUSY) => Ok(None),
                Err(error) => Err(error).context("cannot unmount"),
            }
        })?;
        session.join().context("the file system's thread failed")?;
        let disk = std::mem::replace(&mut *self.disk.lock(), Disk::new(None));
        Ok(disk)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.session.take().is_some() {
            // There is nobody left to tell.
            let _ = unmount(&self.path, UnmountFlags::DETACH);
        }
    }
}

impl SharedDisk {
    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attributes(&self, number: u64) -> Result<FileAttr, Errno> {
        Ok(attributes(number, self.lock().node(number)?))
    }

    fn make(
        &self,
        folder: INodeNo,
        name: &OsStr,
        inner: Inner,
        mode: u32,
        umask: u32,
    ) -> Result<FileAttr, Errno> {
        let mode = (mode & !umask & 0o7777) as u16;
        let number = self.lock().make(folder.0, name, inner, mode)?;
        self.attributes(number)
    }
}

fn attributes(number: u64, node: &Node) -> FileAttr {
    let (kind, size) = match &node.inner {
        Inner::File(contents) => (FileType::RegularFile, contents.bytes().len() as u64),
        Inner::Folder(_) => (FileType::Directory, 0),
    };
    FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: node.changed_at,
        mtime: node.changed_at,
        ctime: node.changed_at,
        crtime: node.changed_at,
        kind,
        perm: node.mode,
        nlink: node.names,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

fn reply_entry(reply: ReplyEntry, made: Result<FileAttr, Errno>) {
    match made {
        Ok(attributes) => reply.entry(&KNOWN_FOR, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn reply_attributes(reply: ReplyAttr, found: Result<FileAttr, Errno>) {
    match found {
        Ok(attributes) => reply.attr(&KNOWN_FOR, &attributes),
        Err(error) => reply.error(error),
    }
}

fn reply_empty(reply: ReplyEmpty, done: Result<(), Errno>) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for SharedDisk {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.lock().find(parent.0, name);
        reply_entry(reply, found.and_then(|number| self.attributes(number)));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply_attributes(reply, self.attributes(ino.0));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        modified_at: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let resized = size.map_or(Ok(()), |size| self.lock().resize(ino.0, size as usize));
        let changed = resized.and_then(|()| self.lock().set(ino.0, mode, modified_at));
        reply_attributes(reply, changed.and_then(|()| self.attributes(ino.0)));
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let inner = Inner::Folder(Names::default());
        reply_entry(reply, self.make(parent, name, inner, mode, umask));
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        match self.make(parent, name, Inner::File(Contents::default()), mode, umask) {
            Ok(attributes) => {
                let (handle, flags) = (FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
                reply.created(&KNOWN_FOR, &attributes, Generation(0), handle, flags);
            }
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.lock().node(ino.0) {
            Ok(_) => reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.lock().node(ino.0).map(|node| &node.inner) {
            Ok(Inner::File(contents)) => {
                let rest = contents.bytes().get(offset as usize..).unwrap_or_default();
                reply.data(&rest[..rest.len().min(size as usize)]);
            }
            Ok(Inner::Folder(_)) => reply.error(Errno::EISDIR),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut disk = self.lock();
        let written = match flags.contains(WriteFlags::FUSE_WRITE_CACHE) {
            true => disk.write_back(ino.0, offset as usize, data),
            false => disk.write(ino.0, offset as usize, data),
        };
        match written {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        if mode != 0 {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let end = (offset + length) as usize;
        let mut disk = self.lock();
        let is_shorter = disk.node(ino.0).map(|node| match &node.inner {
            Inner::File(contents) => contents.bytes().len() < end,
            Inner::Folder(_) => false,
        });
        reply_empty(
            reply,
            match is_shorter {
                Ok(true) => disk.resize(ino.0, end),
                Ok(false) => Ok(()),
                Err(error) => Err(error),
            },
        );
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let mut hold = self.hold();
        if matches!(*hold, Hold::Next) {
            *hold = Hold::Sync(ino, reply);
            return;
        }
        drop(hold);
        reply_empty(reply, self.lock().sync(ino.0));
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply_empty(reply, self.lock().sync_folder(ino.0));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn link(&self, _: &Request, ino: INodeNo, folder: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let linked = self.lock().link(ino.0, folder.0, name);
        reply_entry(reply, linked.and_then(|()| self.attributes(ino.0)));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(reply, self.lock().unlink(parent.0, name));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(reply, self.lock().remove_folder(parent.0, name));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut disk = self.lock();
        let renamed = if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            Err(Errno::EINVAL)
        } else if flags.contains(RenameFlags::RENAME_NOREPLACE)
            && disk.find(new_parent.0, new_name).is_ok()
        {
            Err(Errno::EEXIST)
        } else {
            disk.rename((parent.0, name), (new_parent.0, new_name))
        };
        reply_empty(reply, renamed);
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let disk = self.lock();
        let names = match disk.node(ino.0).and_then(Node::names) {
            Ok(names) => names,
            Err(error) => return reply.error(error),
        };
        let own = [".", ".."].map(|name| (OsStr::new(name), ino.0));
        let entries = (1..).zip(own.into_iter().chain(names.iter()));
        for (next, (name, number)) in entries.skip(offset as usize) {
            let is_folder = disk.node(number).is_ok_and(|node| node.names().is_ok());
            let kind = if is_folder { FileType::Directory } else { FileType::RegularFile };
            if reply.add(INodeNo(number), next, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCK_BYTES, 255, BLOCK_BYTES);
    }
}
