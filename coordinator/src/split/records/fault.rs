//! Why a file cannot be cut into records.

/// What is wrong with a record, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct RecordError {
    /// Counted from 1.
    pub line: u64,
    /// What is wrong there.
    pub problem: RecordProblem,
}

/// What is wrong with a record, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordProblem {
    /// The bytes are not text.
    #[error("it is not UTF-8; convert the file to UTF-8 first")]
    NotUtf8,
    /// The record is too long to be an item.
    #[error(
        "the record that begins here is longer than {max} bytes; cut the file into shorter ones"
    )]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// A column that nothing can be called by.
    #[error("column {column} of the header has no name; give it one")]
    ColumnWithoutName {
        /// Counted from 1.
        column: usize,
    },
    /// Two columns of one name.
    #[error("the header has the column {name:?} twice; rename one")]
    ColumnTwice {
        /// The name.
        name: String,
    },
    /// A row that does not fit the header.
    #[error("the row has {found} values, the header names {expected}; give each row as many")]
    Ragged {
        /// The row's values.
        found: usize,
        /// The header's.
        expected: usize,
    },
    /// A quote inside a bare value.
    #[error(
        "a quote stands inside a value that does not begin with one; quote the value and double the quote"
    )]
    StrayQuote,
    /// Something after a quoted value.
    #[error("a closing quote is followed by more of the value; double the quotes inside a value")]
    AfterQuote,
    /// A quoted value without an end.
    #[error("a quoted value has no closing quote; add it")]
    OpenQuote,
    /// A line that is no JSON.
    #[error("it is no JSON ({reason}); write one object on each line")]
    NotJson {
        /// The parser's words.
        reason: String,
    },
    /// A line that is JSON and no object.
    #[error("it is {found}, no JSON object; write {{\"field\": value, ...}}")]
    NotObject {
        /// What it is.
        found: &'static str,
    },
    /// An object with a key twice.
    #[error("an object has the key {key:?} twice; keep one")]
    KeyTwice {
        /// The key.
        key: String,
    },
    /// A whole number that no task could be given as it is.
    #[error(
        "the field {field:?} has a whole number of more than 64 bits at column {column}; put it \
         in quotes, which keeps every digit, or end it with `.0` if a float will do"
    )]
    NumberTooLarge {
        /// The field.
        field: String,
        /// Where the number begins, in bytes from 1.
        column: usize,
    },
    /// Lists and objects in one another.
    #[error("it nests lists and objects deeper than {max}; flatten it")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// More values than a record may take memory for.
    #[error("it holds more than {max} values; cut it into shorter records")]
    TooManyValues {
        /// The limit.
        max: usize,
    },
    /// A field that every item has already.
    #[error(
        "the field {field:?} is a parameter of the stage too; rename the parameter, or put the \
         record into a field of its own with `field = \"record\"`"
    )]
    FieldTaken {
        /// The field.
        field: String,
    },
    /// A field that the stage's output has a column for.
    #[error(
        "the record has no field {field:?}, which is one of the stage's `columns`; add it here, or remove it there"
    )]
    FieldMissing {
        /// The field.
        field: String,
    },
    /// No beginning of a record.
    #[error("a record begins with `{expected}`; is this {format}?")]
    NoBeginning {
        /// What it should begin with.
        expected: char,
        /// The format.
        format: &'static str,
    },
    /// A record without an id.
    #[error("the record has no id; write one right after the `{after}`")]
    NoId {
        /// What it should follow.
        after: char,
    },
    /// A character that stands for nothing in a sequence.
    #[error("{found:?} is no letter of a sequence; use letters, `-`, `*` and `.`")]
    NotLetter {
        /// The character.
        found: char,
    },
    /// A character that stands for no quality.
    #[error("{found:?} is no quality; use the characters from `!` to `~`")]
    NotQuality {
        /// The character.
        found: char,
    },
    /// A sequence whose quality is missing.
    #[error("the record has no line that begins with `+`; its quality is missing")]
    NoQuality,
    /// A quality that does not fit the sequence.
    #[error("the record has {sequence} letters and {quality} qualities; it needs as many of each")]
    QualityLength {
        /// The letters.
        sequence: usize,
        /// The qualities.
        quality: usize,
    },
    /// The name is repeated and differs.
    #[error("after `+` stands another name than after `@`; repeat it, or write nothing")]
    OtherName,
}

/// A problem some lines below the record's first.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) lines_below: u64,
    pub(super) problem: RecordProblem,
}

impl From<RecordProblem> for Fault {
    fn from(problem: RecordProblem) -> Self {
        Self { lines_below: 0, problem }
    }
}

impl Fault {
    pub(super) fn below(lines_below: u64, problem: RecordProblem) -> Self {
        Self { lines_below, problem }
    }
}
