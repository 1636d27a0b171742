//! Every cap of this crate, in one place, each with its reason.

use std::time::Duration;

use gleaner_protocol::limits::{BLOB_BYTES_MAX, FRAME_BYTES_MAX, LEASE_DURATION};

/// The port that QUIC (UDP) and TCP share unless told otherwise.
pub const PORT_DEFAULT: u16 = 4747;

/// The most connections a node holds by default. An idle one costs about 75 KB over QUIC and 26 KB
/// over TCP, so a full node stays below 320 MB.
pub const CONNECTIONS_MAX_DEFAULT: u32 = 4096;

/// The most connections with one peer: both sides may have dialled at once, over either transport,
/// and each command that a submitter has running is a process with a connection of its own.
pub(crate) const CONNECTIONS_PER_PEER_MAX: u32 = 16;

/// The most connections to others whose handshake is still under way.
pub(crate) const HANDSHAKES_OUTGOING_MAX: u32 = 256;

/// The most handshakes of others under way, for each connection that a node may hold: a fleet that
/// lost its coordinator comes back at one moment, and each of it may try TCP beside QUIC. A
/// handshake costs a signature and a Diffie-Hellman exchange, about 0.2 ms, holds no more memory
/// than the connection it becomes, and has [`CONNECT_MAX`].
pub(crate) const HANDSHAKES_PER_CONNECTION_MAX: u32 = 2;

/// The most streams on one connection: a work stream, blobs both ways, API streams, ping and
/// identify.
pub(crate) const STREAMS_PER_CONNECTION_MAX: usize = 64;

/// What one peer may have under way to us on one stream before we have read it. Enough for
/// 40 MB/s at 100 ms.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// The same for all streams of a connection together.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;

/// Yamux grants this to every stream from its start, whatever the connection's window is.
pub(crate) const YAMUX_STREAM_WINDOW_BYTES: usize = 256 * 1024;

/// The most inbound work streams of one peer: one for each project, and old ones not yet noticed
/// to be dead.
pub(crate) const WORK_STREAMS_PER_PEER_MAX: u32 = 8;

/// The most inbound work streams of all peers.
pub(crate) const WORK_STREAMS_MAX: u32 = 16 * 1024;

/// Inbound API streams that wait for the program to take them; more are dropped.
pub(crate) const API_STREAMS_WAITING_MAX: usize = 64;

/// The most API streams of one peer that is admitted. Each request is one: a dozen commands that
/// wait for changes, and some uploads beside them.
pub(crate) const API_STREAMS_PER_PEER_MAX: u32 = 16;

/// The most API streams of all peers that are admitted. Each costs about 30 KB of buffers and what
/// its request holds.
pub(crate) const API_STREAMS_MAX: u32 = 512;

/// The most API streams of all peers that are not admitted, one for each: they are open for as
/// long as it takes to say no, and take no place of those who are.
pub(crate) const API_STREAMS_OF_STRANGERS_MAX: u32 = 32;

/// The longest frame of an API stream's greeting: a signed project record and a few words.
pub(crate) const API_FRAME_BYTES_MAX: usize = RECORD_BYTES_MAX + 1024;

/// How long an API stream may carry nothing either way. Longer than any request may wait for a
/// change, and than a disk takes to make a large upload durable.
pub const API_IDLE_MAX: Duration = Duration::from_secs(180);

/// The most requests for blobs that one peer may have open.
pub(crate) const BLOB_REQUESTS_PER_PEER_MAX: u32 = 8;

/// The most requests for blobs that are open, waiting ones included.
pub(crate) const BLOB_REQUESTS_MAX: u32 = 1024;

/// Blobs served at the same time: each costs a file, two buffers and an outboard.
pub(crate) const BLOBS_SERVED_MAX: usize = 16;

/// Blobs fetched at the same time. A peer serves no more to us than this.
pub(crate) const BLOBS_FETCHED_MAX: usize = 8;

/// The bytes of outboards kept for files served lately: 64 bytes for each 16 KiB, so this covers
/// 16 GiB of files.
pub(crate) const OUTBOARD_CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How often a fetch goes on after its stream broke before it is given up.
pub(crate) const FETCH_RESUMES_MAX: u32 = 3;

/// The longest frame of the blob protocol: a request and the head of an answer.
pub(crate) const BLOB_FRAME_BYTES_MAX: usize = 1024;

