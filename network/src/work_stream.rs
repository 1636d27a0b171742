//! The work stream: messages both ways between a worker and a coordinator, for as long as both
//! live.
//!
//! Deliberately absent: what the messages mean, and any reconnection; a broken stream is an error,
//! and whoever opened it opens another with [`crate::Backoff`].

use std::sync::Arc;

use gleaner_protocol::WorkerId;
use gleaner_protocol::limits::FRAME_BYTES_MAX;
use libp2p::{Stream, StreamProtocol};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{ReadHalf, WriteHalf};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use crate::frame::{FrameReader, FrameWriter, ReceiveError, SendError};
use crate::permits::Permit;

/// The name of the protocol on the wire, with its version.
pub(crate) const WORK: StreamProtocol = StreamProtocol::new("/gleaner/work/1");

/// A work stream with one peer. Dropping both of its halves ends it; the peer sees a lost
/// connection unless [`WorkSender::close`] was called.
#[derive(Debug)]
pub struct WorkStream {
    peer: WorkerId,
    sender: WorkSender,
    receiver: WorkReceiver,
}

/// The sending half of a work stream.
#[derive(Debug)]
pub struct WorkSender {
    writer: FrameWriter<WriteHalf<Compat<Stream>>>,
    _permit: Option<Arc<Permit>>,
}

/// The receiving half of a work stream.
#[derive(Debug)]
pub struct WorkReceiver {
    reader: FrameReader<ReadHalf<Compat<Stream>>>,
    _permit: Option<Arc<Permit>>,
}

impl WorkStream {
    pub(crate) fn new(peer: WorkerId, stream: Stream, permit: Option<Permit>) -> Self {
        let (read, write) = tokio::io::split(stream.compat());
        let permit = permit.map(Arc::new);
        let writer = FrameWriter::new(write, FRAME_BYTES_MAX);
        let reader = FrameReader::new(read, FRAME_BYTES_MAX);
        let sender = WorkSender { writer, _permit: permit.clone() };
        Self { peer, sender, receiver: WorkReceiver { reader, _permit: permit } }
    }

    /// The peer, which has proved to hold this key.
    pub const fn peer(&self) -> WorkerId {
        self.peer
    }

    /// The two halves, for tasks of their own.
    pub fn split(self) -> (WorkSender, WorkReceiver) {
        (self.sender, self.receiver)
    }
}

impl WorkSender {
    /// Sends one message and waits until the transport has taken it: a peer that reads slowly
    /// slows its sender down. Arrival is for the peer to confirm.
    ///
    /// Cancel safe: no message is ever torn. When this future is dropped before its end, the
    /// message leaves with the next one.
    ///
    /// # Errors
    /// [`SendError::TooLong`] leaves the stream as it was; after any other it is of no more use,
    /// and the peer may have got any part of what was sent.
    pub async fn send<T: Serialize + ?Sized>(&mut self, message: &T) -> Result<(), SendError> {
        self.writer.feed(message).await?;
        self.writer.flush().await
    }

    /// Takes one message without sending it yet: several fed and one [`WorkSender::flush`] go out
    /// together. Waits only when 256 KiB are unsent. Cancel safe like [`WorkSender::send`].
    ///
    /// # Errors
    /// As [`WorkSender::send`].
    pub async fn feed<T: Serialize + ?Sized>(&mut self, message: &T) -> Result<(), SendError> {
        self.writer.feed(message).await
    }

    /// Sends what was fed.
    ///
    /// # Errors
    /// As [`WorkSender::send`].
    pub async fn flush(&mut self) -> Result<(), SendError> {
        self.writer.flush().await
    }

    /// Sends what was fed, says that no more will come, and ends this direction: the peer's
    /// [`WorkReceiver::receive`] returns `None` after the last message.
    ///
    /// # Errors
    /// As [`WorkSender::send`].
    pub async fn close(mut self) -> Result<(), SendError> {
        self.writer.close().await
    }
}

impl WorkReceiver {
    /// The next message; `None` once the peer has closed its side, or after an error.
    ///
    /// Waits for ever while the peer is alive and silent. Cancel safe: nothing read is lost.
    ///
    /// # Errors
    /// [`ReceiveError::Violation`] when the peer broke the protocol; it should get no answer.
    /// [`ReceiveError::Stalled`] and [`ReceiveError::Lost`] call for a new stream.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ReceiveError> {
        self.reader.read().await
    }
}
