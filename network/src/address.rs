//! Addresses of peers: hints as people pass them on, and why one did not lead anywhere.
//!
//! An address is a hint and never proof: it must name the peer that is expected there, and whoever
//! answers must prove to be that peer.

use std::fmt;
use std::io;
use std::net::IpAddr;

use gleaner_protocol::WorkerId;
use libp2p::core::transport::TransportError;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use crate::limits::{ADDRESS_BYTES_MAX, ADDRESSES_PER_PEER_MAX};

/// A libp2p peer id of an Ed25519 key is these bytes (an identity multihash of 36 bytes; key type
/// Ed25519; 32 bytes of key) and the key (libp2p specs, peer-ids).
const PEER_ID_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// One address that was tried for a peer, and why it did not lead there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The address as a person reads it.
    pub address: String,
    /// Why it failed.
    pub failure: AttemptFailure,
}

/// Every address that was tried for a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts(pub Vec<Attempt>);

/// Why an address did not lead to the peer that was wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttemptFailure {
    /// It cannot be read.
    #[error("this is no network address")]
    NotAnAddress,
    /// It does not say which peer it leads to.
    #[error("it does not end in /p2p/ and the key of a host")]
    NoPeer,
    /// It says that it leads to another peer.
    #[error("it is the address of another host, {named}")]
    OtherPeer {
        /// The peer it names.
        named: WorkerId,
    },
    /// Its host name has no address.
    #[error("the name is unknown ({reason})")]
    UnknownName {
        /// What the resolver said.
        reason: String,
    },
    /// This program does not speak this kind of address.
    #[error("this kind of address is not supported")]
    Unsupported,
    /// The machine is there and nothing listens at the port.
    #[error("nothing listens there")]
    Refused,
    /// There is no way to the machine from here.
    #[error("there is no route to it from this machine")]
    NoRoute,
    /// Nobody answered.
    #[error("no answer in time")]
    TimedOut,
    /// Someone else answered.
    #[error("another host answered, {found}")]
    WrongPeer {
        /// Who did.
        found: WorkerId,
    },
    /// It is this host's own address.
    #[error("it leads back to this very host")]
    Itself,
    /// Someone answered and the handshake failed.
    #[error("the connection failed ({reason})")]
    Handshake {
        /// What went wrong.
        reason: String,
    },
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.failure)
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, attempt) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{attempt}")?;
        }
        Ok(())
    }
}

/// The peer that an address ends in, if it can be read and ends in `/p2p/…` of an Ed25519 key.
pub fn peer_of_address(address: &str) -> Option<WorkerId> {
    let address = parse(address)?;
    match address.iter().last()? {
        Protocol::P2p(peer) => worker_of(&peer),
        _ => None,
    }
}

/// An address as a person reads it, `192.0.2.1 port 4747 (QUIC)`: bounded, whatever it was.
pub fn readable_address(address: &str) -> String {
    printable(address)
}

/// The swarm's name for a host.
pub(crate) fn peer_of(worker: WorkerId) -> PeerId {
    let bytes = [PEER_ID_PREFIX.as_slice(), worker.0.as_slice()].concat();
    PeerId::from_bytes(&bytes).expect("prefix and key make an identity multihash")
}

/// The host behind the swarm's name; none if its key is not Ed25519.
pub(crate) fn worker_of(peer: &PeerId) -> Option<WorkerId> {
    let bytes = peer.to_bytes();
    let key = bytes.strip_prefix(&PEER_ID_PREFIX)?;
    key.try_into().ok().map(WorkerId)
}

/// The addresses that `hints` for `peer` stand for, without their `/p2p/…`, and the failures of
/// those that stand for none. Host names are looked up.
pub(crate) async fn resolve(hints: &[String], peer: WorkerId) -> (Vec<Multiaddr>, Vec<Attempt>) {
    let (mut addresses, mut failures) = (Vec::new(), Vec::new());
    for hint in hints.iter().take(ADDRESSES_PER_PEER_MAX) {
        let resolved = match check_hint(hint, peer) {
            Ok(address) => look_up(address).await,
            Err(failure) => Err(failure),
        };
        match resolved {
            Ok(found) => addresses.extend(found),
            Err(failure) => failures.push(Attempt { address: printable(hint), failure }),
        }
    }
    (addresses, failures)
}

/// Whether it is an address of QUIC.
pub(crate) fn is_quic(address: &Multiaddr) -> bool {
    address.iter().any(|protocol| matches!(protocol, Protocol::QuicV1))
}

/// `address` without its last `/p2p/…`.
pub(crate) fn without_peer(address: &Multiaddr) -> Multiaddr {
    let mut address = address.clone();
    if let Some(Protocol::P2p(_)) = address.iter().last() {
        address.pop();
    }
    address
}

