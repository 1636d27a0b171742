//! Bytes read from a file, hashed on their way and given on.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use gleaner_protocol::{BlobHash, BlobRef};

use super::BlobFault;
use super::unfinished::create_private_file;

/// How much is read at a time.
const PART_BYTES: usize = 1024 * 1024;

/// Why bytes did not get through.
#[derive(Debug)]
pub(super) enum PourError {
    /// They could not be read.
    Read(io::Error),
    /// They could not be given on.
    Write(io::Error),
}

impl PourError {
    /// What the system says, where it is the same who said it.
    pub(super) fn into_io(self) -> io::Error {
        match self {
            Self::Read(error) | Self::Write(error) => error,
        }
    }
}

/// Gives all bytes of `from` on to `to`, and says what they were. `poured` hears of each part's
/// length.
pub(super) fn pour(
    mut from: impl Read,
    mut to: impl Write,
    poured: &mut dyn FnMut(u64),
) -> Result<BlobRef, PourError> {
    let mut hasher = blake3::Hasher::new();
    let mut part = vec![0; PART_BYTES];
    loop {
        let bytes = match from.read(&mut part) {
            Ok(0) => break,
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(PourError::Read(error)),
        };
        hasher.update(&part[..bytes]);
        to.write_all(&part[..bytes]).map_err(PourError::Write)?;
        poured(bytes as u64);
    }
    Ok(BlobRef { hash: BlobHash(*hasher.finalize().as_bytes()), bytes: hasher.count() })
}

/// What is wrong with the file at `path`, which is to be `expected`; its length is looked at first.
pub(super) fn inspect(
    path: &Path,
    expected: BlobRef,
    poured: &mut dyn FnMut(u64),
) -> Option<BlobFault> {
    let file = match open(path, expected) {
        Ok(file) => file,
        Err(fault) => return Some(fault),
    };
    match pour(file, io::sink(), poured) {
        Ok(found) => BlobFault::between(expected, found),
        Err(error) => Some(BlobFault::Unreadable(error.into_io().to_string())),
    }
}

/// The file at `path`, if it is there and has the length that it must have.
pub(super) fn open(path: &Path, expected: BlobRef) -> Result<File, BlobFault> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => BlobFault::Missing,
        _ => BlobFault::Unreadable(error.to_string()),
    };
    let file = File::open(path).map_err(unreadable)?;
    match file.metadata().map_err(unreadable)?.len() {
        bytes if bytes == expected.bytes => Ok(file),
        bytes => Err(BlobFault::Length { bytes, expected: expected.bytes }),
    }
}

/// Why a file was not copied.
#[derive(Debug)]
pub(super) enum CopyError {
    /// It is not what it must be.
    Source(BlobFault),
    /// The copy cannot be written.
    Target(io::Error),
}

/// Copies the file at `path`, which is to be `expected`, to the new file `target`, synced to disk.
pub(super) fn copy(
    path: &Path,
    expected: BlobRef,
    target: &Path,
    poured: &mut dyn FnMut(u64),
) -> Result<(), CopyError> {
    let from = open(path, expected).map_err(CopyError::Source)?;
    let mut to = create_private_file(target).map_err(CopyError::Target)?;
    let found = pour(from, &mut to, poured).map_err(|error| match error {
        PourError::Read(error) => CopyError::Source(BlobFault::Unreadable(error.to_string())),
        PourError::Write(error) => CopyError::Target(error),
    })?;
    if let Some(fault) = BlobFault::between(expected, found) {
        return Err(CopyError::Source(fault));
    }
    to.sync_all().map_err(CopyError::Target)
}
