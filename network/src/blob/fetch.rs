//! Fetches a blob from one peer.

use std::io;
use std::path::{Path, PathBuf};

use bao_tree::io::DecodeError;
use bao_tree::io::fsm::{BaoContentItem, ResponseDecoder, ResponseDecoderNext};
use bao_tree::{ChunkNum, ChunkRanges, blake3};
use bytes::{Bytes, BytesMut};
use gleaner_protocol::limits::BLOB_BYTES_MAX;
use gleaner_protocol::{BlobRef, WorkerId};
use iroh_io::AsyncStreamReader;
use libp2p::Stream;
use tempfile::NamedTempFile;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};
use tracing::debug;

use super::{BLOB, BlobAnswer, BlobRequest, tree_of};
use crate::backoff::Backoff;
use crate::frame::{FrameReader, FrameWriter, ReceiveError, SendError, Violation};
use crate::key_file::{folder_of, sync_folder};
use crate::limits::{
    BLOB_FRAME_BYTES_MAX, BLOB_TURN_MAX, FETCH_RESUMES_MAX, STALL_MAX, transfer_time_max,
};
use crate::node::{Node, OpenError};

/// What the name of a blob starts with while it is fetched. Whoever owns the folder may remove
/// such files at start: none is of use after a crash.
pub const PARTIAL_PREFIX: &str = ".fetching-";

/// What is gathered before it is written to disk.
const WRITE_BYTES: usize = 1 << 20;

/// Why a blob was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No blob is as long as that. A retry never helps.
    #[error("a blob of {bytes} bytes is over the limit of {max}")]
    TooLong {
        /// Its announced length.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The peer could not be reached. A retry helps if it does for the [`OpenError`].
    #[error("cannot ask {peer} for the blob {}: {source}", blob.hash)]
    Open {
        /// The peer.
        peer: WorkerId,
        /// The blob.
        blob: BlobRef,
        /// Why.
        source: OpenError,
    },
    /// The peer does not have the blob, or not for us. A retry helps only if that changes.
    #[error("{peer} does not give out the blob {}", blob.hash)]
    Unavailable {
        /// The peer.
        peer: WorkerId,
        /// The blob.
        blob: BlobRef,
    },
    /// The peer's blob of that name has another length, so it is another blob. Another peer helps.
    #[error("{peer} has {found} bytes as the blob {} of {} bytes", blob.hash, blob.bytes)]
    WrongLength {
        /// The peer.
        peer: WorkerId,
        /// The blob.
        blob: BlobRef,
        /// The length it said.
        found: u64,
    },
    /// The peer sent bytes that are not the blob's. Another peer helps.
    #[error("{peer} sent wrong bytes for the blob {} at offset {offset}", blob.hash)]
    Corrupted {
        /// The peer.
        peer: WorkerId,
        /// The blob.
        blob: BlobRef,
        /// Where the first wrong chunk group begins.
        offset: u64,
    },
    /// The peer broke the protocol. Another peer helps.
    #[error("{peer} broke the protocol over the blob {}: {violation}", blob.hash)]
    Violation {
        /// The peer.
        peer: WorkerId,
        /// The blob.
        blob: BlobRef,
        /// How.
        violation: Violation,
    },
    /// The stream broke more often than it was resumed. A retry may help.
    #[error("the transfer of the blob {} from {peer} broke off: {source}", blob.hash)]
    Interrupted {
        /// The peer.
        peer: WorkerId,
        /// The blob.
        blob: BlobRef,
        /// How it broke last.
        source: io::Error,
    },
    /// The bytes could not be stored here. A retry helps once there is room.
    #[error("cannot write {}: {source}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Fetches `blob` from `peer` into `destination`.
pub(crate) async fn fetch(
    node: &Node,
    peer: WorkerId,
    blob: BlobRef,
    destination: &Path,
) -> Result<(), FetchError> {
    if blob.bytes > BLOB_BYTES_MAX {
        return Err(FetchError::TooLong { bytes: blob.bytes, max: BLOB_BYTES_MAX });
    }
    let mut partial = Partial::create(destination).await?;
    let mut backoff = Backoff::new(u64::from_le_bytes(*first_eight(&blob)));
    let mut resumes = 0;
    loop {
        match (Fetch { node, peer, blob }).run(&mut partial).await {
            Err(FetchError::Interrupted { source, .. }) if resumes < FETCH_RESUMES_MAX => {
                resumes += 1;
                debug!(%peer, hash = %blob.hash, have = partial.bytes, %source, "resuming a blob");
                tokio::time::sleep(backoff.next()).await;
            }
            Err(error) => return Err(error),
            Ok(()) => return partial.finish().await,
        }
    }
}

fn first_eight(blob: &BlobRef) -> &[u8; 8] {
    blob.hash.0.first_chunk().expect("a hash has 32 bytes")
}

/// One stream's worth of a fetch.
struct Fetch<'a> {
    node: &'a Node,
    peer: WorkerId,
    blob: BlobRef,
}

