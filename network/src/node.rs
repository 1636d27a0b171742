//! A node: this program's presence among its peers.
//!
//! One task owns the libp2p swarm; a [`Node`] is a handle that sends it requests. Streams, once
//! open, go around the task. A peer that is silent for 30 s at most is found dead and its streams
//! break; a connection that carries a stream is never closed for being idle.
//!
//! Deliberately absent: reconnection (the caller holds a [`crate::Backoff`]) and any judgement on
//! who may do what beyond [`BlobSource`] and the caps of `limits`.

mod book;
mod task;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use gleaner_protocol::{BlobRef, WorkerId};
use libp2p::swarm::Swarm;
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::info;

use crate::address::{Attempts, peer_of, resolve};
use crate::api_stream::{API, ApiGate, ApiStream, ApiStreams, IncomingApiStreams};
use crate::blob::{BlobServer, BlobSource, FetchError, fetch};
use crate::head_start::HeadStart;
use crate::identity::HostKey;
use crate::interfaces::{self, Reach};
use crate::limits::{
    BLOBS_FETCHED_MAX, COMMANDS_WAITING_MAX, CONNECTIONS_MAX_DEFAULT, PORT_DEFAULT,
};
use crate::streams::{StreamFailure, StreamReply};
use crate::swarm::Behaviour;
use crate::work_stream::{WORK, WorkStream};
use crate::{buffers, listen, swarm};

/// How a node presents itself. The default is the recommendation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// The port of QUIC (UDP) and of TCP; 0 for any that is free for both. Default 4747, so that a
    /// firewall needs one rule.
    pub port: u16,
    /// Whether to listen on the loopback interface alone. Default no.
    pub loopback_only: bool,
    /// Whether to find peers on the local network by multicast DNS, and be found. Default yes;
    /// without effect when `loopback_only`.
    pub mdns: bool,
    /// The most connections at a time, either way. Default 4,096; an idle one costs up to 75 KB.
    pub connections_max: u32,
    /// How much room is asked for what arrives over UDP, in bytes; the system gives what it allows.
    /// Default what it gives to all: with more, a node that fetches large blobs holds more of them
    /// before they are read. [`crate::UDP_RECEIVE_BYTES`] for one to which a fleet comes back.
    pub udp_receive_bytes: Option<usize>,
}

/// A handle to a running node; clones are handles to the same one. The node stops when all are
/// gone, or with [`Node::stop`].
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

/// The work streams that peers open to this node.
#[derive(Debug)]
pub struct IncomingStreams {
    streams: mpsc::Receiver<WorkStream>,
}

/// Why a node could not start. Nothing was left behind.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another program has the port. A retry helps once that has ended.
    #[error(
        "port {port} ({transport}) is in use by {}; end that, or choose another port with \
         `--port`, or any free one with `--port 0`",
        holder.as_deref().unwrap_or("another program, perhaps another Gleaner")
    )]
    PortTaken {
        /// The port.
        port: u16,
        /// `UDP` or `TCP`.
        transport: &'static str,
        /// Who has it, where that can be told.
        holder: Option<String>,
    },
    /// No port was free for both transports.
    #[error("none of {tried} free TCP ports was free for UDP too; choose one with `--port`")]
    NoFreePort {
        /// How many were tried.
        tried: u32,
    },
    /// The system does not let this program listen.
    #[error("cannot listen on port {port}: {source}")]
    Listen {
        /// The port; 0 for any.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The keys for encryption could not be made.
    #[error("cannot set up encryption: {source}")]
    Cryptography {
        /// What was wrong.
        source: libp2p::noise::Error,
    },
}

