//! How a stage's input is cut into items.

use serde::{Deserialize, Serialize};

use crate::{BlobRef, StageIndex, Value};

/// How a stage's input is cut into items. Each item is a map of fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Splitter {
    /// One item for each whole number from `start` up to, not including, `end`.
    Range {
        /// The field that holds the number.
        field: String,
        /// The first number.
        start: i64,
        /// One past the last.
        end: i64,
    },
    /// One item for each line of a text, without its line end.
    Lines {
        /// The field that holds the line.
        field: String,
        /// The text.
        source: BlobRef,
    },
    /// One item for each combination of the axes' values, the last axis running fastest.
    Grid {
        /// At least one.
        axes: Vec<Axis>,
    },
    /// One item: the whole output of an earlier stage.
    After {
        /// The earlier stage.
        stage: StageIndex,
        /// The field that holds its output's bytes.
        field: String,
    },
}

/// One parameter of a grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// The field that holds the value.
    pub field: String,
    /// At least one.
    pub values: Vec<Value>,
}

impl Splitter {
    /// The number of items, where it is known without reading anything.
    pub fn item_count(&self) -> Option<u64> {
        match self {
            Self::Range { start, end, .. } => {
                Some(u64::try_from(i128::from(*end) - i128::from(*start)).unwrap_or(0))
            }
            Self::Grid { axes } => axes
                .iter()
                .try_fold(1_u64, |count, axis| count.checked_mul(axis.values.len() as u64)),
            Self::After { .. } => Some(1),
            Self::Lines { .. } => None,
        }
    }

    /// The blobs that items are read from.
    pub fn blobs(&self) -> Vec<BlobRef> {
        match self {
            Self::Lines { source, .. } => vec![*source],
            Self::Range { .. } | Self::Grid { .. } | Self::After { .. } => Vec::new(),
        }
    }

    /// The same for any number of items, where fewer of them are a beginning of more: an item is
    /// the same wherever the last one stands. A stage before it is left out: its output counts.
    pub(super) fn without_end(&self) -> Self {
        match self.clone() {
            Self::Range { field, start, .. } => Self::Range { field, start, end: i64::MAX },
            Self::After { field, .. } => Self::After { field, stage: StageIndex(0) },
            other => other,
        }
    }

    /// The fields it gives each item.
    pub fn fields(&self) -> Vec<&str> {
        match self {
            Self::Range { field, .. } | Self::Lines { field, .. } | Self::After { field, .. } => {
                vec![field]
            }
            Self::Grid { axes } => axes.iter().map(|axis| axis.field.as_str()).collect(),
        }
    }
}
