//! Why a stage's output cannot be made: in the words of a task's author where the task is at
//! fault.

use std::io;

use gleaner_protocol::{ItemRange, RelativeName, RelativeNameError, UnitId};

use super::messagepack::Malformed;
use crate::blobs::BlobError;
use crate::function::CallError;
use crate::split::SplitError;
use crate::store::StoreError;

/// Why a stage's output could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReduceError {
    /// An item's output is not what the reducer takes. The task or the manifest must change.
    #[error("item {item}: {fault}")]
    Output {
        /// The item, numbered within its stage.
        item: u64,
        /// What is wrong.
        fault: OutputFault,
    },
    /// Two values could not be merged.
    #[error("merging the outputs of items {left} and {right}: {source}")]
    Merge {
        /// The items of the left value.
        left: ItemRange,
        /// The items of the right value.
        right: ItemRange,
        /// Why.
        source: CallError,
    },
    /// What the merge function gave in the end has no JSON form. The task must change.
    #[error("the merged value: {0}")]
    Merged(OutputFault),
    /// There is nothing to merge.
    #[error("there is no output to merge; a merge needs one item that gives one at least")]
    Empty,
    /// An item has no settled result, though its stage is settled: the store is damaged.
    #[error("item {item} has no settled result; the store is damaged")]
    Gap {
        /// The first such item.
        item: u64,
    },
    /// A settled result is not what was accepted: the store or the blobs are damaged.
    #[error("the settled result of {unit} cannot be read back; the store is damaged")]
    Damaged {
        /// Whose.
        unit: UnitId,
        /// What the file system says, if anything.
        #[source]
        source: Option<io::Error>,
    },
    /// The items themselves could not be read.
    #[error(transparent)]
    Input(#[from] SplitError),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A blob could not be read or kept.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl ReduceError {
    /// Whether the job itself is at fault and would be on every repeat. Otherwise this
    /// coordinator's disk or slots are, and a repeat may help.
    pub fn is_of_job(&self) -> bool {
        match self {
            Self::Output { .. } | Self::Merged(_) | Self::Empty => true,
            Self::Merge { source, .. } => source.is_of_job(),
            Self::Input(source) => source.is_of_job(),
            Self::Gap { .. } | Self::Damaged { .. } | Self::Store(_) | Self::Blob(_) => false,
        }
    }
}