/// Why no stream to a peer could be opened. A retry may help for all but
/// [`OpenError::Unsupported`] and [`OpenError::Stopped`]; the peer saw no message.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// There was no address to try.
    #[error(
        "no address of {peer} is known: none was given, and it was not found on the local network"
    )]
    NoAddress {
        /// The peer.
        peer: WorkerId,
    },
    /// No address led to the peer.
    #[error("cannot reach {peer}: {attempts}")]
    Unreachable {
        /// The peer.
        peer: WorkerId,
        /// Each address, and why it failed.
        attempts: Attempts,
    },
    /// The peer is there and does not speak the protocol.
    #[error("{peer} does not speak `{protocol}`: one of the two programs must be updated")]
    Unsupported {
        /// The peer.
        peer: WorkerId,
        /// The protocol.
        protocol: &'static str,
    },
    /// The connection broke before the stream was open.
    #[error("the connection to {peer} was lost: {reason}")]
    Lost {
        /// The peer.
        peer: WorkerId,
        /// How.
        reason: String,
    },
    /// This node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

/// What all handles to a node share.
struct Shared {
    id: WorkerId,
    port: u16,
    reach: Reach,
    commands: mpsc::Sender<Command>,
    blobs: Arc<BlobServer>,
    api: Arc<ApiStreams>,
    fetches: Semaphore,
}

/// What a handle asks the swarm's task to do.
enum Command {
    /// Make a new connection, whether or not there is one.
    Connect { peer: PeerId, addresses: Vec<Multiaddr>, reply: oneshot::Sender<Connected> },
    /// Open a stream on a connection there is.
    Open { peer: PeerId, protocol: StreamProtocol, reply: StreamReply },
    /// Close all connections and end.
    Stop,
}

/// A new connection, or what was tried.
type Connected = Result<(), Attempts>;

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            port: PORT_DEFAULT,
            loopback_only: false,
            mdns: true,
            connections_max: CONNECTIONS_MAX_DEFAULT,
            udp_receive_bytes: None,
        }
    }
}

impl NodeConfig {
    const fn reach(&self) -> Reach {
        if self.loopback_only { Reach::Loopback } else { Reach::Everywhere }
    }
}

impl Node {
    /// Starts a node under `key`: it listens when this returns. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// Any [`StartError`].
    pub async fn start(
        key: &HostKey,
        config: NodeConfig,
    ) -> Result<(Self, IncomingStreams), StartError> {
        let head_start = HeadStart::default();
        let mut swarm = swarm::build(key, &config, &head_start)?;
        let port = listen::listen(&mut swarm, config.reach(), config.port)?;
        if let Some(bytes) = config.udp_receive_bytes {
            buffers::enlarge(&swarm, port, bytes);
        }
        // A fleet that comes back at one moment opens one stream for each connection.
        let (work, streams) = mpsc::channel(config.connections_max.max(1) as usize);
        let node = Self::run(key.id(), swarm, head_start, (config.reach(), port), work);
        info!(id = %key.id(), port, "node started");
        Ok((node, IncomingStreams { streams }))
    }

    /// Starts a node under `key` that only calls others: it listens nowhere, is found by nobody
    /// and looks for nobody. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// [`StartError::Cryptography`].
    pub fn start_caller(key: &HostKey) -> Result<Self, StartError> {
        let config = NodeConfig { mdns: false, ..NodeConfig::default() };
        let head_start = HeadStart::default();
        let swarm = swarm::build(key, &config, &head_start)?;
        // Nobody takes work streams here: they are dropped.
        let (work, _) = mpsc::channel(1);
        Ok(Self::run(key.id(), swarm, head_start, (config.reach(), 0), work))
    }

    fn run(
        id: WorkerId,
        swarm: Swarm<Behaviour>,
        head_start: HeadStart,
        (reach, port): (Reach, u16),
        work: mpsc::Sender<WorkStream>,
    ) -> Self {
        let (commands, requests) = mpsc::channel(COMMANDS_WAITING_MAX);
        let (blobs, api) = (Arc::new(BlobServer::new()), Arc::new(ApiStreams::new()));
        let (of_blobs, of_api) = (Arc::clone(&blobs), Arc::clone(&api));
        let task = task::Task::new(swarm, requests, work, of_blobs, of_api, head_start);
        tokio::spawn(task.run());
        let fetches = Semaphore::new(BLOBS_FETCHED_MAX);
        Self { shared: Arc::new(Shared { id, port, reach, commands, blobs, api, fetches }) }
    }

