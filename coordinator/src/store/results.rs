//! Settled results of a stage, read in the order of its items, a page at a time.
//!
//! Units of the first cut are in the order of their items; items that were cut out once more, and
//! runs of answers that were taken over from earlier jobs, lie between them and are merged in.

use std::collections::VecDeque;

use gleaner_coordinator_core::{CutKind, KeptRun};
use gleaner_protocol::{ItemRange, JobId, Outcome, StageIndex, UnitId, wire};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

use super::kept::runs_of;
use super::{Store, StoreError};

/// Results read at a time: with what travels inline in one, about 4 MiB.
const PAGE_UNITS: u32 = 64;

/// A page ends early when its results take more, as those of units whose items failed may.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// A settled unit's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledUnit {
    /// The unit.
    pub unit: UnitId,
    /// Its items.
    pub items: ItemRange,
    /// The answer that settled it; `None` when none was found, and its items have failed.
    pub outcome: Option<Outcome>,
}

/// A cursor over a stage's settled results in the order of items: its own, and those it took over
/// from earlier jobs. It holds three pages in memory, and sees results that settle behind its
/// position while it is read, not before it.
#[derive(Debug)]
pub struct SettledResults {
    store: Store,
    units: Pages,
    alone: Pages,
    /// Runs taken over that were not begun yet; `None` before they are looked up.
    kept: Option<VecDeque<KeptRun>>,
    /// The run at hand.
    run: Option<Pages>,
}

/// A cursor over the results of one cut: units of the first by their numbers, items cut out once
/// more by theirs.
#[derive(Debug)]
struct Pages {
    job: JobId,
    stage: StageIndex,
    cut: CutKind,
    /// Where the next page begins; `None` after the last.
    next: Option<u64>,
    /// Before which unit or item it ends.
    end: u64,
    page: VecDeque<SettledUnit>,
}

impl Store {
    /// The settled results of a stage.
    pub fn settled_results(&self, job: JobId, stage: StageIndex) -> SettledResults {
        let pages = |cut| Pages::new(job, stage, cut, (0, i64::MAX as u64));
        SettledResults {
            store: self.clone(),
            units: pages(CutKind::First),
            alone: pages(CutKind::Alone),
            kept: None,
            run: None,
        }
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
        let unit = self.units.peek(&self.store).await?.map(|unit| unit.items.start);
        let item = self.alone.peek(&self.store).await?.map(|unit| unit.items.start);
        if let Some(run) = self.next_run([unit, item].into_iter().flatten().min()).await? {
            let KeptRun { source, source_stage, cut, .. } = run;
            let mut run = Pages::new(source, source_stage, cut, run.place());
            let unit = run.next(&self.store).await?;
            self.run = Some(run);
            return Ok(unit);
        }
        match (unit, item) {
            (Some(unit), Some(item)) if item < unit => self.alone.next(&self.store).await,
            (None, Some(_)) => self.alone.next(&self.store).await,
            _ => self.units.next(&self.store).await,
        }
    }

    /// The next run taken over, if it comes before the stage's own next result.
    async fn next_run(&mut self, own: Option<u64>) -> Result<Option<KeptRun>, StoreError> {
        let kept = match &mut self.kept {
            Some(kept) => kept,
            none => {
                let (job, stage) = (self.units.job, self.units.stage);
                let runs = self.store.read(move |connection| runs_of(connection, job, stage));
                none.insert(runs.await?.into())
            }
        };
        Ok(kept.pop_front_if(|run| own.is_none_or(|own| run.items.start < own)))
    }
}

impl Pages {
    fn new(job: JobId, stage: StageIndex, cut: CutKind, (first, end): (u64, u64)) -> Self {
        Self { job, stage, cut, next: Some(first), end, page: VecDeque::new() }
    }

    async fn next(&mut self, store: &Store) -> Result<Option<SettledUnit>, StoreError> {
        self.peek(store).await?;
        Ok(self.page.pop_front())
    }

    async fn peek(&mut self, store: &Store) -> Result<Option<&SettledUnit>, StoreError> {
        if let (true, Some(next)) = (self.page.is_empty(), self.next) {
            let Self { job, stage, cut, end, .. } = *self;
            let page = store.read(move |connection| {
                read_page(connection, cut, params![job.0, stage.0, next, end, PAGE_UNITS])
            });
            self.page = page.await?.into();
            self.next = self.page.back().map(|last| match cut {
                CutKind::First => last.unit.number + 1,
                CutKind::Alone => last.items.end,
            });
        }
        Ok(self.page.front())
    }
}

fn read_page(
    connection: &Connection,
    cut: CutKind,
    values: impl rusqlite::Params,
) -> rusqlite::Result<Vec<SettledUnit>> {
    let mut query = connection.prepare_cached(match cut {
        CutKind::First => {
            "SELECT job, unit, items_start, items_end, outcome FROM settled \
             JOIN opinion USING (job, unit, attempt) \
             WHERE job = ?1 AND stage = ?2 AND unit >= ?3 AND unit < ?4 ORDER BY unit LIMIT ?5"
        }
        CutKind::Alone => {
            "SELECT job, unit, item, item + 1, outcome FROM settled_alone \
             LEFT JOIN opinion USING (job, unit, attempt) \
             WHERE job = ?1 AND stage = ?2 AND item >= ?3 AND item < ?4 ORDER BY item LIMIT ?5"
        }
    })?;
    let mut rows = query.query(values)?;
    let (mut page, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let (unit, length) = settled_unit(row)?;
        page.push(unit);
        bytes += length;
        if bytes >= PAGE_BYTES {
            break;
        }
    }
    Ok(page)
}

/// A result, and the bytes it takes.
fn settled_unit(row: &Row<'_>) -> rusqlite::Result<(SettledUnit, usize)> {
    let outcome: Option<Vec<u8>> = row.get(4)?;
    let bytes = outcome.as_ref().map_or(0, Vec::len);
    let decode = |outcome: Vec<u8>| {
        wire::decode(&outcome).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(4, Type::Blob, Box::new(error))
        })
    };
    let unit = SettledUnit {
        unit: UnitId { job: JobId(row.get(0)?), number: row.get(1)? },
        items: ItemRange { start: row.get(2)?, end: row.get(3)? },
        outcome: outcome.map(decode).transpose()?,
    };
    Ok((unit, bytes))
}
