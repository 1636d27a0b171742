//! Where peers were last found, bounded.

use std::collections::{HashMap, VecDeque};

use libp2p::{Multiaddr, PeerId};

use crate::address::without_peer;
use crate::limits::{ADDRESSES_PER_PEER_MAX, PEERS_REMEMBERED_MAX};

/// Addresses without their `/p2p/…`, newest first for each peer; the peer met first is forgotten
/// first.
#[derive(Debug, Default)]
pub(super) struct Book {
    addresses: HashMap<PeerId, Vec<Multiaddr>>,
    order: VecDeque<PeerId>,
}

impl Book {
    /// Remembers that `peer` was seen at `address`.
    pub(super) fn insert(&mut self, peer: PeerId, address: &Multiaddr) {
        let address = without_peer(address);
        if !self.addresses.contains_key(&peer) {
            self.make_room();
            self.order.push_back(peer);
        }
        let addresses = self.addresses.entry(peer).or_default();
        addresses.retain(|known| *known != address);
        addresses.insert(0, address);
        addresses.truncate(ADDRESSES_PER_PEER_MAX);
    }

    /// Forgets that `peer` was seen at `address`.
    pub(super) fn remove(&mut self, peer: &PeerId, address: &Multiaddr) {
        let address = without_peer(address);
        if let Some(addresses) = self.addresses.get_mut(peer) {
            addresses.retain(|known| *known != address);
        }
    }

    /// `hints` and what is remembered about `peer`, each once, as many as are tried.
    pub(super) fn candidates(&self, peer: &PeerId, hints: Vec<Multiaddr>) -> Vec<Multiaddr> {
        let mut candidates = hints;
        for known in self.addresses.get(peer).into_iter().flatten() {
            if !candidates.contains(known) {
                candidates.push(known.clone());
            }
        }
        candidates.truncate(ADDRESSES_PER_PEER_MAX);
        candidates
    }

    fn make_room(&mut self) {
        if self.order.len() < PEERS_REMEMBERED_MAX {
            return;
        }
        if let Some(oldest) = self.order.pop_front() {
            self.addresses.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/192.0.2.1/tcp/{port}").parse().expect("an address")
    }

    #[test]
    fn hints_come_first_then_the_newest_finds_each_once() {
        let (mut book, peer) = (Book::default(), PeerId::random());
        for port in [1, 2, 1, 3] {
            book.insert(peer, &address(port));
        }
        book.remove(&peer, &address(3));
        let candidates = book.candidates(&peer, vec![address(2)]);
        assert_eq!(candidates, [address(2), address(1)]);
    }

    #[test]
    fn neither_peers_nor_their_addresses_pile_up() {
        let (mut book, first) = (Book::default(), PeerId::random());
        for port in 1..100 {
            book.insert(first, &address(port));
        }
        assert_eq!(book.candidates(&first, Vec::new()).len(), ADDRESSES_PER_PEER_MAX);
        for _ in 0..PEERS_REMEMBERED_MAX {
            book.insert(PeerId::random(), &address(1));
        }
        assert_eq!(book.candidates(&first, Vec::new()), []);
        assert_eq!(book.addresses.len(), PEERS_REMEMBERED_MAX);
    }
}
