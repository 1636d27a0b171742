//! How workers are looked up, several times in each event: by a hash that no stranger foresees.
//!
//! Workers choose their keys. With a hash that is known, some thousands of them could be made to
//! share one place of a map, and each look-up would walk over all of them. So it begins with a secret
//! number, and mixes as wyhash does: multiply, and fold the product.

use std::hash::{BuildHasher, Hasher};

/// Odd and without a pattern: the golden ratio's fraction.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Makes hashes that begin with the same secret number.
#[derive(Clone, Debug)]
pub(crate) struct Seeded(u64);

pub(crate) struct Folded(u64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl BuildHasher for Seeded {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded(self.0)
    }
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let product = u128::from(self.0 ^ u64::from_le_bytes(word)) * u128::from(FACTOR);
            self.0 = product as u64 ^ (product >> 64) as u64;
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
