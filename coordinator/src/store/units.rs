//! The units of a job and their logs, read a page at a time.
//!
//! A page is found by walking the blocks that were cut, so that its cost does not depend on how
//! many units the job has: units of which something is told come one by one, those between them as
//! runs.

use std::time::Duration;

use gleaner_coordinator_core::KeptRun;
use gleaner_protocol::api::FAILED_ITEMS_TOLD_MAX;
use gleaner_protocol::{
    AttemptId, ItemRange, JobId, Outcome, OutcomeClass, StageIndex, UnitId, WorkerId, wire,
};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::failed::{FAILURE_COLUMNS, StoredFailure, failure};
use super::kept::runs_of;
use super::load::{all, unknown_word};
use super::{Store, StoreError};

/// Entries of one page: a tenth of a second's reading at most.
const PAGE_ENTRIES: usize = 1000;

/// Failed items told of on one page, about: what is known of each may take 16 KiB.
const PAGE_FAILURES: usize = 250;

/// Which units of a job are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitsQuery {
    /// The job.
    pub job: JobId,
    /// The number of the first unit to look at.
    pub from: u64,
    /// One stage's alone.
    pub stage: Option<StageIndex>,
    /// How much of them.
    pub choice: UnitChoice,
}

/// Which units to tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitChoice {
    /// All.
    All,
    /// Those with an item or an attempt that failed or found no answer.
    Troubled,
}

/// A page of units in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredUnits {
    /// What is told of them.
    pub entries: Vec<UnitEntry>,
    /// The unit to go on from, when there are more.
    pub next: Option<u64>,
}

/// One unit, or several of which there is nothing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitEntry {
    /// A unit with attempts that came back.
    Told(StoredUnit),
    /// Consecutive units without.
    Untold {
        /// The number of the first.
        first_unit: u64,
        /// How many.
        units: u64,
        /// Items in each but perhaps the last.
        unit_items: u32,
        /// Their stage.
        stage: StageIndex,
        /// All their items.
        items: ItemRange,
    },
    /// Items that are not cut into units yet; only on the last page.
    Uncut {
        /// Their stage.
        stage: StageIndex,
        /// The items.
        items: ItemRange,
    },
    /// Items that an earlier job answered; only on the last page.
    Kept(KeptRun),
}

/// A unit of which attempts came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredUnit {
    /// Its number.
    pub number: u64,
    /// Its stage.
    pub stage: StageIndex,
    /// Its items.
    pub items: ItemRange,
    /// In the order of their numbers.
    pub attempts: Vec<StoredAttempt>,
    /// The attempt that settled it.
    pub settled_by: Option<u32>,
    /// What became of it when it found no answer and its job went on.
    pub unanswered: Option<Unanswered>,
    /// How many of its items gave no output.
    pub items_failed: u64,
    /// The first of these, as many as are told.
    pub failures: Vec<StoredFailure>,
}

/// What became of a unit that found no answer, its job going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// Each of its items got a unit of its own.
    Replaced,
    /// Its only item has failed.
    GivenUp,
}

/// An attempt that came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAttempt {
    /// Its number.
    pub number: u32,
    /// Whose it was.
    pub worker: WorkerId,
    /// What it is worth.
    pub class: OutcomeClass,
    /// How it ended, in words.
    pub words: String,
    /// CPU time it took; not kept of one without an answer.
    pub cpu: Option<Duration>,
    /// The length of its log.
    pub log_bytes: u64,
}

/// What an attempt's task logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLog {
    /// The attempt.
    pub attempt: AttemptId,
    /// Whose it was.
    pub worker: WorkerId,
    /// How it ended, in words.
    pub words: String,
    /// The log.
    pub log: String,
}

impl Store {
    /// A page of a job's units. A job that is not known has none.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when something cannot be read back.
    pub async fn units(&self, query: UnitsQuery) -> Result<StoredUnits, StoreError> {
        self.read(move |connection| {
            // One transaction, so that a commit between two queries does not show in one only.
            let transaction = connection.unchecked_transaction()?;
            match query.choice {
                UnitChoice::All => walk(&transaction, query),
                UnitChoice::Troubled => troubled(&transaction, query),
            }
        })
        .await
    }

    /// A unit with the attempts that came back; `None` when there is no such unit.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when something cannot be read back.
    pub async fn unit(&self, unit: UnitId) -> Result<Option<StoredUnit>, StoreError> {
        self.read(move |connection| {
            let transaction = connection.unchecked_transaction()?;
            match block_of(&transaction, unit.job, unit.number)? {
                Some(block) => load(&transaction, unit.job, &block, unit.number).map(Some),
                None => Ok(None),
            }
        })
        .await
    }

