//! Rows of CSV (RFC 4180).

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::content::{Content, FieldValue};
use super::fault::{Fault, RecordProblem};
use crate::split::records::framing::BYTE_ORDER_MARK;

/// The names of the columns, in their order.
pub(super) fn header(row: &str, delimiter: u8) -> Result<Vec<String>, Fault> {
    let row = row.strip_prefix(BYTE_ORDER_MARK).unwrap_or(row);
    let names: Vec<_> = values(row, delimiter)?.into_iter().map(Cow::into_owned).collect();
    if let Some(index) = names.iter().position(String::is_empty) {
        return Err(RecordProblem::ColumnWithoutName { column: index + 1 }.into());
    }
    let mut seen = BTreeSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        Some(name) => Err(RecordProblem::ColumnTwice { name: name.clone() }.into()),
        None => Ok(names),
    }
}

/// A row's values under the names of `columns`.
pub(super) fn row<'a>(
    row: &'a str,
    columns: &'a [String],
    delimiter: u8,
) -> Result<Content<'a>, Fault> {
    let values = values(row, delimiter)?;
    if values.len() != columns.len() {
        let (found, expected) = (values.len(), columns.len());
        return Err(RecordProblem::Ragged { found, expected }.into());
    }
    let names = columns.iter().map(|name| Cow::Borrowed(name.as_str()));
    Ok(Content::Fields(names.zip(values.into_iter().map(FieldValue::Text)).collect()))
}

/// The values of a row whose line end is cut off.
fn values(row: &str, delimiter: u8) -> Result<Vec<Cow<'_, str>>, Fault> {
    let mut values = Vec::new();
    let mut rest = row;
    loop {
        let fault = |at: &str, problem| {
            let before = &row[..row.len() - at.len()];
            Fault::below(before.matches('\n').count() as u64, problem)
        };
        let (value, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted).ok_or_else(|| fault(rest, RecordProblem::OpenQuote))?,
            None => bare(rest, delimiter),
        };
        if value.contains('"') && !rest.starts_with('"') {
            return Err(fault(rest, RecordProblem::StrayQuote));
        }
        values.push(value);
        match after.as_bytes().first() {
            None => return Ok(values),
            Some(byte) if *byte == delimiter => rest = &after[1..],
            Some(_) => return Err(fault(after, RecordProblem::AfterQuote)),
        }
    }
}

fn bare(rest: &str, delimiter: u8) -> (Cow<'_, str>, &str) {
    let end = memchr::memchr(delimiter, rest.as_bytes()).unwrap_or(rest.len());
    (Cow::Borrowed(&rest[..end]), &rest[end..])
}

/// The value that `quoted` begins with, its opening quote cut off, and what comes after it.
fn unquote(quoted: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut end = quoted.find('"')?;
    let mut has_quotes = false;
    while quoted[end + 1..].starts_with('"') {
        has_quotes = true;
        end += 2 + quoted[end + 2..].find('"')?;
    }
    let value = &quoted[..end];
    let value = if has_quotes { value.replace("\"\"", "\"").into() } else { value.into() };
    Some((value, &quoted[end + 1..]))
}
