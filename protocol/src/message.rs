//! The messages of the work stream: one long-lived stream from each worker to each of its
//! projects' coordinators.
//!
//! ```text
//! worker                          coordinator
//!   Inquire ─────────────────────────►    a stream of its own, before anybody has joined
//!   ◄──────────────── Introduction | Refused
//!
//!   Hello ───────────────────────────►
//!   ◄───────────────────── Welcome | Refused
//!   Request (what it can take) ──────►
//!   ◄──────────────── Task (once a stage), Leases
//!   Heartbeat, Results, Release ─────►
//!   ◄─────────────────── Acknowledge, Withdraw
//! ```
//! The worker speaks first. Every message may be repeated: late and repeated ones are harmless.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    AttemptId, Epoch, Invitation, JobId, Lease, LeaseClaims, LeaseToken, Outcome, ProjectId,
    SignedProjectRecord, StageIndex, StageTask,
};

/// The version of the work stream that this program speaks.
pub const WORK_PROTOCOL_VERSION: u16 = 2;

/// What a worker says to a coordinator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToCoordinator {
    /// The first message on a stream.
    Hello {
        /// The newest version the worker speaks.
        version: u16,
        /// The project it wants to work for.
        project: ProjectId,
        /// The invitation from its ticket, for a project that asks for one.
        invitation: Option<Invitation>,
        /// Every lease it still holds, running or with a result to send: leases of this worker
        /// that are not named here are lost and may be given to others at once.
        held: Vec<(LeaseClaims, LeaseToken)>,
        /// Which refusals it can read.
        #[serde(default)]
        refusals: RefusalWords,
    },
    /// The first message on a stream that ends with its answer: what is the project, and would
    /// this worker be taken?
    Inquire {
        /// The newest version the worker speaks.
        version: u16,
        /// The project it may want to work for.
        project: ProjectId,
        /// The invitation from its ticket, for a project that asks for one.
        invitation: Option<Invitation>,
        /// Whether to be taken at once.
        wish: Wish,
    },
    /// Replaces the last request: leases are sent as they can be had, until they are all given.
    Request(Capacity),
    /// Extends the leases named, and says what runs.
    Heartbeat {
        /// The attempts at hand, waiting ones included; where only what runs has changed, those that
        /// run are enough.
        attempts: Vec<AttemptId>,
        /// Those of them that are computed now, at most one in each slot: all others of this worker
        /// are not.
        running: Vec<AttemptProgress>,
    },
    /// Answers, each repeated until acknowledged.
    Results {
        /// At most [`crate::limits::RESULTS_PER_MESSAGE_MAX`].
        results: Vec<UnitResult>,
    },
    /// Leases given back unfinished.
    Release {
        /// Which.
        attempts: Vec<AttemptId>,
        /// Why, as far as it is the coordinator's business.
        reason: ReleaseReason,
    },
}

/// What a coordinator says to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToWorker {
    /// The answer to a hello that was accepted.
    Welcome {
        /// The version both will speak.
        version: u16,
        /// The project's newest record.
        record: SignedProjectRecord,
        /// The coordinator's present start.
        epoch: Epoch,
        /// How often to send a heartbeat.
        heartbeat_interval: Duration,
    },
    /// The answer to a hello or an inquiry that was not; the stream ends.
    Refused(RefusedReason),
    /// The answer to an inquiry of a worker that would be taken; the stream ends.
    Introduction {
        /// The project's newest record.
        record: SignedProjectRecord,
    },
    /// What a stage's units run; sent before its first lease on a stream.
    Task {
        /// The job.
        job: JobId,
        /// Its stage.
        stage: StageIndex,
        /// What to run.
        task: StageTask,
    },
    /// Work.
    Leases {
        /// At most [`crate::limits::LEASES_PER_MESSAGE_MAX`].
        leases: Vec<Lease>,
    },
    /// These results are durable, or of no use any more: the worker may forget them.
    Acknowledge {
        /// Which.
        attempts: Vec<AttemptId>,
    },
    /// These attempts are of no use any more: the worker ends them.
    Withdraw {
        /// Which.
        attempts: Vec<AttemptId>,
        /// Why.
        reason: WithdrawReason,
    },
}

/// What a worker can take now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// How many slots it offers.
    pub slots: u32,
    /// How many more units it will take, running and waiting ones not counted.
    pub units: u32,
    /// The memory it offers each slot.
    pub slot_memory_bytes: u64,
}

/// How far an attempt is that runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptProgress {
    /// Which.
    pub attempt: AttemptId,
    /// 0 to 1.
    pub fraction: f32,
}

/// An attempt's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitResult {
    /// The lease's claims, as they came.
    pub claims: LeaseClaims,
    /// The lease's MAC, as it came.
    pub token: LeaseToken,
    /// How it ended.
    pub outcome: Outcome,
    /// CPU time used.
    pub cpu: Duration,
    /// What the task logged, at most [`crate::limits::UNIT_LOG_BYTES_MAX`]; no part of the answer,
    /// but kept with it.
    pub log: String,
}

/// What a worker that asks about a project wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// To know: nothing is changed, and no invitation used.
    Look,
    /// To be a member from now on; a repeat finds that it is one.
    Join,
}

