//! Small files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Puts `bytes` at `path`, in place of what was there: readable by its owner alone, synced to
/// disk, and never seen half written.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().expect("a file in a folder");
    // The file is made with mode 0600.
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(folder)
}

/// Makes a folder that its owner alone may enter, unless it is there, and those above it. Their
/// names survive a power cut, also when they were made by an earlier attempt that was broken off.
pub(crate) fn create_private_folder(folder: &Path) -> io::Result<()> {
    create_private_folder_unsynced(folder)?;
    folder.ancestors().try_for_each(sync_name)
}

/// Makes such a folder for whoever syncs its name with those of others.
pub(crate) fn create_private_folder_unsynced(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes the name of `path` survive a power cut.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    let synced = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => sync_folder(Path::new(".")),
        Some(folder) => sync_folder(folder),
        None => Ok(()),
    };
    match synced.as_ref().map_err(io::Error::kind) {
        // A folder that this user may pass and not read is for others to sync; one of a file system
        // that can sync none (EINVAL), such as an automounter's, has nothing to sync.
        Err(io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) => Ok(()),
        _ => synced,
    }
}

/// Makes new and changed names in `folder` survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
