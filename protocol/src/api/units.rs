//! The units of a job, and what their tasks logged.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{AttemptId, ItemRange, UnitId, WorkerId};

/// The most failed items that are named of a unit; `failed.csv` has all.
pub const FAILED_ITEMS_TOLD_MAX: usize = 10;

/// A page of a job's units, in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitsPage {
    /// Units, and runs of units of which there is nothing to tell.
    pub units: Vec<UnitView>,
    /// The `from` of the next page; none on the last.
    pub next: Option<u64>,
}

/// Where a unit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitState {
    /// It waits for a worker.
    Waiting,
    /// Workers have it, and none runs it now.
    Assigned,
    /// It runs on a worker, as far as that has said.
    Running,
    /// It has answers, too few of which agree so far.
    Accepted,
    /// Its result is final.
    Settled,
    /// It failed, or found no answer; its job failed with it, or went on without its item.
    Failed,
    /// It found no answer, and each of its items got a unit of its own.
    Replaced,
    /// Its job ended before it was settled.
    Dropped,
    /// Units of an earlier job, which answered these items.
    Kept,
}

/// A unit, or a run of consecutive units that wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitView {
    /// The unit, the first one of a run; none when its items are not cut into units yet, and for
    /// answers of a job that the caller may not see.
    pub unit: Option<UnitId>,
    /// How many units this is; none where there is no `unit`.
    pub units: Option<u64>,
    /// Its stage's name.
    pub stage: String,
    /// Its items, those of a whole run together.
    pub items: ItemRange,
    /// Where it stands.
    pub state: UnitState,
    /// In the order of their numbers; those given back or expired are not kept.
    pub attempts: Vec<AttemptView>,
    /// How many of its items gave no output.
    pub items_failed: u64,
    /// The first of these, at most [`FAILED_ITEMS_TOLD_MAX`].
    pub failures: Vec<FailedItemView>,
}

/// An item that gave no output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedItemView {
    /// Numbered within its stage.
    pub item: u64,
    /// How, in one word, as `failed.csv` has it.
    pub outcome: String,
    /// Why.
    pub message: String,
    /// Its own fields as far as they are short, as `failed.csv` has them; none where they are not
    /// told.
    pub parameters: Option<Map<String, Value>>,
}

/// How an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// A worker has it, and does not run it now.
    Assigned,
    /// Its worker runs it, as far as that has said.
    Running,
    /// It gave the unit's result, or the same.
    Completed,
    /// It says that the task fails.
    Failed,
    /// It ended without an answer.
    Inconclusive,
}

/// An attempt of a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptView {
    /// Its id.
    pub attempt: AttemptId,
    /// Whose it is.
    pub worker: WorkerId,
    /// How it stands.
    pub state: AttemptState,
    /// How it ended, in words.
    pub outcome: Option<String>,
    /// RFC 3339, UTC: when it was leased, of one that a worker has.
    pub leased_at: Option<String>,
    /// RFC 3339, UTC: when it was heard first that it runs, of one that does.
    #[serde(default)]
    pub running_since: Option<String>,
    /// CPU time it took; none before it has ended.
    pub cpu_seconds: Option<f64>,
    /// The length of its log.
    pub log_bytes: u64,
}

/// What the tasks of a unit's attempts logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitLogs {
    /// The unit.
    pub unit: UnitId,
    /// The attempts that came back, in the order of their numbers.
    pub attempts: Vec<AttemptLog>,
    /// How many of its items gave no output.
    pub items_failed: u64,
    /// The first of these, at most [`FAILED_ITEMS_TOLD_MAX`].
    pub failures: Vec<FailedItemView>,
}

/// What the task of one attempt logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptLog {
    /// The attempt.
    pub attempt: AttemptId,
    /// Whose it was.
    pub worker: WorkerId,
    /// How it ended, in words.
    pub outcome: String,
    /// Lines, each message after its item's number and its level.
    pub log: String,
}
