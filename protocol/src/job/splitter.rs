//! How a stage's input is cut into items.

mod source;

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::sequence::{Sequence, SequenceError};
use super::{FileRef, JobSpecError, check_bounds, check_name, check_unique};
use crate::limits::{
    EACH_FILE_BYTES_MAX, EACH_FILES_MAX, ITEMS_MAX, PIECE_BYTES_MAX, PIECE_BYTES_MIN,
};
use crate::{BlobRef, StageIndex, Value};

pub use source::RecordSource;

/// The field that tells the repetitions of a point apart.
const REPLICATE: &str = "replicate";

/// The field that names the file of an item that is one.
const NAME: &str = "name";

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
        /// The text; it may be compressed.
        source: RecordSource,
        /// What the text is called in messages: by the submitter, or among the results.
        #[serde(default)]
        file: String,
    },
    /// One item for each record of a file or an output.
    Records {
        /// How records are told apart, and what their fields are.
        format: RecordFormat,
        /// The field that holds the whole record; without one, an item has the record's fields.
        /// Pieces have one.
        field: Option<String>,
        /// The file; it may be compressed.
        source: RecordSource,
        /// What the file is called in messages: by the submitter, or among the results.
        file: String,
    },
    /// One item for each of many files, with its name and its bytes.
    EachFile {
        /// The field that holds the bytes; the name is in `name`.
        field: String,
        /// The files, in the order of items.
        files: Vec<FileRef>,
    },
    /// One item for each point that the axes span.
    Grid {
        /// At least one.
        axes: Vec<Axis>,
        /// Which of the axes' values meet.
        #[serde(default)]
        pairing: Pairing,
        /// How often each point is there, one item after another, told apart by the field
        /// `replicate` from 0; once and without that field when it is absent.
        #[serde(default)]
        replicates: Option<NonZeroU64>,
    },
    /// One item for each record that a function of the stage's module gives.
    Split {
        /// The split function, by its name in the source.
        function: String,
        /// What it gave, where it needs no earlier stage. The coordinator runs it when it takes the
        /// job, and takes nobody else's word for it.
        #[serde(default)]
        items: Option<BlobRef>,
        /// The output that the function reads, where it has one; it runs when that is there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<EarlierOutput>,
    },
    /// One item: the whole output of an earlier stage.
    After {
        /// The earlier stage.
        stage: StageIndex,
        /// The field that holds its output's bytes.
        field: String,
    },
}

/// The output of an earlier stage, as a split function reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierOutput {
    /// The stage.
    pub stage: StageIndex,
    /// The name by which the function opens it, beside the stage's files.
    pub name: String,
}

/// A format of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordFormat {
    /// Bytes, cut into pieces.
    Pieces {
        /// About how many bytes a piece has.
        chunk_bytes: u64,
        /// Where a piece ends.
        ends: PieceEnd,
    },
    /// CSV (RFC 4180): the first row names the fields, all of them text.
    Csv {
        /// An ASCII character between two values.
        delimiter: char,
    },
    /// Each line a JSON object.
    JsonLines,
    /// Sequences: `id`, `description`, `sequence`.
    Fasta,
    /// Sequences with quality: `id`, `description`, `sequence`, `quality`.
    Fastq,
}

/// Where a piece of bytes ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PieceEnd {
    /// At the first line end at which it is long enough.
    Line,
    /// Where it is exactly so long.
    Exact,
}

/// Which values of a grid's axes meet in an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pairing {
    /// Each with each, the last axis running fastest.
    #[default]
    Product,
    /// The first with the first, the second with the second: the axes have one length.
    Zip,
}

/// One parameter of a grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// The field that holds the value.
    pub field: String,
    /// At least one.
    pub values: AxisValues,
}

/// The values of an axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AxisValues {
    /// Listed.
    List(Vec<Value>),
    /// Computed.
    Sequence(Sequence),
}

