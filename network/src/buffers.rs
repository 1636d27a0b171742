//! Room for what arrives while this program is busy.
//!
//! All of QUIC arrives at one socket. When a fleet comes back at one moment, its first packets
//! overflow what a system gives a socket by default; their senders, who have seen round trips of
//! seconds by then, send those that were dropped again after many more. How much can be had is the
//! system's to say (`net.core.rmem_max` on Linux): more is asked for than most systems give.

#[cfg(target_os = "linux")]
use std::os::fd::{BorrowedFd, RawFd};

use libp2p::swarm::Swarm;
#[cfg(target_os = "linux")]
use socket2::SockRef;

#[cfg(target_os = "linux")]
use crate::holder::{PortKind, descriptors_at};
use crate::swarm::Behaviour;

/// Asks for so much room at the UDP sockets of a swarm that listens on `port`. What cannot be had is
/// done without.
#[cfg(target_os = "linux")]
pub(crate) fn enlarge(_listening: &Swarm<Behaviour>, port: u16, bytes: usize) {
    for descriptor in descriptors_at(PortKind::Udp, port) {
        let room = of_socket(descriptor, |socket| {
            socket.set_recv_buffer_size(bytes)?;
            socket.recv_buffer_size()
        });
        tracing::debug!(?room, "room for what arrives over UDP");
    }
}

/// Other systems are asked for nothing yet.
#[cfg(not(target_os = "linux"))]
pub(crate) fn enlarge(_listening: &Swarm<Behaviour>, _port: u16, _bytes: usize) {}

/// Asks a socket of this process, as libp2p gives nobody its own.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "a descriptor found by its number has no owner to borrow it from")]
fn of_socket<T>(descriptor: RawFd, ask: impl FnOnce(SockRef<'_>) -> T) -> T {
    // SAFETY: the swarm, which is borrowed meanwhile, keeps open what listens on its port. Should the
    // number be of another socket of this process, no memory depends on what is asked.
    let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
    ask(SockRef::from(&socket))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::limits::UDP_RECEIVE_BYTES;
    use crate::testing::on_loopback;
    use crate::{HostKey, Node, NodeConfig};
    use std::net::UdpSocket;

    #[tokio::test]
    async fn a_node_that_serves_many_has_more_room_than_other_sockets() {
        let plain = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let plain = SockRef::from(&plain).recv_buffer_size().expect("it is a socket");
        let config = NodeConfig { udp_receive_bytes: Some(UDP_RECEIVE_BYTES), ..on_loopback() };
        let started = Node::start(&HostKey::generate(), config).await;
        let (node, _incoming) = started.expect("a node starts on loopback");
        let sockets = descriptors_at(PortKind::Udp, node.port());
        assert!(!sockets.is_empty(), "a node has a socket");
        for descriptor in sockets {
            let room = of_socket(descriptor, |socket| socket.recv_buffer_size());
            assert!(room.as_ref().is_ok_and(|room| *room > plain), "{room:?}, not over {plain}");
        }
    }
}