impl Fetch<'_> {
    async fn run(&self, partial: &mut Partial) -> Result<(), FetchError> {
        let stream = self
            .node
            .open(self.peer, BLOB, &[])
            .await
            .map_err(|source| FetchError::Open { peer: self.peer, blob: self.blob, source })?;
        let mut stream = stream.compat();
        self.ask(&mut stream, partial.bytes).await?;
        let encoded = self.read_answer(stream).await?;
        self.receive(encoded, partial).await
    }

    async fn ask(&self, stream: &mut Compat<Stream>, offset: u64) -> Result<(), FetchError> {
        let request = BlobRequest { blob: self.blob, offset };
        let mut writer = FrameWriter::new(stream, BLOB_FRAME_BYTES_MAX);
        let sent = match writer.feed(&request).await {
            Ok(()) => writer.close().await,
            Err(error) => Err(error),
        };
        sent.map_err(|error| match error {
            SendError::Lost(source) => self.interrupted(source),
            SendError::Stalled => self.interrupted(io::ErrorKind::TimedOut.into()),
            SendError::TooLong { .. } => unreachable!("a request is of one small size"),
        })
    }

    async fn read_answer(&self, stream: Compat<Stream>) -> Result<Encoded, FetchError> {
        let Self { peer, blob, .. } = *self;
        let mut reader = FrameReader::new(stream, BLOB_FRAME_BYTES_MAX);
        let answer = match timeout(BLOB_TURN_MAX, reader.read()).await {
            Err(_) | Ok(Err(ReceiveError::Stalled)) => {
                return Err(self.interrupted(io::ErrorKind::TimedOut.into()));
            }
            Ok(Err(ReceiveError::Lost(source))) => return Err(self.interrupted(source)),
            Ok(Err(ReceiveError::Violation(violation))) => return Err(self.violation(violation)),
            Ok(Ok(answer)) => answer,
        };
        match answer {
            Some(BlobAnswer::Serving { bytes }) if bytes == blob.bytes => {
                let (stream, buffer) = reader.into_parts();
                let deadline = Instant::now() + transfer_time_max(blob.bytes);
                Ok(Encoded { stream, buffer, deadline })
            }
            Some(BlobAnswer::Serving { bytes }) => {
                Err(FetchError::WrongLength { peer, blob, found: bytes })
            }
            Some(BlobAnswer::Unavailable) => Err(FetchError::Unavailable { peer, blob }),
            None => Err(self.violation(Violation::OutOfPlace { what: "the end of the stream" })),
        }
    }

    async fn receive(&self, encoded: Encoded, partial: &mut Partial) -> Result<(), FetchError> {
        let hash = blake3::Hash::from_bytes(self.blob.hash.0);
        let ranges = ChunkRanges::from(ChunkNum(partial.bytes / 1024)..);
        let mut decoder = ResponseDecoder::new(hash, ranges, tree_of(self.blob), encoded);
        while let ResponseDecoderNext::More((rest, item)) = decoder.next().await {
            decoder = rest;
            match item {
                Ok(BaoContentItem::Leaf(leaf)) => partial.append(&leaf.data).await?,
                Ok(BaoContentItem::Parent(_)) => {}
                Err(error) => return Err(self.decode_error(error, partial.bytes)),
            }
        }
        Ok(())
    }

    fn decode_error(&self, error: DecodeError, offset: u64) -> FetchError {
        let Self { peer, blob, .. } = *self;
        match error {
            DecodeError::ParentHashMismatch(_) | DecodeError::LeafHashMismatch(_) => {
                FetchError::Corrupted { peer, blob, offset }
            }
            DecodeError::ParentNotFound(_) | DecodeError::LeafNotFound(_) => {
                self.interrupted(io::ErrorKind::UnexpectedEof.into())
            }
            DecodeError::Io(source) => self.interrupted(source),
        }
    }

    fn interrupted(&self, source: io::Error) -> FetchError {
        FetchError::Interrupted { peer: self.peer, blob: self.blob, source }
    }

    fn violation(&self, violation: Violation) -> FetchError {
        FetchError::Violation { peer: self.peer, blob: self.blob, violation }
    }
}

