//! Who computed what of a stage, and who agreed, read in the order of its units, a page at a time.
//!
//! Units of the first cut and items that were cut out once more are told one after the other;
//! answers taken over from earlier jobs are those jobs' own work.

use gleaner_coordinator_core::{CutKind, KeptRun};
use gleaner_protocol::{AnswerHash, ItemRange, JobId, StageIndex, WorkerId};
use rusqlite::{Connection, params};

use super::kept::runs_of;
use super::load::all;
use super::{Store, StoreError};

/// Units read at a time; a unit has few attempts, and nothing of what they gave is read.
const PAGE_UNITS: u32 = 512;

/// How a settled unit came by its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledWork {
    /// Its number.
    pub unit: u64,
    /// Its items.
    pub items: ItemRange,
    /// The answer; `None` when none was found.
    pub answer: Option<AnswerHash>,
    /// Who gave it, in the order of their attempts.
    pub agreed: Vec<WorkerId>,
    /// Who gave another.
    pub disagreed: Vec<WorkerId>,
    /// Whose attempts ended without one.
    pub without_answer: Vec<WorkerId>,
}

impl Store {
    /// A page of settled units from `first` up to, not including, `end`, which are their numbers,
    /// or those of items that were cut out once more; empty after the last.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when something cannot be read back.
    pub async fn work(
        &self,
        job: JobId,
        stage: StageIndex,
        cut: CutKind,
        first: u64,
        end: u64,
    ) -> Result<Vec<SettledWork>, StoreError> {
        self.read(move |connection| {
            // One transaction, so that a commit between two queries does not show in one only.
            let transaction = connection.unchecked_transaction()?;
            let mut units = settled(&transaction, job, stage, cut, first, end)?;
            for (work, settled_by) in &mut units {
                tell_attempts(&transaction, job, *settled_by, work)?;
            }
            Ok(units.into_iter().map(|(work, _)| work).collect())
        })
        .await
    }

    /// The runs of items whose answers a stage took over, in their order.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when something cannot be read back.
    pub async fn kept_runs(
        &self,
        job: JobId,
        stage: StageIndex,
    ) -> Result<Vec<KeptRun>, StoreError> {
        self.read(move |connection| runs_of(connection, job, stage)).await
    }
}

/// Units, each with the attempt that settled it.
fn settled(
    connection: &Connection,
    job: JobId,
    stage: StageIndex,
    cut: CutKind,
    first: u64,
    end: u64,
) -> rusqlite::Result<Vec<(SettledWork, Option<u32>)>> {
    let query = match cut {
        CutKind::First => {
            "SELECT unit, attempt, items_start, items_end FROM settled WHERE job = ?1 \
             AND stage = ?2 AND unit >= ?3 AND unit < ?4 ORDER BY unit LIMIT ?5"
        }
        CutKind::Alone => {
            "SELECT unit, attempt, item, item + 1 FROM settled_alone WHERE job = ?1 \
             AND stage = ?2 AND item >= ?3 AND item < ?4 ORDER BY item LIMIT ?5"
        }
    };
    let values = params![job.0, stage.0, first, end, PAGE_UNITS];
    all(connection, query, values, |row| {
        let work = SettledWork {
            unit: row.get(0)?,
            items: ItemRange { start: row.get(2)?, end: row.get(3)? },
            answer: None,
            agreed: Vec::new(),
            disagreed: Vec::new(),
            without_answer: Vec::new(),
        };
        Ok((work, row.get(1)?))
    })
}

fn tell_attempts(
    connection: &Connection,
    job: JobId,
    settled_by: Option<u32>,
    work: &mut SettledWork,
) -> rusqlite::Result<()> {
    let query = "SELECT worker, answer, attempt FROM opinion WHERE job = ?1 AND unit = ?2 \
                 UNION ALL SELECT worker, NULL, attempt FROM inconclusive \
                 WHERE job = ?1 AND unit = ?2 ORDER BY attempt";
    type Attempt = (WorkerId, Option<AnswerHash>, u32);
    let attempts: Vec<Attempt> = all(connection, query, params![job.0, work.unit], |row| {
        let answer: Option<[u8; 32]> = row.get(1)?;
        Ok((WorkerId(row.get(0)?), answer.map(AnswerHash), row.get(2)?))
    })?;
    let settled = attempts.iter().find(|(_, _, number)| Some(*number) == settled_by);
    work.answer = settled.and_then(|(_, answer, _)| *answer);
    for (worker, answer, _) in attempts {
        let place = match answer {
            None => &mut work.without_answer,
            answer if answer == work.answer => &mut work.agreed,
            Some(_) => &mut work.disagreed,
        };
        place.push(worker);
    }
    Ok(())
}
