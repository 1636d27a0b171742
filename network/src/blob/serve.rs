//! Answers requests for blobs.

use std::io::{self, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use bao_tree::io::fsm::{AsyncSliceReader, encode_ranges_validated};
use bao_tree::{ChunkNum, ChunkRanges};
use bytes::Bytes;
use gleaner_protocol::{BlobRef, WorkerId};
use iroh_io::AsyncStreamWriter;
use libp2p::{PeerId, Stream};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufWriter};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};
use tracing::{debug, error};

use super::outboard::{self, Outboard, OutboardCache};
use super::{BlobAnswer, BlobRequest, BlobSource};
use crate::address::worker_of;
use crate::frame::{FrameReader, FrameWriter, ReceiveError, SendError, Violation};
use crate::limits::{
    BLOB_FRAME_BYTES_MAX, BLOB_REQUESTS_MAX, BLOB_REQUESTS_PER_PEER_MAX, BLOBS_SERVED_MAX,
    OUTBOARD_CACHE_BYTES_MAX, STALL_MAX, transfer_time_max,
};
use crate::permits::Permits;

/// What is read from a file at once: one look at the disk for 64 chunk groups.
const READ_AHEAD_BYTES: usize = 1 << 20;

/// What is gathered before it is written to a stream.
const WRITE_BYTES: usize = 256 * 1024;

/// Everything that serving needs, shared by the tasks that serve.
pub(crate) struct BlobServer {
    source: RwLock<Option<Arc<dyn BlobSource>>>,
    requests: Arc<Permits>,
    turns: Semaphore,
    outboards: OutboardCache,
}