/// What follows the answer on a stream: first what came along with it.
struct Encoded {
    stream: Compat<Stream>,
    buffer: BytesMut,
    deadline: Instant,
}

impl AsyncStreamReader for Encoded {
    async fn read_bytes(&mut self, len: usize) -> io::Result<Bytes> {
        while self.buffer.len() < len {
            self.buffer.reserve((len - self.buffer.len()).max(WRITE_BYTES / 4));
            let deadline = self.deadline.min(Instant::now() + STALL_MAX);
            match timeout_at(deadline, self.stream.read_buf(&mut self.buffer)).await {
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(read) => match read? {
                    0 => break,
                    _ => continue,
                },
            }
        }
        Ok(self.buffer.split_to(len.min(self.buffer.len())).freeze())
    }

    async fn read<const L: usize>(&mut self) -> io::Result<[u8; L]> {
        let bytes = self.read_bytes(L).await?;
        bytes.as_ref().try_into().map_err(|_| io::ErrorKind::UnexpectedEof.into())
    }
}

/// The verified beginning of a blob on disk, under a temporary name.
struct Partial {
    destination: PathBuf,
    temporary: NamedTempFile,
    file: BufWriter<File>,
    bytes: u64,
}

impl Partial {
    async fn create(destination: &Path) -> Result<Self, FetchError> {
        let destination = destination.to_owned();
        let failed = disk_error(&destination);
        let folder = folder_of(&destination).to_owned();
        let temporary = blocking(move || {
            let temporary = tempfile::Builder::new().prefix(PARTIAL_PREFIX).tempfile_in(folder)?;
            let file = temporary.reopen()?;
            Ok((temporary, file))
        });
        let (temporary, file) = temporary.await.map_err(failed)?;
        let file = BufWriter::with_capacity(WRITE_BYTES, File::from_std(file));
        Ok(Self { destination, temporary, file, bytes: 0 })
    }

    async fn append(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(bytes).await.map_err(disk_error(&self.destination))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Makes the bytes durable, then gives them their name, then makes that durable.
    async fn finish(mut self) -> Result<(), FetchError> {
        let failed = disk_error(&self.destination);
        self.file.flush().await.map_err(disk_error(&self.destination))?;
        let Self { destination, temporary, .. } = self;
        let finished = blocking(move || {
            temporary.as_file().sync_all()?;
            temporary.persist(&destination).map_err(|error| error.error)?;
            sync_folder(folder_of(&destination))
        });
        finished.await.map_err(failed)
    }
}

fn disk_error(path: &Path) -> impl FnOnce(io::Error) -> FetchError + use<> {
    let path = path.to_owned();
    move |source| FetchError::Disk { path, source }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
