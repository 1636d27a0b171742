//! What goes into the core and what comes out.

use std::fmt;
use std::time::Duration;

use gleaner_protocol::{
    AttemptId, JobId, LeaseClaims, LeaseToken, Obstacle, ProjectId, ReleaseReason, StageIndex,
    WithdrawReason,
};

/// An attempt of a project: attempt numbers recur between projects. Ordered by its numbers first: they
/// nearly always decide, and compare at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptKey {
    /// Which.
    pub attempt: AttemptId,
    /// Whose attempt.
    pub project: ProjectId,
}

/// A stage of a project's job: what a slot serves. Ordered as [`AttemptKey`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageKey {
    /// Which job.
    pub job: JobId,
    /// Which of its stages.
    pub stage: StageIndex,
    /// Whose job.
    pub project: ProjectId,
}

/// One slot process of this worker, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotIndex(pub u32);

/// One life of a slot, or one run of an attempt in a slot; grows and never recurs, so that what a
/// slot says after its end is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

/// A lease as the coordinator must see it again, bytes unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLease {
    /// What it allows.
    pub claims: LeaseClaims,
    /// The coordinator's MAC over the claims.
    pub token: LeaseToken,
}

impl HeldLease {
    /// The stage that it is of, as a lease of `project`.
    pub(crate) fn stage(&self, project: ProjectId) -> StageKey {
        let LeaseClaims { attempt, stage, .. } = &self.claims;
        StageKey { job: attempt.unit.job, stage: *stage, project }
    }
}

/// A lease that came; its inputs stay with the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedLease {
    /// The lease.
    pub lease: HeldLease,
    /// Where its inputs are.
    pub inputs: InputsPlace,
}

/// Where a unit's inputs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputsPlace {
    /// They came with the lease.
    Here,
    /// In a blob that must be fetched.
    Blob,
}

/// Whether the worker may use the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Run {
        /// How many slots may run at once.
        slots: u32,
    },
    /// It may not.
    Suspend {
        /// Why, for the machine's owner.
        reasons: Vec<SuspendReason>,
    },
}

impl Verdict {
    /// How many slots may run at once.
    pub(crate) fn slots(&self) -> u32 {
        match self {
            Self::Run { slots } => *slots,
            Self::Suspend { .. } => 0,
        }
    }
}

/// Why a worker does not compute, in the words of its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SuspendReason {
    /// The owner said so.
    Asked,
    /// The owner uses the machine.
    UserActive,
}

impl fmt::Display for SuspendReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "you asked it to pause",
            Self::UserActive => "you are using the machine",
        })
    }
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Results of an earlier run of this program were found on disk; told before any connection.
    Restored {
        /// Whose.
        project: ProjectId,
        /// Their leases.
        leases: Vec<HeldLease>,
    },
    /// A stream to a coordinator of the project is open, nothing said on it yet.
    Connected {
        /// Which project.
        project: ProjectId,
    },
    /// The stream ended, however it did.
    Disconnected {
        /// Which project.
        project: ProjectId,
    },
    /// The coordinator accepted the hello, and its record was verified.
    Welcomed {
        /// Which project.
        project: ProjectId,
        /// How often it wants to hear of the leases held.
        heartbeat_interval: Duration,
    },
    /// The coordinator refused the hello.
    Refused {
        /// Which project.
        project: ProjectId,
    },
    /// The coordinator told what a stage runs.
    TaskArrived {
        /// The stage.
        stage: StageKey,
    },
    /// Leases came.
    Leased {
        /// From which project.
        project: ProjectId,
        /// The leases.
        leases: Vec<GrantedLease>,
    },
    /// The coordinator has these results for good.
    Acknowledged {
        /// Which project.
        project: ProjectId,
        /// Which.
        attempts: Vec<AttemptId>,
    },
    /// The coordinator wants nothing more of these attempts.
    Withdrawn {
        /// Which project.
        project: ProjectId,
        /// Which.
        attempts: Vec<AttemptId>,
        /// Why.
        reason: WithdrawReason,
    },
    /// A stage's files are here and its module is compiled.
    StageReady {
        /// The stage.
        stage: StageKey,
    },
    /// A stage's module cannot be run on any machine, as was found when it was prepared or when a
    /// slot was started for it: that is its units' answer.
    StageRefused {
        /// The stage.
        stage: StageKey,
    },
    /// A stage's module or files could not be had.
    StageUnavailable {
        /// The stage.
        stage: StageKey,
        /// Why.
        obstacle: Obstacle,
    },
    /// An attempt's inputs are here.
    InputsHad {
        /// The attempt.
        key: AttemptKey,
    },
    /// An attempt's inputs could not be had, or not be read again when it was to run.
    InputsUnavailable {
        /// The attempt.
        key: AttemptKey,
        /// Why.
        obstacle: Obstacle,
    },
    /// A slot answered.
    Finished {
        /// The attempt.
        key: AttemptKey,
        /// The run that [`Action::Run`] named.
        run: RunId,
        /// Time it had the slot for itself.
        elapsed: Duration,
    },
    /// A slot could not be started.
    SlotFailed {
        /// The slot.
        slot: SlotIndex,
        /// The life that [`Action::StartSlot`] named.
        life: RunId,
        /// Why.
        obstacle: Obstacle,
    },
    /// A result is on disk, or the disk would not take it and memory holds it: it can be sent.
    Kept {
        /// The attempt.
        key: AttemptKey,
    },
    /// What the owner and the machine allow has changed.
    VerdictChanged(Verdict),
    /// The worker is to stop: leases are given back, results sent.
    Stop,
}

