//! Where records are: the pass that finds out, and the cursor that uses it.

use gleaner_protocol::ItemRange;
use gleaner_protocol::limits::RECORD_BYTES_MAX;
use serde_bytes::ByteBuf;

use super::fault::{Fault, RecordError, RecordProblem};
use super::framing::Framing;
use super::reader::RecordReader;

/// A record's position is remembered when so many records, or so many bytes, have passed since the
/// last one: 16 bytes for a thousand short records, and a seek reads at most this much in vain.
const STRIDE_RECORDS: u64 = 1024;
const STRIDE_BYTES: u64 = 1024 * 1024;

/// How many records a file has, and where they are.
#[derive(Clone, Debug)]
pub struct RecordIndex {
    reader: RecordReader,
    records: u64,
    longest_bytes: usize,
    /// Some of the records, the first among them.
    starts: Vec<Start>,
}

#[derive(Clone, Copy, Debug)]
struct Start {
    record: u64,
    offset: u64,
}

impl RecordIndex {
    /// How many records there are.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// About how many bytes the longest item takes.
    pub fn longest_bytes(&self) -> u64 {
        (self.longest_bytes + self.reader.names_bytes()) as u64
    }

    /// A cursor for the records of `range`, and the offset in the file from where to feed it.
    ///
    /// # Panics
    /// When `range` is empty or reaches beyond the last record.
    pub fn cursor(&self, range: ItemRange) -> (RecordCursor, u64) {
        let records = self.records;
        assert!(!range.is_empty() && range.end <= records, "records {range} of {records}");
        let after = self.starts.partition_point(|start| start.record <= range.start);
        let Start { record, offset } = self.starts[after - 1];
        let cutter = Cutter { framing: self.reader.framing(), partial: Vec::new() };
        (RecordCursor { reader: self.reader.clone(), cutter, record, range }, offset)
    }
}

/// Builds a [`RecordIndex`] from a file fed in order, and checks every record.
#[derive(Debug)]
pub struct RecordScanner {
    index: RecordIndex,
    cutter: Cutter,
    /// Where the record that has not ended yet begins.
    offset: u64,
    /// The line in which it begins, from 1.
    line: u64,
}

impl RecordScanner {
    /// A scanner at the start of a file.
    pub fn new(reader: RecordReader) -> Self {
        let cutter = Cutter { framing: reader.framing(), partial: Vec::new() };
        let index = RecordIndex { reader, records: 0, longest_bytes: 0, starts: Vec::new() };
        Self { index, cutter, offset: 0, line: 1 }
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// The first record that cannot be an item; the scanner is of no use after that.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        let Self { index, cutter, offset, line } = self;
        cutter.feed(bytes, |record| count(index, offset, line, record))?;
        match cutter.partial.len() > RECORD_BYTES_MAX {
            true => Err(too_long(*line)),
            false => Ok(()),
        }
    }

    /// The index of the file fed.
    ///
    /// # Errors
    /// As [`RecordScanner::feed`], for the last record.
    pub fn finish(mut self) -> Result<RecordIndex, RecordError> {
        let last = std::mem::take(&mut self.cutter.partial);
        if !last.is_empty() {
            count(&mut self.index, &mut self.offset, &mut self.line, &last)?;
        }
        Ok(self.index)
    }
}

/// Checks a record and enters it into the index.
fn count(
    index: &mut RecordIndex,
    offset: &mut u64,
    line: &mut u64,
    record: &[u8],
) -> Result<(), RecordError> {
    if record.len() > RECORD_BYTES_MAX {
        return Err(too_long(*line));
    }
    let here = *line;
    let located =
        |fault: Fault| RecordError { line: here + fault.lines_below, problem: fault.problem };
    let start = *offset;
    *offset += record.len() as u64;
    *line += memchr::memchr_iter(b'\n', record).count() as u64;
    if index.reader.take_head(record).map_err(located)?
        || index.reader.read(record).map_err(located)?.is_none()
    {
        return Ok(());
    }
    let is_far = |last: &Start| {
        index.records - last.record >= STRIDE_RECORDS || start - last.offset >= STRIDE_BYTES
    };
    if index.starts.last().is_none_or(is_far) {
        index.starts.push(Start { record: index.records, offset: start });
    }
    index.records += 1;
    index.longest_bytes = index.longest_bytes.max(record.len());
    Ok(())
}

fn too_long(line: u64) -> RecordError {
    RecordError { line, problem: RecordProblem::TooLong { max: RECORD_BYTES_MAX } }
}

/// Gives the records of one range from a file fed from the offset that [`RecordIndex::cursor`]
/// said.
#[derive(Debug)]
pub struct RecordCursor {
    reader: RecordReader,
    cutter: Cutter,
    /// The next record, from 0.
    record: u64,
    /// The records to give.
    range: ItemRange,
}

impl RecordCursor {
    /// Whether every record of the range was given.
    pub fn is_done(&self) -> bool {
        self.record >= self.range.end
    }

    /// Takes the next bytes of the file, none at its end, and gives the map of each whole record
    /// of the range.
    ///
    /// # Errors
    /// When the file is not the one that was scanned.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        mut give: impl FnMut(ByteBuf),
    ) -> Result<(), NotTheFileScanned> {
        let Self { reader, cutter, record: next, range } = self;
        let mut pass = |record: &[u8]| {
            if *next >= range.end {
                return Ok(());
            }
            let content = reader.read(record).map_err(|_| NotTheFileScanned)?;
            let Some(content) = content else { return Ok(()) };
            if *next >= range.start {
                give(content.encode(reader.field()));
            }
            *next += 1;
            Ok(())
        };
        if bytes.is_empty() {
            let last = std::mem::take(&mut cutter.partial);
            return if last.is_empty() { Ok(()) } else { pass(&last) };
        }
        cutter.feed(bytes, pass)
    }
}

/// A file is not what it was when its records were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotTheFileScanned;

/// Puts records together from pieces.
#[derive(Debug)]
struct Cutter {
    framing: Framing,
    /// What was fed of the record that has not ended yet.
    partial: Vec<u8>,
}

impl Cutter {
    fn feed<E>(
        &mut self,
        bytes: &[u8],
        mut pass: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = bytes;
        while let Some(end) = self.framing.end(rest) {
            let (record, after) = rest.split_at(end);
            if self.partial.is_empty() {
                pass(record)?;
            } else {
                self.partial.extend_from_slice(record);
                let passed = pass(&self.partial);
                self.partial.clear();
                passed?;
            }
            rest = after;
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }
}
