//! Hints as people pass them on.

use super::*;
use crate::HostKey;

#[test]
fn an_address_names_its_peer_or_none() {
    let peer = HostKey::generate().id();
    let id = peer_of(peer);
    let named = |address: String| peer_of_address(&address);
    assert_eq!(named(format!("/ip4/192.0.2.1/udp/4747/quic-v1/p2p/{id}")), Some(peer));
    assert_eq!(named(format!("/dns4/example.org/tcp/4747/p2p/{id}")), Some(peer));
    assert_eq!(named("/ip4/192.0.2.1/tcp/4747".into()), None);
    assert_eq!(named(format!("/p2p/{id}/tcp/4747")), None);
    assert_eq!(named("http://192.0.2.1:4747".into()), None);
    assert_eq!(named(format!("/dns4/{}/tcp/1/p2p/{id}", "x".repeat(ADDRESS_BYTES_MAX))), None);
    let rsa = "QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR";
    assert_eq!(named(format!("/ip4/192.0.2.1/tcp/4747/p2p/{rsa}")), None);
}

#[test]
fn hosts_and_peers_convert_both_ways() {
    let worker = HostKey::generate().id();
    assert_eq!(worker_of(&peer_of(worker)), Some(worker));
    assert_eq!(worker_of(&PeerId::random()), None);
}

#[tokio::test]
async fn a_hint_for_nobody_or_another_is_not_tried() {
    let (peer, other) = (HostKey::generate().id(), HostKey::generate().id());
    let good = format!("/ip4/192.0.2.1/tcp/4747/p2p/{}", peer_of(peer));
    let hints = [
        "\u{1b}[2Jnonsense".into(),
        "/ip4/192.0.2.1/tcp/4747".into(),
        format!("/ip4/192.0.2.1/udp/4747/quic-v1/p2p/{}", peer_of(other)),
        good,
    ];
    let (addresses, failures) = resolve(&hints, peer).await;
    assert_eq!(addresses, ["/ip4/192.0.2.1/tcp/4747".parse().unwrap()]);
    let expected = format!(
        "\\u{{1b}}[2Jnonsense: this is no network address; \
         192.0.2.1 port 4747 (TCP): it does not end in /p2p/ and the key of a host; \
         192.0.2.1 port 4747 (QUIC): it is the address of another host, {other}"
    );
    assert_eq!(Attempts(failures).to_string(), expected);
}

#[tokio::test]
async fn names_are_looked_up() {
    let peer = HostKey::generate().id();
    let hint = format!("/dns4/localhost/udp/4747/quic-v1/p2p/{}", peer_of(peer));
    let (addresses, failures) = resolve(&[hint], peer).await;
    assert_eq!(failures, []);
    assert_eq!(addresses, ["/ip4/127.0.0.1/udp/4747/quic-v1".parse().unwrap()]);
}

#[test]
fn the_systems_error_is_found_however_wrapped() {
    let plain = io::Error::from(io::ErrorKind::ConnectionRefused);
    assert_eq!(kind_of(&plain), io::ErrorKind::ConnectionRefused);
    let number = io::Error::from_raw_os_error(111);
    let wrapped = io::Error::other(format!("Transport error: {number}"));
    assert_eq!(kind_of(&wrapped), number.kind());
    assert_eq!(kind_of(&io::Error::other("else")), io::ErrorKind::Other);
}
