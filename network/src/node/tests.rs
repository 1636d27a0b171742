//! Nodes on loopback with real transports.

use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt;
use tokio_util::compat::FuturesAsyncReadCompatExt;

use super::*;
use crate::limits::{CONNECT_MAX, QUIC_HEAD_START};
use crate::testing::{node, on_loopback, over, soon, tcp_address};
use crate::{ReceiveError, WorkReceiver, WorkSender};

/// A work stream from `from` to `to` over one transport, both ends split.
async fn connect(
    from: &Node,
    to: &Node,
    incoming: &mut IncomingStreams,
    transport: &str,
) -> ((WorkSender, WorkReceiver), (WorkSender, WorkReceiver)) {
    let addresses = over(to, transport);
    let mut near = soon(from.open_work_stream(to.id(), &addresses)).await.unwrap().split();
    near.0.send("hello").await.unwrap();
    let (peer, far) = soon(incoming.next()).await.unwrap();
    assert_eq!(peer, from.id(), "the peer's key is proven");
    let mut far = far.split();
    assert_eq!(soon(far.1.receive::<String>()).await.unwrap().as_deref(), Some("hello"));
    (near, far)
}

#[tokio::test]
async fn messages_go_both_ways_over_quic_and_tcp() {
    for transport in ["quic-v1", "tcp"] {
        let ((worker, _), (coordinator, mut incoming)) = (node().await, node().await);
        let (mut near, mut far) = connect(&worker, &coordinator, &mut incoming, transport).await;
        for number in 0..200_u32 {
            near.0.feed(&number).await.unwrap();
        }
        near.0.flush().await.unwrap();
        for number in 0..200_u32 {
            assert_eq!(soon(far.1.receive::<u32>()).await.unwrap(), Some(number));
        }
        // More than the peer may have under way, so it must be read while it is sent.
        let large = vec![1_u8; 6 << 20];
        let (sent, received) =
            soon(futures::future::join(far.0.send(&large), near.1.receive::<Vec<u8>>())).await;
        sent.unwrap();
        assert!(received.unwrap().unwrap() == large);
        near.0.close().await.unwrap();
        assert_eq!(soon(far.1.receive::<u32>()).await.unwrap(), None, "a clean end is told");
        drop(far);
        let lost = soon(near.1.receive::<u32>()).await.unwrap_err();
        assert!(matches!(lost, ReceiveError::Lost(_)), "{transport}: {lost}");
    }
}

#[tokio::test]
async fn a_slow_reader_slows_its_sender_down() {
    const MESSAGES: usize = 96;
    for transport in ["quic-v1", "tcp"] {
        let ((worker, _), (coordinator, mut incoming)) = (node().await, node().await);
        let (near, mut far) = connect(&worker, &coordinator, &mut incoming, transport).await;
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&sent);
        let (mut sender, _receiver) = near;
        let sending = tokio::spawn(async move {
            for _ in 0..MESSAGES {
                sender.send(&vec![0_u8; 1 << 20]).await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
            }
            sender.close().await.unwrap();
        });
        for received in 0..MESSAGES {
            let ahead = sent.load(Ordering::SeqCst).saturating_sub(received);
            assert!(ahead < MESSAGES / 2, "{transport}: {ahead} MiB under way");
            assert!(soon(far.1.receive::<Vec<u8>>()).await.unwrap().is_some());
        }
        soon(sending).await.unwrap();
    }
}

#[tokio::test]
async fn streams_opened_together_all_arrive_over_one_connection() {
    let ((worker, _), (coordinator, mut incoming)) = (node().await, node().await);
    let addresses = coordinator.addresses();
    let opened = (0..8).map(|_| async {
        let stream = worker.open_work_stream(coordinator.id(), &addresses).await.unwrap();
        let (mut sender, receiver) = stream.split();
        sender.send(&1_u32).await.unwrap();
        (sender, receiver)
    });
    let opened = soon(futures::future::join_all(opened)).await;
    let mut arrived = Vec::new();
    for _ in &opened {
        let (_, mut receiver) = soon(incoming.next()).await.unwrap().1.split();
        assert_eq!(soon(receiver.receive::<u32>()).await.unwrap(), Some(1));
        arrived.push(receiver);
    }
}

