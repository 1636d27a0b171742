//! Answers of earlier jobs that serve a later one.
//!
//! Stages of one key ask the same question of each item; what the earlier one has settled, the
//! later one need not compute. Nothing is copied: a run of items names the units that hold their
//! answers. Invariants: runs of a stage are in the order of their items and do not overlap; all
//! units of a run are of one cut, consecutive, settled, completed, and wholly within the later stage.
//! Units of which an item failed are not among them: all their items are computed again.

use std::cmp::Reverse;

use gleaner_coordinator_core::{CutKind, KeptRun};
use gleaner_protocol::{Answers, BlobHash, ItemRange, JobId, StageIndex};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::load::all;
use super::{Store, StoreError};

/// The most runs that a stage takes over, the longest: what lies in others is computed again. Units
/// settle nearly in order, so that a stage that was given up leaves about as many as it had units in
/// flight; one of which items failed leaves one more for each such unit.
const RUNS_MAX: usize = 4096;

/// The same for a retry, whose old job may lack an answer anywhere: a run ends at each unit of which
/// an item failed. They are held in memory for as long as the job is known, and committed at once.
const RETRY_RUNS_MAX: usize = 256 * 1024;
const _: () = assert!(RETRY_RUNS_MAX * size_of::<KeptRun>() <= 32 * 1024 * 1024);

/// How many times as many are held while the longest are looked for.
const RUNS_HELD: usize = 2;

/// The most stages of one question that are looked at, the newest first: each may cost a look at
/// all of its units, and most took over what was known before them.
const SOURCES_MAX: u32 = 32;

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
    /// The job to ask first, with those that it retries; of its own quorum.
    pub first: Option<JobId>,
    /// Whether others are asked too.
    pub answers: Answers,
}

impl Question {
    fn runs_max(&self) -> usize {
        match self.first {
            Some(_) => RETRY_RUNS_MAX,
            None => RUNS_MAX,
        }
    }
}

impl Store {
    /// The answers there are for a stage, those of the newest jobs first where several have one.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn kept_answers(&self, question: Question) -> Result<Vec<KeptRun>, StoreError> {
        self.read(move |connection| kept_answers(connection, &question)).await
    }

    /// The job that a job takes up again, if it does.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn retry_of(&self, job: JobId) -> Result<Option<JobId>, StoreError> {
        self.read(move |connection| {
            let query = "SELECT retried FROM retry WHERE job = ?1";
            let mut query = connection.prepare_cached(query)?;
            query.query_row([job.0], |row| row.get(0).map(JobId)).optional()
        })
        .await
    }
}

/// The runs that a stage has taken over, in the order of their items.
pub(super) fn runs_of(
    connection: &Connection,
    job: JobId,
    stage: StageIndex,
) -> rusqlite::Result<Vec<KeptRun>> {
    let query = "SELECT items_start, items_end, source_job, source_stage, first_unit, end_unit, \
                 alone FROM kept WHERE job = ?1 AND stage = ?2 ORDER BY items_start";
    all(connection, query, params![job.0, stage.0], |row| {
        Ok(KeptRun {
            stage,
            items: ItemRange { start: row.get(0)?, end: row.get(1)? },
            source: JobId(row.get(2)?),
            source_stage: StageIndex(row.get(3)?),
            cut: if row.get(6)? { CutKind::Alone } else { CutKind::First },
            first_unit: row.get(4)?,
            end_unit: row.get(5)?,
        })
    })
}

fn kept_answers(connection: &Connection, question: &Question) -> rusqlite::Result<Vec<KeptRun>> {
    // One transaction, so that a job removed meanwhile is there whole or not at all.
    let transaction = connection.unchecked_transaction()?;
    let mut kept = Vec::new();
    for source in sources(&transaction, question)? {
        if kept.iter().map(|run: &KeptRun| run.items.len()).sum::<u64>() == question.items {
            break;
        }
        for cut in [CutKind::First, CutKind::Alone] {
            kept = fill_gaps(kept, settled_runs(&transaction, question, source, cut)?);
        }
        kept = fill_gaps(kept, taken_over(&transaction, question, source)?);
    }
    let mut longest = Longest::new(question.runs_max());
    kept.into_iter().for_each(|run| longest.add(run));
    Ok(longest.in_order())
}

/// The longest of any number of runs, the first of equal ones.
struct Longest {
    runs: Vec<KeptRun>,
    max: usize,
}

impl Longest {
    fn new(max: usize) -> Self {
        Self { runs: Vec::new(), max }
    }

    fn add(&mut self, run: KeptRun) {
        self.runs.push(run);
        if self.runs.len() == self.max * RUNS_HELD {
            self.drop_others();
        }
    }

    fn drop_others(&mut self) {
        if self.runs.len() > self.max {
            let key = |run: &KeptRun| (Reverse(run.items.len()), run.items.start);
            self.runs.select_nth_unstable_by_key(self.max, key);
            self.runs.truncate(self.max);
        }
    }

