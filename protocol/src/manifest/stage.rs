//! One `[[stage]]` of a manifest.

use std::num::NonZeroU32;
use std::time::Duration;

use super::error::{ManifestError, ManifestProblem, QuantityKind};
use super::quantity::{parse_duration, parse_size, print_duration, print_size};
use super::reducer::reducer;
use super::section::{Entry, Section};
use super::splitter::SplitterPlan;
use super::{
    FilePattern, FileSource, FoundFiles, FunctionKind, FunctionUse, NamedFile, Place, Position,
    values,
};
use crate::limits::{BLOB_BYTES_MAX, ITEMS_PER_UNIT_MAX, MODULE_BYTES_MAX, STAGE_FILES_MAX};
use crate::{
    FileRef, Floats, Limits, OnFailure, Reducer, RelativeName, StageSpec, StageTask, UnitSize,
    ValueMap, results,
};

const KEYS: &[&str] = &[
    "name",
    "module",
    "function",
    "range",
    "lines",
    "bytes",
    "csv",
    "json_lines",
    "fasta",
    "fastq",
    "each_file",
    "grid",
    "zip",
    "split",
    "after",
    "replicates",
    "unit_items",
    "floats",
    "reduce",
    "merge",
    "histogram",
    "top",
    "columns",
    "output",
    "parameters",
    "files",
    "limits",
];

/// A stage, its files not yet hashed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StagePlan {
    name: String,
    module: NamedFile,
    function: String,
    function_place: Place,
    splitter: SplitterPlan,
    split_place: Option<Place>,
    unit_size: UnitSize,
    reducer: Reducer,
    merge_place: Option<Place>,
    parameters: ValueMap,
    files: Vec<(String, NamedFile)>,
    limits: Limits,
    floats: Floats,
}

