//! How a `[[stage]]` reduces: `reduce` and the keys that go with it.

use std::num::NonZeroU32;

use toml::de::DeValue;

use super::error::{ManifestError, ManifestProblem};
use super::section::{Entry, Section};
use super::stage::result_name;
use super::{Place, values};
use crate::{Bins, Reducer, RelativeName, TopOrder};

const REDUCERS: &[&str] =
    &["concat", "lines", "csv", "files", "merge", "sum", "min", "max", "histogram", "top"];

/// Keys that say something with the reducer of their own name alone.
const DETAILS: [&str; 3] = ["merge", "histogram", "top"];

const ORDERS: &[&str] = &["greatest", "least"];

/// The reducer, and where its merge function is named.
pub(super) fn reducer(
    section: &Section<'_>,
    stage: &str,
) -> Result<(Reducer, Option<Place>), ManifestError> {
    let entry = section.require("reduce", "reduce = \"csv\"")?;
    let word = entry.text()?;
    let Some(reduce) = REDUCERS.iter().copied().find(|known| *known == word) else {
        let (key, found) = (entry.path.clone(), word.to_owned());
        return Err(entry.error(ManifestProblem::Choice { key, found, allowed: REDUCERS }));
    };
    for detail in DETAILS.into_iter().filter(|detail| *detail != reduce) {
        refuse_useless(section, detail, reduce)?;
    }
    if !["csv", "top"].contains(&reduce) {
        refuse_useless(section, "columns", reduce)?;
    }
    if reduce == "files" {
        refuse_useless(section, "output", reduce)?;
        return Ok((Reducer::Files, None));
    }
    let file = |extension: &str| output_name(section, stage, extension);
    let reducer = match reduce {
        "concat" => Reducer::Concat { file: file("bin")? },
        "lines" => Reducer::Lines { file: file("txt")? },
        "csv" => Reducer::Csv { file: file("csv")?, columns: columns(section)? },
        "sum" => Reducer::Sum { file: file("json")? },
        "min" => Reducer::Min { file: file("json")? },
        "max" => Reducer::Max { file: file("json")? },
        "histogram" => histogram(section, file("json")?)?,
        "top" => top(section, file("csv")?)?,
        _ => {
            let merge = section.require("merge", "merge = \"combine\"")?;
            let function = merge.identifier()?;
            let reducer = Reducer::Merge { file: file("json")?, function };
            return Ok((reducer, Some(merge.place())));
        }
    };
    Ok((reducer, None))
}

fn histogram(section: &Section<'_>, file: RelativeName) -> Result<Reducer, ManifestError> {
    let Some(entry) = section.find("histogram") else {
        return Ok(Reducer::Histogram { file, field: None, bins: None });
    };
    let table = Section::open(&entry, &["field", "bins", "low", "high"])?;
    let field = table.find("field").map(|field| field_name(&field)).transpose()?;
    if ["bins", "low", "high"].iter().all(|key| table.find(key).is_none()) {
        return Ok(Reducer::Histogram { file, field, bins: None });
    }
    let bins = table.require("bins", "bins = 20")?.whole_number(1, Bins::COUNT_MAX)?;
    let bins = Bins {
        low: number(&table.require("low", "low = 0.0")?)?,
        high: number(&table.require("high", "high = 1.0")?)?,
        count: NonZeroU32::new(bins).expect("the least allowed is 1"),
    };
    if bins.edges().is_none() {
        return Err(entry.error(ManifestProblem::Bins {
            key: entry.path.clone(),
            count: bins.count.get(),
            low: bins.low.to_string(),
            high: bins.high.to_string(),
        }));
    }
    Ok(Reducer::Histogram { file, field, bins: Some(bins) })
}

fn top(section: &Section<'_>, file: RelativeName) -> Result<Reducer, ManifestError> {
    let entry = section.require("top", "top = { field = \"power\", records = 10 }")?;
    let table = Section::open(&entry, &["field", "records", "order"])?;
    let field = field_name(&table.require("field", "field = \"power\"")?)?;
    let records = table.require("records", "records = 10")?;
    let records = records.whole_number(1, Reducer::TOP_RECORDS_MAX)?;
    let records = NonZeroU32::new(records).expect("the least allowed is 1");
    let order = table.find("order").map_or(Ok(TopOrder::Greatest), |order| top_order(&order))?;
    Ok(Reducer::Top { file, field, records, order, columns: columns(section)? })
}

fn columns(section: &Section<'_>) -> Result<Option<Vec<String>>, ManifestError> {
    let Some(entry) = section.find("columns") else { return Ok(None) };
    let mut columns: Vec<String> = Vec::new();
    for column in entry.elements("a list of names")? {
        let name = column.identifier()?;
        if columns.contains(&name) {
            let key = entry.path.clone();
            return Err(column.error(ManifestProblem::ColumnTwice { key, column: name }));
        }
        columns.push(name);
    }
    Ok(Some(columns))
}

fn top_order(entry: &Entry<'_>) -> Result<TopOrder, ManifestError> {
    match entry.text()? {
        "greatest" => Ok(TopOrder::Greatest),
        "least" => Ok(TopOrder::Least),
        other => {
            let (key, found) = (entry.path.clone(), other.to_owned());
            Err(entry.error(ManifestProblem::Choice { key, found, allowed: ORDERS }))
        }
    }
}

/// The name of a field of a task's records: any text, as it is the author's.
fn field_name(entry: &Entry<'_>) -> Result<String, ManifestError> {
    let name = entry.text()?;
    let max = Reducer::FIELD_BYTES_MAX;
    if (1..=max).contains(&name.len()) {
        return Ok(name.to_owned());
    }
    Err(entry.error(ManifestProblem::Count {
        key: entry.path.clone(),
        count: name.len() as u128,
        what: "bytes",
        min: 1,
        max: max as u64,
    }))
}

fn number(entry: &Entry<'_>) -> Result<f64, ManifestError> {
    match entry.value() {
        DeValue::Integer(_) => entry.whole_number(i64::MIN, i64::MAX).map(|whole| whole as f64),
        DeValue::Float(float) => values::finite(entry, float.as_str()),
        _ => Err(entry.wrong_type("a number")),
    }
}

fn refuse_useless(
    section: &Section<'_>,
    name: &'static str,
    reduce: &'static str,
) -> Result<(), ManifestError> {
    let Some(entry) = section.find(name) else { return Ok(()) };
    Err(entry.key_error(ManifestProblem::Useless { key: entry.path.clone(), name, reduce }))
}

fn output_name(
    section: &Section<'_>,
    stage: &str,
    extension: &str,
) -> Result<RelativeName, ManifestError> {
    match section.find("output") {
        Some(entry) => {
            let name = entry.text()?;
            if name.contains('/') {
                let (key, name) = (entry.path.clone(), name.to_owned());
                return Err(entry.error(ManifestProblem::NotPlain { key, name }));
            }
            result_name(&entry, name)
        }
        None => {
            let entry = section.require("name", "name = \"search\"")?;
            result_name(&entry, &format!("{stage}.{extension}"))
        }
    }
}
