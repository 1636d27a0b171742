//! Stand-in workers: real peers that speak the work protocol and compute nothing, so that what a
//! benchmark measures is the coordinator.
//!
//! Each has a key, a libp2p node and a stream of its own. It answers a lease at once with what a task
//! that does nothing gives. Deliberately absent: slots, a journal, and the manners of real workers;
//! the end-to-end tests have those.

mod project;
mod stand_in;

pub use project::{Arguments, ticket_for_all};
pub use stand_in::{Session, StandIn, connect_all};
