//! What Linux says of file systems and hosts.

use std::fs;
use std::path::Path;

use crate::file_system::{FUSE, mounted_type};

/// The magic number of the file system at `path` and, for one in user space, its type; `None` when
/// there is nothing at `path`.
pub(crate) fn file_system(path: &Path) -> Option<(u64, Option<String>)> {
    // A relative path's first ancestor is the empty one: the working folder.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    // The number is an unsigned one of 32 bits in a word that may be signed.
    let magic = rustix::fs::statfs(path).ok()?.f_type as u64 & 0xFFFF_FFFF;
    if magic != FUSE {
        return Some((magic, None));
    }
    Some((magic, type_of(path)))
}

fn type_of(path: &Path) -> Option<String> {
    let device = rustix::fs::stat(path).ok()?.st_dev;
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    mounted_type(&mountinfo, major, minor).map(str::to_owned)
}

/// What this machine is called.
pub(crate) fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// How many bytes a user may still write to the file system at `path`.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(path).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}
