//! Which of this machine's addresses are worth telling to others.

use std::net::{IpAddr, Ipv4Addr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tracing::warn;

/// Interfaces that lead to containers and virtual machines on this machine, by the start of their
/// names: no other machine can use their addresses.
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
    let mut ips = match reach {
        Reach::Loopback => vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        Reach::Everywhere => public_ips(),
    };
    ips.sort_by_key(IpAddr::is_ipv6);
    let quic = ips.iter().map(|ip| quic(*ip, port));
    let tcp = ips.iter().map(|ip| tcp(*ip, port));
    quic.chain(tcp).map(|address| address.with(Protocol::P2p(node))).collect()
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
    let told = interfaces.iter().filter(|interface| is_told(&interface.name, interface.ip()));
    let mut ips: Vec<_> = told.map(if_addrs::Interface::ip).collect();
    ips.sort_unstable();
    ips.dedup();
    ips
}

/// A link-local IPv6 address means nothing without the interface, which an address cannot say.
fn is_told(interface: &str, ip: IpAddr) -> bool {
    let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let virtual_one = VIRTUAL.iter().any(|prefix| interface.starts_with(prefix));
    !(ip.is_loopback() || ip.is_unspecified() || link_local || virtual_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_another_machine_can_use_is_told() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        for (interface, address, told) in [
            ("eth0", "192.0.2.1", true),
            ("wlp2s0", "10.1.2.3", true),
            ("eth0", "2001:db8::1", true),
            ("eth0", "fe80::1", false),
            ("lo", "127.0.0.1", false),
            ("lo", "::1", false),
            ("docker0", "172.17.0.1", false),
            ("br-0a1b2c3d", "172.18.0.1", false),
            ("virbr0", "192.168.122.1", false),
        ] {
            assert_eq!(is_told(interface, ip(address)), told, "{interface} {address}");
        }
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
