//! The task that owns the swarm.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;
use libp2p::core::ConnectedPoint;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, mdns, ping};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, trace, warn};

use super::book::Book;
use super::{Command, Connected};
use crate::address::{
    Attempt, AttemptFailure, Attempts, failure_of, print, without_peer, worker_of,
};
use crate::api_stream::{API, ApiStreams};
use crate::blob::BlobServer;
use crate::head_start::HeadStart;
use crate::limits::{STOP_MAX, WORK_STREAMS_MAX, WORK_STREAMS_PER_PEER_MAX};
use crate::permits::Permits;
use crate::streams::Inbound;
use crate::swarm::{Behaviour, BehaviourEvent};
use crate::work_stream::{WORK, WorkStream};

/// The swarm, and who waits for what.
pub(super) struct Task {
    swarm: Swarm<Behaviour>,
    commands: mpsc::Receiver<Command>,
    work: mpsc::Sender<WorkStream>,
    work_permits: Arc<Permits>,
    blobs: Arc<BlobServer>,
    api: Arc<ApiStreams>,
    book: Book,
    dials: HashMap<PeerId, Dial>,
    head_start: HeadStart,
}

/// A connection being made to one peer; whoever asks meanwhile waits for the same.
struct Dial {
    connection: ConnectionId,
    addresses: Vec<Multiaddr>,
    failures: Vec<Attempt>,
    waiting: Vec<oneshot::Sender<Connected>>,
}

