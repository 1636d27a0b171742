//! One slot as the core sees it: what it serves and what is in its pipe.

use std::collections::VecDeque;

use gleaner_protocol::Timestamp;

use crate::event::{AttemptKey, RunId, StageKey};

/// A place for a slot process; empty until a unit needs it.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// The process there, if any.
    pub(crate) process: Option<Process>,
}

/// A slot process that was started.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) life: RunId,
    pub(crate) stage: StageKey,
    /// In the order they were given, which is the order of their answers.
    pub(crate) pipe: VecDeque<AttemptKey>,
    pub(crate) motion: Motion,
    /// When the first in its pipe was begun; of an empty pipe, since when it is empty.
    pub(crate) since: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Motion {
    Going,
    Suspended,
}

impl Slot {
    pub(crate) fn in_pipe(&self) -> usize {
        self.process.as_ref().map_or(0, |process| process.pipe.len())
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.in_pipe() > 0
    }

    pub(crate) fn stage(&self) -> Option<StageKey> {
        self.process.as_ref().map(|process| process.stage)
    }

    /// The attempt that it runs; none while it runs none.
    pub(crate) fn running(&self) -> Option<AttemptKey> {
        let process = self.process.as_ref().filter(|process| process.motion == Motion::Going)?;
        process.pipe.front().copied()
    }

    /// Since when it runs a unit; none while it runs none.
    pub(crate) fn running_since(&self) -> Option<Timestamp> {
        self.running()?;
        self.process.as_ref().map(|process| process.since)
    }

    pub(crate) fn is_suspended(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.motion == Motion::Suspended)
    }
}
