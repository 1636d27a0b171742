//! QUIC first, then TCP beside it.
//!
//! The swarm dials all addresses of a peer together, and drops what is under way once one has
//! answered; on a local network it gives QUIC a head start of 30 ms. A coordinator that is busy for a
//! moment answers later than that, and whom it answers over TCP first is kept alive by pings from
//! then on. So TCP waits longer, where QUIC is tried too.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p::Multiaddr;
use libp2p::core::Transport;
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};

use crate::address::is_quic;
use crate::limits::QUIC_HEAD_START;

/// Whether QUIC has a head start in the dials made now. A swarm makes them before `dial` returns.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadStart(Arc<AtomicBool>);

/// A transport that waits before it dials where QUIC has a head start.
pub(crate) struct AfterQuic<T> {
    transport: T,
    head_start: HeadStart,
}

impl HeadStart {
    /// Makes the swarm's dials of these addresses.
    pub(crate) fn during<R>(&self, addresses: &[Multiaddr], dial: impl FnOnce() -> R) -> R {
        self.0.store(addresses.iter().any(is_quic), Ordering::Relaxed);
        let dialled = dial();
        self.0.store(false, Ordering::Relaxed);
        dialled
    }

    fn is_given(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<T> AfterQuic<T> {
    pub(crate) fn new(transport: T, head_start: HeadStart) -> Self {
        Self { transport, head_start }
    }
}

impl<T> Transport for AfterQuic<T>
where
    T: Transport + Unpin,
    T::Dial: Send + 'static,
{
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = BoxFuture<'static, Result<T::Output, T::Error>>;

    fn listen_on(
        &mut self,
        listener: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Self::Error>> {
        self.transport.listen_on(listener, address)
    }

    fn remove_listener(&mut self, listener: ListenerId) -> bool {
        self.transport.remove_listener(listener)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        let dial = self.transport.dial(address, options)?;
        Ok(match self.head_start.is_given() {
            true => tokio::time::sleep(QUIC_HEAD_START).then(|()| dial).boxed(),
            false => dial.boxed(),
        })
    }

    fn poll(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Pin::new(&mut self.get_mut().transport).poll(context)
    }
}