impl Splitter {
    /// The number of items, where it is known without reading anything; `None` also when there are
    /// more than 64 bits count.
    pub fn item_count(&self) -> Option<u64> {
        match self {
            Self::Range { start, end, .. } => {
                Some(u64::try_from(i128::from(*end) - i128::from(*start)).unwrap_or(0))
            }
            Self::EachFile { files, .. } => Some(files.len() as u64),
            Self::Grid { axes, pairing, replicates } => {
                let mut lengths = axes.iter().map(|axis| axis.values.len());
                let points = match pairing {
                    Pairing::Product => lengths.try_fold(1_u64, u64::checked_mul)?,
                    Pairing::Zip => lengths.min().unwrap_or(0),
                };
                points.checked_mul(replicates.map_or(1, NonZeroU64::get))
            }
            Self::After { .. } => Some(1),
            Self::Lines { .. } | Self::Records { .. } | Self::Split { .. } => None,
        }
    }

    /// The blobs that items are read from.
    pub fn blobs(&self) -> Vec<BlobRef> {
        match self {
            Self::EachFile { files, .. } => files.iter().map(|file| file.blob).collect(),
            Self::Split { items, .. } => items.iter().copied().collect(),
            _ => self.file().map(|(blob, _)| blob).into_iter().collect(),
        }
    }

    /// The same for any number of items, where fewer of them are a beginning of more: an item is
    /// the same wherever the last one stands, and whatever its file is called. A stage before it is
    /// left out: its output counts.
    pub(super) fn without_end(&self) -> Self {
        let mut other = self.clone();
        match &mut other {
            Self::Range { end, .. } => *end = i64::MAX,
            Self::After { stage, .. } => *stage = StageIndex(0),
            Self::Lines { source, file, .. } | Self::Records { source, file, .. } => {
                file.clear();
                if let RecordSource::Stage(stage) = source {
                    *stage = StageIndex(0);
                }
            }
            // The items count, whatever made them.
            Self::Split { function, after, .. } => {
                function.clear();
                *after = None;
            }
            Self::EachFile { .. } | Self::Grid { .. } => {}
        }
        other
    }

    /// The fields it is known to give each item; those of CSV, JSON and a split function show when
    /// they are read.
    pub fn fields(&self) -> Vec<&str> {
        match self {
            Self::Range { field, .. } | Self::Lines { field, .. } | Self::After { field, .. } => {
                vec![field]
            }
            Self::Records { field: Some(field), .. } => vec![field],
            Self::Records { format, field: None, .. } => format.fields().to_vec(),
            Self::EachFile { field, .. } => vec![NAME, field],
            Self::Split { .. } => Vec::new(),
            Self::Grid { axes, replicates, .. } => {
                let replicate = replicates.map(|_| REPLICATE);
                axes.iter().map(|axis| axis.field.as_str()).chain(replicate).collect()
            }
        }
    }

    /// Whether an item may have other fields than [`Splitter::fields`], which show when it is read.
    pub fn has_other_fields(&self) -> bool {
        match self {
            Self::Records { format, field: None, .. } => format.names_its_fields(),
            Self::Split { .. } => true,
            _ => false,
        }
    }

    /// The submitter's file that is read to find the items, and its name.
    pub fn file(&self) -> Option<(BlobRef, &str)> {
        match self {
            Self::Lines { source: RecordSource::File(blob), file, .. }
            | Self::Records { source: RecordSource::File(blob), file, .. } => Some((*blob, file)),
            _ => None,
        }
    }

    /// The earlier stage whose output it takes.
    pub fn earlier_stage(&self) -> Option<StageIndex> {
        match self {
            Self::After { stage, .. }
            | Self::Lines { source: RecordSource::Stage(stage), .. }
            | Self::Records { source: RecordSource::Stage(stage), .. }
            | Self::Split { after: Some(EarlierOutput { stage, .. }), .. } => Some(*stage),
            _ => None,
        }
    }

    /// What the items are read from when it takes an earlier stage's `output`: that, or what its split
    /// function `made` of it.
    pub fn read_from<T>(&self, output: Option<T>, made: Option<T>) -> Option<T> {
        match self {
            Self::Split { .. } => made,
            _ => output,
        }
    }

