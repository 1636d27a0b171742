//! API streams between nodes on loopback, and the bounds on them.

use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::Node;
use crate::testing::{node, over, soon};

/// Admits the hosts named.
struct Only(Vec<WorkerId>);

impl ApiGate for Only {
    fn admits(&self, peer: WorkerId) -> bool {
        self.0.contains(&peer)
    }
}

/// A stream that has been greeted at both ends.
async fn greet(
    from: &Node,
    to: &Node,
    incoming: &mut IncomingApiStreams,
    transport: &str,
) -> (ApiBytes, ApiBytes) {
    let addresses = over(to, transport);
    let mut near = soon(from.open_api_stream(to.id(), &addresses)).await.unwrap();
    near.send("hello").await.unwrap();
    let mut far = soon(incoming.next()).await.unwrap();
    assert_eq!(far.peer(), from.id(), "the peer's key is proven");
    assert_eq!(soon(far.receive::<String>()).await.unwrap().as_deref(), Some("hello"));
    far.send("welcome").await.unwrap();
    assert_eq!(soon(near.receive::<String>()).await.unwrap().as_deref(), Some("welcome"));
    (near.into_bytes(), far.into_bytes())
}

/// Whether a new stream of `from` is dropped rather than passed on.
async fn is_dropped(from: &Node, to: &Node) -> bool {
    let mut stream = soon(from.open_api_stream(to.id(), &to.addresses())).await.unwrap();
    // The stream may break before or after this has left.
    let _ = stream.send("hello").await;
    matches!(soon(stream.receive::<String>()).await, Err(ReceiveError::Lost(_)))
}

#[tokio::test]
async fn after_the_greeting_bytes_go_both_ways_with_back_pressure() {
    for transport in ["quic-v1", "tcp"] {
        let ((coordinator, _), (caller, _)) = (node().await, node().await);
        let mut incoming = coordinator.accept_api(Arc::new(Only(vec![caller.id()])));
        let (mut near, mut far) = greet(&caller, &coordinator, &mut incoming, transport).await;
        // More than may be under way unread: it must be read while it is sent.
        let sent = vec![7; 24 << 20];
        let mut received = vec![0; sent.len()];
        let (wrote, read) = soon(futures::future::join(
            async {
                near.write_all(&sent).await?;
                near.flush().await
            },
            far.read_exact(&mut received),
        ))
        .await;
        wrote.unwrap();
        read.unwrap();
        assert!(received == sent, "{transport}");
        far.write_all(b"answer").await.unwrap();
        far.shutdown().await.unwrap();
        let mut answer = Vec::new();
        soon(near.read_to_end(&mut answer)).await.unwrap();
        assert_eq!(answer, b"answer");
    }
}

#[tokio::test]
async fn what_is_sent_behind_the_greeting_is_not_lost() {
    let ((coordinator, _), (caller, _)) = (node().await, node().await);
    let mut incoming = coordinator.accept_api(Arc::new(Only(vec![caller.id()])));
    let addresses = coordinator.addresses();
    let mut near = soon(caller.open_api_stream(coordinator.id(), &addresses)).await.unwrap();
    near.writer.feed("hello").await.unwrap();
    near.writer.flush().await.unwrap();
    let mut near = near.into_bytes();
    near.write_all(b"early bytes").await.unwrap();
    near.shutdown().await.unwrap();
    let mut far = soon(incoming.next()).await.unwrap();
    assert_eq!(soon(far.receive::<String>()).await.unwrap().as_deref(), Some("hello"));
    let mut bytes = Vec::new();
    soon(far.into_bytes().read_to_end(&mut bytes)).await.unwrap();
    assert_eq!(bytes, b"early bytes");
}

#[tokio::test]
async fn a_node_that_only_calls_reaches_others_and_has_no_address() {
    let (coordinator, _) = node().await;
    let caller = Node::start_caller(&crate::HostKey::generate()).unwrap();
    assert_eq!(caller.addresses(), Vec::<String>::new());
    let mut incoming = coordinator.accept_api(Arc::new(Only(vec![caller.id()])));
    for transport in ["tcp", "quic-v1"] {
        greet(&caller, &coordinator, &mut incoming, transport).await;
    }
}