impl Task {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        commands: mpsc::Receiver<Command>,
        work: mpsc::Sender<WorkStream>,
        blobs: Arc<BlobServer>,
        api: Arc<ApiStreams>,
        head_start: HeadStart,
    ) -> Self {
        let work_permits = Permits::new(WORK_STREAMS_PER_PEER_MAX, WORK_STREAMS_MAX);
        let (book, dials) = (Book::default(), HashMap::new());
        Self { swarm, commands, work, work_permits, blobs, api, book, dials, head_start }
    }

    /// Runs until all handles are gone or one asks to stop.
    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    None | Some(Command::Stop) => break,
                    Some(command) => self.on_command(command),
                },
                event = self.swarm.select_next_some() => self.on_event(event),
            }
        }
        self.close_connections().await;
        // The sockets are closed before anyone hears that the node has stopped.
        let Self { swarm, commands, .. } = self;
        drop(swarm);
        drop(commands);
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Connect { peer, addresses, reply } => self.connect(peer, addresses, reply),
            Command::Open { peer, protocol, reply } => {
                self.swarm.behaviour_mut().streams.open(peer, protocol, reply);
            }
            Command::Stop => unreachable!("the loop has ended with it"),
        }
    }

    fn connect(&mut self, peer: PeerId, hints: Vec<Multiaddr>, reply: oneshot::Sender<Connected>) {
        if let Some(dial) = self.dials.get_mut(&peer) {
            dial.waiting.push(reply);
            return;
        }
        let addresses = self.book.candidates(&peer, hints);
        self.dial(peer, addresses, Vec::new(), vec![reply]);
    }

    /// Dials all `addresses` at once, with a head start for QUIC; the first connection counts, and the
    /// others are given up.
    fn dial(
        &mut self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        mut failures: Vec<Attempt>,
        waiting: Vec<oneshot::Sender<Connected>>,
    ) {
        if addresses.is_empty() {
            return answer(waiting, &Err(Attempts(failures)));
        }
        let dial = DialOpts::peer_id(peer)
            .condition(PeerCondition::Always)
            .addresses(addresses.clone())
            .build();
        let connection = dial.connection_id();
        trace!(%peer, ?addresses, "dialling");
        match self.head_start.during(&addresses, || self.swarm.dial(dial)) {
            Ok(()) => {
                let dial = Dial { connection, addresses, failures, waiting };
                self.dials.insert(peer, dial);
            }
            Err(error) => {
                failures.extend(attempts_of(error, &addresses));
                answer(waiting, &Err(Attempts(failures)));
            }
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
                self.on_connected(peer_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, cause, num_established, .. } => {
                debug!(peer = %peer_id, ?cause, left = num_established, "connection closed");
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), connection_id, error } => {
                self.on_dial_failed(peer, connection_id, error);
            }
            SwarmEvent::ListenerClosed { addresses, reason: Err(error), .. } => {
                warn!(?addresses, %error, "a listener has closed");
            }
            SwarmEvent::ListenerError { error, .. } => {
                debug!(%error, "a listener could not accept a connection");
            }
            _ => {}
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Streams(inbound) => self.on_stream(inbound),
            BehaviourEvent::Liveness(ping::Event { peer, connection, result: Err(error) }) => {
                self.on_ping_failed(peer, connection, &error);
            }
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                for (peer, address) in found {
                    debug!(%peer, %address, "found on the local network");
                    self.book.insert(peer, &address);
                }
            }
            BehaviourEvent::Mdns(mdns::Event::Expired(gone)) => {
                for (peer, address) in gone {
                    self.book.remove(&peer, &address);
                }
            }
            _ => {}
        }
    }

    fn on_stream(&mut self, Inbound { peer, protocol, stream }: Inbound) {
        if protocol == API {
            return self.api.take(peer, stream);
        }
        if protocol != WORK {
            return self.blobs.serve(peer, stream);
        }
        let Some(permit) = self.work_permits.acquire(peer) else {
            return debug!(%peer, "too many work streams; one more was dropped");
        };
        let worker = worker_of(&peer).expect("peers with other keys are not connected");
        if self.work.try_send(WorkStream::new(worker, stream, Some(permit))).is_err() {
            debug!(%peer, "nobody takes work streams fast enough; one was dropped");
        }
    }

    /// A peer that does not answer is gone: its streams shall break now, not when TCP gives up.
    fn on_ping_failed(&mut self, peer: PeerId, connection: ConnectionId, error: &ping::Failure) {
        if !matches!(error, ping::Failure::Unsupported) {
            debug!(%peer, %error, "the peer does not answer; closing the connection");
            self.swarm.close_connection(connection);
        }
    }

    fn on_connected(&mut self, peer: PeerId, endpoint: &ConnectedPoint) {
        debug!(%peer, ?endpoint, "connected");
        if let ConnectedPoint::Dialer { address, .. } = endpoint {
            self.book.insert(peer, address);
        }
        if let Some(dial) = self.dials.remove(&peer) {
            answer(dial.waiting, &Ok(()));
        }
    }

    /// When a stranger answered at one address, the others have not had their chance.
    fn on_dial_failed(&mut self, peer: PeerId, connection: ConnectionId, error: DialError) {
        match self.dials.get(&peer) {
            Some(dial) if dial.connection == connection => {}
            _ => return,
        }
        let dial = self.dials.remove(&peer).expect("it was just there");
        let wrong = match &error {
            DialError::WrongPeerId { address, .. } | DialError::LocalPeerId { address } => {
                Some(without_peer(address))
            }
            _ => None,
        };
        let Dial { mut addresses, mut failures, waiting, .. } = dial;
        failures.extend(attempts_of(error, &addresses));
        addresses.retain(|address| wrong.as_ref().is_some_and(|wrong| wrong != address));
        self.dial(peer, addresses, failures, waiting);
    }

    /// Peers notice at once rather than after a time of silence.
    async fn close_connections(&mut self) {
        let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closed = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        if tokio::time::timeout(STOP_MAX, closed).await.is_err() {
            debug!("some connections did not close in time");
        }
    }
}

fn answer(waiting: Vec<oneshot::Sender<Connected>>, connected: &Connected) {
    for reply in waiting {
        let _ = reply.send(connected.clone());
    }
}

/// What happened at each address.
fn attempts_of(error: DialError, addresses: &[Multiaddr]) -> Vec<Attempt> {
    let attempt =
        |address: &Multiaddr, failure| Attempt { address: print(&without_peer(address)), failure };
    match error {
        DialError::Transport(failures) => {
            failures.iter().map(|(address, error)| attempt(address, failure_of(error))).collect()
        }
        DialError::WrongPeerId { obtained, address } => {
            let failure = match worker_of(&obtained) {
                Some(found) => AttemptFailure::WrongPeer { found },
                None => AttemptFailure::Unsupported,
            };
            vec![attempt(&address, failure)]
        }
        DialError::LocalPeerId { address } => vec![attempt(&address, AttemptFailure::Itself)],
        // The swarm leaves out the addresses it listens on itself.
        DialError::NoAddresses => {
            addresses.iter().map(|address| attempt(address, AttemptFailure::Itself)).collect()
        }
        other => {
            let reason = other.to_string();
            let failure = AttemptFailure::Handshake { reason };
            addresses.iter().map(|address| attempt(address, failure.clone())).collect()
        }
    }
}
