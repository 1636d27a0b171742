//! What the tests share: nodes on loopback, and a peer that does as the test says.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use futures::StreamExt;
use gleaner_protocol::WorkerId;
use libp2p::swarm::SwarmEvent;
use libp2p::{Stream, StreamProtocol};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use crate::address::peer_of;
use crate::head_start::HeadStart;
use crate::interfaces::{Reach, addresses, tcp};
use crate::node::{IncomingStreams, Node, NodeConfig};
use crate::swarm::BehaviourEvent;
use crate::{HostKey, listen, swarm};

/// Longer than anything here takes on the slowest machine; only a hang reaches it.
const HANG: Duration = Duration::from_secs(60);

/// A config on loopback with any free port.
pub(crate) fn on_loopback() -> NodeConfig {
    NodeConfig { port: 0, loopback_only: true, mdns: false, ..NodeConfig::default() }
}

/// A node on loopback under a new key.
pub(crate) async fn node() -> (Node, IncomingStreams) {
    Node::start(&HostKey::generate(), on_loopback()).await.expect("a node starts on loopback")
}

/// The addresses of `node` over one transport: `quic-v1` or `tcp`.
pub(crate) fn over(node: &Node, transport: &str) -> Vec<String> {
    let infix = format!("/{transport}/");
    node.addresses().into_iter().filter(|address| address.contains(&infix)).collect()
}

/// An address on loopback at which `peer` is said to be.
pub(crate) fn tcp_address(port: u16, peer: WorkerId) -> String {
    format!("{}/p2p/{}", tcp(IpAddr::V4(Ipv4Addr::LOCALHOST), port), peer_of(peer))
}

/// Ends a test that hangs, with its place.
#[track_caller]
pub(crate) fn soon<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move {
        tokio::time::timeout(HANG, future).await.unwrap_or_else(|_| panic!("hangs at {place}"))
    }
}

/// A peer that proves its key and then hands each stream to `on_stream`, which may do anything.
/// Returns its id and addresses.
pub(crate) fn raw_peer<F>(
    on_stream: impl Fn(StreamProtocol, Compat<Stream>) -> F + Send + 'static,
) -> (WorkerId, Vec<String>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let key = HostKey::generate();
    let mut swarm =
        swarm::build(&key, &on_loopback(), &HeadStart::default()).expect("a swarm can be built");
    let port = listen::listen(&mut swarm, Reach::Loopback, 0).expect("a port is free");
    tokio::spawn(async move {
        loop {
            if let SwarmEvent::Behaviour(BehaviourEvent::Streams(inbound)) =
                swarm.select_next_some().await
            {
                tokio::spawn(on_stream(inbound.protocol, inbound.stream.compat()));
            }
        }
    });
    let addresses = addresses(Reach::Loopback, port, peer_of(key.id()));
    (key.id(), addresses.iter().map(ToString::to_string).collect())
}
