//! Settled results of a stage, read in the order of its items, a page at a time.

use std::collections::VecDeque;

use gleaner_protocol::{ItemRange, JobId, Outcome, StageIndex, UnitId, wire};
use rusqlite::types::Type;
use rusqlite::{Connection, params};

use super::{Store, StoreError};

/// Results read at a time: with what travels inline in one, at most 4 MiB.
const PAGE_UNITS: u32 = 64;

/// A settled unit's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledUnit {
    /// The unit.
    pub unit: UnitId,
    /// Its items.
    pub items: ItemRange,
    /// The answer that settled it.
    pub outcome: Outcome,
}

/// A cursor over a stage's settled results in the order of items. It holds one page in memory,
/// and sees results that settle behind its position while it is read, not before it.
#[derive(Debug)]
pub struct SettledResults {
    store: Store,
    job: JobId,
    stage: StageIndex,
    /// Where the next page begins.
    next_unit: u64,
    page: VecDeque<SettledUnit>,
}

impl Store {
    /// The settled results of a stage.
    pub fn settled_results(&self, job: JobId, stage: StageIndex) -> SettledResults {
        SettledResults { store: self.clone(), job, stage, next_unit: 0, page: VecDeque::new() }
    }
}

impl SettledResults {
    /// The next result, or `None` after the last.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a result cannot be read back.
    pub async fn next(&mut self) -> Result<Option<SettledUnit>, StoreError> {
        if self.page.is_empty() {
            let (job, stage, next_unit) = (self.job, self.stage, self.next_unit);
            let page = self.store.read(move |connection| page(connection, job, stage, next_unit));
            self.page = page.await?.into();
        }
        let unit = self.page.pop_front();
        if let Some(unit) = &unit {
            self.next_unit = unit.unit.number + 1;
        }
        Ok(unit)
    }
}

fn page(
    connection: &Connection,
    job: JobId,
    stage: StageIndex,
    next_unit: u64,
) -> rusqlite::Result<Vec<SettledUnit>> {
    let query = "SELECT unit, items_start, items_end, outcome FROM settled \
                 JOIN opinion USING (job, unit, attempt) \
                 WHERE job = ?1 AND stage = ?2 AND unit >= ?3 ORDER BY unit LIMIT ?4";
    let mut query = connection.prepare_cached(query)?;
    let rows = query.query_map(params![job.0, stage.0, next_unit, PAGE_UNITS], |row| {
        let outcome: Vec<u8> = row.get(3)?;
        Ok(SettledUnit {
            unit: UnitId { job, number: row.get(0)? },
            items: ItemRange { start: row.get(1)?, end: row.get(2)? },
            outcome: wire::decode(&outcome).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(3, Type::Blob, Box::new(error))
            })?,
        })
    })?;
    rows.collect()
}
