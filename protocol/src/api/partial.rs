//! What there is of a job's output before it is whole.

use serde::{Deserialize, Serialize};

use crate::{BlobHash, RelativeName};

/// The content type of an answer that is files, one after the other: for each a line of JSON, a
/// [`PartialEntry`], and after that of a file its bytes. Blank lines between them say that more
/// comes.
pub const FILES_CONTENT_TYPE: &str = "application/vnd.gleaner.files";

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartialEntry {
    /// A file, whose bytes follow.
    File(PartialFile),
    /// How much of a stage the files before this line hold.
    Stage(PartialStage),
}

/// A file that is no output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialFile {
    /// The stage of which it is a preview; none for the table of what is missing.
    pub stage: Option<String>,
    /// Its name, below a folder of its stage's name if it has one.
    pub name: RelativeName,
    /// Its length.
    pub bytes: u64,
    /// Its hash.
    pub hash: BlobHash,
}

/// How much there is of a stage that is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialStage {
    /// Its name.
    pub stage: String,
    /// Its items; unknown before it starts.
    pub items: Option<u64>,
    /// Those that were settled, and are in its preview if they gave an output.
    pub items_settled: u64,
    /// Why there is no preview of what was settled.
    pub fault: Option<String>,
}
