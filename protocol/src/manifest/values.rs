//! Values that a manifest hands to tasks: parameters and the axes of a grid.

use toml::de::DeValue;

use super::error::{ManifestError, ManifestProblem};
use super::section::{Entry, Section};
use crate::{Value, ValueMap};

/// How deep lists and tables may nest: far below what JSON and MessagePack readers refuse.
const DEPTH_MAX: u64 = 16;

/// The values of a table of parameters.
pub(super) fn parameters(entry: &Entry<'_>) -> Result<ValueMap, ManifestError> {
    let mut parameters = ValueMap::new();
    for parameter in Section::open_free(entry)?.entries() {
        let name = parameter.key_identifier()?;
        parameters.insert(name, value(&parameter, 1)?);
    }
    Ok(parameters)
}

/// A value whose nesting begins at `depth`.
pub(super) fn value(entry: &Entry<'_>, depth: u64) -> Result<Value, ManifestError> {
    if depth > DEPTH_MAX {
        return Err(entry.error(ManifestProblem::Count {
            key: entry.path.clone(),
            count: depth.into(),
            what: "levels of lists and tables",
            min: 1,
            max: DEPTH_MAX,
        }));
    }
    match entry.value() {
        DeValue::String(text) => Ok(Value::Text(text.as_ref().to_owned())),
        DeValue::Boolean(truth) => Ok(Value::Bool(*truth)),
        DeValue::Integer(_) => entry.whole_number(i64::MIN, i64::MAX).map(Value::Integer),
        DeValue::Float(float) => finite(entry, float.as_str()).map(Value::Float),
        DeValue::Array(_) => entry
            .elements("a list")?
            .iter()
            .map(|element| value(element, depth + 1))
            .collect::<Result<_, _>>()
            .map(Value::List),
        DeValue::Table(_) => Section::open_free(entry)?
            .entries()
            .iter()
            .map(|element| Ok((element.name.to_owned(), value(element, depth + 1)?)))
            .collect::<Result<_, _>>()
            .map(Value::Table),
        DeValue::Datetime(_) => Err(refused(entry, "a date or time")),
    }
}

/// A float that JSON, too, can say.
pub(super) fn finite(entry: &Entry<'_>, digits: &str) -> Result<f64, ManifestError> {
    match digits.parse::<f64>() {
        Ok(float) if float.is_finite() => Ok(float),
        _ => Err(refused(entry, "no finite number")),
    }
}

fn refused(entry: &Entry<'_>, what: &'static str) -> ManifestError {
    entry.error(ManifestProblem::Value { key: entry.path.clone(), what })
}
