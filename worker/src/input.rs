//! What reaches the driver from the tasks around it.

use std::sync::Arc;
use std::time::Duration;

use gleaner_protocol::{Obstacle, Outcome, ProjectId, ToWorker};
use gleaner_worker_core::{AttemptKey, RunId, SlotIndex, StageKey};

use crate::blobs::{Offered, Pinned};
use crate::journal::Place;
use crate::link::{Link, StreamId};
use crate::stage::{PrepareError, Prepared};

#[derive(Debug)]
pub(crate) enum Input {
    /// A stream to a coordinator is open.
    Opened { project: ProjectId, link: Link },
    /// A message came on a stream.
    Received { project: ProjectId, id: StreamId, message: ToWorker },
    /// A stream ended.
    Closed { project: ProjectId, id: StreamId },
    /// A stage's files were had and its module compiled, or not.
    Prepared { stage: StageKey, prepared: Result<Arc<Prepared>, PrepareError> },
    /// A unit's inputs were had, or what was in the way.
    Inputs { key: AttemptKey, blob: Result<Pinned, Obstacle> },
    /// A slot answered a unit.
    Answered { key: AttemptKey, run: RunId, answer: Answer, elapsed: Duration },
    /// A unit's inputs were here and cannot be read again.
    InputsLost { key: AttemptKey },
    /// A slot could not be started.
    SlotFailed { slot: SlotIndex, life: RunId, obstacle: Obstacle },
    /// A slot could not be started, nor could it be on any other machine.
    SlotRefused { stage: StageKey, reason: String },
    /// Results are kept.
    Kept { keys: Vec<AttemptKey>, place: Place },
    /// The worker is to stop.
    Stop,
}

/// A slot's answer, its large outputs already in a blob.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    pub(crate) cpu: Duration,
    pub(crate) log: String,
    /// The blob of the outputs, when they are large.
    pub(crate) outputs: Option<Offered>,
}