    /// The key under which the peers know this node.
    pub fn id(&self) -> WorkerId {
        self.shared.id
    }

    /// The port of QUIC (UDP) and TCP; 0 when it listens nowhere.
    pub fn port(&self) -> u16 {
        self.shared.port
    }

    /// Where others can reach this node now: full multiaddresses, each ending in `/p2p/…`, QUIC
    /// first. No loopback addresses, unless that is all the node listens on; those of bridges to
    /// containers and virtual machines, and those that a machine gave itself for want of a better
    /// one, only when there is nothing else. Empty on a machine that is on no network, and for a
    /// node that only calls others.
    pub fn addresses(&self) -> Vec<String> {
        let Shared { id, port, reach, .. } = *self.shared;
        if port == 0 {
            return Vec::new();
        }
        let addresses = interfaces::addresses(reach, port, peer_of(id));
        addresses.iter().map(Multiaddr::to_string).collect()
    }

    /// Those of [`Node::addresses`] at which this very machine reaches itself over TCP: one that
    /// fails even from here is of use to nobody. A firewall before the machine is not noticed.
    pub async fn tested_addresses(&self) -> Vec<String> {
        let Shared { id, port, reach, .. } = *self.shared;
        let ips = interfaces::answering(interfaces::ips(reach), port).await;
        let addresses = interfaces::addresses_of(&ips, port, peer_of(id));
        addresses.iter().map(Multiaddr::to_string).collect()
    }

    /// Opens a work stream to `peer`, over the connection there is or else a new one to any of
    /// `addresses`, to where it was reached last, or to where it was found on the local network.
    ///
    /// Each address must end in `/p2p/` and the peer's key; whoever answers must prove to hold it.
    /// The peer sees the stream with the first message.
    ///
    /// # Errors
    /// Any [`OpenError`].
    pub async fn open_work_stream(
        &self,
        peer: WorkerId,
        addresses: &[String],
    ) -> Result<WorkStream, OpenError> {
        let stream = self.open(peer, WORK, addresses).await?;
        Ok(WorkStream::new(peer, stream, None))
    }

    /// Opens an API stream to `peer`, found as [`Node::open_work_stream`] finds it.
    ///
    /// # Errors
    /// Any [`OpenError`].
    pub async fn open_api_stream(
        &self,
        peer: WorkerId,
        addresses: &[String],
    ) -> Result<ApiStream, OpenError> {
        let stream = self.open(peer, API, addresses).await?;
        Ok(ApiStream::new(peer, stream, None))
    }

    /// Takes API streams from those whom `gate` admits, and as few of others as it takes to tell
    /// them. A second call replaces the first one; without any call every API stream is dropped.
    pub fn accept_api(&self, gate: Arc<dyn ApiGate>) -> IncomingApiStreams {
        self.shared.api.accept(gate)
    }

    /// Serves the blobs of `source` to whom it allows. A second call replaces the source for
    /// requests from then on; without any call every request is refused.
    pub fn serve_blobs(&self, source: Arc<dyn BlobSource>) {
        self.shared.blobs.set_source(source);
    }

    /// Fetches `blob` from `peer` into the file `destination`, which is replaced if it exists.
    ///
    /// Every byte is checked against the hash as it arrives. The bytes go to a temporary file
    /// beside `destination` (its name starts with [`crate::PARTIAL_PREFIX`]), which takes the name
    /// once it is whole and durable; it is removed on an error, and a crash may leave it. A stream
    /// that breaks is resumed a few times where it broke. Beyond 8 fetches at a time, others wait.
    ///
    /// # Errors
    /// Any [`FetchError`]; `destination` is then as it was.
    pub async fn fetch_blob(
        &self,
        peer: WorkerId,
        blob: BlobRef,
        destination: &Path,
    ) -> Result<(), FetchError> {
        let turn = self.shared.fetches.acquire().await;
        let _turn = turn.expect("this semaphore is never closed");
        fetch::fetch(self, peer, blob, destination).await
    }