#[tokio::test]
async fn a_node_without_a_gate_drops_every_stream() {
    let ((coordinator, _), (caller, _)) = (node().await, node().await);
    assert!(is_dropped(&caller, &coordinator).await);
}

#[tokio::test]
async fn nobody_has_more_streams_than_their_share_and_strangers_one() {
    let ((coordinator, _), (caller, _), (stranger, _)) = (node().await, node().await, node().await);
    let mut incoming = coordinator.accept_api(Arc::new(Only(vec![caller.id()])));
    let addresses = coordinator.addresses();
    let mut held = Vec::new();
    for _ in 0..API_STREAMS_PER_PEER_MAX {
        held.push(greet(&caller, &coordinator, &mut incoming, "tcp").await);
    }
    assert!(is_dropped(&caller, &coordinator).await, "its share is used up");

    // Strangers have places of their own, and fewer.
    let mut first = soon(stranger.open_api_stream(coordinator.id(), &addresses)).await.unwrap();
    first.send("hello").await.unwrap();
    let told = soon(incoming.next()).await.unwrap();
    assert_eq!(told.peer(), stranger.id());
    assert!(is_dropped(&stranger, &coordinator).await, "a stranger has one");
    drop(told);

    held.pop();
    greet(&caller, &coordinator, &mut incoming, "tcp").await;
}

#[tokio::test]
async fn strangers_leave_the_places_of_the_admitted_alone() {
    let ((coordinator, _), (caller, _)) = (node().await, node().await);
    let mut incoming = coordinator.accept_api(Arc::new(Only(vec![caller.id()])));
    let strangers: Vec<_> = (0..=API_STREAMS_OF_STRANGERS_MAX)
        .map(|_| Node::start_caller(&crate::HostKey::generate()).unwrap())
        .collect();
    let addresses = over(&coordinator, "tcp");
    let opened = join_all(strangers.iter().map(|stranger| async {
        let mut stream = stranger.open_api_stream(coordinator.id(), &addresses).await.unwrap();
        let _ = stream.send("hello").await;
        stream
    }));
    let mut opened = soon(opened).await;
    let mut told = Vec::new();
    for _ in 0..API_STREAMS_OF_STRANGERS_MAX {
        told.push(soon(incoming.next()).await.unwrap());
    }
    let answers = opened.iter_mut().map(|stream| Box::pin(stream.receive::<String>()));
    let (answer, ..) = soon(futures::future::select_all(answers)).await;
    assert!(matches!(answer, Err(ReceiveError::Lost(_))), "one too many: {answer:?}");
    greet(&caller, &coordinator, &mut incoming, "tcp").await;
}

#[tokio::test]
async fn a_frame_of_the_greeting_is_bounded() {
    let ((coordinator, _), (caller, _)) = (node().await, node().await);
    let mut incoming = coordinator.accept_api(Arc::new(Only(vec![caller.id()])));
    let addresses = coordinator.addresses();
    let mut near = soon(caller.open_api_stream(coordinator.id(), &addresses)).await.unwrap();
    let error = near.send(&vec![0_u8; API_FRAME_BYTES_MAX + 1]).await.unwrap_err();
    assert!(matches!(error, SendError::TooLong { .. }), "{error}");
    let mut near = near.into_bytes();
    near.write_all(&[0xff; 8]).await.unwrap();
    near.flush().await.unwrap();
    let error = soon(incoming.next()).await.unwrap().receive::<String>().await.unwrap_err();
    assert!(matches!(error, ReceiveError::Violation(_)), "{error}");
}

#[tokio::test]
async fn a_stream_breaks_when_nothing_passes_for_too_long() {
    let mut idle = Idle::new(Duration::from_millis(20));
    let begun = idle.over.deadline();
    let moved = std::future::poll_fn(|context| idle.judge(context, Poll::Ready(Ok(1)))).await;
    assert_eq!(moved.unwrap(), 1);
    assert!(idle.over.deadline() > begun, "the time begins anew");
    let waiting = std::future::poll_fn(|context| idle.judge::<()>(context, Poll::Pending));
    assert_eq!(soon(waiting).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
}
