//! Records of FASTA and FASTQ, whose sequences may be wrapped.

use std::borrow::Cow;

use super::content::{Content, FieldValue};
use super::fault::{Fault, RecordProblem};

/// A record of FASTA: a header after `>`, then lines of sequence. `None` when it is blank.
pub(super) fn fasta(record: &str) -> Result<Option<Content<'_>>, Fault> {
    let mut lines = Lines::new(record);
    let Some(first) = lines.find(|line| !line.text.is_empty()) else { return Ok(None) };
    let (id, description) = title(&first, '>', "FASTA")?;
    let mut sequence = String::new();
    for line in lines {
        push_letters(&mut sequence, &line)?;
    }
    Ok(Some(Content::Fields(vec![
        text("id", id),
        text("description", description),
        text("sequence", sequence),
    ])))
}

/// A record of FASTQ: a header after `@`, lines of sequence, a line that begins with `+`, lines of
/// quality. `None` when it is blank.
pub(super) fn fastq(record: &str) -> Result<Option<Content<'_>>, Fault> {
    let mut lines = Lines::new(record);
    let Some(first) = lines.find(|line| !line.text.is_empty()) else { return Ok(None) };
    let (id, description) = title(&first, '@', "FASTQ")?;
    let mut sequence = String::new();
    let plus = loop {
        match lines.next() {
            Some(line) if line.text.starts_with('+') => break line,
            Some(line) if line.text.starts_with('@') => {
                return Err(Fault::below(line.number, RecordProblem::NoQuality));
            }
            Some(line) => push_letters(&mut sequence, &line)?,
            None => return Err(Fault::below(first.number, RecordProblem::NoQuality)),
        }
    };
    if plus.text.len() > 1 && plus.text[1..] != first.text[1..] {
        return Err(Fault::below(plus.number, RecordProblem::OtherName));
    }
    let mut quality = String::new();
    for line in lines {
        if let Some(found) = line.text.chars().find(|c| !('!'..='~').contains(c)) {
            return Err(Fault::below(line.number, RecordProblem::NotQuality { found }));
        }
        quality.push_str(line.text);
    }
    if sequence.len() != quality.len() {
        let (sequence, quality) = (sequence.len(), quality.len());
        let problem = RecordProblem::QualityLength { sequence, quality };
        return Err(Fault::below(first.number, problem));
    }
    Ok(Some(Content::Fields(vec![
        text("id", id),
        text("description", description),
        text("sequence", sequence),
        text("quality", quality),
    ])))
}

/// The id and what stands after it.
fn title<'a>(
    line: &Line<'a>,
    expected: char,
    format: &'static str,
) -> Result<(&'a str, &'a str), Fault> {
    let Some(title) = line.text.strip_prefix(expected) else {
        let problem = RecordProblem::NoBeginning { expected, format };
        return Err(Fault::below(line.number, problem));
    };
    let (id, description) = title.split_once([' ', '\t']).unwrap_or((title, ""));
    if id.is_empty() {
        return Err(Fault::below(line.number, RecordProblem::NoId { after: expected }));
    }
    Ok((id, description.trim()))
}

fn push_letters(sequence: &mut String, line: &Line<'_>) -> Result<(), Fault> {
    let is_letter = |c: char| c.is_ascii_alphabetic() || "-*.".contains(c);
    match line.text.chars().find(|c| !is_letter(*c)) {
        Some(found) => Err(Fault::below(line.number, RecordProblem::NotLetter { found })),
        None => {
            sequence.push_str(line.text);
            Ok(())
        }
    }
}

fn text<'a>(name: &'a str, value: impl Into<Cow<'a, str>>) -> (Cow<'a, str>, FieldValue<'a>) {
    (Cow::Borrowed(name), FieldValue::Text(value.into()))
}

/// A line without its end and the blanks before it, numbered from 0.
struct Line<'a> {
    number: u64,
    text: &'a str,
}

struct Lines<'a>(std::iter::Enumerate<std::str::Lines<'a>>);

impl<'a> Lines<'a> {
    fn new(record: &'a str) -> Self {
        Self(record.lines().enumerate())
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let (number, text) = self.0.next()?;
        Some(Line { number: number as u64, text: text.trim_end() })
    }
}