    /// The attempts of a unit that came back, with their logs; `None` when there is no such unit.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when something cannot be read back.
    pub async fn logs(&self, unit: UnitId) -> Result<Option<Vec<StoredLog>>, StoreError> {
        self.read(move |connection| {
            let transaction = connection.unchecked_transaction()?;
            if block_of(&transaction, unit.job, unit.number)?.is_none() {
                return Ok(None);
            }
            logs(&transaction, unit).map(Some)
        })
        .await
    }
}

/// What a page needs of a block.
#[derive(Clone, Copy)]
struct BlockRow {
    first_unit: u64,
    end_unit: u64,
    stage: StageIndex,
    items: ItemRange,
    unit_items: u32,
}

impl BlockRow {
    fn items_of(&self, unit: u64) -> ItemRange {
        self.items_of_run(unit, unit + 1)
    }

    fn items_of_run(&self, first: u64, end: u64) -> ItemRange {
        let item = |unit: u64| {
            let offset = (unit - self.first_unit) * u64::from(self.unit_items);
            (self.items.start + offset).min(self.items.end)
        };
        ItemRange { start: item(first), end: item(end) }
    }
}

const BLOCK_COLUMNS: &str = "first_unit, units, stage, items_start, items_end, unit_items";

fn block_row(row: &Row<'_>) -> rusqlite::Result<BlockRow> {
    let first_unit = row.get(0)?;
    Ok(BlockRow {
        first_unit,
        end_unit: first_unit + row.get::<_, u64>(1)?,
        stage: StageIndex(row.get(2)?),
        items: ItemRange { start: row.get(3)?, end: row.get(4)? },
        unit_items: row.get(5)?,
    })
}

fn block_of(connection: &Connection, job: JobId, unit: u64) -> rusqlite::Result<Option<BlockRow>> {
    let query = format!(
        "SELECT {BLOCK_COLUMNS} FROM block WHERE job = ?1 AND first_unit <= ?2 \
         ORDER BY first_unit DESC LIMIT 1"
    );
    let mut query = connection.prepare_cached(&query)?;
    let block = query.query_row(params![job.0, unit], block_row).optional()?;
    Ok(block.filter(|block| unit < block.end_unit))
}

/// All units, block by block.
fn walk(connection: &Connection, query: UnitsQuery) -> rusqlite::Result<StoredUnits> {
    let UnitsQuery { job, from, stage, .. } = query;
    let blocks = format!(
        "SELECT {BLOCK_COLUMNS} FROM block WHERE job = ?1 AND first_unit >= coalesce(( \
         SELECT max(first_unit) FROM block WHERE job = ?1 AND first_unit <= ?2), 0) \
         AND (?3 IS NULL OR stage = ?3) ORDER BY first_unit"
    );
    let mut page = StoredUnits::default();
    let mut blocks = connection.prepare_cached(&blocks)?;
    let mut blocks = blocks.query(params![job.0, from, stage.map(|stage| stage.0)])?;
    while let Some(row) = blocks.next()? {
        let block = block_row(row)?;
        let mut next = block.first_unit.max(from);
        for unit in told(connection, job, next, block.end_unit)? {
            page.push_untold(&block, next, unit);
            page.entries.push(UnitEntry::Told(load(connection, job, &block, unit)?));
            next = unit + 1;
            if page.is_full() {
                page.next = Some(next);
                return Ok(page);
            }
        }
        page.push_untold(&block, next, block.end_unit);
        if page.is_full() {
            page.next = Some(block.end_unit);
            return Ok(page);
        }
    }
    page.entries.extend(uncut(connection, job, stage)?);
    Ok(page)
}

impl StoredUnits {
    fn is_full(&self) -> bool {
        let failures = |entry: &UnitEntry| match entry {
            UnitEntry::Told(unit) => unit.items_failed.min(FAILED_ITEMS_TOLD_MAX as u64) as usize,
            _ => 0,
        };
        let failures: usize = self.entries.iter().map(failures).sum();
        self.entries.len() >= PAGE_ENTRIES || failures >= PAGE_FAILURES
    }

