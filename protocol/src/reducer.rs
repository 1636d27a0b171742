//! How a stage's results become its output.

use serde::{Deserialize, Serialize};

use crate::RelativeName;

/// How settled results become a stage's output, in the order of items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reducer {
    /// One file: outputs that are bytes or text, one after the other.
    Concat {
        /// The file's name.
        file: RelativeName,
    },
    /// One file: each output a line, text as it is, anything else as JSON.
    Lines {
        /// The file's name.
        file: RelativeName,
    },
    /// One file: outputs that are a record or a list of records, as CSV (RFC 4180) with a header.
    Csv {
        /// The file's name.
        file: RelativeName,
    },
    /// Files: each output is a map of names to contents.
    Files,
    /// One file: neighbours combined by a function of the module until one is left, as JSON.
    Merge {
        /// The file's name.
        file: RelativeName,
        /// The module's merge function, by its name in the source.
        function: String,
    },
}
