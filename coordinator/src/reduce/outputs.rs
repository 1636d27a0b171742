//! The outputs of one unit, item by item, wherever they are.

use std::path::Path;

use gleaner_protocol::Payload;
use rmp::Marker;
use serde_bytes::ByteBuf;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, BufReader};

use super::ReduceError;
use crate::blobs::{BlobError, Blobs};

/// A cursor that holds one item's output in memory at a time when they are in a blob.
#[derive(Debug)]
pub(super) enum UnitOutputs {
    Inline(std::vec::IntoIter<ByteBuf>),
    Blob { file: BufReader<File>, length: u64, left: u32 },
}

/// What a blob of outputs is not.
#[derive(Debug, thiserror::Error)]
#[error("not a list of outputs")]
struct NotOutputs;

impl UnitOutputs {
    pub(super) async fn open(payload: Payload, blobs: &Blobs) -> Result<Self, ReduceError> {
        let blob = match payload {
            Payload::Inline(items) => return Ok(Self::Inline(items.into_iter())),
            Payload::Blob(blob) => blob,
        };
        let mut file = BufReader::new(blobs.open_file(blob.hash).await?);
        let left = read_header(&mut file, Kind::List).await;
        let left = left.map_err(|source| BlobError::Read { hash: blob.hash, source })?;
        Ok(Self::Blob { file, length: blob.bytes, left })
    }

    /// The next item's output, or `None` after the last.
    pub(super) async fn next(&mut self) -> std::io::Result<Option<ByteBuf>> {
        match self {
            Self::Inline(items) => Ok(items.next()),
            Self::Blob { left: 0, .. } => Ok(None),
            Self::Blob { file, length, left } => {
                let bytes = read_header(file, Kind::Bytes).await?;
                if u64::from(bytes) > *length {
                    return Err(not_outputs());
                }
                let mut output = vec![0; bytes as usize];
                file.read_exact(&mut output).await?;
                *left -= 1;
                Ok(Some(ByteBuf::from(output)))
            }
        }
    }
}

/// How many outputs a file holds: what [`gleaner_protocol::Payload::encode_items`] wrote, whole and
/// nothing else. One output is held in memory at a time.
///
/// # Errors
/// When it cannot be read, or holds something else.
pub(crate) async fn count_outputs(path: &Path) -> std::io::Result<u64> {
    let file = File::open(path).await?;
    let length = file.metadata().await?.len();
    let mut file = BufReader::new(file);
    let left = read_header(&mut file, Kind::List).await?;
    let mut outputs = UnitOutputs::Blob { file, length, left };
    while outputs.next().await?.is_some() {}
    let UnitOutputs::Blob { mut file, .. } = outputs else { return Err(not_outputs()) };
    match file.read(&mut [0]).await? {
        0 => Ok(u64::from(left)),
        _ => Err(not_outputs()),
    }
}

#[derive(Clone, Copy)]
enum Kind {
    List,
    Bytes,
}

/// The length in the MessagePack header of a list or of bytes.
async fn read_header(file: &mut BufReader<File>, kind: Kind) -> std::io::Result<u32> {
    Ok(match (kind, Marker::from_u8(file.read_u8().await?)) {
        (Kind::List, Marker::FixArray(length)) => length.into(),
        (Kind::List, Marker::Array16) | (Kind::Bytes, Marker::Bin16) => {
            file.read_u16().await?.into()
        }
        (Kind::List, Marker::Array32) | (Kind::Bytes, Marker::Bin32) => file.read_u32().await?,
        (Kind::Bytes, Marker::Bin8) => file.read_u8().await?.into(),
        _ => return Err(not_outputs()),
    })
}

fn not_outputs() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, NotOutputs)
}
