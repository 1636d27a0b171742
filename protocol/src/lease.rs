//! Leases, and the keyed MAC that lets a coordinator recognise its own after a restart.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::hash::Bytes32;
use crate::id::serde_by_reader;
use crate::{AttemptId, BlobHash, Epoch, ItemRange, Payload, StageIndex, UnitId, WorkerId};

/// Two keys and hashes of 32 bytes, five numbers of 8 and two of 4.
const SEALED_BYTES: usize = 2 * 32 + 5 * 8 + 2 * 4;

/// What a lease's MAC covers: who may return what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseClaims {
    /// The worker that holds the lease.
    pub worker: WorkerId,
    /// The attempt it may make.
    pub attempt: AttemptId,
    /// The unit's stage.
    pub stage: StageIndex,
    /// The unit's items.
    pub items: ItemRange,
    /// The hash of the stage's whole input: module, parameters, files and source.
    pub input: BlobHash,
    /// The coordinator's start that granted it.
    pub epoch: Epoch,
}

/// The coordinator's MAC over [`LeaseClaims`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LeaseToken([u8; 32]);

serde_by_reader!(LeaseToken as Bytes32, |token| Bytes32(token.0), |bytes| LeaseToken(bytes.0));

/// The coordinator's secret key for the MACs of its leases.
#[derive(Clone)]
pub struct LeaseKey([u8; 32]);

/// The right to run an attempt until it expires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// What the lease allows.
    pub claims: LeaseClaims,
    /// The coordinator's MAC over the claims.
    pub token: LeaseToken,
    /// One MessagePack map of fields for each item.
    pub inputs: Payload,
    /// How long the lease lasts from its arrival, unless heartbeats extend it.
    pub duration: Duration,
}

impl LeaseClaims {
    /// What a MAC is over: the fields in their order, each of one length, numbers big-endian. No two
    /// claims have the same bytes, and a new field has to be put in here.
    fn sealed_bytes(&self) -> [u8; SEALED_BYTES] {
        let Self { worker, attempt, stage, items, input, epoch } = self;
        let AttemptId { unit: UnitId { job, number: unit }, number: attempt } = attempt;
        let mut sealed = [0; SEALED_BYTES];
        let mut rest = &mut sealed[..];
        let mut put = |field: &[u8]| {
            let (place, behind) = std::mem::take(&mut rest).split_at_mut(field.len());
            place.copy_from_slice(field);
            rest = behind;
        };
        put(&worker.0);
        put(&input.0);
        for number in [job.0, *unit, items.start, items.end, epoch.0] {
            put(&number.to_be_bytes());
        }
        put(&attempt.to_be_bytes());
        put(&stage.0.to_be_bytes());
        debug_assert!(rest.is_empty(), "every byte is put in its place");
        sealed
    }
}

impl LeaseKey {
    /// A key of 32 random bytes, kept by the coordinator and told to nobody.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The MAC over `claims`: keyed BLAKE3 of all their fields.
    pub fn seal(&self, claims: &LeaseClaims) -> LeaseToken {
        LeaseToken(*blake3::keyed_hash(&self.0, &claims.sealed_bytes()).as_bytes())
    }

    /// A number that nobody knows without the key, and always the same: no MAC is over nothing.
    pub fn secret_number(&self) -> u64 {
        let hash = blake3::keyed_hash(&self.0, &[]);
        let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// Whether `token` is this key's MAC over `claims`; takes the same time for any token.
    pub fn verifies(&self, claims: &LeaseClaims, token: &LeaseToken) -> bool {
        let expected = blake3::keyed_hash(&self.0, &claims.sealed_bytes());
        expected == blake3::Hash::from_bytes(token.0)
    }
}

impl fmt::Debug for LeaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseKey(secret)")
    }
}

impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseToken({self})")
    }
}

impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        BlobHash(self.0).fmt(f)
    }
}

impl std::str::FromStr for LeaseToken {
    type Err = crate::ParseHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<BlobHash>().map(|hash| Self(hash.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::JobId;

    fn claims() -> LeaseClaims {
        LeaseClaims {
            worker: WorkerId([2; 32]),
            attempt: AttemptId { unit: UnitId { job: JobId(1), number: 2 }, number: 1 },
            stage: StageIndex(0),
            items: ItemRange { start: 0, end: 4 },
            input: BlobHash([3; 32]),
            epoch: Epoch(1),
        }
    }

    #[test]
    fn a_token_holds_for_its_claims_and_key_alone() {
        let key = LeaseKey::new([1; 32]);
        let token = key.seal(&claims());
        assert!(key.verifies(&claims(), &token));
        assert!(!LeaseKey::new([9; 32]).verifies(&claims(), &token));
    }

    #[test]
    fn a_token_holds_for_no_claims_that_differ_in_one_field() {
        let attempt = |job, unit, number| AttemptId {
            unit: UnitId { job: JobId(job), number: unit },
            number,
        };
        let other = [
            LeaseClaims { worker: WorkerId([7; 32]), ..claims() },
            LeaseClaims { attempt: attempt(2, 2, 1), ..claims() },
            LeaseClaims { attempt: attempt(1, 1, 1), ..claims() },
            LeaseClaims { attempt: attempt(1, 2, 2), ..claims() },
            LeaseClaims { stage: StageIndex(1), ..claims() },
            LeaseClaims { items: ItemRange { start: 1, end: 4 }, ..claims() },
            LeaseClaims { items: ItemRange { start: 0, end: 5 }, ..claims() },
            LeaseClaims { input: BlobHash([4; 32]), ..claims() },
            LeaseClaims { epoch: Epoch(2), ..claims() },
        ];
        let key = LeaseKey::new([1; 32]);
        let token = key.seal(&claims());
        for claims in other {
            assert!(!key.verifies(&claims, &token), "{claims:?}");
        }
    }
}
