//! Blobs between peers: asked for by hash, verified while they stream.
//!
//! ```text
//! fetcher                               server
//!   BlobRequest { hash, bytes, offset } ──►
//!   ◄──────────────── BlobAnswer::Serving | Unavailable
//!   ◄──────────────── hashes and bytes, a chunk group of 16 KiB after another
//! ```
//! The stream of hashes and bytes is bao's (J. O'Connor and others, the BLAKE3 and bao
//! specifications) with chunk groups as in the `bao-tree` crate: no byte is written to disk before
//! a path of hashes has tied it to the blob's. Only who may have a blob is asked of
//! [`BlobSource`]; deliberately absent is any list of what there is.

pub(crate) mod fetch;
mod outboard;
mod serve;

use std::path::PathBuf;

use bao_tree::{BaoTree, BlockSize};
use gleaner_protocol::{BlobHash, BlobRef, WorkerId};
use libp2p::StreamProtocol;
use serde::{Deserialize, Serialize};

pub use fetch::{FetchError, PARTIAL_PREFIX};
pub(crate) use serve::BlobServer;

/// The name of the protocol on the wire, with its version.
pub(crate) const BLOB: StreamProtocol = StreamProtocol::new("/gleaner/blob/1");

/// Chunk groups of 2⁴ chunks of 1 KiB.
const GROUP: BlockSize = BlockSize::from_chunk_log(4);

/// The bytes of a chunk group.
const GROUP_BYTES: u64 = GROUP.bytes() as u64;

/// What a node serves, and to whom.
pub trait BlobSource: Send + Sync + 'static {
    /// The file that holds the blob `hash`, if there is one and `peer` may have it. The file must
    /// not change while it is there. Called outside the async tasks, so it may block for a while.
    fn open(&self, peer: WorkerId, hash: BlobHash) -> Option<PathBuf>;
}

/// Asks for a blob, from `offset` to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BlobRequest {
    blob: BlobRef,
    /// Where to begin: a multiple of [`GROUP_BYTES`] before the end, or 0.
    offset: u64,
}

/// What comes before the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum BlobAnswer {
    /// The bytes follow.
    Serving {
        /// The length of the whole blob.
        bytes: u64,
    },
    /// It is not here, or not for this peer; which of the two is not said.
    Unavailable,
}

impl BlobRequest {
    /// Whether any blob could be asked for in this way.
    const fn is_sound(&self) -> bool {
        let Self { blob, offset } = *self;
        offset == 0 || (offset % GROUP_BYTES == 0 && offset < blob.bytes)
    }
}

fn tree_of(blob: BlobRef) -> BaoTree {
    BaoTree::new(blob.bytes, GROUP)
}

#[cfg(test)]
mod tests;
