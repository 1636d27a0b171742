//! How much fits onto a disk.

use std::path::Path;

use crate::platform;

/// How many bytes this user may still write to the disk that holds `folder`, which is there; `None`
/// where the system does not tell.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    platform::free_bytes(folder)
}
