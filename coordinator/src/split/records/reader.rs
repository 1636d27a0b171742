//! From the bytes of a record to what it holds.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use gleaner_protocol::{RecordFormat, Splitter};

use super::content::{Content, FieldValue};
use super::fault::{Fault, RecordProblem};
use super::framing::{BYTE_ORDER_MARK, Framing, RowPlace};
use super::{csv, json, sequences};

/// How the records of a file are read. Clones share what is long.
#[derive(Clone, Debug)]
pub struct RecordReader {
    format: Format,
    field: Option<Arc<str>>,
    names: Arc<FieldNames>,
}

/// What is asked of the fields that a file itself names.
#[derive(Clone, Debug, Default)]
pub struct FieldNames {
    /// Records may not have them: items have them already.
    pub taken: BTreeSet<String>,
    /// Records must have them.
    pub wanted: Vec<String>,
}

#[derive(Clone, Debug)]
enum Format {
    Lines,
    Pieces {
        chunk_bytes: u64,
    },
    /// The columns are known once the header has passed.
    Csv {
        delimiter: u8,
        columns: Option<Arc<[String]>>,
    },
    JsonLines,
    Fasta,
    Fastq,
}

impl RecordReader {
    /// The reader of a splitter that finds its items by reading a file.
    pub fn new(splitter: &Splitter, names: FieldNames) -> Option<Self> {
        let (format, field) = match splitter {
            Splitter::Lines { field, .. } => (Format::Lines, Some(field)),
            Splitter::Records { format, field, .. } => (Format::new(*format), field.as_ref()),
            _ => return None,
        };
        let field = field.map(|field| Arc::from(field.as_str()));
        Some(Self { format, field, names: Arc::new(names) })
    }

    pub(super) fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    pub(super) fn framing(&self) -> Framing {
        match &self.format {
            Format::Lines | Format::JsonLines => Framing::Line,
            Format::Pieces { chunk_bytes } => Framing::Piece { least: *chunk_bytes, passed: 0 },
            Format::Csv { delimiter, .. } => {
                Framing::Row { delimiter: *delimiter, place: RowPlace::default() }
            }
            Format::Fasta => Framing::Fasta(Default::default()),
            Format::Fastq => Framing::Fastq(Default::default()),
        }
    }

    /// What each item takes besides its record's own bytes: the names of its fields.
    pub(super) fn names_bytes(&self) -> usize {
        match &self.format {
            Format::Csv { columns: Some(columns), .. } => {
                columns.iter().map(|name| name.len() + 10).sum()
            }
            _ => 0,
        }
    }

    /// Takes what a file begins with and is no record: whether `record` was that.
    pub(super) fn take_head(&mut self, record: &[u8]) -> Result<bool, Fault> {
        let Format::Csv { delimiter, columns: columns @ None } = &mut self.format else {
            return Ok(false);
        };
        let row = without_line_end(text(record)?);
        if !row.is_empty() {
            let names = csv::header(row, *delimiter)?;
            if self.field.is_none() {
                self.names.check(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
            }
            *columns = Some(names.into());
        }
        Ok(true)
    }

    /// What a record holds; `None` when it is blank and so none.
    pub(super) fn read<'a>(&'a self, record: &'a [u8]) -> Result<Option<Content<'a>>, Fault> {
        let content = match &self.format {
            Format::Pieces { .. } => Some(Content::Value(FieldValue::Bytes(record))),
            Format::Lines => {
                let line = without_line_end(text(record)?);
                Some(Content::Value(FieldValue::Text(Cow::Borrowed(line))))
            }
            Format::Csv { columns: None, .. } => None,
            Format::Csv { delimiter, columns: Some(columns) } => {
                match without_line_end(text(record)?) {
                    "" => None,
                    row => Some(csv::row(row, columns, *delimiter)?),
                }
            }
            Format::JsonLines => {
                let line = text(record)?;
                Some(json::object(line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line))?)
            }
            Format::Fasta => sequences::fasta(text(record)?)?,
            Format::Fastq => sequences::fastq(text(record)?)?,
        };
        if let (Format::JsonLines, None, Some(Content::Fields(fields))) =
            (&self.format, &self.field, &content)
        {
            self.names.check(&fields.iter().map(|(key, _)| key.as_ref()).collect::<Vec<_>>())?;
        }
        Ok(content)
    }
}

impl Format {
    fn new(format: RecordFormat) -> Self {
        match format {
            RecordFormat::Pieces { chunk_bytes, .. } => Self::Pieces { chunk_bytes },
            RecordFormat::Csv { delimiter } => Self::Csv {
                delimiter: u8::try_from(delimiter).expect("checked when the job was submitted"),
                columns: None,
            },
            RecordFormat::JsonLines => Self::JsonLines,
            RecordFormat::Fasta => Self::Fasta,
            RecordFormat::Fastq => Self::Fastq,
        }
    }
}

impl FieldNames {
    fn check(&self, names: &[&str]) -> Result<(), RecordProblem> {
        if let Some(name) = names.iter().find(|name| self.taken.contains(**name)) {
            return Err(RecordProblem::FieldTaken { field: (*name).to_owned() });
        }
        match self.wanted.iter().find(|wanted| !names.contains(&wanted.as_str())) {
            Some(field) => Err(RecordProblem::FieldMissing { field: field.clone() }),
            None => Ok(()),
        }
    }
}

fn text(record: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(record).map_err(|error| {
        let before = &record[..error.valid_up_to()];
        let lines_below = memchr::memchr_iter(b'\n', before).count() as u64;
        Fault::below(lines_below, RecordProblem::NotUtf8)
    })
}

fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}
