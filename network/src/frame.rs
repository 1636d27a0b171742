//! Frames of [`gleaner_protocol::wire`] over any byte stream.
//!
//! Invariants: a length is checked before anything is allocated for it, and memory grows with the
//! bytes that came, not with the bytes announced; both directions are cancel safe, so a `select!`
//! may drop any of these futures and no frame is torn; a frame that has begun must be whole within
//! a time that depends on its length, so a slow peer holds nothing for ever. An empty frame says
//! that no more will come: a stream that ends without one was cut.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use gleaner_protocol::wire::{self, DecodeError, FRAME_HEADER_BYTES};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use crate::limits::transfer_time_max;

/// What one read asks for, and what a stream at rest may keep.
const BUFFER_BYTES_KEPT: usize = 16 * 1024;

/// What one read asks for inside a long frame.
const READ_BYTES_MAX: usize = 256 * 1024;

/// Messages written but not flushed, in bytes: beyond this, they leave before more is taken.
const UNFLUSHED_BYTES_MAX: usize = 256 * 1024;

const END: [u8; FRAME_HEADER_BYTES] = [0; FRAME_HEADER_BYTES];

/// How a peer broke the protocol.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// It announced a frame that is too long, sent one that is no message, or more than one.
    #[error(transparent)]
    Frame(#[from] DecodeError),
    /// It sent something else than the protocol has at this point.
    #[error("{what} was out of place")]
    OutOfPlace {
        /// What it sent.
        what: &'static str,
    },
}

/// Why a message could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The message is too long for a frame. Nothing of it was sent, and the stream is as it was;
    /// a retry fails again.
    #[error("a message of {bytes} bytes is over the limit of {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The peer took nothing for too long. It may have got any part of what was sent; the stream
    /// is of no more use.
    #[error("the peer has stopped reading")]
    Stalled,
    /// The stream broke. The peer may have got any part of what was sent.
    #[error("the connection was lost: {0}")]
    Lost(#[source] io::Error),
}

/// Why no message was received. The stream is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Violation(#[from] Violation),
    /// The peer began a message and did not end it.
    #[error("the peer stopped in the middle of a message")]
    Stalled,
    /// The stream broke, or ended without a word.
    #[error("the connection was lost: {0}")]
    Lost(#[source] io::Error),
}

impl From<DecodeError> for ReceiveError {
    fn from(error: DecodeError) -> Self {
        Self::Violation(Violation::Frame(error))
    }
}

/// Reads frames of at most `bytes_max` each.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    io: R,
    bytes_max: usize,
    buffer: BytesMut,
    begun_at: Option<Instant>,
    ended: bool,
    time_max: fn(u64) -> Duration,
}

/// Writes frames of at most `bytes_max` each.
#[derive(Debug)]
pub(crate) struct FrameWriter<W> {
    io: W,
    bytes_max: usize,
    buffer: BytesMut,
    time_max: fn(u64) -> Duration,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(io: R, bytes_max: usize) -> Self {
        let (buffer, time_max) = (BytesMut::new(), transfer_time_max);
        Self { io, bytes_max, buffer, begun_at: None, ended: false, time_max }
    }

    /// The next message, or none once the peer has said that it was the last, or after an error.
    /// Cancel safe.
    pub(crate) async fn read<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ReceiveError> {
        if self.ended {
            return Ok(None);
        }
        let result = self.read_frame().await;
        self.ended = !matches!(result, Ok(Some(_)));
        result
    }

    /// The stream, and what was read from it beyond the last frame.
    pub(crate) fn into_parts(self) -> (R, BytesMut) {
        (self.io, self.buffer)
    }

    async fn read_frame<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ReceiveError> {
        loop {
            match self.announced()? {
                Some(0) => return Ok(None),
                Some(bytes) if self.buffer.len() >= FRAME_HEADER_BYTES + bytes => {
                    return self.take(bytes).map(Some);
                }
                announced => self.fill(announced.unwrap_or(0)).await?,
            }
        }
    }

