//! The control API as data: what its HTTP routes take and give, as JSON.
//!
//! | route | takes | gives |
//! |---|---|---|
//! | `GET /v1/openapi.json` | | [`OPENAPI`] |
//! | `GET /v1/project` | | [`ProjectView`] |
//! | `HEAD /v1/blobs/{hash}` | | 200 when held, 404 when not |
//! | `PUT /v1/blobs/{hash}` | the bytes | 204; 400 when they have another hash |
//! | `POST /v1/jobs` | [`SubmitRequest`] | [`SubmitReply`]; the same reply on a repeat |
//! | `GET /v1/jobs` | `?name=NAME` | a list of [`JobView`], newest first; of one name if it is given |
//! | `GET /v1/jobs/{job}` | `?after=N&wait_ms=M` | [`JobView`], once its version is over `N`, or after `M` ms |
//! | `DELETE /v1/jobs/{job}` | | 204; 410 when it was removed before |
//! | `POST /v1/jobs/{job}/cancel` | | [`JobView`] |
//! | `POST /v1/jobs/{job}/pause` | | [`JobView`] |
//! | `POST /v1/jobs/{job}/resume` | | [`JobView`] |
//! | `POST /v1/jobs/{job}/priority` | [`PriorityRequest`] | [`JobView`] |
//! | `GET /v1/jobs/{job}/units` | `?from=N&stage=NAME&failed=true` | [`UnitsPage`] |
//! | `GET /v1/jobs/{job}/output` | | a list of [`OutputFile`] |
//! | `GET /v1/jobs/{job}/output/{stage}/{name}` | | the bytes, as an attachment |
//! | `GET /v1/jobs/{job}/failed.csv` | | the items that gave no output, as CSV |
//! | `GET /v1/jobs/{job}/provenance.json` | | what made the output |
//! | `GET /v1/jobs/{job}/partial` | | previews of what is not done, each file after a [`PartialEntry`] |
//! | `GET /v1/jobs/{job}/why` | | [`WhyView`] |
//! | `GET /v1/units/{unit}/why` | | [`WhyView`] |
//! | `GET /v1/workers/{worker}/why` | | [`WhyView`]; for the operator alone |
//! | `GET /v1/units/{unit}/logs` | | [`UnitLogs`] |
//! | `GET /v1/workers` | | a list of [`WorkerView`] |
//! | `POST /v1/invitations` | [`InviteRequest`] | [`InviteReply`] |
//! | `GET /v1/submitters` | | a list of [`SubmitterView`] |
//! | `POST /v1/submitters` | [`AddSubmitterRequest`] | [`AddSubmitterReply`] |
//! | `POST /v1/submitters/{name}/remove` | | [`SubmitterView`] |
//! | `GET /v1/invitations` | | a list of [`InvitationView`], newest first |
//! | `POST /v1/invitations/{invitation}/revoke` | [`RevokeRequest`] | [`RevokeReply`] |
//!
//! On loopback every route needs `Authorization: Bearer TOKEN`. From elsewhere the same requests
//! come over streams between peers, and the submitter is the peer's key: it sees and changes its
//! own jobs alone, and the routes of invitations and submitters are refused to it. Errors are
//! [`ApiError`] with a status of 4xx or 5xx: 410 wherever a job is named that was removed.

mod submitters;

mod invitations;

mod partial;
mod room;
mod units;
mod why;

use serde::{Deserialize, Serialize};

pub use invitations::{
    InvitationState, InvitationView, InviteReply, InviteRequest, MemberView, MembersFate,
    RevokeReply, RevokeRequest,
};

pub use self::partial::{FILES_CONTENT_TYPE, PartialEntry, PartialFile, PartialStage};
pub use self::room::RoomView;
pub use self::units::{
    AttemptLog, AttemptState, AttemptView, FAILED_ITEMS_TOLD_MAX, FailedItemView, UnitLogs,
    UnitState, UnitView, UnitsPage,
};
pub use self::why::WhyView;
use crate::{BlobHash, JobId, JobSpec, ProjectId, RelativeName, SubmissionId, WorkerId};

pub use submitters::{AddSubmitterReply, AddSubmitterRequest, SubmitterView};

/// The API as an OpenAPI 3.1 document. A route that is added is described there, in its one file; a
/// test of the coordinator compares both, and one on a live coordinator checks every answer.
pub const OPENAPI: &str = include_str!("openapi.json");

/// A request to take a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitRequest {
    /// The submitter's own name for this submission: a repeat returns the same job.
    pub submission: SubmissionId,
    /// The job; its blobs must be held already.
    pub job: JobSpec,
}

/// The job is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitReply {
    /// Its id.
    pub job: JobId,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Units are waiting or running, or an output is being put together.
    Running,
    /// Nothing of it is handed out until it is resumed; what runs may finish.
    Paused,
    /// Every stage's output is there.
    Done,
    /// A unit failed, or could not be answered.
    Failed,
    /// The submitter ended it.
    Cancelled,
}

impl JobState {
    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Running | Self::Paused)
    }
}

