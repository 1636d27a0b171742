//! Gleaner's network: who a host is, how it finds and reaches others, and the three things that
//! travel between them: messages of work, blobs, and requests of submitters. The only user of
//! libp2p.
//!
//! Invariants: a peer's key is proven before anything is exchanged with it; everything that a
//! stranger sends, opens or delays has a cap in `limits`; what a peer does wrong is a
//! [`Violation`], never a panic; no byte of a blob reaches its place unverified.
//!
//! Deliberately absent: discovery beyond the local network, traversal of NATs, fetching
//! one blob from several peers.

mod address;
mod api_stream;
mod backoff;
mod blob;
mod buffers;
mod frame;
mod head_start;
mod holder;
mod identity;
mod interfaces;
mod key_file;
mod limits;
mod listen;
mod liveness;
mod muxer;
mod node;
mod permits;
mod record;
mod streams;
mod swarm;
mod work_stream;

pub use address::{Attempt, AttemptFailure, Attempts, peer_of_address, readable_address};
pub use api_stream::{ApiBytes, ApiGate, ApiStream, IncomingApiStreams};
pub use backoff::Backoff;
pub use blob::{BlobSource, FetchError, PARTIAL_PREFIX};
pub use frame::{ReceiveError, SendError, Violation};
pub use holder::{PortKind, port_holder};
pub use identity::{HostKey, ProjectKey, SubmitterKey};
pub use key_file::{KeyError, KeyKind};
pub use limits::{API_IDLE_MAX, CONNECTIONS_MAX_DEFAULT, PORT_DEFAULT, UDP_RECEIVE_BYTES};
pub use node::{IncomingStreams, Node, NodeConfig, OpenError, StartError};
pub use record::{RecordError, verify_record};
pub use work_stream::{WorkReceiver, WorkSender, WorkStream};

#[cfg(test)]
mod testing;
