//! A store that goes on from a backup, as another one than the one that was lost.

use std::path::Path;

use gleaner_coordinator_core::FirstNumbers;
use gleaner_protocol::JobId;
use rusqlite::Connection;

use super::{FILE, StoreError, meta, schema, set_meta};

/// Numbers begin again at a multiple of this, half of it beyond the last one known at the least: more
/// than a coordinator gives between two backups, and little enough to be read.
const LEAP: u64 = 1_000_000;

/// The names of the first numbers among the store's values.
const FIRST_JOB: &str = "first_job";
const FIRST_ATTEMPT: &str = "first_attempt";

/// Gives the store in `folder`, which is a copy that nobody has opened, an identity of its own:
/// another lease key, an epoch and first numbers beyond those that the lost one can have given.
///
/// # Errors
/// Any [`StoreError`]; the copy is of no use then.
pub(crate) fn begin_anew(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join(FILE);
    let connection = schema::open_writer(&path)?;
    renumber(&connection).map_err(|error| StoreError::of_sqlite(&path, error))
}

/// Where the numbers of this store begin.
pub(super) fn first_numbers(connection: &Connection) -> rusqlite::Result<FirstNumbers> {
    let first = FirstNumbers::default();
    Ok(FirstNumbers {
        job: meta(connection, FIRST_JOB)?.map_or(first.job, JobId),
        attempt: meta(connection, FIRST_ATTEMPT)?.unwrap_or(first.attempt),
    })
}

fn renumber(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    let mut key = [0; 32];
    getrandom::fill(&mut key).expect("the system has random numbers");
    set_meta(&transaction, "lease_key", key)?;
    let epoch = meta::<u64>(&transaction, "epoch")?.unwrap_or(0);
    set_meta(&transaction, "epoch", beyond(epoch))?;
    let first = first_numbers(&transaction)?;
    let last = |query| transaction.query_row(query, [], |row| row.get::<_, u64>(0));
    let job = last(
        "SELECT max(coalesce((SELECT max(job) FROM job), 0), \
         coalesce((SELECT max(job) FROM removed_job), 0))",
    )?;
    let attempt = last(
        "SELECT max(coalesce((SELECT max(attempt) FROM opinion), 0), \
         coalesce((SELECT max(attempt) FROM inconclusive), 0), \
         coalesce((SELECT max(attempt) FROM attempt), 0))",
    )?;
    set_meta(&transaction, FIRST_JOB, 1 + beyond(job.max(first.job.0)))?;
    set_meta(&transaction, FIRST_ATTEMPT, 1 + beyond(attempt.max(first.attempt.into())))?;
    transaction.commit()
}

/// The next multiple of [`LEAP`] that is half of it beyond `last` at the least.
const fn beyond(last: u64) -> u64 {
    ((last + LEAP / 2) / LEAP + 1) * LEAP
}

#[cfg(test)]
mod tests {
    use gleaner_protocol::{
        AttemptId, BlobHash, Epoch, ItemRange, LeaseClaims, StageIndex, UnitId, WorkerId,
    };

    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn every_restored_store_has_a_key_and_numbers_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let claims = LeaseClaims {
            worker: WorkerId([1; 32]),
            attempt: AttemptId { unit: UnitId { job: JobId(1), number: 0 }, number: 1 },
            stage: StageIndex(0),
            items: ItemRange { start: 0, end: 1 },
            input: BlobHash([0; 32]),
            epoch: Epoch(1),
        };
        let mut tokens = Vec::new();
        for restored in 0..3_u32 {
            if restored > 0 {
                begin_anew(folder.path()).expect("begins");
            }
            let (store, _commits) = Store::open(folder.path()).expect("opens");
            let leap = u64::from(restored) * LEAP;
            assert_eq!(store.epoch().0, leap + 1);
            let first = store.load().await.expect("reads").first;
            let attempt = u32::try_from(leap).expect("small") + 1;
            assert_eq!(first, FirstNumbers { job: JobId(leap + 1), attempt });
            let key = store.lease_key();
            let is_believed = |token| key.verifies(&claims, token);
            assert!(!tokens.iter().any(is_believed), "a lease of the lost store is believed");
            tokens.push(key.seal(&claims));
        }
    }

    #[test]
    fn the_next_numbers_are_far_from_the_last_ones() {
        for (last, next) in [(0, 1), (499_999, 1), (500_000, 2), (1_000_001, 2), (1_500_000, 3)] {
            assert_eq!(beyond(last), next * LEAP, "{last}");
            assert!(beyond(last) - last > LEAP / 2 - 1);
        }
    }
}