#[tokio::test]
async fn a_peer_has_no_more_work_streams_than_its_share() {
    let ((worker, _), (coordinator, mut incoming)) = (node().await, node().await);
    let mut held = Vec::new();
    for _ in 0..crate::limits::WORK_STREAMS_PER_PEER_MAX {
        held.push(connect(&worker, &coordinator, &mut incoming, "tcp").await);
    }
    let one_more = worker.open_work_stream(coordinator.id(), &[]).await.unwrap();
    let (_sender, mut receiver) = one_more.split();
    let error = soon(receiver.receive::<u32>()).await.unwrap_err();
    assert!(matches!(error, ReceiveError::Lost(_)), "{error}");
    held.pop();
    let _again = connect(&worker, &coordinator, &mut incoming, "tcp").await;
}

#[tokio::test]
async fn what_breaks_the_protocol_is_a_violation() {
    for bytes in [[0xff; 8].as_slice(), &[0, 0, 0, 3, 0xc1, 0xc1, 0xc1]] {
        let ((worker, _), (coordinator, mut incoming)) = (node().await, node().await);
        let addresses = coordinator.addresses();
        let opened = worker.open(coordinator.id(), WORK, &addresses);
        let mut stream = soon(opened).await.unwrap().compat();
        stream.write_all(bytes).await.unwrap();
        stream.flush().await.unwrap();
        let (_sender, mut receiver) = soon(incoming.next()).await.unwrap().1.split();
        let error = soon(receiver.receive::<u32>()).await.unwrap_err();
        assert!(matches!(error, ReceiveError::Violation(_)), "{error}");
    }
}

#[tokio::test]
async fn a_node_that_restarts_under_its_key_is_found_again() {
    for transport in ["quic-v1", "tcp"] {
        let (worker, _) = node().await;
        let key = HostKey::generate();
        let (first, mut incoming) = Node::start(&key, on_loopback()).await.unwrap();
        let port = first.port();
        let (mut near, mut far) = connect(&worker, &first, &mut incoming, transport).await;
        let (_, at_peer, here) = soon(futures::future::join3(
            first.stop(),
            near.1.receive::<u32>(),
            far.1.receive::<u32>(),
        ))
        .await;
        for lost in [at_peer.unwrap_err(), here.unwrap_err()] {
            assert!(matches!(lost, ReceiveError::Lost(_)), "{transport}: {lost}");
        }
        drop(far);
        assert!(soon(incoming.next()).await.is_none(), "a stopped node has no more streams");
        let (second, mut incoming) = restart(&key, port).await;
        connect(&worker, &second, &mut incoming, transport).await;
    }
}