    /// Closes all connections, so that peers notice at once, and stops the node. All streams
    /// break, at both ends; other handles find the node stopped. Harmless on a node that has
    /// stopped. Its port is free again once its streams have been dropped.
    pub async fn stop(self) {
        let _ = self.shared.commands.send(Command::Stop).await;
        self.shared.commands.closed().await;
    }

    /// A stream to `peer`. A connection that turns out to be dead is replaced once.
    pub(crate) async fn open(
        &self,
        peer: WorkerId,
        protocol: StreamProtocol,
        hints: &[String],
    ) -> Result<Stream, OpenError> {
        match self.open_connected(peer, protocol.clone()).await? {
            Ok(stream) => return Ok(stream),
            Err(StreamFailure::Unsupported) => return Err(unsupported(peer, &protocol)),
            Err(StreamFailure::NotConnected | StreamFailure::Lost(_)) => {}
        }
        self.connect(peer, hints).await?;
        match self.open_connected(peer, protocol.clone()).await? {
            Ok(stream) => Ok(stream),
            Err(StreamFailure::Unsupported) => Err(unsupported(peer, &protocol)),
            Err(StreamFailure::NotConnected) => {
                Err(OpenError::Lost { peer, reason: "the peer closed it".into() })
            }
            Err(StreamFailure::Lost(error)) => {
                Err(OpenError::Lost { peer, reason: error.to_string() })
            }
        }
    }

    async fn connect(&self, worker: WorkerId, hints: &[String]) -> Result<(), OpenError> {
        let (addresses, mut failures) = resolve(hints, worker).await;
        let (reply, connected) = oneshot::channel();
        self.ask(Command::Connect { peer: peer_of(worker), addresses, reply }).await?;
        match connected.await.map_err(|_| OpenError::Stopped)? {
            Ok(()) => Ok(()),
            Err(Attempts(attempts)) => {
                failures.extend(attempts);
                Err(unreachable_peer(worker, failures))
            }
        }
    }

    async fn open_connected(
        &self,
        peer: WorkerId,
        protocol: StreamProtocol,
    ) -> Result<Result<Stream, StreamFailure>, OpenError> {
        let (reply, opened) = oneshot::channel();
        self.ask(Command::Open { peer: peer_of(peer), protocol, reply }).await?;
        let closed = |_| Err(StreamFailure::Lost(io::ErrorKind::ConnectionReset.into()));
        Ok(opened.await.unwrap_or_else(closed))
    }

    async fn ask(&self, command: Command) -> Result<(), OpenError> {
        self.shared.commands.send(command).await.map_err(|_| OpenError::Stopped)
    }
}

impl IncomingStreams {
    /// The next work stream that a peer has opened, with the peer's proven key; `None` once the
    /// node has stopped. Cancel safe. As many wait here as there may be connections; more are
    /// dropped, and their peers try again.
    pub async fn next(&mut self) -> Option<(WorkerId, WorkStream)> {
        let stream = self.streams.recv().await?;
        Some((stream.peer(), stream))
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({}, port {})", self.shared.id, self.shared.port)
    }
}

fn unsupported(peer: WorkerId, protocol: &StreamProtocol) -> OpenError {
    let protocol = match protocol {
        work if *work == WORK => "/gleaner/work/1",
        api if *api == API => "/gleaner/api/1",
        _ => "/gleaner/blob/1",
    };
    OpenError::Unsupported { peer, protocol }
}

fn unreachable_peer(peer: WorkerId, attempts: Vec<crate::Attempt>) -> OpenError {
    match attempts.is_empty() {
        true => OpenError::NoAddress { peer },
        false => OpenError::Unreachable { peer, attempts: Attempts(attempts) },
    }
}

#[cfg(test)]
mod tests;
