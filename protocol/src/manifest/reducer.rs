//! How a `[[stage]]` reduces: `reduce` and the keys that go with it.

use super::Place;
use super::error::{ManifestError, ManifestProblem};
use super::section::Section;
use super::stage::relative_name;
use crate::{Reducer, RelativeName};

const REDUCERS: &[&str] = &["concat", "lines", "csv", "files", "merge"];

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
    if reduce != "merge" {
        refuse_useless(section, "merge", reduce)?;
    }
    if reduce == "files" {
        refuse_useless(section, "output", reduce)?;
        return Ok((Reducer::Files, None));
    }
    let file = |extension: &str| output_name(section, stage, extension);
    Ok(match reduce {
        "concat" => (Reducer::Concat { file: file("bin")? }, None),
        "lines" => (Reducer::Lines { file: file("txt")? }, None),
        "csv" => (Reducer::Csv { file: file("csv")? }, None),
        _ => {
            let merge = section.require("merge", "merge = \"combine\"")?;
            let function = merge.identifier()?;
            (Reducer::Merge { file: file("json")?, function }, Some(merge.place()))
        }
    })
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
        Some(entry) => relative_name(&entry, entry.text()?),
        None => {
            let entry = section.require("name", "name = \"search\"")?;
            relative_name(&entry, &format!("{stage}.{extension}"))
        }
    }
}
