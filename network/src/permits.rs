//! How many things strangers may have open here, in all and each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use libp2p::PeerId;

/// Counts what is open for each peer, and refuses more than the limits.
#[derive(Debug)]
pub(crate) struct Permits {
    per_peer_max: u32,
    total_max: u32,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: u32,
    per_peer: HashMap<PeerId, u32>,
}

/// The right to one open thing, given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    permits: Arc<Permits>,
    peer: PeerId,
}

impl Permits {
    pub(crate) fn new(per_peer_max: u32, total_max: u32) -> Arc<Self> {
        Arc::new(Self { per_peer_max, total_max, open: Mutex::default() })
    }

    /// A permit for `peer`, unless it or all together have the most allowed.
    pub(crate) fn acquire(self: &Arc<Self>, peer: PeerId) -> Option<Permit> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let held = open.per_peer.get(&peer).copied().unwrap_or(0);
        if held >= self.per_peer_max || open.total >= self.total_max {
            return None;
        }
        open.per_peer.insert(peer, held + 1);
        open.total += 1;
        Some(Permit { permits: Arc::clone(self), peer })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.permits.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        let held = open.per_peer.get_mut(&self.peer).expect("its peer is counted");
        *held -= 1;
        if *held == 0 {
            open.per_peer.remove(&self.peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_peer_has_more_than_its_share_and_all_no_more_than_the_total() {
        let permits = Permits::new(2, 3);
        let (one, other) = (PeerId::random(), PeerId::random());
        let first = permits.acquire(one).expect("free");
        let _second = permits.acquire(one).expect("free");
        assert!(permits.acquire(one).is_none(), "two are its share");
        let _third = permits.acquire(other).expect("free");
        assert!(permits.acquire(other).is_none(), "three are all");
        drop(first);
        assert!(permits.acquire(other).is_some(), "what is given back can be had again");
    }
}