impl StagePlan {
    /// Reads the stage that follows those of `earlier`.
    pub(super) fn read(entry: Entry<'_>, earlier: &[Self]) -> Result<Self, ManifestError> {
        let section = open(entry)?;
        let name = name(&section, earlier)?;
        let (reducer, merge_place) = reducer(&section, &name)?;
        let stage = Self {
            module: named_file(
                &section.require("module", "module = \"planets.wasm\"")?,
                MODULE_BYTES_MAX,
            )?,
            function: section.find("function").map_or(Ok("run".into()), |f| f.identifier())?,
            function_place: function_place(&section),
            splitter: SplitterPlan::read(&section, earlier)?,
            split_place: section.find("split").map(|entry| entry.place()),
            unit_size: section.find("unit_items").map_or(Ok(UnitSize::Auto), |e| unit_size(&e))?,
            reducer,
            merge_place,
            parameters: section
                .find("parameters")
                .map_or(Ok(ValueMap::new()), |e| values::parameters(&e))?,
            files: section.find("files").map_or(Ok(Vec::new()), |e| files(&e))?,
            limits: section.find("limits").map_or(Ok(Limits::default()), |e| limits(&e))?,
            floats: section.find("floats").map_or(Ok(Floats::default()), |e| floats(&e))?,
            name,
        };
        stage.refuse_repeated_fields(&section)?;
        stage.refuse_unknown_columns(&section)?;
        stage.refuse_repeated_file(&section)?;
        Ok(stage)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn reducer(&self) -> &Reducer {
        &self.reducer
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &NamedFile> {
        let shared = self.files.iter().map(|(_, file)| file);
        [&self.module].into_iter().chain(self.splitter.source()).chain(shared)
    }

    pub(super) fn patterns(&self) -> &[FilePattern] {
        self.splitter.patterns()
    }

    pub(super) fn functions(&self) -> impl Iterator<Item = FunctionUse<'_>> {
        let function_use = |function, kind, place| FunctionUse {
            module: self.module.source(),
            function,
            kind,
            floats: self.floats,
            place,
        };
        let merge = match (&self.reducer, &self.merge_place) {
            (Reducer::Merge { function, .. }, Some(place)) => {
                Some(function_use(function, FunctionKind::Merge, place))
            }
            _ => None,
        };
        let split = self.splitter.function().zip(self.split_place.as_ref());
        let split =
            split.map(|(function, place)| function_use(function, FunctionKind::Split, place));
        [function_use(&self.function, FunctionKind::Task, &self.function_place)]
            .into_iter()
            .chain(split)
            .chain(merge)
    }

    pub(super) fn into_spec(
        self,
        seed: u64,
        on_failure: OnFailure,
        found: &FoundFiles,
    ) -> Result<StageSpec, ManifestError> {
        let files = self
            .files
            .into_iter()
            .map(|(name, file)| Ok(FileRef { name, blob: file.resolve(found)? }));
        let task = StageTask {
            module: self.module.resolve(found)?,
            function: self.function,
            parameters: self.parameters,
            files: files.collect::<Result<_, _>>()?,
            limits: self.limits,
            seed,
            floats: self.floats,
            on_failure,
        };
        let splitter = self.splitter.into_splitter(found)?;
        let (name, unit_size, reducer) = (self.name, self.unit_size, self.reducer);
        Ok(StageSpec { name, task, splitter, unit_size, unit_items_max: None, reducer })
    }

    fn refuse_unknown_columns(&self, section: &Section<'_>) -> Result<(), ManifestError> {
        let Some(entry) = section.find("columns") else { return Ok(()) };
        if self.splitter.has_other_fields() {
            return Ok(());
        }
        let fields = self.splitter.fields();
        for column in entry.elements("a list of names")? {
            let name = column.text()?;
            if !fields.contains(&name) {
                return Err(column.error(ManifestProblem::NoColumn {
                    key: entry.path.clone(),
                    column: name.to_owned(),
                    fields: fields.into_iter().map(str::to_owned).collect(),
                }));
            }
        }
        Ok(())
    }

    fn refuse_repeated_file(&self, section: &Section<'_>) -> Result<(), ManifestError> {
        let (Some(name), Some(entry)) = (self.splitter.output_name(), section.find("files")) else {
            return Ok(());
        };
        let files = Section::open_free(&entry)?.entries();
        let Some(twice) = files.iter().find(|file| file.name == name) else { return Ok(()) };
        let (key, stage) = (twice.path.clone(), name.to_owned());
        Err(twice.key_error(ManifestProblem::FileIsOutput { key, stage }))
    }

    fn refuse_repeated_fields(&self, section: &Section<'_>) -> Result<(), ManifestError> {
        let fields = self.splitter.fields();
        let Some(entry) = section.find("parameters") else { return Ok(()) };
        let parameters = Section::open_free(&entry)?.entries();
        let Some(twice) = parameters.iter().find(|entry| fields.contains(&entry.name)) else {
            return Ok(());
        };
        Err(twice.key_error(ManifestProblem::FieldTwice {
            key: twice.path.clone(),
            field: twice.name.to_owned(),
        }))
    }
}

/// The stage's table, under the stage's name where it has one.
fn open(entry: Entry<'_>) -> Result<Section<'_>, ManifestError> {
    let named = Section::open_free(&entry)?.find("name").and_then(|name| name.identifier().ok());
    match named {
        Some(name) => Section::open(&entry.renamed(format!("stage.{name}")), KEYS),
        None => Section::open(&entry, KEYS),
    }
}

fn name(section: &Section<'_>, earlier: &[StagePlan]) -> Result<String, ManifestError> {
    let entry = section.require("name", "name = \"search\"")?;
    let name = entry.identifier()?;
    // Results are put into a folder of the stage's name.
    result_name(&entry, &name)?;
    if earlier.iter().any(|stage| stage.name == name) {
        return Err(entry.error(ManifestProblem::StageTwice { key: entry.path.clone(), name }));
    }
    let folder = name.to_lowercase();
    if let Some(other) = earlier.iter().find(|stage| stage.name.to_lowercase() == folder) {
        let (key, earlier) = (entry.path.clone(), other.name.clone());
        return Err(entry.error(ManifestProblem::OneFolder { key, name, earlier }));
    }
    Ok(name)
}

fn function_place(section: &Section<'_>) -> Place {
    let key = format!("{}.function", section.path);
    match section.find("function").or_else(|| section.find("name")) {
        Some(entry) => Place { key, ..entry.place() },
        None => Place { key, position: Position::Text { line: 1, column: 1 } },
    }
}

fn unit_size(entry: &Entry<'_>) -> Result<UnitSize, ManifestError> {
    if entry.value().is_integer() {
        let max = u32::try_from(ITEMS_PER_UNIT_MAX).expect("a unit has few items");
        let items = NonZeroU32::new(entry.whole_number(1, max)?).expect("the least allowed is 1");
        return Ok(UnitSize::Fixed(items));
    }
    match entry.value().as_str() {
        Some("auto") => Ok(UnitSize::Auto),
        _ => Err(entry.wrong_type("\"auto\" or a whole number")),
    }
}

/// The name of something that is put among a job's results.
pub(super) fn result_name(entry: &Entry<'_>, name: &str) -> Result<RelativeName, ManifestError> {
    if results::is_reserved(name) {
        let (key, name) = (entry.path.clone(), name.to_owned());
        return Err(entry.error(ManifestProblem::Reserved { key, name }));
    }
    name.parse().map_err(|reason| {
        entry.error(ManifestProblem::FileName { key: entry.path.clone(), reason })
    })
}

fn files(entry: &Entry<'_>) -> Result<Vec<(String, NamedFile)>, ManifestError> {
    let entries = Section::open_free(entry)?.entries();
    if entries.len() > STAGE_FILES_MAX {
        return Err(entry.key_error(ManifestProblem::Count {
            key: entry.path.clone(),
            count: entries.len() as u128,
            what: "files",
            min: 0,
            max: STAGE_FILES_MAX as u64,
        }));
    }
    let file = |file: &Entry<'_>| Ok((file.key_identifier()?, named_file(file, BLOB_BYTES_MAX)?));
    entries.iter().map(file).collect()
}

pub(super) fn named_file(entry: &Entry<'_>, bytes_max: u64) -> Result<NamedFile, ManifestError> {
    Ok(NamedFile { source: FileSource::read(entry)?, bytes_max, place: entry.place() })
}

fn floats(entry: &Entry<'_>) -> Result<Floats, ManifestError> {
    let word = entry.text()?;
    Floats::of_name(word).ok_or_else(|| {
        let (key, found) = (entry.path.clone(), word.to_owned());
        entry.error(ManifestProblem::Choice { key, found, allowed: Floats::NAMES })
    })
}

fn limits(entry: &Entry<'_>) -> Result<Limits, ManifestError> {
    let keys = &["memory", "output", "log", "host_calls", "cpu", "wall"];
    let section = Section::open(entry, keys)?;
    let mut limits = Limits::default();
    if let Some(entry) = section.find("memory") {
        limits.memory_bytes = size(&entry, Limits::MEMORY_BYTES_MIN, Limits::MEMORY_BYTES_MAX)?;
    }
    if let Some(entry) = section.find("output") {
        limits.output_bytes = size(&entry, 0, Limits::OUTPUT_BYTES_MAX)?;
    }
    if let Some(entry) = section.find("log") {
        limits.log_bytes = size(&entry, 0, Limits::LOG_BYTES_MAX)?;
    }
    if let Some(entry) = section.find("host_calls") {
        limits.host_calls = entry.whole_number(1, u64::MAX)?;
    }
    if let Some(entry) = section.find("cpu") {
        limits.cpu = duration(&entry)?;
    }
    if let Some(entry) = section.find("wall") {
        limits.wall = duration(&entry)?;
    }
    Ok(limits)
}

fn size(entry: &Entry<'_>, min: u64, max: u64) -> Result<u64, ManifestError> {
    let text = quantity_text(entry, "a size in quotes, such as \"256 MiB\"")?;
    let bytes = parse_size(text).ok_or_else(|| no_quantity(entry, text, QuantityKind::Size))?;
    if (min..=max).contains(&bytes) {
        return Ok(bytes);
    }
    Err(entry.out_of_bounds(text, &print_size(min), &print_size(max)))
}

pub(super) fn duration(entry: &Entry<'_>) -> Result<Duration, ManifestError> {
    duration_within(entry, Limits::TIME_MIN, Limits::TIME_MAX)
}

pub(super) fn duration_within(
    entry: &Entry<'_>,
    min: Duration,
    max: Duration,
) -> Result<Duration, ManifestError> {
    let text = quantity_text(entry, "a duration in quotes, such as \"10 min\"")?;
    let duration =
        parse_duration(text).ok_or_else(|| no_quantity(entry, text, QuantityKind::Duration))?;
    if (min..=max).contains(&duration) {
        return Ok(duration);
    }
    let (min, max) = (print_duration(min), print_duration(max));
    Err(entry.out_of_bounds(text, &min, &max))
}

pub(super) fn quantity_text<'a>(
    entry: &Entry<'a>,
    expected: &'static str,
) -> Result<&'a str, ManifestError> {
    entry.value().as_str().ok_or_else(|| entry.wrong_type(expected))
}

pub(super) fn no_quantity(entry: &Entry<'_>, text: &str, kind: QuantityKind) -> ManifestError {
    let key = entry.path.clone();
    entry.error(ManifestProblem::Quantity { key, text: text.to_owned(), kind })
}