/// A job as its submitter sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// Its id.
    pub job: JobId,
    /// The submitter's name for it.
    pub name: String,
    /// The job that it takes up again, if it does. That one may have been removed since.
    #[serde(default)]
    pub retry_of: Option<JobId>,
    /// The job that takes it up again, for as long as that one is there.
    #[serde(default)]
    pub retried_by: Option<JobId>,
    /// The submitter from elsewhere whose it is; the operator's own jobs have none.
    #[serde(default)]
    pub submitter: Option<String>,
    /// Where it stands.
    pub state: JobState,
    /// Among its submitter's jobs those of higher priority go first.
    #[serde(default)]
    pub priority: i32,
    /// Grows with each change, for waiting on the next one.
    pub version: u64,
    /// RFC 3339, UTC.
    pub submitted_at: String,
    /// RFC 3339, UTC; when the state became final.
    pub ended_at: Option<String>,
    /// Why it failed, in a sentence.
    pub failure: Option<String>,
    /// What kind of failure that is.
    #[serde(default)]
    pub failure_cause: Option<FailureCause>,
    /// RFC 3339, UTC; when it is removed by itself. None while it runs, and when it is kept for ever.
    #[serde(default)]
    pub kept_until: Option<String>,
    /// Why nobody was told of it although somebody should have been, once that was given up.
    #[serde(default)]
    pub notify_failure: Option<String>,
    /// Its stages in order.
    pub stages: Vec<StageView>,
}

impl JobView {
    /// Whether it has ended without an output of every item.
    pub fn lacks_answers(&self) -> bool {
        match self.state {
            JobState::Running | JobState::Paused => false,
            JobState::Failed | JobState::Cancelled => true,
            JobState::Done => self.items_failed() > 0,
        }
    }

    /// How many items of all its stages gave no output.
    pub fn items_failed(&self) -> u64 {
        self.stages.iter().map(|stage| stage.items_failed).fold(0, u64::saturating_add)
    }
}

/// What a job failed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCause {
    /// An item: its task fails on every machine.
    Task,
    /// An item that found no answer: other machines may do better.
    NoAnswer,
    /// An item on whose answer workers did not agree.
    NoAgreement,
    /// A stage's input could not be cut, or its outputs could not be put together: that follows from
    /// what the job is given, and a retry comes to the same.
    Stage,
}

/// Where a stage stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageState {
    /// It waits for an earlier stage.
    Blocked,
    /// Its units are waiting or running.
    Open,
    /// Its output is being put together.
    Reducing,
    /// Its output is there.
    Done,
}

/// A stage as its submitter sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageView {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: StageState,
    /// Its items; unknown before it starts.
    pub items: Option<u64>,
    /// Items of settled units, those that failed among them, and of answers taken over.
    pub items_settled: u64,
    /// Items whose answers were taken over from earlier jobs.
    #[serde(default)]
    pub items_kept: u64,
    /// Items that gave no output; the job went on without them, or failed.
    #[serde(default)]
    pub items_failed: u64,
    /// Settled units.
    pub units_settled: u64,
    /// Attempts that run now, as far as their workers have said.
    #[serde(default)]
    pub attempts_running: u64,
    /// Attempts that workers have and do not run now.
    #[serde(default)]
    pub attempts_assigned: u64,
    /// Attempts that ended without an answer.
    pub attempts_inconclusive: u64,
    /// CPU seconds of the attempts that settled units, and of those that ended without an answer.
    pub cpu_seconds: f64,
    /// Of these, what the attempts without an answer took.
    #[serde(default)]
    pub cpu_seconds_unanswered: f64,
}

/// A request to order a job among its submitter's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorityRequest {
    /// The priority, at most [`crate::limits::PRIORITY_MAX`] from 0.
    pub priority: i32,
}

/// One file of a job's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFile {
    /// The stage it comes from.
    pub stage: String,
    /// Its name within the stage.
    pub name: RelativeName,
    /// Its length.
    pub bytes: u64,
    /// Its hash.
    pub hash: BlobHash,
}

/// A worker as the operator sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerView {
    /// Its key.
    pub worker: WorkerId,
    /// Slots it offers.
    pub slots: u32,
    /// Leases it holds.
    pub leases: u64,
    /// Those of them that run, as far as it has said.
    #[serde(default)]
    pub running: u64,
    /// The memory it offers each slot; none before its first request for work.
    #[serde(default)]
    pub slot_memory_bytes: u64,
    /// Results accepted from it since the coordinator started.
    pub results: u64,
    /// The CPU time of those results.
    #[serde(default)]
    pub cpu_seconds: f64,
    /// RFC 3339, UTC.
    pub connected_at: String,
}

/// The project as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectView {
    /// Its key.
    pub project: ProjectId,
    /// Its name.
    pub name: String,
    /// Who runs it.
    pub operator: String,
    /// What it computes.
    pub purpose: String,
    /// RFC 3339, UTC; when its record ends.
    pub record_expires_at: String,
    /// Where this coordinator listens.
    pub addresses: Vec<String>,
}

/// What went wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{error}")]
pub struct ApiError {
    /// What, where and the limit.
    pub error: String,
    /// What to do.
    pub hint: Option<String>,
}
