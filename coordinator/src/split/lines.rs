//! Lines of a text that need not fit in memory: cursors fed with its bytes.
//!
//! A line ends with `\n` or `\r\n`, which are no part of it; the last one may lack its end. One
//! pass over the text checks every line and remembers where each [`STRIDE`]-th begins, so that a
//! range of lines is found by reading at most that many lines more. Deliberately absent: any
//! reading; whoever has the bytes feeds them, in pieces of any size.

use gleaner_protocol::ItemRange;

/// The longest line in bytes: with the most items of a unit it bounds what a unit's input takes.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Every how many lines a position is remembered: 8 bytes for a thousand lines.
const STRIDE: u64 = 1024;

/// Why a text cannot be cut into lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The bytes are not text.
    #[error("line {line} is not UTF-8; convert the text to UTF-8 first")]
    NotUtf8 {
        /// Counted from 1.
        line: u64,
    },
    /// A line is too long to be an item.
    #[error("line {line} is longer than {max} bytes; cut the text into shorter lines")]
    TooLong {
        /// Counted from 1.
        line: u64,
        /// The limit.
        max: usize,
    },
}

/// How many lines a text has, and where they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineIndex {
    lines: u64,
    /// Where lines 0, [`STRIDE`], 2 × [`STRIDE`], … begin.
    starts: Vec<u64>,
}

impl LineIndex {
    /// How many lines there are.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// A cursor for the lines of `range`, and the offset in the text from where to feed it.
    ///
    /// # Panics
    /// When `range` is empty or reaches beyond the last line.
    pub fn cursor(&self, range: ItemRange) -> (LineCursor, u64) {
        assert!(!range.is_empty() && range.end <= self.lines, "lines {range} of {}", self.lines);
        let stride = range.start / STRIDE;
        let offset = self.starts[stride as usize];
        (LineCursor { line: stride * STRIDE, range, partial: Vec::new() }, offset)
    }
}

/// Builds a [`LineIndex`] from a text fed in order, and checks every line.
#[derive(Clone, Debug, Default)]
pub struct LineScanner {
    index: LineIndex,
    /// Where the line that has not ended yet begins.
    line_start: u64,
    /// What of it was fed.
    partial: Vec<u8>,
}

impl LineScanner {
    /// Takes the next bytes of the text.
    ///
    /// # Errors
    /// The first line that cannot be an item; the scanner is of no use after that.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), LineError> {
        let mut rest = bytes;
        while let Some((line, after)) = split_at_line_end(rest) {
            if self.partial.is_empty() {
                self.count(line)?;
            } else {
                self.extend_partial(line)?;
                let whole = std::mem::take(&mut self.partial);
                self.count(&whole)?;
            }
            rest = after;
        }
        self.extend_partial(rest)
    }

    /// The index of the text fed.
    ///
    /// # Errors
    /// As [`LineScanner::feed`], for the last line.
    pub fn finish(mut self) -> Result<LineIndex, LineError> {
        if !self.partial.is_empty() {
            let last = std::mem::take(&mut self.partial);
            self.count(&last)?;
        }
        Ok(self.index)
    }

    fn count(&mut self, line: &[u8]) -> Result<(), LineError> {
        let number = self.index.lines + 1;
        if line.len() > LINE_BYTES_MAX {
            return Err(LineError::TooLong { line: number, max: LINE_BYTES_MAX });
        }
        if std::str::from_utf8(line).is_err() {
            return Err(LineError::NotUtf8 { line: number });
        }
        if self.index.lines.is_multiple_of(STRIDE) {
            self.index.starts.push(self.line_start);
        }
        self.index.lines = number;
        self.line_start += line.len() as u64 + 1;
        Ok(())
    }

    fn extend_partial(&mut self, bytes: &[u8]) -> Result<(), LineError> {
        if self.partial.len() + bytes.len() > LINE_BYTES_MAX {
            let line = self.index.lines + 1;
            return Err(LineError::TooLong { line, max: LINE_BYTES_MAX });
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }
}

/// Gives the lines of one range from a text fed from the offset that [`LineIndex::cursor`] said.
#[derive(Clone, Debug)]
pub struct LineCursor {
    /// The next line, from 0.
    line: u64,
    /// The lines to give.
    range: ItemRange,
    /// What was fed of the line that has not ended yet.
    partial: Vec<u8>,
}

impl LineCursor {
    /// Whether every line of the range was given.
    pub fn is_done(&self) -> bool {
        self.line >= self.range.end
    }

    /// Takes the next bytes of the text, none at its end, and gives each whole line of the range.
    ///
    /// # Errors
    /// [`LineError::NotUtf8`] when the text is not the one that was scanned.
    pub fn feed(&mut self, bytes: &[u8], mut give: impl FnMut(&str)) -> Result<(), LineError> {
        if bytes.is_empty() && !self.partial.is_empty() {
            let last = std::mem::take(&mut self.partial);
            return self.pass(&last, &mut give);
        }
        let mut rest = bytes;
        while !self.is_done()
            && let Some((line, after)) = split_at_line_end(rest)
        {
            if self.partial.is_empty() {
                self.pass(without_return(line), &mut give)?;
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.pass(without_return(&whole), &mut give)?;
            }
            rest = after;
        }
        if !self.is_done() {
            self.partial.extend_from_slice(rest);
        }
        Ok(())
    }

    fn pass(&mut self, line: &[u8], give: &mut impl FnMut(&str)) -> Result<(), LineError> {
        let number = self.line;
        self.line += 1;
        if number < self.range.start {
            return Ok(());
        }
        let text = std::str::from_utf8(line);
        give(text.map_err(|_| LineError::NotUtf8 { line: number + 1 })?);
        Ok(())
    }
}

fn split_at_line_end(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', bytes)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