    /// Checks every bound but the names of fields.
    ///
    /// # Errors
    /// The first thing wrong.
    pub(super) fn check(&self) -> Result<(), JobSpecError> {
        match self {
            Self::Range { .. } | Self::After { .. } | Self::Lines { .. } => {}
            Self::Split { function, .. } => return check_name("the split", function),
            Self::Records { format, field, .. } => format.check(field.as_deref())?,
            Self::EachFile { files, .. } => check_files(files)?,
            Self::Grid { axes, pairing, .. } => check_axes(axes, *pairing)?,
        }
        match self {
            Self::Lines { .. } | Self::Records { .. } => Ok(()),
            _ => {
                let items = self.item_count().unwrap_or(u64::MAX);
                check_bounds("the number of items", items, 1, ITEMS_MAX)
            }
        }
    }
}

impl RecordFormat {
    /// The fields that every record has.
    pub fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Pieces { .. } | Self::Csv { .. } | Self::JsonLines => &[],
            Self::Fasta => &["id", "description", "sequence"],
            Self::Fastq => &["id", "description", "sequence", "quality"],
        }
    }

    /// Whether a file itself names the fields of its records.
    pub fn names_its_fields(self) -> bool {
        matches!(self, Self::Csv { .. } | Self::JsonLines)
    }

    /// Whether values of CSV can be kept apart by `delimiter`.
    pub fn is_delimiter(delimiter: char) -> bool {
        delimiter.is_ascii() && !['"', '\r', '\n', '\0'].contains(&delimiter)
    }

    fn check(self, field: Option<&str>) -> Result<(), JobSpecError> {
        match self {
            Self::Pieces { .. } if field.is_none() => {
                Err(JobSpecError::Name { what: "the field".into(), name: String::new() })
            }
            Self::Pieces { chunk_bytes, .. } => {
                check_bounds("bytes.chunk", chunk_bytes, PIECE_BYTES_MIN, PIECE_BYTES_MAX)
            }
            Self::Csv { delimiter } if !Self::is_delimiter(delimiter) => {
                Err(JobSpecError::Delimiter { delimiter })
            }
            Self::Csv { .. } | Self::JsonLines | Self::Fasta | Self::Fastq => Ok(()),
        }
    }
}

impl AxisValues {
    /// How many there are.
    pub fn len(&self) -> u64 {
        match self {
            Self::List(values) => values.len() as u64,
            Self::Sequence(sequence) => sequence.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value numbered `index` from 0.
    ///
    /// # Panics
    /// When there is none.
    pub fn value(&self, index: u64) -> Value {
        match self {
            Self::List(values) => values[usize::try_from(index).expect("a list fits")].clone(),
            Self::Sequence(sequence) => sequence.value(index),
        }
    }

    fn check(&self) -> Result<(), SequenceError> {
        match self {
            Self::List(_) => Ok(()),
            Self::Sequence(sequence) => sequence.check(),
        }
    }
}

fn check_files(files: &[FileRef]) -> Result<(), JobSpecError> {
    check_bounds("the number of files", files.len() as u64, 1, EACH_FILES_MAX as u64)?;
    check_unique("file", files.iter().map(|file| file.name.as_str()))?;
    for file in files {
        let what = format!("the length of {:?}", file.name);
        check_bounds(&what, file.blob.bytes, 0, EACH_FILE_BYTES_MAX)?;
    }
    Ok(())
}

fn check_axes(axes: &[Axis], pairing: Pairing) -> Result<(), JobSpecError> {
    for axis in axes {
        let axis_error = |fault| JobSpecError::Axis { axis: axis.field.clone(), fault };
        axis.values.check().map_err(axis_error)?;
    }
    let Some(first) = axes.first() else { return Ok(()) };
    let length = first.values.len();
    match axes.iter().find(|axis| axis.values.len() != length) {
        Some(other) if pairing == Pairing::Zip => Err(JobSpecError::AxisLengths {
            first: first.field.clone(),
            length,
            other: other.field.clone(),
            other_length: other.values.len(),
        }),
        _ => Ok(()),
    }
}
