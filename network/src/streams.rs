//! Raw streams between peers, as a libp2p behaviour.
//!
//! The `libp2p-stream` crate has this shape and three flaws for us: it drops an inbound stream
//! when two arrive before the accepting loop has run, it picks any of a peer's connections (a dead
//! one as likely as the one just made), and it keeps a channel for every connection there ever was.
//! Here inbound streams reach the swarm's task with back-pressure, the newest connection is used,
//! and nothing outlives a connection.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::task::{Context, Poll};

use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::behaviour::ConnectionEstablished;
use libp2p::swarm::handler::{
    ConnectionEvent, ConnectionHandler, ConnectionHandlerEvent, DialUpgradeError,
    FullyNegotiatedInbound, FullyNegotiatedOutbound, StreamUpgradeError,
};
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler,
    SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{PeerId, Stream, StreamProtocol};
use tokio::sync::oneshot;

use crate::address::worker_of;
use crate::limits::STREAM_OPEN_MAX;

/// Where the outcome of opening a stream goes.
pub(crate) type StreamReply = oneshot::Sender<Result<Stream, StreamFailure>>;

/// Why a stream could not be opened.
#[derive(Debug)]
pub(crate) enum StreamFailure {
    /// There is no connection to the peer.
    NotConnected,
    /// The peer does not speak the protocol.
    Unsupported,
    /// The connection broke, or was found dead.
    Lost(io::Error),
}

/// A stream that a peer opened.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) peer: PeerId,
    pub(crate) protocol: StreamProtocol,
    pub(crate) stream: Stream,
}

/// The behaviour: which connections there are, and what waits to be told to the swarm.
pub(crate) struct Streams {
    protocols: Vec<StreamProtocol>,
    connections: HashMap<PeerId, Vec<ConnectionId>>,
    events: VecDeque<ToSwarm<Inbound, Open>>,
}

/// Asks a connection for a stream.
#[derive(Debug)]
pub(crate) struct Open {
    protocol: StreamProtocol,
    reply: StreamReply,
}

/// The part of the behaviour on one connection.
pub(crate) struct Handler {
    protocols: Vec<StreamProtocol>,
    requests: VecDeque<Open>,
    inbound: VecDeque<(Stream, StreamProtocol)>,
}

/// Agrees on one of the protocols, and on nothing else.
pub(crate) struct AnyOf(Vec<StreamProtocol>);

/// The peer's key is of a kind that no host of Gleaner has.
#[derive(Debug, thiserror::Error)]
#[error("the peer's key is not Ed25519")]
struct NotEd25519;

impl Streams {
    /// Accepts streams of `protocols` from anyone who is connected.
    pub(crate) fn new(protocols: Vec<StreamProtocol>) -> Self {
        Self { protocols, connections: HashMap::new(), events: VecDeque::new() }
    }

    /// Opens a stream on the newest connection to `peer`: an older one may be dead without anyone
    /// having noticed.
    pub(crate) fn open(&mut self, peer: PeerId, protocol: StreamProtocol, reply: StreamReply) {
        let Some(connection) = self.connections.get(&peer).and_then(|all| all.last()) else {
            let _ = reply.send(Err(StreamFailure::NotConnected));
            return;
        };
        self.events.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(*connection),
            event: Open { protocol, reply },
        });
    }

    fn handler(&self, peer: &PeerId) -> Result<Handler, ConnectionDenied> {
        if worker_of(peer).is_none() {
            return Err(ConnectionDenied::new(NotEd25519));
        }
        Ok(Handler {
            protocols: self.protocols.clone(),
            requests: VecDeque::new(),
            inbound: VecDeque::new(),
        })
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Inbound;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(&peer)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(&peer)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                ..
            }) => self.connections.entry(peer_id).or_default().push(connection_id),
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                if let Some(connections) = self.connections.get_mut(&peer_id) {
                    connections.retain(|open| *open != connection_id);
                    if connections.is_empty() {
                        self.connections.remove(&peer_id);
                    }
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        _: ConnectionId,
        (stream, protocol): THandlerOutEvent<Self>,
    ) {
        self.events.push_back(ToSwarm::GenerateEvent(Inbound { peer, protocol, stream }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Inbound, THandlerInEvent<Self>>> {
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = (Stream, StreamProtocol);
    type InboundProtocol = AnyOf;
    type OutboundProtocol = AnyOf;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = StreamReply;

    fn listen_protocol(&self) -> SubstreamProtocol<AnyOf, ()> {
        SubstreamProtocol::new(AnyOf(self.protocols.clone()), ()).with_timeout(STREAM_OPEN_MAX)
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<AnyOf, StreamReply, Self::ToBehaviour>> {
        if let Some(inbound) = self.inbound.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(inbound));
        }
        let Some(Open { protocol, reply }) = self.requests.pop_front() else {
            return Poll::Pending;
        };
        let protocol = SubstreamProtocol::new(AnyOf(vec![protocol]), reply);
        Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
            protocol: protocol.with_timeout(STREAM_OPEN_MAX),
        })
    }

    fn on_behaviour_event(&mut self, request: Open) {
        self.requests.push_back(request);
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, AnyOf, AnyOf, (), StreamReply>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol, ..
            }) => self.inbound.push_back(protocol),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (stream, _),
                info: reply,
            }) => {
                let _ = reply.send(Ok(stream));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, info: reply }) => {
                let _ = reply.send(Err(failure_of(error)));
            }
            _ => {}
        }
    }
}

impl UpgradeInfo for AnyOf {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for AnyOf {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        std::future::ready(Ok((stream, protocol)))
    }
}

impl OutboundUpgrade<Stream> for AnyOf {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        std::future::ready(Ok((stream, protocol)))
    }
}

fn failure_of(error: StreamUpgradeError<Infallible>) -> StreamFailure {
    match error {
        StreamUpgradeError::Timeout => StreamFailure::Lost(io::ErrorKind::TimedOut.into()),
        StreamUpgradeError::NegotiationFailed => StreamFailure::Unsupported,
        StreamUpgradeError::Io(error) => StreamFailure::Lost(error),
    }
}
