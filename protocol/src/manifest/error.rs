//! What can be wrong with a manifest, said with its place.

use std::ops::Range;

use super::FunctionKind;
use super::setting::{Position, Source};
use crate::{NotifyTargetError, RelativeNameError, SequenceError};

/// A manifest that cannot be used: what is wrong, and where.
///
/// Prints as one line that names the place, the key, the value and the limit; [`Self::hint`] says
/// what to do. Both may hold the manifest's own text, which is a stranger's to whoever prints it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {problem}")]
pub struct ManifestError {
    /// Where.
    pub position: Position,
    /// What is wrong there.
    pub problem: Box<ManifestProblem>,
}

/// What is wrong with a manifest. `key` is the key's path, such as `stage.search.limits.memory`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestProblem {
    /// The text is over [`super::MANIFEST_BYTES_MAX`].
    #[error("the manifest has {bytes} bytes; the most is {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The text is not TOML.
    #[error("this is not TOML: {message}")]
    Syntax {
        /// The parser's words.
        message: String,
    },
    /// A key that means nothing.
    #[error("`{key}` is no key of a manifest")]
    UnknownKey {
        /// The key.
        key: String,
        /// Its last part.
        name: String,
        /// The keys that could stand there.
        known: &'static [&'static str],
    },
    /// A key that must be there is not.
    #[error("`{key}` is missing")]
    Missing {
        /// The key.
        key: String,
        /// How it could look.
        example: &'static str,
    },
    /// A value of another type.
    #[error("`{key}` is {found}; it must be {expected}")]
    Type {
        /// The key.
        key: String,
        /// What stands there.
        found: &'static str,
        /// What may.
        expected: &'static str,
    },
    /// A number outside its bounds.
    #[error("`{key}` is {value}; it must be {min} to {max}")]
    OutOfBounds {
        /// The key.
        key: String,
        /// The value as written.
        value: String,
        /// The least allowed.
        min: String,
        /// The most allowed.
        max: String,
    },
    /// A size or duration that cannot be read.
    #[error("`{key}` is {text:?}, which is no {kind}")]
    Quantity {
        /// The key.
        key: String,
        /// The text.
        text: String,
        /// What it should be.
        kind: QuantityKind,
    },
    /// A name that cannot be one.
    #[error("`{key}` is {name:?}, which cannot be a name")]
    Name {
        /// The key.
        key: String,
        /// The name.
        name: String,
    },
    /// A file name that cannot be used on every system.
    #[error("`{key}`: {reason}")]
    FileName {
        /// The key.
        key: String,
        /// Why.
        reason: RelativeNameError,
    },
    /// A path in the place of a file name.
    #[error("`{key}` is {name:?}, which is a path; it must be the name of a file")]
    NotPlain {
        /// The key.
        key: String,
        /// What it is.
        name: String,
    },
    /// A path that names no file.
    #[error("`{key}` is empty; it must be the path of a file")]
    EmptyPath {
        /// The key.
        key: String,
    },
    /// A word that is none of those allowed.
    #[error("`{key}` is {found:?}; it must be {}", list(allowed, "or"))]
    Choice {
        /// The key.
        key: String,
        /// The word.
        found: String,
        /// The words allowed.
        allowed: &'static [&'static str],
    },
    /// Somebody to be told of the job's end who cannot be.
    #[error("`{key}`: {reason}")]
    NotifyTarget {
        /// The key.
        key: String,
        /// Why.
        reason: NotifyTargetError,
    },
    /// A stage without a splitter, or with several.
    #[error("`{key}` has {}; it must have one", splitters(found))]
    Splitters {
        /// The stage.
        key: String,
        /// The splitters it has.
        found: Vec<&'static str>,
    },
    /// A field that comes from the parameters and from the splitter.
    #[error("`{key}`: the splitter gives each item the field `{field}` too")]
    FieldTwice {
        /// The parameter.
        key: String,
        /// The field.
        field: String,
    },
    /// The field of a file's bytes would hide that of its name.
    #[error("`{key}` is \"name\", which is the field of each file's name")]
    FieldIsName {
        /// The key.
        key: String,
    },
    /// An axis would hide the field that tells repetitions apart.
    #[error("`{key}` has the name of the field that tells the replicates of a point apart")]
    AxisIsReplicate {
        /// The axis.
        key: String,
    },
    /// Repetitions of something that has no points.
    #[error("`{key}` says nothing with `{splitter}`")]
    UselessReplicates {
        /// The key.
        key: String,
        /// The stage's splitter.
        splitter: String,
    },
    /// Numbers in a row that have no values.
    #[error("`{key}` {fault}")]
    Sequence {
        /// The key.
        key: String,
        /// Why.
        fault: SequenceError,
    },
    /// Axes whose values go together differ in length.
    #[error("`{key}` has {length} values and `{first}` {first_length}; zip needs as many of each")]
    AxisLengths {
        /// An axis.
        key: String,
        /// Its values.
        length: u64,
        /// The first axis.
        first: String,
        /// Its values.
        first_length: u64,
    },
    /// A pattern that cannot be read.
    #[error("`{key}` is {pattern:?}, which is no pattern of file names: {reason}")]
    Pattern {
        /// The key.
        key: String,
        /// The pattern.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// A pattern that no file matches.
    #[error("`{key}` is {pattern:?}, which matches no file")]
    NoMatch {
        /// The key.
        key: String,
        /// The pattern.
        pattern: String,
    },
    /// A file that matches a pattern and is too large for an item.
    #[error("`{key}` matches {name:?}, a file of {bytes} bytes; the most for an item is {max}")]
    MatchTooLarge {
        /// The key.
        key: String,
        /// The file.
        name: String,
        /// Its length.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// Two stages of one name.
    #[error("`{key}` is {name:?}, as is that of an earlier stage")]
    StageTwice {
        /// The key.
        key: String,
        /// The name.
        name: String,
    },
    /// Two stages whose outputs would go into one folder.
    #[error(
        "`{key}` is {name:?}: its outputs would go into one folder with those of the stage \
         {earlier:?} where names that differ by case alone are one"
    )]
    OneFolder {
        /// The key.
        key: String,
        /// The name.
        name: String,
        /// The earlier stage.
        earlier: String,
    },
    /// A name of a file that tells of a job.
    #[error("`{key}` is {name:?}, which is the name of a file that stands beside the outputs")]
    Reserved {
        /// The key.
        key: String,
        /// The name.
        name: String,
    },
    /// A stage that takes its input from one that does not come before it.
    #[error("`{key}` is {stage:?}, which is no earlier stage")]
    NotEarlier {
        /// The key.
        key: String,
        /// The stage named.
        stage: String,
        /// The stages it could name.
        earlier: Vec<String>,
    },
    /// A stage that takes its input from one whose output is not one file.
    #[error("`{key}` is {stage:?}, whose output is any number of files")]
    AfterFiles {
        /// The key.
        key: String,
        /// The stage named.
        stage: String,
    },
    /// A file of the name by which a split function opens an earlier stage's output.
    #[error("`{key}`: the split function opens the output of `{stage}` by that name")]
    FileIsOutput {
        /// The file's key.
        key: String,
        /// The stage.
        stage: String,
    },
    /// A splitter that is told to read a file and an output.
    #[error("`{key}` has both `file` and `after`; it cuts one of them")]
    TwoSources {
        /// The splitter's key.
        key: String,
    },
    /// A key that says nothing beside this reducer.
    #[error("`{key}` says nothing with `reduce = {reduce:?}`")]
    Useless {
        /// The key.
        key: String,
        /// Its last part.
        name: &'static str,
        /// The stage's reducer.
        reduce: &'static str,
    },
    /// A column that is no field of the items.
    #[error("`{key}` names {column:?}, which the splitter gives no item")]
    NoColumn {
        /// The key.
        key: String,
        /// The column.
        column: String,
        /// The fields that the splitter gives each item.
        fields: Vec<String>,
    },
    /// A column that is named twice.
    #[error("`{key}` names {column:?} twice")]
    ColumnTwice {
        /// The key.
        key: String,
        /// The column.
        column: String,
    },
    /// Bins that cannot be told apart.
    #[error("`{key}` makes {count} bins from {low} to {high}, whose edges do not all differ")]
    Bins {
        /// The key.
        key: String,
        /// How many.
        count: u32,
        /// Where the first begins.
        low: String,
        /// Where the last ends.
        high: String,
    },
    /// A parameter that no task can be given.
    #[error("`{key}` is {what}; a task cannot be given one")]
    Value {
        /// The key.
        key: String,
        /// What it is.
        what: &'static str,
    },
    /// A list or count that is too long or too short.
    #[error("`{key}` has {count} {what}; it must have {min} to {max}")]
    Count {
        /// The key.
        key: String,
        /// How many there are.
        count: u128,
        /// Of what.
        what: &'static str,
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
    },
    /// What is to be fetched, and cannot be.
    #[error("`{key}` is {found:?}, which is no URL that can be fetched")]
    Url {
        /// The key.
        key: String,
        /// The text.
        found: String,
    },
    /// A URL alone: there is no telling which file it will give.
    #[error("`{key}` has a `url` and no `hash`, which would say which file it is")]
    NoHash {
        /// The key.
        key: String,
    },
    /// No hash of a file.
    #[error("`{key}` is {found:?}, which is no hash")]
    Hash {
        /// The key.
        key: String,
        /// The text.
        found: String,
    },
    /// A function that the module does not offer.
    #[error("`{key}` is {function:?}, but {module:?} has no {kind} of that name")]
    NoFunction {
        /// The key.
        key: String,
        /// The function.
        function: String,
        /// The module's path or URL, as the manifest has it.
        module: String,
        /// What it should be.
        kind: FunctionKind,
        /// The functions of that kind that the module offers.
        offered: Vec<String>,
    },
    /// A setting of a stage that the manifest does not have.
    #[error("the manifest has no stage {stage:?}")]
    NoStage {
        /// The stage named.
        stage: String,
        /// The stages there are.
        stages: Vec<String>,
    },
    /// A setting that could be of several stages.
    #[error("`{key}` does not say of which stage")]
    WhichStage {
        /// The key.
        key: String,
        /// The stages there are.
        stages: Vec<String>,
    },
    /// A setting in place of a whole stage.
    #[error("`{key}` is a whole stage, or all of them")]
    WholeStage {
        /// The key.
        key: String,
    },
    /// A setting of a parameter or a shared file that the manifest does not name.
    #[error("`{key}` is not in the manifest")]
    NotThere {
        /// The key.
        key: String,
        /// The part of it that is not there.
        name: String,
        /// What is there.
        there: Vec<String>,
    },
    /// A file that is too large.
    #[error("`{key}` is a file of {bytes} bytes; the most is {max}")]
    FileTooLarge {
        /// The key.
        key: String,
        /// Its length.
        bytes: u64,
        /// The limit.
        max: u64,
    },
}

/// What a text with a unit should have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantityKind {
    /// An amount of bytes.
    Size,
    /// A length of time.
    Duration,
}

impl std::fmt::Display for QuantityKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Size => "size",
            Self::Duration => "duration",
        })
    }
}

impl ManifestError {
    /// `problem` at the start of `span` in `source`.
    pub(super) fn at(source: Source<'_>, span: &Range<usize>, problem: ManifestProblem) -> Self {
        Self { position: source.position(span.start), problem: Box::new(problem) }
    }

    /// What to do about it, in one line.
    pub fn hint(&self) -> String {
        self.problem.hint()
    }
}

fn splitters(found: &[&str]) -> String {
    match found {
        [] => "no splitter".into(),
        several => format!("the splitters {}", list(several, "and")),
    }
}

/// `` `a`, `b` or `c` ``.
pub(super) fn list(words: &[impl AsRef<str>], joint: &str) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{}`", word.as_ref())).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} {joint} {last}", others.join(", ")),
    }
}

/// The line and the column in characters, both from 1, of the byte at `offset`.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
