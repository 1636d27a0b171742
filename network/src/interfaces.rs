//! Which of this machine's addresses are worth telling to others.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::net::TcpStream;
use tracing::warn;

/// How long this machine may take to reach itself.
const SELF_DIAL_MAX: Duration = Duration::from_secs(1);

/// Interfaces that lead to containers and virtual machines on this machine, by the start of their
/// names: another machine can seldom use their addresses.
const VIRTUAL: [&str; 13] = [
    "docker", "br-", "veth", "virbr", "vnet", "lxcbr", "lxdbr", "cni", "flannel", "podman", "cali",
    "vboxnet", "vmnet",
];

/// Where a node can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// From this machine only.
    Loopback,
    /// From wherever its addresses lead.
    Everywhere,
}

/// The full addresses of a node that listens on `port`: each IP address over QUIC, then over TCP;
/// IPv4 first, as it is what most networks have.
pub(crate) fn addresses(reach: Reach, port: u16, node: libp2p::PeerId) -> Vec<Multiaddr> {
    addresses_of(&ips(reach), port, node)
}

/// The full addresses of a node that listens on `port` of `ips`, in their order: over QUIC, then
/// over TCP.
pub(crate) fn addresses_of(ips: &[IpAddr], port: u16, node: libp2p::PeerId) -> Vec<Multiaddr> {
    let quic = ips.iter().map(|ip| quic(*ip, port));
    let tcp = ips.iter().map(|ip| tcp(*ip, port));
    quic.chain(tcp).map(|address| address.with(Protocol::P2p(node))).collect()
}

/// The IP addresses worth telling, IPv4 first.
pub(crate) fn ips(reach: Reach) -> Vec<IpAddr> {
    let mut ips = match reach {
        Reach::Loopback => vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        Reach::Everywhere => public_ips(),
    };
    ips.sort_by_key(IpAddr::is_ipv6);
    ips
}

/// Those of `ips` at which something listens on TCP's `port`.
pub(crate) async fn answering(ips: Vec<IpAddr>, port: u16) -> Vec<IpAddr> {
    let answers = ips.into_iter().map(async |ip| {
        let connect = tokio::time::timeout(SELF_DIAL_MAX, TcpStream::connect((ip, port)));
        match connect.await {
            Ok(Ok(_)) => Some(ip),
            _ => {
                warn!(%ip, port, "this machine does not reach itself here; the address is not told");
                None
            }
        }
    });
    futures::future::join_all(answers).await.into_iter().flatten().collect()
}

/// The address of QUIC at `ip` and `port`.
pub(crate) fn quic(ip: IpAddr, port: u16) -> Multiaddr {
    Multiaddr::from(ip).with(Protocol::Udp(port)).with(Protocol::QuicV1)
}

/// The address of TCP at `ip` and `port`.
pub(crate) fn tcp(ip: IpAddr, port: u16) -> Multiaddr {
    Multiaddr::from(ip).with(Protocol::Tcp(port))
}

fn public_ips() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        warn!(%error, "cannot list this machine's addresses");
        Vec::new()
    });
    let found = interfaces.iter().map(|interface| (interface.name.as_str(), interface.ip()));
    best_of(&found.collect::<Vec<_>>())
}

/// The addresses of the best kind there is.
fn best_of(found: &[(&str, IpAddr)]) -> Vec<IpAddr> {
    let of_kind = |kind: Kind| {
        let ips = found.iter().filter(|(interface, ip)| kind_of(interface, *ip) == kind);
        let mut ips: Vec<_> = ips.map(|(_, ip)| *ip).collect();
        ips.sort_unstable();
        ips.dedup();
        ips
    };
    match of_kind(Kind::Useful) {
        useful if useful.is_empty() => of_kind(Kind::Doubtful),
        useful => useful,
    }
}

/// What another machine can do with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Call it.
    Useful,
    /// Call it in a network that has nothing better.
    Doubtful,
    /// Nothing. A link-local IPv6 address means nothing without the interface, which an address
    /// cannot say.
    Useless,
}

fn kind_of(interface: &str, ip: IpAddr) -> Kind {
    let link_local_6 = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let link_local_4 = matches!(ip, IpAddr::V4(ip) if ip.is_link_local());
    let is_virtual = VIRTUAL.iter().any(|prefix| interface.starts_with(prefix));
    if ip.is_loopback() || ip.is_unspecified() || link_local_6 {
        Kind::Useless
    } else if is_virtual || link_local_4 {
        Kind::Doubtful
    } else {
        Kind::Useful
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn what_another_machine_can_use_is_told_apart() {
        for (interface, address, kind) in [
            ("eth0", "192.0.2.1", Kind::Useful),
            ("wlp2s0", "10.1.2.3", Kind::Useful),
            ("br0", "10.1.2.4", Kind::Useful),
            ("eth0", "2001:db8::1", Kind::Useful),
            ("eth0", "169.254.7.7", Kind::Doubtful),
            ("docker0", "172.17.0.1", Kind::Doubtful),
            ("br-0a1b2c3d", "172.18.0.1", Kind::Doubtful),
            ("virbr0", "192.168.122.1", Kind::Doubtful),
            ("veth12", "10.0.0.1", Kind::Doubtful),
            ("eth0", "fe80::1", Kind::Useless),
            ("lo", "127.0.0.1", Kind::Useless),
            ("lo", "::1", Kind::Useless),
        ] {
            assert_eq!(kind_of(interface, ip(address)), kind, "{interface} {address}");
        }
    }

    #[test]
    fn doubtful_addresses_are_told_when_there_is_nothing_else() {
        let (lan, docker) = (("eth0", ip("10.1.2.3")), ("docker0", ip("172.17.0.1")));
        let lo = ("lo", ip("127.0.0.1"));
        assert_eq!(best_of(&[lo, docker, lan]), [lan.1]);
        assert_eq!(best_of(&[lo, docker]), [docker.1]);
        assert_eq!(best_of(&[lo]), Vec::<IpAddr>::new());
    }

    #[tokio::test]
    async fn only_addresses_that_answer_are_left() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let ips = vec![ip("127.0.0.1"), ip("127.0.0.2")];
        assert_eq!(answering(ips, port).await, [ip("127.0.0.1")]);
    }

    #[test]
    fn loopback_alone_when_asked_and_quic_first() {
        let node = libp2p::PeerId::random();
        let addresses = addresses(Reach::Loopback, 4747, node);
        let expected = [
            format!("/ip4/127.0.0.1/udp/4747/quic-v1/p2p/{node}"),
            format!("/ip4/127.0.0.1/tcp/4747/p2p/{node}"),
        ];
        assert_eq!(addresses.iter().map(Multiaddr::to_string).collect::<Vec<_>>(), expected);
    }
}
