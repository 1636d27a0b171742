//! How a stage of a manifest says that its input is cut into items.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::{ManifestError, ManifestProblem};
use super::section::{Entry, Section};
use super::stage::{StagePlan, local_file};
use super::{LocalFile, values};
use crate::limits::{BLOB_BYTES_MAX, ITEMS_MAX};
use crate::{BlobRef, Reducer, Splitter, StageIndex};

const SPLITTERS: [&str; 4] = ["range", "lines", "grid", "after"];

/// A splitter, its text not yet hashed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SplitterPlan {
    /// One that needs no file.
    Whole(Splitter),
    Lines {
        field: String,
        source: LocalFile,
    },
}

impl SplitterPlan {
    /// Reads the one splitter of a stage that follows those of `earlier`.
    pub(super) fn read(
        section: &Section<'_>,
        earlier: &[StagePlan],
    ) -> Result<Self, ManifestError> {
        let found: Vec<_> =
            SPLITTERS.into_iter().filter(|splitter| section.find(splitter).is_some()).collect();
        let entry = match found.as_slice() {
            [only] => section.require(only, "range = { field = \"i\", start = 0, end = 10 }")?,
            _ => {
                let key = section.path.clone();
                return Err(section.error(ManifestProblem::Splitters { key, found }));
            }
        };
        match entry.name {
            "range" => range(&entry).map(Self::Whole),
            "grid" => grid(&entry).map(Self::Whole),
            "after" => after(&entry, earlier).map(Self::Whole),
            _ => lines(&entry),
        }
    }

    /// The text it reads.
    pub(super) fn source(&self) -> Option<&LocalFile> {
        match self {
            Self::Lines { source, .. } => Some(source),
            Self::Whole(_) => None,
        }
    }

    /// The fields it gives each item.
    pub(super) fn fields(&self) -> Vec<&str> {
        match self {
            Self::Whole(splitter) => splitter.fields(),
            Self::Lines { field, .. } => vec![field.as_str()],
        }
    }

    pub(super) fn into_splitter(
        self,
        blobs: &BTreeMap<PathBuf, BlobRef>,
    ) -> Result<Splitter, ManifestError> {
        match self {
            Self::Whole(splitter) => Ok(splitter),
            Self::Lines { field, source } => {
                Ok(Splitter::Lines { field, source: source.resolve(blobs)? })
            }
        }
    }
}

fn range(entry: &Entry<'_>) -> Result<Splitter, ManifestError> {
    let section = Section::open(entry, &["field", "start", "end"])?;
    let field = section.require("field", "field = \"i\"")?.identifier()?;
    let start =
        section.find("start").map_or(Ok(0), |start| start.whole_number(i64::MIN, i64::MAX - 1))?;
    // The number of items must fit where a signed 64-bit integer is all there is.
    let end_max = i64::try_from(i128::from(start) + i128::from(ITEMS_MAX)).unwrap_or(i64::MAX);
    let end = section.require("end", "end = 100")?.whole_number(start + 1, end_max)?;
    Ok(Splitter::Range { field, start, end })
}

fn lines(entry: &Entry<'_>) -> Result<SplitterPlan, ManifestError> {
    let section = Section::open(entry, &["field", "file"])?;
    let field = section.require("field", "field = \"line\"")?.identifier()?;
    let file = section.require("file", "file = \"words.txt\"")?;
    Ok(SplitterPlan::Lines { field, source: local_file(&file, BLOB_BYTES_MAX)? })
}

fn grid(entry: &Entry<'_>) -> Result<Splitter, ManifestError> {
    let axes = values::axes(entry)?;
    let combinations =
        |count: u128, axis: &crate::Axis| count.saturating_mul(axis.values.len() as u128);
    let items = if axes.is_empty() { 0 } else { axes.iter().fold(1, combinations) };
    if (1..=u128::from(ITEMS_MAX)).contains(&items) {
        return Ok(Splitter::Grid { axes });
    }
    Err(entry.key_error(ManifestProblem::Count {
        key: entry.path.clone(),
        count: items,
        what: "combinations",
        min: 1,
        max: ITEMS_MAX,
    }))
}

fn after(entry: &Entry<'_>, earlier: &[StagePlan]) -> Result<Splitter, ManifestError> {
    let name = entry.text()?;
    let (key, stage) = (entry.path.clone(), name.to_owned());
    let Some(index) = earlier.iter().position(|stage| stage.name() == name) else {
        let earlier = earlier.iter().map(|stage| stage.name().to_owned()).collect();
        return Err(entry.error(ManifestProblem::NotEarlier { key, stage, earlier }));
    };
    if *earlier[index].reducer() == Reducer::Files {
        return Err(entry.error(ManifestProblem::AfterFiles { key, stage }));
    }
    let index = u32::try_from(index).expect("a job has few stages");
    Ok(Splitter::After { stage: StageIndex(index), field: stage })
}
