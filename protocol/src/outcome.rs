//! How an attempt ended.

use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use serde::{Deserialize, Serialize};

use crate::id::serde_by_reader;
use crate::{BlobHash, ItemFailure, Payload};

/// How an attempt ended, as the worker saw it. Released and expired attempts send none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every item gave its output, or failed in a job that goes on then.
    Completed {
        /// One entry for each item, in order; empty for one that failed.
        outputs: Payload,
        /// The items that failed, in order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        failures: Vec<ItemFailure>,
    },
    /// The task gave up on an item and said why.
    Failed {
        /// The item, numbered within its stage.
        item: u64,
        /// The task's own words.
        message: String,
    },
    /// The task broke a rule of WebAssembly on an item.
    Trapped {
        /// The item, numbered within its stage.
        item: u64,
        /// Which rule.
        kind: TrapKind,
        /// The panic's words when the task is one that panicked, else empty.
        message: String,
    },
    /// An item asked for more memory than the manifest allows.
    MemoryExceeded {
        /// The item, numbered within its stage.
        item: u64,
        /// The manifest's limit.
        limit_bytes: u64,
    },
    /// An item wrote more output than the manifest allows.
    OutputExceeded {
        /// The item, numbered within its stage.
        item: u64,
        /// The manifest's limit.
        limit_bytes: u64,
    },
    /// An item wrote more log than the manifest allows.
    LogExceeded {
        /// The item, numbered within its stage.
        item: u64,
        /// The manifest's limit.
        limit_bytes: u64,
    },
    /// An item called the host more often than the manifest allows.
    HostCallsExceeded {
        /// The item, numbered within its stage.
        item: u64,
        /// The manifest's limit.
        limit: u64,
    },
    /// The module cannot be run at all.
    Refused {
        /// Which rule it breaks, and where.
        reason: String,
    },
    /// The call stack ran out: how deep it reaches differs between machines.
    StackOverflow {
        /// The item, numbered within its stage.
        item: u64,
    },
    /// The unit used more CPU time than the manifest allows.
    CpuExceeded {
        /// The manifest's limit.
        limit_ms: u64,
    },
    /// The unit took longer than the manifest allows, suspension not counted.
    WallExceeded {
        /// The manifest's limit.
        limit_ms: u64,
    },
    /// The host could not give the memory that the manifest allows.
    HostMemory,
    /// The slot's process ended without an answer.
    SlotCrashed {
        /// Its exit status or signal in words.
        status: String,
    },
}

/// Which rule of WebAssembly a task broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrapKind {
    /// `unreachable` was reached: how a panic ends.
    Unreachable,
    /// An access outside the linear memory.
    MemoryOutOfBounds,
    /// An access outside a table, or a call through an empty or wrong entry.
    BadIndirectCall,
    /// A division by zero, an overflowing division, or a float that fits no integer.
    Arithmetic,
    /// The task called the host against the interface.
    HostCall,
    /// Any other rule.
    Other,
}

/// What an outcome is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeClass {
    /// The unit's answer: every item gave its output. Needs its quorum.
    Completed,
    /// The unit's answer: the same failure on every machine. Needs its quorum.
    Failure,
    /// No answer: to be tried elsewhere.
    Inconclusive,
}

/// What answers are hashed as, so that no other hash is one; its own hash is the same for all.
static ANSWER_CONTEXT: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("gleaner 2026 answer v1"));

/// A hash over an outcome and its outputs: equal hashes are agreeing opinions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnswerHash(pub [u8; 32]);

serde_by_reader!(AnswerHash as BlobHash, |answer| BlobHash(answer.0), |hash| AnswerHash(hash.0));

impl std::fmt::Display for AnswerHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        BlobHash(self.0).fmt(f)
    }
}

impl std::str::FromStr for AnswerHash {
    type Err = crate::ParseHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<BlobHash>().map(|hash| Self(hash.0))
    }
}

impl Outcome {
    /// What this outcome is worth.
    pub fn class(&self) -> OutcomeClass {
        match self {
            Self::Completed { .. } => OutcomeClass::Completed,
            Self::Failed { .. }
            | Self::Trapped { .. }
            | Self::MemoryExceeded { .. }
            | Self::OutputExceeded { .. }
            | Self::LogExceeded { .. }
            | Self::HostCallsExceeded { .. }
            | Self::Refused { .. } => OutcomeClass::Failure,
            Self::StackOverflow { .. }
            | Self::CpuExceeded { .. }
            | Self::WallExceeded { .. }
            | Self::HostMemory
            | Self::SlotCrashed { .. } => OutcomeClass::Inconclusive,
        }
    }

