//! Answers of earlier jobs that serve a later one.
//!
//! Stages of one key ask the same question of each item; what the earlier one has settled, the
//! later one need not compute. Nothing is copied: a run of items names the units that hold their
//! answers. Invariants: runs of a stage are in the order of their items and do not overlap; all
//! units of a run are consecutive, settled, completed, and wholly within the later stage. Units of
//! which an item failed are not among them: it is tried again.

use gleaner_coordinator_core::KeptRun;
use gleaner_protocol::{BlobHash, ItemRange, JobId, JobSpec, StageIndex, wire};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

use super::{Store, StoreError};

/// The most runs that a stage takes over: what lies beyond is computed again. Units settle nearly
/// in order, so that a stage that was given up leaves about as many as it had units in flight.
const RUNS_MAX: usize = 4096;

/// What a stage asks, and from whom it may take the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The stage that asks.
    pub stage: StageIndex,
    /// The name of its question.
    pub key: BlobHash,
    /// How many items it has.
    pub items: u64,
    /// How many agreeing results it needs.
    pub quorum: u32,
}

impl Store {
    /// The answers there are for a stage, those of the newest jobs first where several have one.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn kept_answers(&self, question: Question) -> Result<Vec<KeptRun>, StoreError> {
        self.read(move |connection| kept_answers(connection, &question)).await
    }
}

/// The runs that a stage has taken over, in the order of their items.
pub(super) fn runs_of(
    connection: &Connection,
    job: JobId,
    stage: StageIndex,
) -> rusqlite::Result<Vec<KeptRun>> {
    let query = "SELECT items_start, items_end, source_job, source_stage, first_unit, end_unit \
                 FROM kept WHERE job = ?1 AND stage = ?2 ORDER BY items_start";
    let mut query = connection.prepare_cached(query)?;
    let run = |row: &Row<'_>| {
        Ok(KeptRun {
            stage,
            items: ItemRange { start: row.get(0)?, end: row.get(1)? },
            source: JobId(row.get(2)?),
            source_stage: StageIndex(row.get(3)?),
            first_unit: row.get(4)?,
            end_unit: row.get(5)?,
        })
    };
    query.query_map(params![job.0, stage.0], run)?.collect()
}

fn kept_answers(connection: &Connection, question: &Question) -> rusqlite::Result<Vec<KeptRun>> {
    // One transaction, so that a job removed meanwhile is there whole or not at all.
    let transaction = connection.unchecked_transaction()?;
    let mut kept = Vec::new();
    for (source, source_stage) in sources(&transaction, question)? {
        let runs = settled_runs(&transaction, question, source, source_stage)?;
        kept = fill_gaps(kept, runs);
        if kept.iter().map(|run| run.items.len()).sum::<u64>() == question.items {
            break;
        }
    }
    kept.truncate(RUNS_MAX);
    Ok(kept)
}

/// The stages that ask the same under no smaller quorum, the newest first.
fn sources(
    connection: &Connection,
    question: &Question,
) -> rusqlite::Result<Vec<(JobId, StageIndex)>> {
    let query = "SELECT job, stage, spec FROM stage_answers JOIN job USING (job) \
                 WHERE key = ?1 AND job NOT IN (SELECT job FROM removed_job) \
                 ORDER BY job DESC, stage";
    let mut query = connection.prepare_cached(query)?;
    let mut rows = query.query([question.key.0])?;
    let mut sources = Vec::new();
    while let Some(row) = rows.next()? {
        let spec: Vec<u8> = row.get(2)?;
        let spec: JobSpec = wire::decode(&spec).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(2, Type::Blob, Box::new(error))
        })?;
        if spec.quorum.get() >= question.quorum {
            sources.push((JobId(row.get(0)?), StageIndex(row.get(1)?)));
        }
    }
    Ok(sources)
}

/// What a stage has settled of the items asked for, as runs of consecutive units.
fn settled_runs(
    connection: &Connection,
    question: &Question,
    source: JobId,
    source_stage: StageIndex,
) -> rusqlite::Result<Vec<KeptRun>> {
    let query = "SELECT unit, items_start, items_end FROM settled \
                 JOIN opinion USING (job, unit, attempt) \
                 WHERE job = ?1 AND stage = ?2 AND items_end <= ?3 AND class = 'completed' \
                 AND NOT EXISTS (SELECT 1 FROM failed \
                     WHERE failed.job = settled.job AND failed.unit = settled.unit) \
                 ORDER BY unit";
    let mut query = connection.prepare_cached(query)?;
    let mut rows = query.query(params![source.0, source_stage.0, question.items])?;
    let mut runs: Vec<KeptRun> = Vec::new();
    while let Some(row) = rows.next()? {
        let unit: u64 = row.get(0)?;
        let items = ItemRange { start: row.get(1)?, end: row.get(2)? };
        let is_full = runs.len() == RUNS_MAX;
        match runs.last_mut() {
            Some(run) if run.end_unit == unit && run.items.end == items.start => {
                run.end_unit = unit + 1;
                run.items.end = items.end;
            }
            _ if is_full => break,
            _ => runs.push(KeptRun {
                stage: question.stage,
                items,
                source,
                source_stage,
                first_unit: unit,
                end_unit: unit + 1,
            }),
        }
    }
    Ok(runs)
}

/// `kept` and those of `more` that overlap none of it, in the order of their items. Runs are taken
/// whole: to cut one, its units would have to be looked at again.
fn fill_gaps(kept: Vec<KeptRun>, more: Vec<KeptRun>) -> Vec<KeptRun> {
    let is_free = |run: &KeptRun| {
        let after = kept.partition_point(|known| known.items.end <= run.items.start);
        kept.get(after).is_none_or(|known| run.items.end <= known.items.start)
    };
    let mut filled: Vec<KeptRun> = more.into_iter().filter(is_free).collect();
    filled.extend(kept);
    filled.sort_by_key(|run| run.items.start);
    filled
}
