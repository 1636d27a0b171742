//! The shared vocabulary of Gleaner: pure data and how it is written down.
//!
//! Invariants: every decoder of a stranger's bytes checks sizes before it allocates; every limit on
//! the wire has one name, in [`limits`]; ids are newtypes that print with a prefix. Deliberately
//! absent: any input or output, any clock, any randomness.

pub mod api;
mod failure;
mod hash;
mod id;
mod job;
mod lease;
pub mod limits;
pub mod manifest;
mod message;
mod notify;
mod outcome;
mod payload;
mod project;
mod reducer;
mod relative_name;
pub mod results;
mod seed;
mod submitter;
mod ticket;
mod timestamp;
mod value;
pub mod wire;

pub use failure::{FailedItems, FailureKind, ItemFailure, OnFailure};
pub use hash::{BlobHash, BlobRef, ParseHashError};
pub use id::{
    AttemptId, Epoch, InvitationId, ItemRange, JobId, ParseIdError, StageIndex, SubmissionId,
    UnitId,
};
pub use job::{
    Answers, Axis, AxisValues, EarlierOutput, FileRef, Floats, JobSpec, JobSpecError, Limits,
    Number, Pairing, PieceEnd, RecordFormat, RecordSource, Sequence, SequenceError, Splitter,
    StageSpec, StageTask, TASK_INTERFACE_VERSION, UnitSize,
};
pub use lease::{Lease, LeaseClaims, LeaseKey, LeaseToken};
pub use message::{
    AttemptProgress, Capacity, Obstacle, RefusalWords, RefusedReason, ReleaseReason, ToCoordinator,
    ToWorker, UnitResult, WORK_PROTOCOL_VERSION, Wish, WithdrawReason,
};
pub use notify::{Notify, NotifyTarget, NotifyTargetError};
pub use outcome::{AnswerHash, Outcome, OutcomeClass, TrapKind};
pub use payload::Payload;
pub use project::{
    Invitation, InvitationSecret, ProjectId, ProjectKind, ProjectRecord, Signature,
    SignedProjectRecord, WorkerId,
};
pub use reducer::{Bins, Reducer, TopOrder};
pub use relative_name::{RelativeName, RelativeNameError};
pub use seed::item_seed;
pub use submitter::{
    API_STREAM_VERSION, ApiGreeting, ApiHello, ApiRefusal, SubmitterId, SubmitterTerms,
};
pub use ticket::{Ticket, TicketError};
pub use timestamp::Timestamp;
pub use value::{Value, ValueMap};