/// Something to be done by the driver, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Say hello on a new stream.
    Greet {
        /// To which project.
        project: ProjectId,
        /// Every lease held.
        held: Vec<HeldLease>,
    },
    /// Close the stream; [`Event::Disconnected`] follows.
    Disconnect {
        /// To which project.
        project: ProjectId,
    },
    /// Say what can be taken; replaces what was said before.
    Request {
        /// To which project.
        project: ProjectId,
        /// Slots that may run.
        slots: u32,
        /// Units wanted beyond those held.
        units: u32,
    },
    /// Speak for leases, and say what runs.
    Heartbeat {
        /// To which project.
        project: ProjectId,
        /// All that are held, or those alone that run.
        attempts: Vec<AttemptId>,
        /// Those of them that have a slot for themselves now.
        running: Vec<AttemptId>,
    },
    /// Send results that are kept.
    SendResults {
        /// To which project.
        project: ProjectId,
        /// At most [`crate::limits::RESULTS_BATCH`].
        attempts: Vec<AttemptId>,
    },
    /// Give leases back.
    Release {
        /// To which project.
        project: ProjectId,
        /// Which.
        attempts: Vec<AttemptId>,
        /// Why.
        reason: ReleaseReason,
    },
    /// Have a stage's module and files and compile; [`Event::StageReady`],
    /// [`Event::StageRefused`] or [`Event::StageUnavailable`] follows.
    Prepare {
        /// The stage.
        stage: StageKey,
    },
    /// No attempt and no slot needs the stage's files now; its task must still be remembered.
    Rest {
        /// The stage.
        stage: StageKey,
    },
    /// Forget a stage and its task.
    ForgetStage {
        /// The stage.
        stage: StageKey,
    },
    /// Fetch an attempt's inputs; [`Event::InputsHad`] or [`Event::InputsUnavailable`] follows.
    FetchInputs {
        /// The attempt.
        key: AttemptKey,
    },
    /// Start a slot process for a stage.
    StartSlot {
        /// The slot, empty till now.
        slot: SlotIndex,
        /// This life of it.
        life: RunId,
        /// What it serves.
        stage: StageKey,
    },
    /// Give an attempt to a slot, behind those it has; [`Event::Finished`] follows.
    Run {
        /// The slot.
        slot: SlotIndex,
        /// The attempt.
        key: AttemptKey,
        /// This run of it.
        run: RunId,
    },
    /// Stop a slot where it stands.
    SuspendSlot {
        /// The slot.
        slot: SlotIndex,
    },
    /// Let a suspended slot go on.
    ResumeSlot {
        /// The slot.
        slot: SlotIndex,
    },
    /// End a slot process; what is in its pipe is of no use any more.
    EndSlot {
        /// The slot.
        slot: SlotIndex,
    },
    /// Write the answer that came with [`Event::Finished`]; [`Event::Kept`] follows. An answer
    /// that this action does not name is of no use.
    Keep {
        /// The attempt.
        key: AttemptKey,
        /// The run that gave the answer.
        run: RunId,
    },
    /// Write the result of an attempt whose module was refused; [`Event::Kept`] follows.
    AnswerRefused {
        /// The attempt.
        key: AttemptKey,
    },
    /// The lease is over: forget inputs and result, on disk too.
    Discard {
        /// The attempt.
        key: AttemptKey,
    },
    /// After [`Event::Stop`]: nothing is left to do.
    Stopped,
}
