//! The API stream: one request of the control API from elsewhere, and its answer.
//!
//! ```text
//! submitter                       coordinator
//!   a frame: who is wanted ──────────►
//!   ◄──────── a frame: who it is, or why not
//!   bytes of HTTP/1.1 ◄──────────────► bytes of HTTP/1.1
//! ```
//! The submitter sends nothing of its own before it has seen who answers. Invariants: those whom
//! the gate does not admit take no place of those whom it does; a stream that carries nothing for
//! [`API_IDLE_MAX`] breaks, so that nobody holds one for ever; bytes are read from the peer as fast
//! as they are taken here, and no faster. Deliberately absent: HTTP, and what the frames mean.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use gleaner_protocol::WorkerId;
use libp2p::{PeerId, Stream, StreamProtocol};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};
use tracing::debug;

use crate::address::worker_of;
use crate::frame::{FrameReader, FrameWriter, ReceiveError, SendError};
use crate::limits::{
    API_FRAME_BYTES_MAX, API_IDLE_MAX, API_STREAMS_MAX, API_STREAMS_OF_STRANGERS_MAX,
    API_STREAMS_PER_PEER_MAX, API_STREAMS_WAITING_MAX,
};
use crate::permits::{Permit, Permits};

/// The name of the protocol on the wire, with its version.
pub(crate) const API: StreamProtocol = StreamProtocol::new("/gleaner/api/1");

/// Whose API streams are taken.
pub trait ApiGate: Send + Sync + 'static {
    /// Whether `peer`, which has proved its key, may use the API now. Must not block.
    fn admits(&self, peer: WorkerId) -> bool;
}

/// An API stream with one peer, at its greeting. Dropping it breaks it.
#[derive(Debug)]
pub struct ApiStream {
    peer: WorkerId,
    reader: FrameReader<ReadHalf<Compat<Stream>>>,
    writer: FrameWriter<WriteHalf<Compat<Stream>>>,
    permit: Option<Permit>,
}

/// The bytes of an API stream after its greeting, both ways.
///
/// Reading or writing fails with [`io::ErrorKind::TimedOut`] once nothing has passed either way
/// for [`API_IDLE_MAX`].
pub struct ApiBytes {
    io: Compat<Stream>,
    /// What the peer sent behind its greeting.
    read_ahead: BytesMut,
    idle: Idle,
    _permit: Option<Permit>,
}

/// The API streams that peers open to this node.
#[derive(Debug)]
pub struct IncomingApiStreams {
    streams: mpsc::Receiver<ApiStream>,
}

/// The receiving end of the swarm's task: who may come in, and who takes them.
pub(crate) struct ApiStreams {
    admitted: Arc<Permits>,
    strangers: Arc<Permits>,
    taker: RwLock<Option<Taker>>,
}

#[derive(Clone)]
struct Taker {
    gate: Arc<dyn ApiGate>,
    streams: mpsc::Sender<ApiStream>,
}

/// A time without any byte.
struct Idle {
    max: Duration,
    over: Pin<Box<Sleep>>,
}

impl ApiStream {
    pub(crate) fn new(peer: WorkerId, stream: Stream, permit: Option<Permit>) -> Self {
        let (read, write) = tokio::io::split(stream.compat());
        let reader = FrameReader::new(read, API_FRAME_BYTES_MAX);
        let writer = FrameWriter::new(write, API_FRAME_BYTES_MAX);
        Self { peer, reader, writer, permit }
    }

    /// The peer, which has proved to hold this key.
    pub const fn peer(&self) -> WorkerId {
        self.peer
    }

    /// Sends one frame of the greeting.
    ///
    /// # Errors
    /// Any [`SendError`]; the stream is of no more use.
    pub async fn send<T: Serialize + ?Sized>(&mut self, message: &T) -> Result<(), SendError> {
        self.writer.feed(message).await?;
        self.writer.flush().await
    }