/// What is wrong with an output, and what its author can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutputFault {
    /// The bytes are no MessagePack.
    #[error("its output is not MessagePack; write it with the SDK")]
    Malformed,
    /// There is nothing, or more than one value.
    #[error("its output is not exactly one MessagePack value; write it once")]
    NotOneValue,
    /// `concat` takes bytes or text.
    #[error(
        "its output is {kind}, and `concat` takes bytes or text; \
         return one of these, or use `reduce = \"lines\"` for one line of JSON each"
    )]
    NotBytes {
        /// What it is.
        kind: &'static str,
    },
    /// A table is made of records.
    #[error(
        "its output is or holds {kind}, and `{reducer}` takes a record or a list of records; \
         return a struct with named fields, or use `reduce = \"lines\"`"
    )]
    NoRecord {
        /// The reducer.
        reducer: &'static str,
        /// What it is.
        kind: &'static str,
    },
    /// A record has a field that the first one has not.
    #[error(
        "its record has the field {field:?}, which the first record has not; \
         give every record the same fields (`None` where there is nothing)"
    )]
    ExtraField {
        /// The field.
        field: String,
    },
    /// A record lacks a field that the first one has.
    #[error(
        "its record lacks the field {field:?}, which the first record has; \
         give every record the same fields (`None` where there is nothing)"
    )]
    MissingField {
        /// The field.
        field: String,
    },
    /// A record has a field twice.
    #[error("its record has the field {field:?} twice")]
    RepeatedField {
        /// The field.
        field: String,
    },
    /// A record has too many fields.
    #[error(
        "its record has {fields} fields, and at most {max} make a table; use `reduce = \"lines\"`"
    )]
    TooManyFields {
        /// How many.
        fields: u32,
        /// The limit.
        max: u32,
    },
    /// A reducer of numbers was given something else.
    #[error(
        "{} {kind}, and `{reducer}` takes numbers; leave the field out or make it a number",
        place(field)
    )]
    NoNumber {
        /// The reducer.
        reducer: &'static str,
        /// The field, dots between a record's and its own; empty for the output itself.
        field: String,
        /// What it is.
        kind: &'static str,
    },
    /// Some outputs are numbers, others hold them.
    #[error(
        "its output and an earlier one are a number and a record or list; \
         `{reducer}` takes outputs of one kind"
    )]
    MixedNumbers {
        /// The reducer.
        reducer: &'static str,
    },
    /// The outputs have too many number fields.
    #[error("with it the outputs have more than {max} number fields; return fewer")]
    TooManyNumbers {
        /// The limit.
        max: usize,
    },
    /// A field's name is too long.
    #[error("it has a field whose name, with those around it, has {bytes} bytes; at most {max}")]
    LongFieldName {
        /// The length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A field that the reducer names is not there.
    #[error(
        "its output has no field {field:?}, which `{reducer}` is told to look at; \
         name another one, or return `None` there"
    )]
    NoSuchField {
        /// The reducer.
        reducer: &'static str,
        /// The field.
        field: String,
    },
    /// A value cannot be counted by itself.
    #[error(
        "it gives {kind} to count, and `histogram` without bins counts whole numbers, booleans \
         and text; give it `bins`, `low` and `high` for floating-point numbers"
    )]
    NoCategory {
        /// What it is.
        kind: &'static str,
    },
    /// A text is too long to be counted.
    #[error("it gives a text of {bytes} bytes to count; at most {max}")]
    LongCategory {
        /// The length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// There are too many different values to be counted each by itself.
    #[error("with it there are more than {max} different values to count; use bins, or `lines`")]
    TooManyCategories {
        /// The limit.
        max: usize,
    },
    /// A record is too large to be ranked.
    #[error("it has a record of {bytes} bytes, and `top` ranks records of at most {max}")]
    LongRecord {
        /// The length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The item lacks a field that the manifest wants as a column.
    #[error("the item has no field {column:?}, which `columns` names; name another one")]
    NoColumn {
        /// The column.
        column: String,
    },
    /// `files` takes a map of names to contents.
    #[error("its output is {kind}, and `files` takes a map from file names to contents")]
    NoFiles {
        /// What it is.
        kind: &'static str,
    },
    /// A file's content is neither bytes nor text.
    #[error("the content of its file `{name}` is {kind}; make it bytes or text")]
    FileContent {
        /// The file.
        name: RelativeName,
        /// What its content is.
        kind: &'static str,
    },
    /// A file's name cannot be used.
    #[error("{0}; choose another name")]
    FileName(RelativeNameError),
    /// Two files have one name, upper and lower case being the same.
    #[error("its file `{name}` was already written by item {earlier}; put the item into the name")]
    RepeatedFile {
        /// The name.
        name: RelativeName,
        /// The item that came first.
        earlier: u64,
    },
    /// A file has the name of one that tells of a job.
    #[error("its file `{name}` has the name of a file beside the outputs; choose another")]
    ReservedFile {
        /// The name.
        name: RelativeName,
    },
    /// A file would have to be a folder as well.
    #[error("its file `{name}` cannot be beside one of item {earlier}: one is the other's folder")]
    FileIsFolder {
        /// The name.
        name: RelativeName,
        /// The item that came first.
        earlier: u64,
    },
    /// The stage has too many files.
    #[error("the stage has more than {max} files; return fewer, larger ones")]
    TooManyFiles {
        /// The limit.
        max: usize,
    },
    /// A map's key has no text form.
    #[error("its output has {kind} as the name of a field; use text")]
    Key {
        /// What the key is.
        kind: &'static str,
    },
    /// An extension has no text form.
    #[error("its output has a MessagePack extension (type {kind}), which has no text form")]
    Extension {
        /// The extension's type.
        kind: i8,
    },
    /// Values nest too deep.
    #[error("its output nests more than {max} values in each other")]
    Nesting {
        /// The limit.
        max: u32,
    },
}

/// Where in an output something is.
fn place(field: &str) -> String {
    match field {
        "" => "its output is or holds".to_owned(),
        field => format!("its field {field:?} is"),
    }
}

impl From<Malformed> for OutputFault {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}