/// Which [`RefusedReason`]s a worker can read: those of the first version are all that one knows
/// which says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalWords {
    /// Wrong project, version, not invited.
    #[default]
    First,
    /// What is wrong with an invitation, too.
    Invitations,
}

/// Why a hello or an inquiry was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum RefusedReason {
    /// The coordinator serves another project.
    #[error("the coordinator there serves another project")]
    WrongProject,
    /// No version in common.
    #[error("the coordinator speaks versions {oldest} to {newest} of the work protocol")]
    Version {
        /// The oldest version it speaks.
        oldest: u16,
        /// The newest.
        newest: u16,
    },
    /// A lab project, and neither a member nor an invitation.
    #[error("the project admits holders of an invitation only, and the ticket has none")]
    NotInvited,
    /// The project never gave this invitation.
    #[error("the project never gave the invitation in the ticket")]
    InvitationUnknown,
    /// The invitation's time is over.
    #[error("the invitation in the ticket has expired")]
    InvitationExpired,
    /// As many workers came by the invitation as may.
    #[error("the invitation in the ticket is used up: {uses_max} of {uses_max} workers came by it")]
    InvitationUsedUp {
        /// How many may.
        uses_max: u32,
    },
    /// The operator took the invitation back.
    #[error("the invitation in the ticket was revoked by the project's operator")]
    InvitationRevoked,
}

impl RefusedReason {
    /// This reason, or the nearest one that a worker which knows `words` can read.
    #[must_use]
    pub fn told_in(self, words: RefusalWords) -> Self {
        match (words, self) {
            (
                RefusalWords::First,
                Self::InvitationUnknown
                | Self::InvitationExpired
                | Self::InvitationUsedUp { .. }
                | Self::InvitationRevoked,
            ) => Self::NotInvited,
            (_, reason) => reason,
        }
    }

    /// What the volunteer can do about it, in one line.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::WrongProject => {
                "the project has moved, or the ticket is a mix of two; ask its operator for a new \
                 ticket"
            }
            Self::Version { newest, .. } if *newest < WORK_PROTOCOL_VERSION => {
                "ask the project's operator to update Gleaner there"
            }
            Self::Version { .. } => "update Gleaner on this machine",
            Self::NotInvited
            | Self::InvitationUnknown
            | Self::InvitationExpired
            | Self::InvitationUsedUp { .. }
            | Self::InvitationRevoked => {
                "ask the project's operator for a new ticket (`gleaner coordinator invite`)"
            }
        }
    }
}

/// Why a worker gave a lease back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseReason {
    /// The machine's owner needs it.
    Owner,
    /// The worker is stopping.
    Stopping,
    /// It cannot run the unit.
    Unable(Obstacle),
    /// Units turned out to be so long that the worker holds more than it will soon run.
    Surplus,
}

/// What keeps a worker from running a unit. Words for submitters and operators: nothing else of its
/// machine is their business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// It did not ask for the unit, or was not told what it runs.
    Unasked,
    /// Module, files or inputs could not be had.
    FilesMissing,
    /// What the unit needs finds no room on its disk.
    DiskFull,
    /// What the unit needs is more than the disk space that it offers.
    DiskShare,
    /// The module could not be compiled.
    Compiling,
    /// A slot could not be started.
    Slot,
    /// The coordinator itself could not read the unit's inputs.
    InputsUnread,
}

impl fmt::Display for Obstacle {
    /// Of a worker that is called "it".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unasked => "it did not ask for it",
            Self::FilesMissing => "it could not get the module, the files or the inputs",
            Self::DiskFull => "its disk is full",
            Self::DiskShare => "the disk space that it offers is too small or in use",
            Self::Compiling => "it could not compile the module",
            Self::Slot => "it could not start a slot",
            Self::InputsUnread => "the coordinator could not read the inputs",
        })
    }
}

/// Why a coordinator withdrew an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawReason {
    /// The job was cancelled, has failed or is done.
    JobEnded,
    /// The unit is settled without it.
    Settled,
    /// The lease was not recognised.
    UnknownLease,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn a_worker_that_does_not_say_so_is_told_the_first_reasons_alone() {
        let used_up = RefusedReason::InvitationUsedUp { uses_max: 3 };
        assert_eq!(used_up.clone().told_in(RefusalWords::Invitations), used_up);
        for reason in [
            RefusedReason::InvitationUnknown,
            RefusedReason::InvitationExpired,
            RefusedReason::InvitationRevoked,
            used_up,
        ] {
            assert_eq!(reason.told_in(RefusalWords::First), RefusedReason::NotInvited);
        }
        let other = RefusedReason::WrongProject;
        assert_eq!(other.clone().told_in(RefusalWords::First), other);
    }

    #[test]
    fn a_hello_without_the_later_fields_is_read() {
        #[derive(Serialize)]
        #[serde(rename_all = "snake_case")]
        enum Earlier {
            Hello {
                version: u16,
                project: ProjectId,
                invitation: Option<Invitation>,
                held: [u8; 0],
            },
        }
        let project = ProjectId([7; 32]);
        let earlier = Earlier::Hello { version: 1, project, invitation: None, held: [] };
        let read: ToCoordinator = wire::decode(&wire::encode(&earlier)).expect("reads");
        let refusals = RefusalWords::First;
        let hello =
            ToCoordinator::Hello { version: 1, project, invitation: None, held: vec![], refusals };
        assert_eq!(read, hello);
    }
}
