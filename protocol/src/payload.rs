//! What a unit takes and gives: one run of bytes for each of its items.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::limits::INLINE_BYTES_MAX;
use crate::{BlobHash, BlobRef, wire};

/// The bytes of each item of a unit, in order: inside the message when small, else by hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// The bytes themselves, one entry for each item.
    Inline(Vec<ByteBuf>),
    /// A blob that holds [`Payload::encode_items`] of the entries.
    Blob(BlobRef),
}

impl Payload {
    /// The entries as one run of bytes: what a blob of them holds, and what is hashed.
    pub fn encode_items(items: &[ByteBuf]) -> Vec<u8> {
        wire::encode(items)
    }

    /// The entries back from [`Payload::encode_items`].
    ///
    /// # Errors
    /// When `bytes` is something else.
    pub fn decode_items(bytes: &[u8]) -> Result<Vec<ByteBuf>, wire::DecodeError> {
        wire::decode(bytes)
    }

    /// Whether `items` are small enough to travel inside a message.
    pub fn fits_inline(items: &[ByteBuf]) -> bool {
        let bytes: usize = items.iter().map(|item| item.len() + 5).sum();
        bytes <= INLINE_BYTES_MAX
    }

    /// The hash of the encoded entries: the same whether they travel inline or as a blob.
    pub fn hash(&self) -> BlobHash {
        match self {
            Self::Inline(items) => BlobHash::of(&Self::encode_items(items)),
            Self::Blob(blob) => blob.hash,
        }
    }
}
