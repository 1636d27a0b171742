//! Items that are whole files: from a blob into a unit's inputs without being held in memory.

use gleaner_protocol::{BlobRef, Payload};
use rmp::encode as messagepack;
use serde_bytes::ByteBuf;
use tokio::io::AsyncReadExt;

use super::READ_BYTES;
use crate::blobs::{BlobError, Blobs};

/// An item whose last field holds the bytes of a blob.
pub(super) struct WholeFile<'a> {
    /// The file's name, for the field `name`.
    pub(super) name: Option<&'a str>,
    /// The field of the bytes.
    pub(super) field: &'a str,
    pub(super) blob: BlobRef,
}

impl WholeFile<'_> {
    /// The item's map.
    pub(super) async fn materialise(&self, blobs: &Blobs) -> Result<ByteBuf, BlobError> {
        let mut item = self.head();
        item.extend_from_slice(&blobs.read(self.blob.hash).await?);
        Ok(ByteBuf::from(item))
    }

    /// The inputs of a unit of this item alone, as a blob.
    pub(super) async fn payload(&self, blobs: &Blobs) -> Result<Payload, BlobError> {
        let head = self.head();
        let item_bytes = head.len() as u64 + self.blob.bytes;
        let mut before = Vec::new();
        write(messagepack::write_array_len(&mut before, 1));
        write(messagepack::write_bin_len(&mut before, length(item_bytes)));
        before.extend_from_slice(&head);

        let mut scratch = blobs.scratch().await?;
        scratch.write(&before).await?;
        let mut file = blobs.open_file(self.blob.hash).await?;
        let mut buffer = vec![0; READ_BYTES];
        let mut left = self.blob.bytes;
        while left > 0 {
            let read_error = |source| BlobError::Read { hash: self.blob.hash, source };
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(READ_BYTES);
            let read = file.read_exact(&mut buffer[..wanted]).await.map_err(read_error)?;
            scratch.write(&buffer[..read]).await?;
            left -= read as u64;
        }
        scratch.keep().await.map(Payload::Blob)
    }

    /// The item's map up to the blob's own bytes.
    fn head(&self) -> Vec<u8> {
        let mut head = Vec::new();
        write(messagepack::write_map_len(&mut head, 1 + u32::from(self.name.is_some())));
        if let Some(name) = self.name {
            write(messagepack::write_str(&mut head, "name"));
            write(messagepack::write_str(&mut head, name));
        }
        write(messagepack::write_str(&mut head, self.field));
        write(messagepack::write_bin_len(&mut head, length(self.blob.bytes)));
        head
    }
}

fn write<T, E: std::fmt::Debug>(written: Result<T, E>) {
    written.expect("a vector takes what is written");
}

fn length(bytes: u64) -> u32 {
    u32::try_from(bytes).expect("an item that is a file has at most 1 GiB")
}