    /// Adds the units of `block` from `first` up to, not including, `end`: to the last run where
    /// they follow on it.
    fn push_untold(&mut self, block: &BlockRow, first: u64, end: u64) {
        if first >= end {
            return;
        }
        let more = block.items_of_run(first, end);
        if let Some(UnitEntry::Untold { first_unit, units, unit_items, stage, items }) =
            self.entries.last_mut()
            && *first_unit + *units == first
            && (*stage, items.end, *unit_items) == (block.stage, more.start, block.unit_items)
        {
            *units += end - first;
            items.end = more.end;
            return;
        }
        self.entries.push(UnitEntry::Untold {
            first_unit: first,
            units: end - first,
            unit_items: block.unit_items,
            stage: block.stage,
            items: more,
        });
    }
}

/// Units from `first` up to, not including, `end` of which attempts came back.
fn told(connection: &Connection, job: JobId, first: u64, end: u64) -> rusqlite::Result<Vec<u64>> {
    let query = "SELECT unit FROM opinion WHERE job = ?1 AND unit >= ?2 AND unit < ?3 UNION \
                 SELECT unit FROM inconclusive WHERE job = ?1 AND unit >= ?2 AND unit < ?3 \
                 ORDER BY unit";
    all(connection, query, params![job.0, first, end], |row| row.get(0))
}

/// Only units with an item or an attempt that failed or found no answer.
fn troubled(connection: &Connection, query: UnitsQuery) -> rusqlite::Result<StoredUnits> {
    let UnitsQuery { job, from, stage, .. } = query;
    let units = "SELECT unit FROM opinion WHERE job = ?1 AND class = 'failure' AND unit >= ?2 \
                 UNION SELECT unit FROM inconclusive WHERE job = ?1 AND unit >= ?2 \
                 UNION SELECT unit FROM failed WHERE job = ?1 AND unit >= ?2 \
                 ORDER BY unit LIMIT ?3";
    let units: Vec<u64> =
        all(connection, units, params![job.0, from, PAGE_ENTRIES], |row| row.get(0))?;
    let next = units.last().filter(|_| units.len() == PAGE_ENTRIES).map(|unit| unit + 1);
    let mut page = StoredUnits { entries: Vec::new(), next };
    for unit in units {
        if page.is_full() {
            page.next = Some(unit);
            break;
        }
        let block = block_of(connection, job, unit)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        if stage.is_none_or(|stage| stage == block.stage) {
            page.entries.push(UnitEntry::Told(load(connection, job, &block, unit)?));
        }
    }
    Ok(page)
}

fn load(
    connection: &Connection,
    job: JobId,
    block: &BlockRow,
    unit: u64,
) -> rusqlite::Result<StoredUnit> {
    let items = block.items_of(unit);
    let settled = "SELECT attempt FROM settled WHERE job = ?1 AND stage = ?2 AND unit = ?3 UNION ALL \
                   SELECT attempt FROM settled_alone WHERE job = ?1 AND stage = ?2 AND unit = ?3 \
                   AND item = ?4";
    let mut settled = connection.prepare_cached(settled)?;
    let values = params![job.0, block.stage.0, unit, items.start];
    let settled: Option<Option<u32>> = settled.query_row(values, |row| row.get(0)).optional()?;
    let replaced = "SELECT 1 FROM replaced WHERE job = ?1 AND stage = ?2 AND unit = ?3";
    let mut replaced = connection.prepare_cached(replaced)?;
    let unanswered = match settled {
        Some(Some(_)) => None,
        Some(None) => Some(Unanswered::GivenUp),
        None => {
            replaced.exists(params![job.0, block.stage.0, unit])?.then_some(Unanswered::Replaced)
        }
    };
    let id = UnitId { job, number: unit };
    let settled_by = settled.flatten();
    let (items_failed, failures) = failures_of(connection, id)?;
    let mut attempts = attempts(connection, id)?;
    let settled = attempts.iter_mut().find(|attempt| settled_by == Some(attempt.number));
    if let Some(settled) = settled.filter(|_| items_failed > 0)
        && settled.class == OutcomeClass::Completed
    {
        settled.words = format!("completed, but for {items_failed} of its items");
    }
    Ok(StoredUnit {
        number: unit,
        stage: block.stage,
        items,
        attempts,
        settled_by,
        unanswered,
        items_failed,
        failures,
    })
}

/// How many items of a unit failed, and the first of them.
fn failures_of(
    connection: &Connection,
    unit: UnitId,
) -> rusqlite::Result<(u64, Vec<StoredFailure>)> {
    let UnitId { job, number } = unit;
    let sum = "SELECT coalesce(sum(items_end - items_start), 0) FROM failed \
               WHERE job = ?1 AND unit = ?2";
    let mut sum = connection.prepare_cached(sum)?;
    let items = sum.query_row(params![job.0, number], |row| row.get(0))?;
    if items == 0 {
        return Ok((0, Vec::new()));
    }
    let first = format!(
        "SELECT {FAILURE_COLUMNS} FROM failed WHERE job = ?1 AND unit = ?2 \
         ORDER BY stage, items_start LIMIT ?3"
    );
    let values = params![job.0, number, FAILED_ITEMS_TOLD_MAX];
    let first = all(connection, &first, values, |row| failure(job, row))?;
    Ok((items, first))
}