    /// The next frame of the greeting; `None` when the peer has closed its side. Waits for ever
    /// while the peer is alive and silent.
    ///
    /// # Errors
    /// Any [`ReceiveError`]; the stream is of no more use.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ReceiveError> {
        self.reader.read().await
    }

    /// Says that no more will come.
    ///
    /// # Errors
    /// Any [`SendError`].
    pub async fn close(mut self) -> Result<(), SendError> {
        self.writer.close().await
    }

    /// The bytes after the greeting.
    pub fn into_bytes(self) -> ApiBytes {
        let (read, read_ahead) = self.reader.into_parts();
        let io = read.unsplit(self.writer.into_io());
        ApiBytes { io, read_ahead, idle: Idle::new(API_IDLE_MAX), _permit: self.permit }
    }
}

impl IncomingApiStreams {
    /// The next API stream that a peer has opened; `None` once the node has stopped, or others
    /// were asked for. Cancel safe. At most 64 wait here; more are dropped.
    ///
    /// Whom the gate did not admit comes here too, to be told so.
    pub async fn next(&mut self) -> Option<ApiStream> {
        self.streams.recv().await
    }
}

impl ApiStreams {
    pub(crate) fn new() -> Self {
        Self {
            admitted: Permits::new(API_STREAMS_PER_PEER_MAX, API_STREAMS_MAX),
            strangers: Permits::new(1, API_STREAMS_OF_STRANGERS_MAX),
            taker: RwLock::default(),
        }
    }

    pub(crate) fn accept(&self, gate: Arc<dyn ApiGate>) -> IncomingApiStreams {
        let (sender, streams) = mpsc::channel(API_STREAMS_WAITING_MAX);
        let taker = Taker { gate, streams: sender };
        *self.taker.write().unwrap_or_else(PoisonError::into_inner) = Some(taker);
        IncomingApiStreams { streams }
    }

    /// Passes a stream on, or drops it.
    pub(crate) fn take(&self, peer: PeerId, stream: Stream) {
        let taker = self.taker.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(Taker { gate, streams }) = taker else {
            return debug!(%peer, "this node serves no API; a stream was dropped");
        };
        let worker = worker_of(&peer).expect("peers with other keys are not connected");
        let permits = if gate.admits(worker) { &self.admitted } else { &self.strangers };
        let Some(permit) = permits.acquire(peer) else {
            return debug!(%peer, "too many API streams; one more was dropped");
        };
        if streams.try_send(ApiStream::new(worker, stream, Some(permit))).is_err() {
            debug!(%peer, "nobody takes API streams fast enough; one was dropped");
        }
    }
}

impl Idle {
    fn new(max: Duration) -> Self {
        Self { max, over: Box::pin(tokio::time::sleep(max)) }
    }

    /// What an operation comes to: one that moved something begins the time anew, and one that
    /// waits fails when it is over.
    fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        operation: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match operation {
            Poll::Ready(result) => {
                self.over.as_mut().reset(Instant::now() + self.max);
                Poll::Ready(result)
            }
            Poll::Pending => {
                let over = self.over.as_mut().poll(context);
                over.map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncRead for ApiBytes {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.read_ahead.is_empty() {
            let bytes = this.read_ahead.len().min(buffer.remaining());
            buffer.put_slice(&this.read_ahead[..bytes]);
            this.read_ahead.advance(bytes);
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut this.io).poll_read(context, buffer);
        this.idle.judge(context, read)
    }
}

impl AsyncWrite for ApiBytes {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(context, bytes);
        this.idle.judge(context, written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(context);
        // A flush with nothing to send is done at once and moves nothing.
        match flushed {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => this.idle.judge(context, Poll::Pending),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let closed = Pin::new(&mut this.io).poll_shutdown(context);
        this.idle.judge(context, closed)
    }
}

impl fmt::Debug for ApiBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiBytes(..)")
    }
}

#[cfg(test)]
mod tests;