/// The address as a person reads it: `192.0.2.1 port 4747 (QUIC)`.
pub(crate) fn print(address: &Multiaddr) -> String {
    let parts: Vec<_> = address.iter().collect();
    match parts.as_slice() {
        [host, Protocol::Udp(port), Protocol::QuicV1, ..] => match host_of(host) {
            Some(host) => format!("{host} port {port} (QUIC)"),
            None => address.to_string(),
        },
        [host, Protocol::Tcp(port), ..] => match host_of(host) {
            Some(host) => format!("{host} port {port} (TCP)"),
            None => address.to_string(),
        },
        _ => address.to_string(),
    }
}

/// Why a transport could not reach an address.
pub(crate) fn failure_of(error: &TransportError<io::Error>) -> AttemptFailure {
    let error = match error {
        TransportError::MultiaddrNotSupported(_) => return AttemptFailure::Unsupported,
        TransportError::Other(error) => error,
    };
    match kind_of(error) {
        io::ErrorKind::ConnectionRefused => AttemptFailure::Refused,
        io::ErrorKind::TimedOut => AttemptFailure::TimedOut,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            AttemptFailure::NoRoute
        }
        _ => handshake_failure(error),
    }
}

/// What the system said, however deep the transports have wrapped it. Their wrappers hide the error
/// they hold from [`std::error::Error::source`] but print it, with the system's number.
pub(crate) fn kind_of(error: &io::Error) -> io::ErrorKind {
    if error.kind() != io::ErrorKind::Other {
        return error.kind();
    }
    let text = error.to_string();
    let number = text.split_once("(os error ").and_then(|(_, rest)| rest.split_once(')'));
    match number.map(|(number, _)| number.parse()) {
        Some(Ok(number)) => io::Error::from_raw_os_error(number).kind(),
        _ => io::ErrorKind::Other,
    }
}

/// Transports wrap their own time-outs in types that cannot be named here; their words are stable.
fn handshake_failure(error: &io::Error) -> AttemptFailure {
    let reason = error.to_string();
    if reason.contains("Timeout has been reached") || reason.contains("timed out") {
        return AttemptFailure::TimedOut;
    }
    AttemptFailure::Handshake { reason }
}

fn parse(text: &str) -> Option<Multiaddr> {
    (text.len() <= ADDRESS_BYTES_MAX).then(|| text.parse().ok()).flatten()
}

fn check_hint(hint: &str, peer: WorkerId) -> Result<Multiaddr, AttemptFailure> {
    let address = parse(hint).ok_or(AttemptFailure::NotAnAddress)?;
    match peer_of_address(hint) {
        Some(named) if named == peer => Ok(without_peer(&address)),
        Some(named) => Err(AttemptFailure::OtherPeer { named }),
        None => Err(AttemptFailure::NoPeer),
    }
}

/// The address itself, or one for each IP address of the name it starts with. The system's own
/// resolver is asked, so that `/etc/hosts` and names of the LAN work.
async fn look_up(address: Multiaddr) -> Result<Vec<Multiaddr>, AttemptFailure> {
    let (name, wanted): (_, fn(&IpAddr) -> bool) = match address.iter().next() {
        Some(Protocol::Dns(name)) => (name.into_owned(), |_| true),
        Some(Protocol::Dns4(name)) => (name.into_owned(), IpAddr::is_ipv4),
        Some(Protocol::Dns6(name)) => (name.into_owned(), IpAddr::is_ipv6),
        _ => return Ok(vec![address]),
    };
    let failed = |reason: String| AttemptFailure::UnknownName { reason };
    let found = tokio::net::lookup_host((name.as_str(), 0));
    let found = tokio::time::timeout(crate::limits::CONNECT_MAX, found)
        .await
        .map_err(|_| failed("no answer from the resolver".into()))?
        .map_err(|error| failed(error.to_string()))?;
    let ips = found.map(|address| address.ip()).filter(wanted).take(ADDRESSES_PER_PEER_MAX);
    let addresses: Vec<_> = ips.filter_map(|ip| address.replace(0, |_| Some(ip.into()))).collect();
    match addresses.is_empty() {
        false => Ok(addresses),
        true => Err(failed("it has no address of the kind".into())),
    }
}

fn host_of(part: &Protocol<'_>) -> Option<String> {
    match part {
        Protocol::Ip4(ip) => Some(ip.to_string()),
        Protocol::Ip6(ip) => Some(ip.to_string()),
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => Some(name.to_string()),
        _ => None,
    }
}

/// A stranger's text with a bound and without control characters.
fn printable(hint: &str) -> String {
    match parse(hint) {
        Some(address) => print(&without_peer(&address)),
        None => hint.chars().take(80).flat_map(char::escape_debug).collect(),
    }
}

#[cfg(test)]
mod tests;
