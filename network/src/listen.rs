//! One port number for both transports: QUIC on UDP and TCP.
//!
//! The swarm's TCP listener shares its port with any other that asks for the same (`SO_REUSEPORT`,
//! which dialling from the listening port needs), so a second Gleaner on the port would go
//! unnoticed. The UDP socket is exclusive and is bound first: it is the lock. A plain TCP socket
//! then tells whether another program has the port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use libp2p::Multiaddr;
use libp2p::core::transport::{ListenerId, TransportError};
use libp2p::swarm::Swarm;
use tracing::debug;

use crate::address::kind_of;
use crate::holder::{PortKind, port_holder};
use crate::interfaces::{Reach, quic, tcp};
use crate::node::StartError;
use crate::swarm::Behaviour;

/// How many free TCP ports are tried until one is free for UDP as well.
const FREE_PORT_TRIES: u32 = 32;

/// Listens on `port`, or on any free one if it is 0, and returns the port.
pub(crate) fn listen(
    swarm: &mut Swarm<Behaviour>,
    reach: Reach,
    port: u16,
) -> Result<u16, StartError> {
    if port != 0 {
        return listen_on(swarm, reach, port).map(|()| port);
    }
    for _ in 0..FREE_PORT_TRIES {
        let port = free_tcp_port(reach)?;
        match listen_on(swarm, reach, port) {
            Err(StartError::PortTaken { port, .. }) => debug!(port, "the free port was taken"),
            Err(error) => return Err(error),
            Ok(()) => return Ok(port),
        }
    }
    Err(StartError::NoFreePort { tried: FREE_PORT_TRIES })
}

fn free_tcp_port(reach: Reach) -> Result<u16, StartError> {
    let bound = TcpListener::bind(SocketAddr::new(ipv4(reach), 0));
    bound
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|source| StartError::Listen { port: 0, source })
}

fn listen_on(swarm: &mut Swarm<Behaviour>, reach: Reach, port: u16) -> Result<(), StartError> {
    listen_at(swarm, ipv4(reach), port)?;
    if reach == Reach::Loopback {
        return Ok(());
    }
    match listen_at(swarm, IpAddr::V6(Ipv6Addr::UNSPECIFIED), port) {
        Err(StartError::Listen { source, .. }) => {
            debug!(%source, "this machine has no IPv6; listening on IPv4 alone");
            Ok(())
        }
        listening => listening,
    }
}

/// Listens for both transports at `ip`, or for neither.
fn listen_at(swarm: &mut Swarm<Behaviour>, ip: IpAddr, port: u16) -> Result<(), StartError> {
    let udp = bind(swarm, quic(ip, port), "UDP", port)?;
    let tcp = probe_tcp(ip, port).and_then(|()| bind(swarm, tcp(ip, port), "TCP", port));
    if let Err(error) = tcp {
        swarm.remove_listener(udp);
        return Err(error);
    }
    Ok(())
}

fn bind(
    swarm: &mut Swarm<Behaviour>,
    address: Multiaddr,
    transport: &'static str,
    port: u16,
) -> Result<ListenerId, StartError> {
    swarm.listen_on(address).map_err(|error| match error {
        TransportError::Other(source) => start_error(source, transport, port),
        TransportError::MultiaddrNotSupported(address) => {
            unreachable!("both transports are built in, so {address} is known")
        }
    })
}

/// Whether a socket that shares with nobody can have the port.
fn probe_tcp(ip: IpAddr, port: u16) -> Result<(), StartError> {
    // A wildcard IPv6 socket of the standard library may claim IPv4 too, where ours listens by now.
    if ip.is_ipv6() {
        return Ok(());
    }
    TcpListener::bind(SocketAddr::new(ip, port))
        .map(drop)
        .map_err(|source| start_error(source, "TCP", port))
}

fn start_error(source: io::Error, transport: &'static str, port: u16) -> StartError {
    match kind_of(&source) {
        io::ErrorKind::AddrInUse => {
            let kind = if transport == "UDP" { PortKind::Udp } else { PortKind::Tcp };
            StartError::PortTaken { port, transport, holder: port_holder(kind, port) }
        }
        _ => StartError::Listen { port, source },
    }
}

fn ipv4(reach: Reach) -> IpAddr {
    IpAddr::V4(match reach {
        Reach::Loopback => Ipv4Addr::LOCALHOST,
        Reach::Everywhere => Ipv4Addr::UNSPECIFIED,
    })
}