/// Addresses tried for one peer, hints and finds together.
pub(crate) const ADDRESSES_PER_PEER_MAX: usize = 16;

/// The longest address taken from a stranger, in bytes of its text.
pub(crate) const ADDRESS_BYTES_MAX: usize = 512;

/// Peers whose addresses are remembered.
pub(crate) const PEERS_REMEMBERED_MAX: usize = 1024;

/// Requests of this program that wait for the swarm's task.
pub(crate) const COMMANDS_WAITING_MAX: usize = 256;

/// A signed project record in bytes: names and a few dozen coordinators' keys.
pub(crate) const RECORD_BYTES_MAX: usize = 16 * 1024;

/// How long after an answer a peer is pinged again.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(5);

/// How long the answer to a ping may take, and any sign of life on QUIC.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How long a peer can be dead before its connection is closed, at most: the ping protocol
/// forgives one failure, so two intervals and two silences pass.
const DEAD_PEER_MAX: Duration =
    Duration::from_secs(2 * (PING_INTERVAL.as_secs() + SILENCE_MAX.as_secs()));

/// From the death of a peer to the moment its streams break, at most.
const NOTICED_MAX: Duration = Duration::from_secs(DEAD_PEER_MAX.as_secs() + CLOSE_MAX.as_secs());

/// How long a TCP connection may take to say good-bye. A dead peer takes nothing, and its streams
/// break only once the connection is given up.
pub(crate) const CLOSE_MAX: Duration = Duration::from_secs(1);

/// How long a connection without streams is kept.
pub(crate) const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(60);

/// How long it may take to connect to one address.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(10);

/// The room for what arrives over UDP at a node to which thousands come back: for the first packets
/// of some 4,000 peers, each a few kilobytes in the system's books.
pub const UDP_RECEIVE_BYTES: usize = 16 * 1024 * 1024;

/// How long QUIC is tried alone where a peer is said to speak it: the delay between attempts that RFC
/// 8305 recommends, and nothing that those notice whose network lets no UDP through.
pub(crate) const QUIC_HEAD_START: Duration = Duration::from_millis(250);

/// How long it may take to agree on a protocol for a new stream.
pub(crate) const STREAM_OPEN_MAX: Duration = Duration::from_secs(10);

/// How long connections may take to close when a node stops.
pub(crate) const STOP_MAX: Duration = Duration::from_secs(2);

/// How long the head of an answer may wait for its turn at a busy server.
pub(crate) const BLOB_TURN_MAX: Duration = Duration::from_secs(120);

/// How long a peer that is sending or taking bytes may pause.
pub(crate) const STALL_MAX: Duration = Duration::from_secs(30);

/// The slowest that bytes may flow on the whole, in bytes a second: 0.25 Mbit/s.
const RATE_MIN: u64 = 32 * 1024;

/// How long `bytes` may take to pass: a pause, and the slowest flow allowed.
pub(crate) const fn transfer_time_max(bytes: u64) -> Duration {
    Duration::from_secs(STALL_MAX.as_secs() + bytes / RATE_MIN)
}

const _: () = assert!(QUIC_HEAD_START.as_millis() < CONNECT_MAX.as_millis());
const _: () = assert!(NOTICED_MAX.as_secs() < LEASE_DURATION.as_secs());
const _: () = assert!(CLOSE_MAX.as_secs() < STOP_MAX.as_secs());
const _: () = assert!(
    STREAMS_PER_CONNECTION_MAX * YAMUX_STREAM_WINDOW_BYTES <= CONNECTION_WINDOW_BYTES as usize
);
const _: () = assert!(BLOBS_FETCHED_MAX as u32 <= BLOB_REQUESTS_PER_PEER_MAX);
const _: () = assert!(
    BLOB_REQUESTS_PER_PEER_MAX + WORK_STREAMS_PER_PEER_MAX + API_STREAMS_PER_PEER_MAX
        < STREAMS_PER_CONNECTION_MAX as u32
);
const _: () = assert!(API_STREAMS_PER_PEER_MAX < API_STREAMS_MAX);
const _: () = assert!(FRAME_BYTES_MAX < u32::MAX as usize);
const _: () = assert!(BLOB_BYTES_MAX / 16 / 1024 * 64 <= OUTBOARD_CACHE_BYTES_MAX as u64);
