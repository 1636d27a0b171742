//! Items that give no output, and what their job does then.

use serde::{Deserialize, Serialize};

use crate::limits::ITEM_FAILURE_MESSAGE_BYTES_MAX;
use crate::{ItemRange, Outcome, TrapKind};

/// What a job does when an item gives no output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The job fails.
    #[default]
    Stop,
    /// The item is left out of the output, and the job goes on.
    Continue,
}

impl OnFailure {
    /// Whether it is what was done before there was a choice.
    pub fn is_stop(&self) -> bool {
        *self == Self::Stop
    }
}

/// An item of a completed unit that gave no output: an answer like one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemFailure {
    /// The item, numbered within its stage.
    pub item: u64,
    /// How it failed.
    pub kind: FailureKind,
    /// In words, at most [`ITEM_FAILURE_MESSAGE_BYTES_MAX`] bytes.
    pub message: String,
}

/// Items in a row that gave no output, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedItems {
    /// Numbered within their stage.
    pub items: ItemRange,
    /// How they failed.
    pub kind: FailureKind,
    /// In words, at most [`ITEM_FAILURE_MESSAGE_BYTES_MAX`] bytes.
    pub message: String,
}

/// Why there is no output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The task gave up and said why.
    Failed,
    /// The task broke a rule of WebAssembly.
    Trapped(TrapKind),
    /// It asked for more memory than the manifest allows.
    MemoryExceeded,
    /// It wrote more output than the manifest allows.
    OutputExceeded,
    /// It wrote more log than the manifest allows.
    LogExceeded,
    /// It called the host more often than the manifest allows.
    HostCallsExceeded,
    /// The module cannot be run at all.
    Refused,
    /// Every attempt that was allowed ended without an answer.
    Unanswered,
    /// Workers gave different answers, and none often enough.
    Disputed,
}

impl FailureKind {
    /// The kind in one word, as tables and the control API have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Trapped(_) => "trapped",
            Self::MemoryExceeded => "memory_exceeded",
            Self::OutputExceeded => "output_exceeded",
            Self::LogExceeded => "log_exceeded",
            Self::HostCallsExceeded => "host_calls_exceeded",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
            Self::Disputed => "disputed",
        }
    }
}

impl ItemFailure {
    /// The failure of one item that an outcome tells of; `None` when it tells of something else.
    pub fn of(outcome: &Outcome) -> Option<Self> {
        let (item, kind, message) = match outcome {
            Outcome::Failed { item, message } => (*item, FailureKind::Failed, message.clone()),
            Outcome::Trapped { item, kind, message } => {
                let words = match message.as_str() {
                    "" => kind.to_string(),
                    message => format!("{kind}: {message}"),
                };
                (*item, FailureKind::Trapped(*kind), words)
            }
            Outcome::MemoryExceeded { item, limit_bytes } => {
                let words = format!(
                    "it asked for more than its {limit_bytes} bytes of memory (`limits.memory` of the manifest)"
                );
                (*item, FailureKind::MemoryExceeded, words)
            }
            Outcome::OutputExceeded { item, limit_bytes } => {
                let words = format!(
                    "it wrote more than its {limit_bytes} bytes of output (`limits.output` of the manifest)"
                );
                (*item, FailureKind::OutputExceeded, words)
            }
            Outcome::LogExceeded { item, limit_bytes } => {
                let words = format!(
                    "it wrote more than its {limit_bytes} bytes of log (`limits.log` of the manifest)"
                );
                (*item, FailureKind::LogExceeded, words)
            }
            Outcome::HostCallsExceeded { item, limit } => {
                let words = format!(
                    "it called the host more than {limit} times (`limits.host_calls` of the manifest)"
                );
                (*item, FailureKind::HostCallsExceeded, words)
            }
            _ => return None,
        };
        Some(Self { item, kind, message: shortened(message) })
    }
}

impl FailedItems {
    /// Items that failed, with words of any length.
    pub fn new(items: ItemRange, kind: FailureKind, message: &str) -> Self {
        Self { items, kind, message: shortened(message.to_owned()) }
    }
}

impl From<&ItemFailure> for FailedItems {
    fn from(failure: &ItemFailure) -> Self {
        let items = ItemRange { start: failure.item, end: failure.item + 1 };
        Self { items, kind: failure.kind, message: failure.message.clone() }
    }
}

/// As much of a message as is kept: how much does not depend on what else failed.
fn shortened(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(ITEM_FAILURE_MESSAGE_BYTES_MAX));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_items_failure_is_told_without_its_number_and_not_at_any_length() {
        let failed = Outcome::Failed { item: 3, message: "ü".repeat(300) };
        let failure = ItemFailure::of(&failed).expect("an item's");
        assert_eq!((failure.item, failure.message.chars().count()), (3, 128));
        let kind = TrapKind::Unreachable;
        let trapped = Outcome::Trapped { item: 1, kind, message: "no star".into() };
        let failure = ItemFailure::of(&trapped).expect("an item's");
        assert_eq!(failure.kind.word(), "trapped");
        assert!(failure.message.ends_with("(a panic or a failed assertion): no star"));
        for other in [Outcome::HostMemory, Outcome::StackOverflow { item: 1 }] {
            assert_eq!(ItemFailure::of(&other), None);
        }
    }
}
