//! The coordinator's core holds no more than it must: so much for each worker, job and unit in flight,
//! next to nothing for a unit that is done, nothing for one that waits. All that the allocator gave it
//! counts, whether it is used or not.

use crate::allocator::core_bytes;
use crate::store::UnitCounts;

/// A worker, with what files it, in tables that have just grown; the design allows 64 KiB.
const WORKER_BYTES: u64 = 2 * 1024;

/// A unit in flight: its lease in the books of stage and session, and an opinion where it waits for
/// another one. Trees are half empty at worst. The design's 100 bytes are not reached.
const UNIT_IN_FLIGHT_BYTES: u64 = 512;

/// A unit that is done while its stage is open: a bit, and its part of a block.
const UNIT_DONE_BYTES: u64 = 16;

/// A job: its specification, and its stages without units.
const JOB_BYTES: u64 = 16 * 1024;

/// A record that is not durable yet, with what is said once it is.
const RECORD_BYTES: u64 = 1024;

/// What a core has though nothing happens, and what queues have room for that were once long.
const LEAST_BYTES: u64 = 256 * 1024;

/// What the core has reason to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holds {
    pub(crate) units: UnitCounts,
    /// Workers that it has met.
    pub(crate) workers: u64,
    pub(crate) jobs: u64,
    /// Records that are not durable yet.
    pub(crate) records: u64,
}

impl Holds {
    fn bytes_max(&self) -> u64 {
        LEAST_BYTES
            + self.workers * WORKER_BYTES
            + self.jobs * JOB_BYTES
            + self.units.open * UNIT_IN_FLIGHT_BYTES
            + self.units.closed * UNIT_DONE_BYTES
            + self.records * RECORD_BYTES
    }
}

pub(super) fn check(holds: &Holds) {
    let (bytes, max) = (core_bytes() as u64, holds.bytes_max());
    assert!(bytes <= max, "the core has {bytes} bytes where {max} are enough for {holds:?}");
}