fn attempts(connection: &Connection, unit: UnitId) -> rusqlite::Result<Vec<StoredAttempt>> {
    // The outputs of completed attempts are not read: nothing is told of them.
    let query = "SELECT attempt, worker, class, \
                 CASE class WHEN 'completed' THEN NULL ELSE outcome END, cpu_us, \
                 coalesce(octet_length(log), 0) \
                 FROM (SELECT job, unit, attempt, worker, class, outcome, cpu_us FROM opinion \
                       WHERE job = ?1 AND unit = ?2 UNION ALL \
                       SELECT job, unit, attempt, worker, 'inconclusive', outcome, cpu_us \
                       FROM inconclusive WHERE job = ?1 AND unit = ?2) \
                 LEFT JOIN attempt_log USING (job, unit, attempt) ORDER BY attempt";
    all(connection, query, params![unit.job.0, unit.number], |row| {
        Ok(StoredAttempt {
            number: row.get(0)?,
            worker: WorkerId(row.get(1)?),
            class: class(row, 2)?,
            words: words(row, 3)?,
            cpu: row.get::<_, Option<u64>>(4)?.map(Duration::from_micros),
            log_bytes: row.get(5)?,
        })
    })
}

fn logs(connection: &Connection, unit: UnitId) -> rusqlite::Result<Vec<StoredLog>> {
    let mut logs = Vec::new();
    let query = "SELECT log FROM attempt_log WHERE job = ?1 AND unit = ?2 AND attempt = ?3";
    let mut query = connection.prepare_cached(query)?;
    for StoredAttempt { number, worker, words, .. } in attempts(connection, unit)? {
        let values = params![unit.job.0, unit.number, number];
        let log: Option<String> = query.query_row(values, |row| row.get(0)).optional()?;
        let attempt = AttemptId { unit, number };
        logs.push(StoredLog { attempt, worker, words, log: log.unwrap_or_default() });
    }
    Ok(logs)
}

/// What each open stage has besides its units: the answers it took over, and what is left after its
/// last block between them.
fn uncut(
    connection: &Connection,
    job: JobId,
    stage: Option<StageIndex>,
) -> rusqlite::Result<Vec<UnitEntry>> {
    // The last block may have items that were cut before.
    let query = "SELECT stage, items, coalesce((SELECT max(items_end) FROM block \
                 WHERE block.job = stage.job AND block.stage = stage.stage), 0) \
                 FROM stage WHERE job = ?1 AND items IS NOT NULL \
                 AND (?2 IS NULL OR stage = ?2) ORDER BY stage";
    let stages = all(connection, query, params![job.0, stage.map(|stage| stage.0)], |row| {
        let left = ItemRange { start: row.get(2)?, end: row.get(1)? };
        Ok((StageIndex(row.get(0)?), left))
    })?;
    let mut entries = Vec::new();
    for (stage, ItemRange { start: mut next, end }) in stages {
        for run in runs_of(connection, job, stage)? {
            entries.extend(uncut_between(stage, next, run.items.start));
            entries.push(UnitEntry::Kept(run));
            next = next.max(run.items.end);
        }
        entries.extend(uncut_between(stage, next, end));
    }
    Ok(entries)
}

fn uncut_between(stage: StageIndex, start: u64, end: u64) -> Option<UnitEntry> {
    (start < end).then_some(UnitEntry::Uncut { stage, items: ItemRange { start, end } })
}

fn class(row: &Row<'_>, column: usize) -> rusqlite::Result<OutcomeClass> {
    let class: String = row.get(column)?;
    match class.as_str() {
        "completed" => Ok(OutcomeClass::Completed),
        "failure" => Ok(OutcomeClass::Failure),
        "inconclusive" => Ok(OutcomeClass::Inconclusive),
        _ => Err(unknown_word(column)),
    }
}

fn words(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    let Some(outcome) = row.get::<_, Option<Vec<u8>>>(column)? else {
        return Ok("completed".to_owned());
    };
    let outcome: Outcome = wire::decode(&outcome).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
    })?;
    Ok(outcome.to_string())
}
