//! Systems that are not asked yet.

use std::path::Path;

/// Nothing is known of the file system at any path.
pub(crate) fn file_system(_path: &Path) -> Option<(u64, Option<String>)> {
    None
}

/// Nothing is known of this machine's name.
pub(crate) fn host_name() -> Option<String> {
    None
}

/// Nothing is known of what is free at any path.
pub(crate) fn free_bytes(_path: &Path) -> Option<u64> {
    None
}