/// Starts on `port`, which an earlier node may be about to let go.
async fn restart(key: &HostKey, port: u16) -> (Node, IncomingStreams) {
    let config = NodeConfig { port, ..on_loopback() };
    soon(async {
        loop {
            match Node::start(key, config.clone()).await {
                Err(StartError::PortTaken { .. }) => tokio::task::yield_now().await,
                started => return started.unwrap(),
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_stranger_at_an_address_is_told_from_the_peer() {
    let ((worker, _), (coordinator, mut incoming)) = (node().await, node().await);
    let (stranger, _strangers) = node().await;
    let misleading = tcp_address(stranger.port(), coordinator.id());
    let opened = worker.open_work_stream(coordinator.id(), std::slice::from_ref(&misleading));
    let error = soon(opened).await.unwrap_err();
    let expected = format!(
        "cannot reach {}: 127.0.0.1 port {} (TCP): another host answered, {}",
        coordinator.id(),
        stranger.port(),
        stranger.id()
    );
    assert_eq!(error.to_string(), expected);
    // It does not keep the peer from being found at its own address.
    let mut addresses = vec![misleading];
    addresses.extend(over(&coordinator, "tcp"));
    let opened = worker.open_work_stream(coordinator.id(), &addresses);
    let (mut sender, _receiver) = soon(opened).await.unwrap().split();
    sender.send(&1_u32).await.unwrap();
    assert_eq!(soon(incoming.next()).await.unwrap().0, worker.id());
}

#[tokio::test]
async fn tcp_is_not_dialled_before_quic_has_had_its_head_start() {
    let (worker, _) = node().await;
    let (silent, bystander) = (UdpSocket::bind("127.0.0.1:0"), TcpListener::bind("127.0.0.1:0"));
    let (silent, bystander) = (silent.unwrap(), bystander.unwrap());
    bystander.set_nonblocking(true).unwrap();
    let bystander = tokio::net::TcpListener::from_std(bystander).unwrap();
    let (udp, tcp) = (silent.local_addr().unwrap(), bystander.local_addr().unwrap());
    let peer = HostKey::generate().id();
    let quic = format!("/ip4/127.0.0.1/udp/{}/quic-v1/p2p/{}", udp.port(), peer_of(peer));
    let addresses = [quic, tcp_address(tcp.port(), peer)];
    let began = std::time::Instant::now();
    tokio::spawn(async move { worker.open_work_stream(peer, &addresses).await.map(drop) });
    soon(bystander.accept()).await.unwrap();
    assert!(began.elapsed() >= QUIC_HEAD_START, "TCP was dialled after {:?}", began.elapsed());
}

#[tokio::test]
async fn what_does_not_answer_over_quic_is_dialled_over_tcp_too() {
    let ((worker, _), (coordinator, mut incoming)) = (node().await, node().await);
    // Bound, so that nothing says that nobody is there.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut addresses = over(&coordinator, "tcp");
    addresses.push(format!("/ip4/127.0.0.1/udp/{port}/quic-v1/p2p/{}", peer_of(coordinator.id())));
    let opened = worker.open_work_stream(coordinator.id(), &addresses);
    // QUIC gives up then, and TCP would not have waited less.
    let opened =
        tokio::time::timeout(CONNECT_MAX, opened).await.expect("TCP waits for QUIC to fail");
    let (mut sender, _receiver) = opened.unwrap().split();
    sender.send(&1_u32).await.unwrap();
    assert_eq!(soon(incoming.next()).await.unwrap().0, worker.id());
}

#[tokio::test]
async fn each_address_tried_is_named_with_the_reason() {
    let (worker, _) = node().await;
    let peer = HostKey::generate().id();
    let error = soon(worker.open_work_stream(peer, &[])).await.unwrap_err();
    assert!(matches!(error, OpenError::NoAddress { .. }), "{error}");
    let nobody = free_port();
    let hints = [tcp_address(nobody, peer), tcp_address(worker.port(), worker.id())];
    let error = soon(worker.open_work_stream(peer, &hints)).await.unwrap_err();
    let expected = format!(
        "cannot reach {peer}: 127.0.0.1 port {} (TCP): it is the address of another host, {}; \
         127.0.0.1 port {nobody} (TCP): nothing listens there",
        worker.port(),
        worker.id()
    );
    assert_eq!(error.to_string(), expected);
    let itself = [tcp_address(worker.port(), peer)];
    let error = soon(worker.open_work_stream(peer, &itself)).await.unwrap_err();
    assert!(error.to_string().ends_with("(TCP): it leads back to this very host"), "{error}");
}

#[tokio::test]
async fn a_peer_that_lacks_the_protocol_is_told_apart() {
    let ((worker, _), (coordinator, _incoming)) = (node().await, node().await);
    let unknown = StreamProtocol::new("/gleaner/unknown/1");
    let addresses = coordinator.addresses();
    let opened = worker.open(coordinator.id(), unknown, &addresses);
    let error = soon(opened).await.unwrap_err();
    assert!(matches!(error, OpenError::Unsupported { .. }), "{error}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_the_flag() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (other, _incoming) = node().await;
    for (port, transport) in [
        (tcp.local_addr().unwrap().port(), "TCP"),
        (udp.local_addr().unwrap().port(), "UDP"),
        (other.port(), "UDP"),
    ] {
        let config = NodeConfig { port, ..on_loopback() };
        let error = Node::start(&HostKey::generate(), config).await.unwrap_err();
        let start = format!("port {port} ({transport}) is in use");
        assert!(error.to_string().starts_with(&start), "{error}");
        assert!(error.to_string().contains("`--port`"), "{error}");
    }
}

#[tokio::test]
async fn both_transports_share_a_port_and_addresses_name_the_node() {
    let (node, _incoming) = node().await;
    let addresses = node.addresses();
    let port = node.port();
    assert!(addresses[0].starts_with(&format!("/ip4/127.0.0.1/udp/{port}/quic-v1/p2p/")));
    assert!(addresses[1].starts_with(&format!("/ip4/127.0.0.1/tcp/{port}/p2p/")));
    for address in &addresses {
        assert_eq!(crate::peer_of_address(address), Some(node.id()), "{address}");
    }
}

#[tokio::test]
async fn a_stopped_node_says_so_and_stops_once() {
    let (node, _incoming) = node().await;
    soon(node.clone().stop()).await;
    let error = node.open_work_stream(node.id(), &[]).await.unwrap_err();
    assert!(matches!(error, OpenError::Stopped), "{error}");
    soon(node.stop()).await;
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Drivers spawn these.
#[tokio::test]
async fn the_futures_of_a_node_can_be_spawned() {
    fn spawnable(_: impl Send) {}
    let (node, mut incoming) = node().await;
    spawnable(node.open_work_stream(node.id(), &[]));
    spawnable(node.fetch_blob(node.id(), BlobRef::of(b""), Path::new("nowhere")));
    spawnable(incoming.next());
    spawnable(node.stop());
}
