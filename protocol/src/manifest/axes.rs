//! The axes of `grid` and `zip`: lists of values, and numbers in a row.

use toml::de::DeValue;

use super::error::{ManifestError, ManifestProblem};
use super::section::{Entry, Section};
use super::values;
use crate::{Axis, AxisValues, Number, Sequence, Value};

const SEQUENCES: &[&str] = &["range", "linspace", "logspace"];

/// The axes, in the order of the text.
pub(super) fn axes(entry: &Entry<'_>) -> Result<Vec<Axis>, ManifestError> {
    let axis = |axis: Entry<'_>| {
        let field = axis.key_identifier()?;
        let values = match axis.value() {
            DeValue::Table(_) => AxisValues::Sequence(sequence(&axis)?),
            _ => AxisValues::List(list(&axis)?),
        };
        Ok(Axis { field, values })
    };
    Section::open_free(entry)?.entries().into_iter().map(axis).collect()
}

fn list(axis: &Entry<'_>) -> Result<Vec<Value>, ManifestError> {
    let elements = axis.elements("a list of values, or one of `range`, `linspace`, `logspace`")?;
    elements.iter().map(|element| values::value(element, 2)).collect()
}

fn sequence(axis: &Entry<'_>) -> Result<Sequence, ManifestError> {
    let section = Section::open(axis, SEQUENCES)?;
    let entries = section.entries();
    let [entry] = entries.as_slice() else {
        return Err(axis.wrong_type("one of `range`, `linspace` and `logspace`"));
    };
    let sequence = match entry.name {
        "range" => {
            let [start, end, step] = three(entry, "a list of start, end and step: [0, 1, 0.1]")?;
            Sequence::Range { start: number(&start)?, end: number(&end)?, step: number(&step)? }
        }
        "linspace" => {
            let [start, end, count] = three(entry, "a list of start, end and count: [0, 1, 11]")?;
            let (start, end) = (number(&start)?, number(&end)?);
            Sequence::Linspace { start, end, count: count.whole_number(1, i64::MAX as u64)? }
        }
        _ => {
            let expected = "a list of two powers of ten and a count: [-3, 3, 7]";
            let [start, end, count] = three(entry, expected)?;
            let (start, end) = (number(&start)?, number(&end)?);
            Sequence::Logspace { start, end, count: count.whole_number(1, i64::MAX as u64)? }
        }
    };
    match sequence.check() {
        Ok(()) => Ok(sequence),
        Err(fault) => {
            Err(entry.error(ManifestProblem::Sequence { key: entry.path.clone(), fault }))
        }
    }
}

fn three<'a>(entry: &Entry<'a>, expected: &'static str) -> Result<[Entry<'a>; 3], ManifestError> {
    entry.elements(expected)?.try_into().map_err(|_| entry.wrong_type(expected))
}

fn number(entry: &Entry<'_>) -> Result<Number, ManifestError> {
    match values::value(entry, 1)? {
        Value::Integer(integer) => Ok(Number::Integer(integer)),
        Value::Float(float) => Ok(Number::Float(float)),
        _ => Err(entry.wrong_type("a number")),
    }
}