    /// In the order of their items.
    fn in_order(mut self) -> Vec<KeptRun> {
        self.drop_others();
        self.runs.sort_unstable_by_key(|run| run.items.start);
        self.runs
    }
}

/// A stage that asks the same.
#[derive(Clone, Copy)]
struct Source {
    job: JobId,
    stage: StageIndex,
    origin: Origin,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The job that is retried, or one that it retries in turn: all that it has is passed on.
    Retried,
    /// Any other: what is left of removed jobs stays its own.
    Other,
}

/// Whom to ask, in this order.
fn sources(connection: &Connection, question: &Question) -> rusqlite::Result<Vec<Source>> {
    let read = |origin| {
        move |row: &Row<'_>| {
            Ok(Source { job: JobId(row.get(0)?), stage: StageIndex(row.get(1)?), origin })
        }
    };
    let mut sources: Vec<Source> = Vec::new();
    if let Some(first) = question.first {
        let query = "WITH RECURSIVE retried (job) AS ( \
                         SELECT ?1 WHERE ?1 NOT IN (SELECT job FROM removed_job) UNION ALL \
                         SELECT retry.retried FROM retried JOIN retry USING (job) \
                         WHERE retry.retried NOT IN (SELECT job FROM removed_job)) \
                     SELECT job, stage FROM retried JOIN stage_answers USING (job) \
                     WHERE key = ?2 ORDER BY job DESC, stage LIMIT ?3";
        let values = params![first.0, question.key.0, SOURCES_MAX];
        sources = all(connection, query, values, read(Origin::Retried))?;
    }
    if question.answers == Answers::Kept {
        let query = "SELECT job, stage FROM stage_answers WHERE key = ?1 AND quorum >= ?2 \
                     AND job NOT IN (SELECT job FROM removed_job) \
                     ORDER BY job DESC, stage LIMIT ?3";
        let values = params![question.key.0, question.quorum, SOURCES_MAX];
        let mut others = all(connection, query, values, read(Origin::Other))?;
        others.retain(|other| !sources.iter().any(|source| source.is(other)));
        sources.extend(others);
    }
    Ok(sources)
}

impl Source {
    fn is(&self, other: &Self) -> bool {
        (self.job, self.stage) == (other.job, other.stage)
    }
}

/// What a stage has settled of the items asked for, as runs of consecutive units: the longest.
fn settled_runs(
    connection: &Connection,
    question: &Question,
    source: Source,
    cut: CutKind,
) -> rusqlite::Result<Vec<KeptRun>> {
    let mut query = connection.prepare_cached(match cut {
        CutKind::First => {
            "SELECT unit, items_start, items_end FROM settled \
             JOIN opinion USING (job, unit, attempt) \
             WHERE job = ?1 AND stage = ?2 AND class = 'completed' \
             AND NOT EXISTS (SELECT 1 FROM failed \
                 WHERE failed.job = settled.job AND failed.unit = settled.unit) \
             ORDER BY unit"
        }
        CutKind::Alone => {
            "SELECT unit, item, item + 1 FROM settled_alone \
             JOIN opinion USING (job, unit, attempt) \
             WHERE job = ?1 AND stage = ?2 AND class = 'completed' \
             AND NOT EXISTS (SELECT 1 FROM failed \
                 WHERE failed.job = settled_alone.job AND failed.unit = settled_alone.unit) \
             ORDER BY item"
        }
    })?;
    let mut rows = query.query(params![source.job.0, source.stage.0])?;
    let (mut longest, mut last) = (Longest::new(question.runs_max()), None::<KeptRun>);
    while let Some(row) = rows.next()? {
        let unit: u64 = row.get(0)?;
        let items = ItemRange { start: row.get(1)?, end: row.get(2)? };
        // Both are in the order of their items.
        if items.end > question.items {
            break;
        }
        match &mut last {
            Some(run) if run.end_unit == unit && run.items.end == items.start => {
                run.end_unit = unit + 1;
                run.items.end = items.end;
            }
            last => {
                let begun = last.replace(KeptRun {
                    stage: question.stage,
                    items,
                    source: source.job,
                    source_stage: source.stage,
                    cut,
                    first_unit: unit,
                    end_unit: unit + 1,
                });
                begun.into_iter().for_each(|run| longest.add(run));
            }
        }
    }
    last.into_iter().for_each(|run| longest.add(run));
    Ok(longest.in_order())
}

/// What a stage took over itself of the items asked for.
fn taken_over(
    connection: &Connection,
    question: &Question,
    source: Source,
) -> rusqlite::Result<Vec<KeptRun>> {
    let mut runs = runs_of(connection, source.job, source.stage)?;
    runs.retain(|run| run.items.end <= question.items);
    if source.origin == Origin::Other {
        let query = "SELECT job FROM removed_job WHERE swept < 2";
        let removed: Vec<u64> = all(connection, query, [], |row| row.get(0))?;
        runs.retain(|run| !removed.contains(&run.source.0));
    }
    runs.iter_mut().for_each(|run| run.stage = question.stage);
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
