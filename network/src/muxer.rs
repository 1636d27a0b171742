//! Yamux over a TCP connection, with bounds on what a peer can make us hold.
//!
//! libp2p's own wrapper has a receive window of 1 GiB for each connection and no way to lower it.
//! And when Yamux closes a connection from this side, whoever reads from or writes to one of its
//! streams is never woken: here they get an error, within [`CLOSE_MAX`] even if the peer is dead.

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::{io, iter};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use crate::limits::{CLOSE_MAX, CONNECTION_WINDOW_BYTES, STREAMS_PER_CONNECTION_MAX};

/// The upgrade of a secured connection to a multiplexed one.
#[derive(Clone, Debug)]
pub(crate) struct Yamux(yamux::Config);

/// A multiplexed connection.
pub(crate) struct Muxer<C> {
    connection: yamux::Connection<C>,
    /// Streams that arrived while the connection was polled for its own sake.
    arrived: VecDeque<yamux::Stream>,
    waiting: Option<Waker>,
    /// Runs from the moment the connection is to be closed.
    closing: Option<Pin<Box<Sleep>>>,
    /// Tells the streams when this is dropped.
    gone: CancellationToken,
    _tells: DropGuard,
}

/// A stream of a multiplexed connection.
pub(crate) struct Substream {
    stream: yamux::Stream,
    /// One for each direction, as each may wait in a task of its own.
    gone_for_reader: Pin<Box<WaitForCancellationFutureOwned>>,
    gone_for_writer: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Default for Yamux {
    fn default() -> Self {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(STREAMS_PER_CONNECTION_MAX);
        config.set_max_connection_receive_window(Some(CONNECTION_WINDOW_BYTES as usize));
        Self(config)
    }
}

impl UpgradeInfo for Yamux {
    type Info = &'static str;
    type InfoIter = iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once("/yamux/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<C> for Yamux {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, connection: C, _: Self::Info) -> Self::Future {
        ready(Ok(Muxer::new(connection, self, yamux::Mode::Server)))
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<C> for Yamux {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, connection: C, _: Self::Info) -> Self::Future {
        ready(Ok(Muxer::new(connection, self, yamux::Mode::Client)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    fn new(connection: C, Yamux(config): Yamux, mode: yamux::Mode) -> Self {
        let connection = yamux::Connection::new(connection, config, mode);
        let gone = CancellationToken::new();
        let (arrived, tells) = (VecDeque::new(), gone.clone().drop_guard());
        Self { connection, arrived, waiting: None, closing: None, gone, _tells: tells }
    }

    fn substream(&self, stream: yamux::Stream) -> Substream {
        let gone = || Box::pin(self.gone.clone().cancelled_owned());
        Substream { stream, gone_for_reader: gone(), gone_for_writer: gone() }
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<yamux::Stream, yamux::ConnectionError>> {
        let next = ready!(self.connection.poll_next_inbound(context));
        Poll::Ready(next.unwrap_or(Err(yamux::ConnectionError::Closed)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin + 'static> StreamMuxer for Muxer<C> {
    type Substream = Substream;
    type Error = yamux::ConnectionError;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        if let Some(stream) = self.arrived.pop_front() {
            return Poll::Ready(Ok(self.substream(stream)));
        }
        if let Poll::Ready(stream) = self.poll_next(context) {
            return Poll::Ready(stream.map(|stream| self.substream(stream)));
        }
        self.waiting = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let stream = ready!(self.connection.poll_new_outbound(context))?;
        Poll::Ready(Ok(self.substream(stream)))
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        if let Poll::Ready(closed) = self.connection.poll_close(context) {
            return Poll::Ready(closed);
        }
        // Towards a dead peer nothing leaves any more, and the system gives up on TCP only after a
        // quarter of an hour.
        let closing = self.closing.get_or_insert_with(|| Box::pin(sleep(CLOSE_MAX)));
        closing.as_mut().poll(context).map(Ok)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        let stream = ready!(self.poll_next(context))?;
        // A peer may open and reset streams faster than they are taken.
        if self.arrived.len() < STREAMS_PER_CONNECTION_MAX {
            self.arrived.push_back(stream);
        }
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
        // There may be more, and others shall have their turn in between.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncRead for Substream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        unless_gone(read, &mut self.gone_for_reader, context)
    }
}

impl AsyncWrite for Substream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        unless_gone(written, &mut self.gone_for_writer, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        unless_gone(flushed, &mut self.gone_for_writer, context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_close(context);
        unless_gone(closed, &mut self.gone_for_writer, context)
    }
}

fn unless_gone<T>(
    polled: Poll<io::Result<T>>,
    gone: &mut Pin<Box<WaitForCancellationFutureOwned>>,
    context: &mut Context<'_>,
) -> Poll<io::Result<T>> {
    if polled.is_pending() {
        ready!(gone.as_mut().poll(context));
        return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
    }
    polled
}