    /// The length of the frame that has begun, once its header is here.
    fn announced(&self) -> Result<Option<usize>, DecodeError> {
        match self.buffer.first_chunk::<FRAME_HEADER_BYTES>() {
            Some(header) => wire::frame_length(*header, self.bytes_max).map(Some),
            None => Ok(None),
        }
    }

    fn take<T: DeserializeOwned>(&mut self, bytes: usize) -> Result<T, ReceiveError> {
        self.buffer.advance(FRAME_HEADER_BYTES);
        let message = wire::decode(&self.buffer[..bytes]);
        self.buffer.advance(bytes);
        self.begun_at = (!self.buffer.is_empty()).then(Instant::now);
        if self.buffer.len() < BUFFER_BYTES_KEPT && self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = BytesMut::from(self.buffer.as_ref());
        }
        Ok(message?)
    }

    /// Reads some more bytes of a frame of `announced` bytes, or of the next one.
    async fn fill(&mut self, announced: usize) -> Result<(), ReceiveError> {
        let missing = (FRAME_HEADER_BYTES + announced).saturating_sub(self.buffer.len());
        self.buffer.reserve(missing.clamp(BUFFER_BYTES_KEPT / 4, READ_BYTES_MAX));
        let read = self.io.read_buf(&mut self.buffer);
        let read = match self.begun_at {
            None => read.await,
            Some(begun_at) => timeout_at(begun_at + (self.time_max)(announced as u64), read)
                .await
                .map_err(|_| ReceiveError::Stalled)?,
        };
        if read.map_err(ReceiveError::Lost)? == 0 {
            return Err(ReceiveError::Lost(io::ErrorKind::UnexpectedEof.into()));
        }
        self.begun_at.get_or_insert_with(Instant::now);
        Ok(())
    }
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    pub(crate) fn new(io: W, bytes_max: usize) -> Self {
        Self { io, bytes_max, buffer: BytesMut::new(), time_max: transfer_time_max }
    }

    /// Takes a message to be sent with the next flush; waits only when much is unflushed already.
    /// Cancel safe: a message is taken whole and once, or, when this never was polled, not at all.
    pub(crate) async fn feed<T: Serialize + ?Sized>(
        &mut self,
        message: &T,
    ) -> Result<(), SendError> {
        let frame = wire::encode_frame(message);
        let bytes = frame.len() - FRAME_HEADER_BYTES;
        if bytes > self.bytes_max {
            return Err(SendError::TooLong { bytes, max: self.bytes_max });
        }
        self.buffer.extend_from_slice(&frame);
        if self.buffer.len() > UNFLUSHED_BYTES_MAX { self.drain().await } else { Ok(()) }
    }

    /// Sends what was fed. Cancel safe: the rest goes with the next flush.
    pub(crate) async fn flush(&mut self) -> Result<(), SendError> {
        self.drain().await?;
        let deadline = Instant::now() + (self.time_max)(0);
        in_time(deadline, self.io.flush()).await
    }

    /// The stream, for what is no frame any more. What was fed and not flushed is lost.
    pub(crate) fn into_io(self) -> W {
        self.io
    }

    /// Says that no more will come, and ends this direction of the stream.
    pub(crate) async fn close(&mut self) -> Result<(), SendError> {
        self.buffer.extend_from_slice(&END);
        self.flush().await?;
        let deadline = Instant::now() + (self.time_max)(0);
        in_time(deadline, self.io.shutdown()).await
    }

    async fn drain(&mut self) -> Result<(), SendError> {
        let deadline = Instant::now() + (self.time_max)(self.buffer.len() as u64);
        while !self.buffer.is_empty() {
            match in_time(deadline, self.io.write(&self.buffer)).await? {
                0 => return Err(SendError::Lost(io::ErrorKind::WriteZero.into())),
                written => self.buffer.advance(written),
            }
        }
        if self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = BytesMut::new();
        }
        Ok(())
    }
}

async fn in_time<T>(
    deadline: Instant,
    io: impl Future<Output = io::Result<T>>,
) -> Result<T, SendError> {
    match timeout_at(deadline, io).await {
        Ok(result) => result.map_err(SendError::Lost),
        Err(_) => Err(SendError::Stalled),
    }
}

#[cfg(test)]
mod tests;