    /// The hash by which opinions are compared. Outputs count by their own hash, so that it does
    /// not matter how they travelled.
    pub fn answer(&self) -> AnswerHash {
        let mut hasher = blake3::Hasher::new_from_context_key(&ANSWER_CONTEXT);
        match self {
            Self::Completed { outputs, failures } if failures.is_empty() => {
                hasher.update(b"completed");
                hasher.update(&outputs.hash().0);
            }
            Self::Completed { outputs, failures } => {
                hasher.update(b"completed but for");
                hasher.update(&outputs.hash().0);
                for ItemFailure { item, kind, .. } in failures {
                    hasher.update(&item.to_le_bytes());
                    hasher.update(&crate::wire::encode(kind));
                }
            }
            // A failure's words may hold an address or a depth; which item and which kind may not.
            Self::Trapped { item, kind, .. } => {
                hasher.update(b"trapped");
                hasher.update(&item.to_le_bytes());
                hasher.update(&crate::wire::encode(kind));
            }
            other => {
                hasher.update(b"other");
                hasher.update(&crate::wire::encode(other));
            }
        }
        AnswerHash(*hasher.finalize().as_bytes())
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Completed { failures, .. } if failures.is_empty() => write!(f, "completed"),
            Self::Completed { failures, .. } => {
                write!(f, "completed, but for {} of its items", failures.len())
            }
            Self::Failed { item, message } => write!(f, "item {item} failed: {message}"),
            Self::Trapped { item, kind, message } if message.is_empty() => {
                write!(f, "item {item} trapped: {kind}")
            }
            Self::Trapped { item, kind, message } => {
                write!(f, "item {item} trapped: {kind}: {message}")
            }
            Self::MemoryExceeded { item, limit_bytes } => {
                write!(
                    f,
                    "item {item} asked for more than its {limit_bytes} bytes of memory (`limits.memory` of the manifest)"
                )
            }
            Self::OutputExceeded { item, limit_bytes } => {
                write!(
                    f,
                    "item {item} wrote more than its {limit_bytes} bytes of output (`limits.output` of the manifest)"
                )
            }
            Self::LogExceeded { item, limit_bytes } => {
                write!(
                    f,
                    "item {item} wrote more than its {limit_bytes} bytes of log (`limits.log` of the manifest)"
                )
            }
            Self::HostCallsExceeded { item, limit } => {
                write!(
                    f,
                    "item {item} called the host more than {limit} times (`limits.host_calls` of the manifest)"
                )
            }
            Self::Refused { reason } => write!(f, "the module was refused: {reason}"),
            Self::StackOverflow { item } => write!(f, "item {item} overflowed its call stack"),
            Self::CpuExceeded { limit_ms } => {
                write!(
                    f,
                    "the unit used more than its {limit_ms} ms of CPU time (`limits.cpu` of the manifest)"
                )
            }
            Self::WallExceeded { limit_ms } => {
                write!(
                    f,
                    "the unit took longer than its {limit_ms} ms (`limits.wall` of the manifest)"
                )
            }
            Self::HostMemory => write!(f, "the host had no memory for the unit"),
            Self::SlotCrashed { status } => write!(f, "the slot ended without an answer: {status}"),
        }
    }
}

impl std::fmt::Display for TrapKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "it reached unreachable code (a panic or a failed assertion)",
            Self::MemoryOutOfBounds => "it accessed memory out of bounds",
            Self::BadIndirectCall => "it called through a bad function pointer",
            Self::Arithmetic => "it divided by zero or converted a float that fits no integer",
            Self::HostCall => "it called the host against the interface",
            Self::Other => "it broke a rule of WebAssembly",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FailureKind;

    fn completed(failures: &[(u64, FailureKind, &str)]) -> Outcome {
        let failure = |(item, kind, message): &(u64, FailureKind, &str)| ItemFailure {
            item: *item,
            kind: *kind,
            message: (*message).to_owned(),
        };
        let outputs = Payload::Inline(vec![vec![1].into(), Vec::new().into()]);
        Outcome::Completed { outputs, failures: failures.iter().map(failure).collect() }
    }

    #[test]
    fn failed_items_and_how_they_failed_are_part_of_an_answer_but_not_their_words() {
        let failed = completed(&[(1, FailureKind::Failed, "no star")]).answer();
        assert_eq!(failed, completed(&[(1, FailureKind::Failed, "no planet")]).answer());
        let trapped = FailureKind::Trapped(TrapKind::Arithmetic);
        let others = [
            completed(&[]),
            completed(&[(0, FailureKind::Failed, "no star")]),
            completed(&[(1, trapped, "no star")]),
            completed(&[(0, FailureKind::Failed, ""), (1, FailureKind::Failed, "no star")]),
        ];
        for other in others {
            assert_ne!(other.answer(), failed, "{other:?}");
        }
    }

    #[test]
    fn a_completion_without_failures_is_written_as_before_there_were_any() {
        let completed = completed(&[]);
        let bytes = crate::wire::encode(&completed);
        assert!(!bytes.windows(8).any(|word| word == b"failures"));
        assert_eq!(crate::wire::decode::<Outcome>(&bytes).expect("an outcome"), completed);
    }
}
