//! Settled results of a stage, read in the order of its items, a page at a time.

use std::collections::VecDeque;
use std::ops::Range;

use gleaner_coordinator_core::KeptRun;
use gleaner_protocol::{ItemRange, JobId, Outcome, StageIndex, UnitId, wire};
use rusqlite::types::Type;
use rusqlite::{Connection, params};

use super::kept::runs_of;
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

/// A cursor over a stage's settled results in the order of items: its own, and those it took over
/// from earlier jobs. It holds two pages in memory, and sees results that settle behind its
/// position while it is read, not before it.
#[derive(Debug)]
pub struct SettledResults {
    store: Store,
    own: Units,
    /// Runs taken over that were not begun yet; `None` before they are looked up.
    kept: Option<VecDeque<KeptRun>>,
    /// The run at hand.
    run: Option<Units>,
}

/// A cursor over consecutive settled units of one stage.
#[derive(Debug)]
struct Units {
    job: JobId,
    stage: StageIndex,
    /// Where the next page begins.
    next_unit: u64,
    /// Before which unit it ends.
    end_unit: u64,
    page: VecDeque<SettledUnit>,
}

impl Store {
    /// The settled results of a stage.
    pub fn settled_results(&self, job: JobId, stage: StageIndex) -> SettledResults {
        let own = Units::new(job, stage, 0, i64::MAX as u64);
        SettledResults { store: self.clone(), own, kept: None, run: None }
    }
}

impl SettledResults {
    /// The next result, or `None` after the last.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a result cannot be read back.
    pub async fn next(&mut self) -> Result<Option<SettledUnit>, StoreError> {
        if let Some(run) = &mut self.run {
            if let Some(unit) = run.next(&self.store).await? {
                return Ok(Some(unit));
            }
            self.run = None;
        }
        let own = self.own.peek(&self.store).await?.map(|unit| unit.items.start);
        let Some(run) = self.next_run(own).await? else { return self.own.next(&self.store).await };
        let mut run = Units::new(run.source, run.source_stage, run.first_unit, run.end_unit);
        let unit = run.next(&self.store).await?;
        self.run = Some(run);
        Ok(unit)
    }

    /// The next run taken over, if it comes before the stage's own next result.
    async fn next_run(&mut self, own: Option<u64>) -> Result<Option<KeptRun>, StoreError> {
        let kept = match &mut self.kept {
            Some(kept) => kept,
            none => {
                let (job, stage) = (self.own.job, self.own.stage);
                let runs = self.store.read(move |connection| runs_of(connection, job, stage));
                none.insert(runs.await?.into())
            }
        };
        Ok(kept.pop_front_if(|run| own.is_none_or(|own| run.items.start < own)))
    }
}

impl Units {
    fn new(job: JobId, stage: StageIndex, next_unit: u64, end_unit: u64) -> Self {
        Self { job, stage, next_unit, end_unit, page: VecDeque::new() }
    }

    async fn next(&mut self, store: &Store) -> Result<Option<SettledUnit>, StoreError> {
        self.peek(store).await?;
        let unit = self.page.pop_front();
        if let Some(unit) = &unit {
            self.next_unit = unit.unit.number + 1;
        }
        Ok(unit)
    }

    async fn peek(&mut self, store: &Store) -> Result<Option<&SettledUnit>, StoreError> {
        if self.page.is_empty() {
            let (job, stage) = (self.job, self.stage);
            let units = self.next_unit..self.end_unit;
            self.page =
                store.read(move |connection| page(connection, job, stage, units)).await?.into();
        }
        Ok(self.page.front())
    }
}

fn page(
    connection: &Connection,
    job: JobId,
    stage: StageIndex,
    units: Range<u64>,
) -> rusqlite::Result<Vec<SettledUnit>> {
    let query = "SELECT unit, items_start, items_end, outcome FROM settled \
                 JOIN opinion USING (job, unit, attempt) \
                 WHERE job = ?1 AND stage = ?2 AND unit >= ?3 AND unit < ?4 \
                 ORDER BY unit LIMIT ?5";
    let mut query = connection.prepare_cached(query)?;
    let values = params![job.0, stage.0, units.start, units.end, PAGE_UNITS];
    let rows = query.query_map(values, |row| {
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
