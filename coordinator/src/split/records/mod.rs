//! Records of a file that need not fit in memory: cursors fed with its bytes.
//!
//! One pass checks every record and remembers where some begin, so that a range of records is found
//! by reading little more than the range. Invariants: what a record is depends on the file alone,
//! never on the pieces it is fed in; no more than one record, of at most
//! [`RECORD_BYTES_MAX`](gleaner_protocol::limits::RECORD_BYTES_MAX), is held. Deliberately absent:
//! any reading; whoever has the bytes feeds them, in pieces of any size.

mod content;
mod csv;
mod fault;
mod framing;
mod index;
mod json;
mod reader;
mod sequences;
#[cfg(test)]
mod tests;

pub use fault::{RecordError, RecordProblem};
pub use index::{RecordCursor, RecordIndex, RecordScanner};
pub use reader::{FieldNames, RecordReader};
