//! Records as CSV (RFC 4180): lines end with `\r\n`, a header names the fields.
//!
//! The header is the columns of the item itself that the first record has no field of the name of,
//! then that record's fields, both in their order; every other record has the same fields, in any
//! order. Text stands as it is, in quotes where it must; numbers as in JSON; `None` is an empty
//! cell; bytes are base 64; lists and records inside a record are JSON.

use data_encoding::BASE64;

use super::messagepack::{Reader, Token};
use super::{OutputFault, json};

/// The most fields of a record: far more than a table has, few enough to compare one by one.
const FIELDS_MAX: u32 = 4096;

/// The header, once there is a record.
#[derive(Debug, Default)]
pub(super) struct Csv {
    header: Option<Header>,
}

#[derive(Debug)]
struct Header {
    /// Columns of the item itself.
    item: Vec<String>,
    /// Fields of the records.
    record: Vec<String>,
}

/// A field's name and the bytes of its value.
pub(super) type Cell<'a> = (&'a str, &'a [u8]);

impl Csv {
    /// Appends an item's record, its list of records, or nothing for `None`; `item` are the
    /// columns of the item itself, the same ones for each.
    pub(super) fn render(
        &mut self,
        item: &[Cell<'_>],
        output: &[u8],
        text: &mut Vec<u8>,
    ) -> Result<(), OutputFault> {
        const REDUCER: &str = "csv";
        let mut reader = Reader::new(output);
        match reader.next()? {
            Token::Nil => {}
            Token::Map(fields) => self.record(item, &mut reader, fields, text)?,
            Token::List(records) => {
                for _ in 0..records {
                    match reader.next()? {
                        Token::Map(fields) => self.record(item, &mut reader, fields, text)?,
                        other => {
                            let kind = other.kind();
                            return Err(OutputFault::NoRecord { reducer: REDUCER, kind });
                        }
                    }
                }
            }
            other => {
                return Err(OutputFault::NoRecord { reducer: REDUCER, kind: other.kind() });
            }
        }
        Ok(())
    }

    fn record(
        &mut self,
        item: &[Cell<'_>],
        reader: &mut Reader<'_>,
        fields: u32,
        text: &mut Vec<u8>,
    ) -> Result<(), OutputFault> {
        let cells = read_fields(reader, fields)?;
        let header = match &mut self.header {
            Some(header) => header,
            None => self.header.insert(Header::write(item, &cells, text)?),
        };
        check_fields(&cells, &header.record)?;
        let row_start = text.len();
        let item = header.item.iter().map(|column| {
            let cell = item.iter().find(|(name, _)| name == column);
            cell.expect("an item has the same columns each time").1
        });
        for (position, value) in item.enumerate() {
            separate(text, position);
            write_cell(value, text)?;
        }
        for (position, field) in header.record.iter().enumerate() {
            let value = find(&cells, position, field)
                .ok_or_else(|| OutputFault::MissingField { field: field.clone() })?;
            separate(text, header.item.len() + position);
            write_cell(value, text)?;
        }
        end_row(text, row_start);
        Ok(())
    }
}

impl Header {
    /// The header for a first record, written.
    fn write(
        item: &[Cell<'_>],
        record: &[Cell<'_>],
        text: &mut Vec<u8>,
    ) -> Result<Self, OutputFault> {
        let row_start = text.len();
        let is_of_record = |column: &str| record.iter().any(|(field, _)| *field == column);
        let item = item.iter().filter(|(column, _)| !is_of_record(column));
        let mut header = Self { item: Vec::new(), record: Vec::with_capacity(record.len()) };
        for (column, _) in item {
            separate(text, header.item.len());
            write_text(column, text);
            header.item.push((*column).to_owned());
        }
        for (field, _) in record {
            if header.record.iter().any(|known| known == field) {
                return Err(OutputFault::RepeatedField { field: (*field).to_owned() });
            }
            separate(text, header.item.len() + header.record.len());
            write_text(field, text);
            header.record.push((*field).to_owned());
        }
        end_row(text, row_start);
        Ok(header)
    }
}

/// The fields of a record, whose beginning was read.
pub(super) fn read_fields<'a>(
    reader: &mut Reader<'a>,
    fields: u32,
) -> Result<Vec<Cell<'a>>, OutputFault> {
    if fields > FIELDS_MAX {
        return Err(OutputFault::TooManyFields { fields, max: FIELDS_MAX });
    }
    let mut cells = Vec::new();
    for _ in 0..fields {
        let name = match reader.next()? {
            Token::Text(name) => name,
            other => return Err(OutputFault::Key { kind: other.kind() }),
        };
        cells.push((name, reader.skip()?));
    }
    Ok(cells)
}

/// Whether a record has no fields but those of the header, each once.
fn check_fields(cells: &[Cell<'_>], header: &[String]) -> Result<(), OutputFault> {
    if cells.iter().map(|(name, _)| name).eq(header) {
        return Ok(());
    }
    for (position, (name, _)) in cells.iter().enumerate() {
        let field = || (*name).to_owned();
        if !header.iter().any(|known| known == name) {
            return Err(OutputFault::ExtraField { field: field() });
        }
        if cells[..position].iter().any(|(earlier, _)| earlier == name) {
            return Err(OutputFault::RepeatedField { field: field() });
        }
    }
    Ok(())
}

/// Records of one type have one order, so the field is nearly always where the header has it.
fn find<'a>(cells: &[Cell<'a>], position: usize, field: &str) -> Option<&'a [u8]> {
    match cells.get(position) {
        Some((name, value)) if *name == field => Some(value),
        _ => cells.iter().find(|(name, _)| *name == field).map(|(_, value)| *value),
    }
}

fn write_cell(value: &[u8], text: &mut Vec<u8>) -> Result<(), OutputFault> {
    let mut reader = Reader::new(value);
    match reader.next()? {
        Token::Nil => {}
        Token::Text(value) => write_text(value, text),
        Token::Bytes(value) => write_text(&BASE64.encode(value), text),
        Token::List(_) | Token::Map(_) => {
            let mut nested = Vec::new();
            json::write(&mut Reader::new(value), &mut nested)?;
            write_text(&String::from_utf8(nested).expect("JSON is UTF-8"), text);
        }
        Token::Extension(kind) => return Err(OutputFault::Extension { kind }),
        token => text.extend_from_slice(json::plain(token).as_bytes()),
    }
    Ok(())
}

pub(crate) fn write_text(value: &str, text: &mut Vec<u8>) {
    if !value.contains(['"', ',', '\r', '\n']) {
        text.extend_from_slice(value.as_bytes());
        return;
    }
    text.push(b'"');
    text.extend_from_slice(value.replace('"', "\"\"").as_bytes());
    text.push(b'"');
}

fn separate(text: &mut Vec<u8>, position: usize) {
    if position > 0 {
        text.push(b',');
    }
}

/// Readers skip empty lines, so a row of one empty cell is written as an empty text in quotes.
fn end_row(text: &mut Vec<u8>, row_start: usize) {
    if text.len() == row_start {
        text.extend_from_slice(b"\"\"");
    }
    text.extend_from_slice(b"\r\n");
}
