//! Outboards, the inner hashes of a blob: 64 bytes for each 16 KiB, computed when a blob is first
//! served and kept while it is served often.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader};
use std::sync::{Mutex, PoisonError};

use bao_tree::io::outboard::{PreOrderMemOutboard, PreOrderOutboard};
use bao_tree::io::sync::CreateOutboard;
use bytes::Bytes;
use gleaner_protocol::{BlobHash, BlobRef};

use super::GROUP;

/// The outboard of one blob; clones share the hashes.
pub(super) type Outboard = PreOrderMemOutboard<Bytes>;

/// The outboards used last, of at most so many bytes together.
#[derive(Debug)]
pub(super) struct OutboardCache {
    bytes_max: usize,
    kept: Mutex<VecDeque<(BlobHash, Outboard)>>,
}

impl OutboardCache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::default() }
    }

    pub(super) fn find(&self, hash: BlobHash) -> Option<Outboard> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let position = kept.iter().position(|(kept, _)| *kept == hash)?;
        let entry = kept.remove(position)?;
        let outboard = entry.1.clone();
        kept.push_front(entry);
        Some(outboard)
    }

    pub(super) fn insert(&self, hash: BlobHash, outboard: Outboard) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(kept, _)| *kept != hash);
        kept.push_front((hash, outboard));
        let mut bytes = 0;
        kept.retain(|(_, outboard)| {
            bytes += outboard.data.len() + size_of::<(BlobHash, Outboard)>();
            bytes <= self.bytes_max
        });
    }
}

/// Computes the outboard of what is in `file`, which must be `blob`.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] when the file holds something else.
pub(super) fn compute(file: &File, blob: BlobRef) -> io::Result<Outboard> {
    let reader = BufReader::with_capacity(1 << 20, file);
    let PreOrderOutboard { root, tree, data } =
        PreOrderOutboard::<Vec<u8>>::create_sized(reader, blob.bytes, GROUP)?;
    if *root.as_bytes() != blob.hash.0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is not the blob"));
    }
    Ok(PreOrderMemOutboard { root, tree, data: data.into() })
}
