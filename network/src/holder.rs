//! Which program has a port, where the system tells: a name to act on beats "in use".

#[cfg(target_os = "linux")]
use std::os::fd::RawFd;

/// A transport, as far as ports go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortKind {
    /// QUIC's.
    Udp,
    /// TCP's.
    Tcp,
}

/// The program that listens on `port` of this machine, as `gleaner (process 12)`; `None` when
/// nobody does, or when it is another user's, whose programs are not ours to see.
#[cfg(target_os = "linux")]
pub fn port_holder(kind: PortKind, port: u16) -> Option<String> {
    let sockets = sockets(kind, port);
    (!sockets.is_empty()).then(|| owner_of(&sockets)).flatten()
}

/// The descriptors by which this process has the sockets that listen on `port`.
#[cfg(target_os = "linux")]
pub(crate) fn descriptors_at(kind: PortKind, port: u16) -> Vec<RawFd> {
    descriptors_of("self", &sockets(kind, port)).collect()
}

/// The names of the sockets that listen on `port`, as they stand among a process's files.
#[cfg(target_os = "linux")]
fn sockets(kind: PortKind, port: u16) -> Vec<String> {
    let tables = match kind {
        PortKind::Udp => ["/proc/net/udp", "/proc/net/udp6"],
        PortKind::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
    };
    let tables = tables.map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let numbers = tables.iter().flat_map(|table| sockets_at(table, kind, port));
    numbers.map(|socket| format!("socket:[{socket}]")).collect()
}

/// Nothing is asked of other systems yet.
#[cfg(not(target_os = "linux"))]
pub fn port_holder(_kind: PortKind, _port: u16) -> Option<String> {
    None
}

/// The numbers of the sockets bound to `port` in a table of `proc_net(5)`: TCP's only when they
/// listen.
#[cfg(target_os = "linux")]
fn sockets_at(table: &str, kind: PortKind, port: u16) -> Vec<u64> {
    const LISTENING: &str = "0A";
    let port = format!(":{port:04X}");
    let socket = |line: &str| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let bound = fields.get(1)?.ends_with(&port);
        let wanted = kind == PortKind::Udp || *fields.get(3)? == LISTENING;
        (bound && wanted).then(|| fields.get(9)?.parse().ok()).flatten()
    };
    table.lines().skip(1).filter_map(socket).collect()
}

/// The first process that holds one of these sockets.
#[cfg(target_os = "linux")]
fn owner_of(sockets: &[String]) -> Option<String> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut numbered =
        processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let holds = |process: &u32| descriptors_of(&process.to_string(), sockets).next().is_some();
    let process = numbered.find(holds)?;
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    let name = name.trim();
    Some(format!("{} (process {process})", if name.is_empty() { "a program" } else { name }))
}

/// The descriptors by which a process has any of these sockets.
#[cfg(target_os = "linux")]
fn descriptors_of(process: &str, sockets: &[String]) -> impl Iterator<Item = RawFd> {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| {
        let target = std::fs::read_link(file.path()).ok()?;
        let is_one = sockets.iter().any(|socket| target.as_os_str() == socket.as_str());
        is_one.then(|| file.file_name().to_str()?.parse().ok()).flatten()
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn who_listens_is_told_by_name() {
        let own = format!("(process {})", std::process::id());
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = tcp.local_addr().expect("bound").port();
        let holder = port_holder(PortKind::Tcp, port).expect("it is this process");
        assert!(holder.ends_with(&own), "{holder}");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let port = udp.local_addr().expect("bound").port();
        let holder = port_holder(PortKind::Udp, port).expect("it is this process");
        assert!(holder.ends_with(&own), "{holder}");
        drop(udp);
        assert_eq!(port_holder(PortKind::Udp, port), None);
    }

    #[test]
    fn a_connection_from_a_port_is_no_listener() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:128B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0\n   \
             1: 0100007F:128B 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0 0 10 0\n";
        assert_eq!(sockets_at(table, PortKind::Tcp, 4747), [11]);
        assert_eq!(sockets_at(table, PortKind::Udp, 4747), [11, 12]);
        assert_eq!(sockets_at(table, PortKind::Tcp, 4748), Vec::<u64>::new());
    }
}
