//! Yamux over a TCP connection, with bounds on what a peer can make us hold.
//!
//! libp2p's own wrapper has a receive window of 1 GiB for each connection and no way to lower it;
//! this one is as thin and sets both bounds.

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::{io, iter};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};

use crate::limits::{CONNECTION_WINDOW_BYTES, STREAMS_PER_CONNECTION_MAX};

/// The upgrade of a secured connection to a multiplexed one.
#[derive(Clone, Debug)]
pub(crate) struct Yamux(yamux::Config);

/// A multiplexed connection.
pub(crate) struct Muxer<C> {
    connection: yamux::Connection<C>,
    /// Streams that arrived while the connection was polled for its own sake.
    arrived: VecDeque<yamux::Stream>,
    waiting: Option<Waker>,
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
        Self { connection, arrived: VecDeque::new(), waiting: None }
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
    type Substream = yamux::Stream;
    type Error = yamux::ConnectionError;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        if let Some(stream) = self.arrived.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        if let Poll::Ready(stream) = self.poll_next(context) {
            return Poll::Ready(stream);
        }
        self.waiting = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        self.connection.poll_new_outbound(context)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        self.connection.poll_close(context)
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
