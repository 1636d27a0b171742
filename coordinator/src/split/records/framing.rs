//! Where records end, told while their bytes pass.

/// What some programs put at the start of a text in UTF-8.
pub(super) const BYTE_ORDER_MARK: char = '\u{feff}';

/// Finds the end of each record of a file whose bytes pass in pieces of any size.
#[derive(Clone, Debug)]
pub(super) enum Framing {
    /// A record is a line.
    Line,
    /// A record ends at the first line end at which it has `least` bytes.
    Piece {
        least: u64,
        passed: u64,
    },
    /// A record is a row, in which quoted line ends are values.
    Row {
        delimiter: u8,
        place: RowPlace,
    },
    Fasta(Fasta),
    Fastq(Fastq),
}

/// Where in a row of CSV the next byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum RowPlace {
    /// A value begins.
    #[default]
    Start,
    /// Inside a bare value.
    Bare,
    /// Inside quotes.
    Quoted,
    /// After a quote inside quotes: the closing one, or one of two.
    AfterQuote,
}

/// A record ends before a line that begins with `>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fasta {
    /// Some of the record has passed.
    has_begun: bool,
    /// The last byte that passed ended a line.
    at_line_start: bool,
}

/// A record ends with the line that brings its quality to the length of its sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fastq {
    part: FastqPart,
    sequence: u64,
    quality: u64,
    /// What has passed of the line: its first and last byte and its length.
    first: Option<u8>,
    last: Option<u8>,
    line: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FastqPart {
    #[default]
    Title,
    Sequence,
    Quality,
}

impl Framing {
    /// How many of `bytes` belong to the record that they begin in or continue; `None` when it
    /// does not end in them. The next bytes begin the next record after an end.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Line => after_line_end(bytes),
            Self::Piece { least, passed } => {
                let Some(end) = piece_end(bytes, least.saturating_sub(*passed)) else {
                    *passed += bytes.len() as u64;
                    return None;
                };
                *passed = 0;
                Some(end)
            }
            Self::Row { delimiter, place } => row_end(bytes, *delimiter, place),
            Self::Fasta(fasta) => fasta.end(bytes),
            Self::Fastq(fastq) => fastq.end(bytes),
        }
    }
}

fn after_line_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', bytes).map(|end| end + 1)
}

/// The first line end at or after the byte that makes the piece `missing` bytes longer.
fn piece_end(bytes: &[u8], missing: u64) -> Option<usize> {
    let skipped = usize::try_from(missing.saturating_sub(1)).ok()?;
    after_line_end(bytes.get(skipped..)?).map(|end| skipped + end)
}

fn row_end(bytes: &[u8], delimiter: u8, place: &mut RowPlace) -> Option<usize> {
    for (index, &byte) in bytes.iter().enumerate() {
        *place = match (*place, byte) {
            (RowPlace::Quoted, b'"') => RowPlace::AfterQuote,
            (RowPlace::Quoted, _) => RowPlace::Quoted,
            (_, b'\n') => {
                *place = RowPlace::Start;
                return Some(index + 1);
            }
            (_, byte) if byte == delimiter => RowPlace::Start,
            (RowPlace::Start | RowPlace::AfterQuote, b'"') => RowPlace::Quoted,
            // A byte order mark stands before the first value.
            (RowPlace::Start, 0xef | 0xbb | 0xbf) => RowPlace::Start,
            (RowPlace::AfterQuote, b'\r') => RowPlace::AfterQuote,
            _ => RowPlace::Bare,
        };
    }
    None
}

impl Fasta {
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut line_start = 0;
        loop {
            let begins = self.at_line_start || line_start > 0;
            if self.has_begun && begins && bytes.get(line_start) == Some(&b'>') {
                *self = Self::default();
                return Some(line_start);
            }
            self.has_begun |= !bytes.is_empty();
            match after_line_end(&bytes[line_start..]) {
                Some(length) => line_start += length,
                None => break,
            }
        }
        if let Some(last) = bytes.last() {
            self.at_line_start = *last == b'\n';
        }
        None
    }
}

impl Fastq {
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut start = 0;
        while let Some(length) = after_line_end(&bytes[start..]) {
            self.pass(&bytes[start..start + length - 1]);
            start += length;
            if self.ends_with_line() {
                *self = Self::default();
                return Some(start);
            }
        }
        self.pass(&bytes[start..]);
        None
    }

    fn pass(&mut self, part_of_line: &[u8]) {
        self.first = self.first.or(part_of_line.first().copied());
        self.last = part_of_line.last().copied().or(self.last);
        self.line += part_of_line.len() as u64;
    }

    /// The line is whole: whether the record is too.
    fn ends_with_line(&mut self) -> bool {
        let (first, last) = (self.first.take(), self.last.take());
        let length = std::mem::take(&mut self.line) - u64::from(last == Some(b'\r'));
        match (self.part, first) {
            (FastqPart::Title, _) if length == 0 => return true,
            (FastqPart::Title, _) => self.part = FastqPart::Sequence,
            (FastqPart::Sequence, Some(b'+')) => self.part = FastqPart::Quality,
            // Another record begins where this one has no quality: its reader tells.
            (FastqPart::Sequence, Some(b'@')) => return true,
            (FastqPart::Sequence, _) => self.sequence += length,
            (FastqPart::Quality, _) => {
                self.quality += length;
                return self.quality >= self.sequence;
            }
        }
        false
    }
}
