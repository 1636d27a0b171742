//! The libp2p swarm: which transports and behaviours, with which bounds.

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::Transport;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{NetworkBehaviour, Swarm};
use libp2p::{SwarmBuilder, identify, mdns, noise, ping, quic, tcp};
use tracing::warn;

use crate::api_stream::API;
use crate::blob::BLOB;
use crate::head_start::{AfterQuic, HeadStart};
use crate::identity::HostKey;
use crate::limits::{
    CONNECT_MAX, CONNECTION_WINDOW_BYTES, CONNECTIONS_PER_PEER_MAX, HANDSHAKES_OUTGOING_MAX,
    HANDSHAKES_PER_CONNECTION_MAX, IDLE_CONNECTION_MAX, PING_INTERVAL, SILENCE_MAX,
    STREAM_WINDOW_BYTES, STREAMS_PER_CONNECTION_MAX,
};
use crate::liveness::Liveness;
use crate::muxer;
use crate::node::{NodeConfig, StartError};
use crate::streams::Streams;
use crate::work_stream::WORK;

/// What every version of Gleaner says it is to its peers.
const IDENTIFY_PROTOCOL: &str = "/gleaner/1";

/// All behaviours of a node. The limits come first, as they may refuse a connection.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    identify: identify::Behaviour,
    liveness: Liveness,
    mdns: Toggle<mdns::tokio::Behaviour>,
    pub(crate) streams: Streams,
}

/// A swarm that listens nowhere yet, in whose dials QUIC may have a head start.
pub(crate) fn build(
    key: &HostKey,
    config: &NodeConfig,
    head_start: &HeadStart,
) -> Result<Swarm<Behaviour>, StartError> {
    let key = key.to_swarm_key();
    let noise = noise::Config::new(&key).map_err(|source| StartError::Cryptography { source })?;
    let tcp = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true));
    let tcp = AfterQuic::new(tcp, head_start.clone())
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(muxer::Yamux::default());
    let swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_quic_config(bound_quic)
        .with_other_transport(|_| tcp)
        .unwrap_or_else(|never| match never {})
        .with_behaviour(|key| behaviour(key, config))
        .unwrap_or_else(|never| match never {})
        .with_swarm_config(|swarm| {
            swarm
                .with_idle_connection_timeout(IDLE_CONNECTION_MAX)
                .with_max_negotiating_inbound_streams(STREAMS_PER_CONNECTION_MAX)
                .with_smart_dial()
        })
        .with_connection_timeout(CONNECT_MAX)
        .build();
    Ok(swarm)
}

fn bound_quic(mut quic: quic::Config) -> quic::Config {
    quic.handshake_timeout = CONNECT_MAX;
    // A lost one is sent again long before the silence is over, as QUIC does with all that it sends.
    quic.keep_alive_interval = SILENCE_MAX / 2;
    quic.max_idle_timeout = u32::try_from(SILENCE_MAX.as_millis()).expect("seconds");
    quic.max_concurrent_stream_limit =
        u32::try_from(STREAMS_PER_CONNECTION_MAX).expect("a few dozen");
    quic.max_stream_data = STREAM_WINDOW_BYTES;
    quic.max_connection_data = CONNECTION_WINDOW_BYTES;
    quic
}

fn behaviour(key: &Keypair, config: &NodeConfig) -> Behaviour {
    let incoming = config.connections_max.saturating_mul(HANDSHAKES_PER_CONNECTION_MAX);
    let limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(incoming))
        .with_max_pending_outgoing(Some(HANDSHAKES_OUTGOING_MAX))
        .with_max_established(Some(config.connections_max))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX));
    let identify = identify::Config::new(IDENTIFY_PROTOCOL.into(), key.public())
        .with_agent_version(concat!("gleaner/", env!("CARGO_PKG_VERSION")).into())
        .with_hide_listen_addrs(true)
        .with_cache_size(0);
    let ping = ping::Config::new().with_interval(PING_INTERVAL).with_timeout(SILENCE_MAX);
    Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        identify: identify::Behaviour::new(identify),
        liveness: Liveness::new(ping),
        mdns: mdns_if_wanted(key, config).into(),
        streams: Streams::new(vec![WORK, BLOB, API]),
    }
}

/// Discovery is a convenience: a machine without multicast works all the same.
fn mdns_if_wanted(key: &Keypair, config: &NodeConfig) -> Option<mdns::tokio::Behaviour> {
    if !config.mdns || config.loopback_only {
        return None;
    }
    // IPv4 only: over IPv6 it fails on hosts with several interfaces.
    let mdns = mdns::Config { enable_ipv6: false, ..mdns::Config::default() };
    mdns::tokio::Behaviour::new(mdns, key.public().to_peer_id())
        .inspect_err(|error| warn!(%error, "cannot look for peers on the local network"))
        .ok()
}