/// Why a request was not served to its end. Only for the log: the peer sees a broken stream.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("no request came: {0}")]
    Request(#[from] ReceiveError),
    #[error("the answer was not taken: {0}")]
    Answer(#[from] SendError),
    #[error("the stream broke: {0}")]
    Stream(io::Error),
}

impl BlobServer {
    pub(crate) fn new() -> Self {
        Self {
            source: RwLock::default(),
            requests: Permits::new(BLOB_REQUESTS_PER_PEER_MAX, BLOB_REQUESTS_MAX),
            turns: Semaphore::new(BLOBS_SERVED_MAX),
            outboards: OutboardCache::new(OUTBOARD_CACHE_BYTES_MAX),
        }
    }

    pub(crate) fn set_source(&self, source: Arc<dyn BlobSource>) {
        *self.source.write().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// Answers the request on `stream` in a task of its own, unless too many wait already.
    pub(crate) fn serve(self: &Arc<Self>, peer: PeerId, stream: Stream) {
        let Some(permit) = self.requests.acquire(peer) else {
            return debug!(%peer, "too many requests for blobs; one more was dropped");
        };
        let server = Arc::clone(self);
        tokio::spawn(async move {
            let _permit = permit;
            let worker = worker_of(&peer).expect("peers with other keys are not connected");
            if let Err(error) = server.answer(worker, stream.compat()).await {
                debug!(%worker, %error, "a blob was not served");
            }
        });
    }

    async fn answer(
        self: &Arc<Self>,
        peer: WorkerId,
        mut stream: Compat<Stream>,
    ) -> Result<(), ServeError> {
        let BlobRequest { blob, offset } = read_request(&mut stream).await?;
        let found = self.find(peer, blob).await;
        // Only what will be served waits its turn, so strangers cannot hold it up.
        let _turn = match &found {
            Some(_) => Some(self.turns.acquire().await.expect("this semaphore is never closed")),
            None => None,
        };
        let served = match found {
            Some(file) => self.with_outboard(file, blob).await,
            None => None,
        };
        let mut writer = FrameWriter::new(&mut stream, BLOB_FRAME_BYTES_MAX);
        let Some((file, outboard)) = served else {
            writer.feed(&BlobAnswer::Unavailable).await?;
            return Ok(writer.close().await?);
        };
        writer.feed(&BlobAnswer::Serving { bytes: blob.bytes }).await?;
        writer.flush().await?;
        stream_blob(stream, file, outboard, blob, offset).await.map_err(ServeError::Stream)
    }

    /// The open file of the blob, if there is one of its length and `peer` may have it.
    async fn find(self: &Arc<Self>, peer: WorkerId, blob: BlobRef) -> Option<File> {
        let source = self.source.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        let path: PathBuf = tokio::task::spawn_blocking(move || source.open(peer, blob.hash))
            .await
            .ok()
            .flatten()?;
        let file = File::open(&path).await;
        let file = file.inspect_err(|error| error!(?path, %error, "cannot open a blob")).ok()?;
        let metadata = file.metadata().await.ok()?;
        (metadata.is_file() && metadata.len() == blob.bytes).then_some(file)
    }

    async fn with_outboard(&self, file: File, blob: BlobRef) -> Option<(File, Outboard)> {
        if let Some(outboard) = self.outboards.find(blob.hash) {
            return Some((file, outboard));
        }
        let file = file.into_std().await;
        let (file, outboard) = tokio::task::spawn_blocking(move || {
            let outboard = outboard::compute(&file, blob);
            (file, outboard)
        })
        .await
        .ok()?;
        let outboard = outboard
            .inspect_err(|error| error!(hash = %blob.hash, %error, "a blob is damaged"))
            .ok()?;
        self.outboards.insert(blob.hash, outboard.clone());
        Some((File::from_std(file), outboard))
    }
}

async fn read_request(stream: &mut Compat<Stream>) -> Result<BlobRequest, ServeError> {
    let mut reader = FrameReader::new(stream, BLOB_FRAME_BYTES_MAX);
    let request = timeout(STALL_MAX, reader.read()).await.map_err(|_| ReceiveError::Stalled)??;
    let out_of_place = |what| ReceiveError::Violation(Violation::OutOfPlace { what });
    let request: BlobRequest = request.ok_or(out_of_place("the end of the stream"))?;
    match request.is_sound() {
        true => Ok(request),
        false => Err(out_of_place("a request that begins inside a chunk group").into()),
    }
}

/// Sends hashes and bytes. What is read is checked once more, so that a file gone bad on this disk
/// ends the stream here and is not held against this peer.
async fn stream_blob(
    stream: Compat<Stream>,
    file: File,
    outboard: Outboard,
    blob: BlobRef,
    offset: u64,
) -> io::Result<()> {
    let ranges = ChunkRanges::from(ChunkNum(offset / 1024)..);
    let data = ReadAhead { file, bytes: blob.bytes, window: Bytes::new(), window_start: 0 };
    let deadline = Instant::now() + transfer_time_max(blob.bytes - offset);
    let mut writer = TimedWriter { io: BufWriter::with_capacity(WRITE_BYTES, stream), deadline };
    encode_ranges_validated(data, outboard, &ranges, &mut writer).await?;
    writer.sync().await?;
    in_time(deadline, writer.io.shutdown()).await
}

/// A file read in windows.
struct ReadAhead {
    file: File,
    bytes: u64,
    window: Bytes,
    window_start: u64,
}

impl AsyncSliceReader for ReadAhead {
    async fn read_at(&mut self, offset: u64, len: usize) -> io::Result<Bytes> {
        let wanted = len.min(usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(len));
        let ahead = offset.checked_sub(self.window_start).and_then(|at| usize::try_from(at).ok());
        match ahead {
            Some(at) if at + wanted <= self.window.len() => Ok(self.window.slice(at..at + wanted)),
            _ => {
                self.fill(offset, wanted.max(READ_AHEAD_BYTES)).await?;
                Ok(self.window.slice(..wanted.min(self.window.len())))
            }
        }
    }

    async fn size(&mut self) -> io::Result<u64> {
        Ok(self.bytes)
    }
}

impl ReadAhead {
    async fn fill(&mut self, offset: u64, bytes: usize) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset)).await?;
        let mut window = Vec::with_capacity(bytes);
        (&mut self.file).take(bytes as u64).read_to_end(&mut window).await?;
        self.window = window.into();
        self.window_start = offset;
        Ok(())
    }
}

/// A stream whose every write must be taken in time.
struct TimedWriter {
    io: BufWriter<Compat<Stream>>,
    deadline: Instant,
}

impl AsyncStreamWriter for TimedWriter {
    async fn write(&mut self, data: &[u8]) -> io::Result<()> {
        in_time(self.deadline, self.io.write_all(data)).await
    }

    async fn write_bytes(&mut self, data: Bytes) -> io::Result<()> {
        in_time(self.deadline, self.io.write_all(&data)).await
    }

    async fn sync(&mut self) -> io::Result<()> {
        in_time(self.deadline, self.io.flush()).await
    }
}

async fn in_time(deadline: Instant, io: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let deadline = deadline.min(Instant::now() + STALL_MAX);
    timeout_at(deadline, io).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
