//! How a stage of a manifest says that its input is cut into items.

use std::num::NonZeroU64;

use super::axes::axes;
use super::error::{ManifestError, ManifestProblem, QuantityKind};
use super::quantity::{parse_size, print_size};
use super::section::{Entry, Section};
use super::stage::{StagePlan, named_file, no_quantity, quantity_text};
use super::{FilePattern, FoundFiles, NamedFile};
use crate::limits::{
    BLOB_BYTES_MAX, EACH_FILE_BYTES_MAX, EACH_FILES_MAX, ITEMS_MAX, PIECE_BYTES_MAX,
    PIECE_BYTES_MIN,
};
use crate::{
    Axis, EarlierOutput, FileRef, Pairing, PieceEnd, RecordFormat, RecordSource, RelativeName,
    Splitter, StageIndex,
};

/// The keys of which a stage has one.
pub(super) const SPLITTERS: &[&str] = &[
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
];

/// How many bytes a piece has unless it is said.
const CHUNK_BYTES_DEFAULT: u64 = 1024 * 1024;

/// The most patterns in a list: each is a walk through folders.
const PATTERNS_MAX: usize = 256;

const PIECE_ENDS: &[&str] = &["line", "exact"];

/// A splitter, its files not yet found and hashed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SplitterPlan {
    /// One that needs no file.
    Whole(Splitter),
    Lines {
        field: String,
        source: SourcePlan,
    },
    Records {
        format: RecordFormat,
        field: Option<String>,
        source: SourcePlan,
    },
    EachFile {
        field: String,
        patterns: Vec<FilePattern>,
    },
}

/// Where the bytes are that are cut.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SourcePlan {
    File(NamedFile),
    Output(Output),
}

/// The output of an earlier stage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Output {
    stage: StageIndex,
    /// The stage's.
    name: String,
    file: RelativeName,
}

impl SplitterPlan {
    /// Reads the one splitter of a stage that follows those of `earlier`.
    pub(super) fn read(
        section: &Section<'_>,
        earlier: &[StagePlan],
    ) -> Result<Self, ManifestError> {
        let found: Vec<_> =
            SPLITTERS.iter().copied().filter(|name| section.find(name).is_some()).collect();
        let entry = match found.as_slice() {
            [only] => section.require(only, "range = { field = \"i\", start = 0, end = 10 }")?,
            _ => {
                let key = section.path.clone();
                return Err(section.error(ManifestProblem::Splitters { key, found }));
            }
        };
        let replicates = replicates(section, &entry)?;
        match entry.name {
            "range" => range(&entry).map(Self::Whole),
            "lines" => lines(&entry, earlier),
            "bytes" => bytes(&entry, earlier),
            "csv" => csv(&entry, earlier),
            "json_lines" => records(&entry, RecordFormat::JsonLines, earlier),
            "fasta" => records(&entry, RecordFormat::Fasta, earlier),
            "fastq" => records(&entry, RecordFormat::Fastq, earlier),
            "each_file" => each_file(&entry),
            "grid" => grid(&entry, Pairing::Product, replicates).map(Self::Whole),
            "zip" => grid(&entry, Pairing::Zip, replicates).map(Self::Whole),
            "split" => split(&entry, earlier).map(Self::Whole),
            _ => {
                let Output { stage, name, .. } = output(&entry, earlier)?;
                Ok(Self::Whole(Splitter::After { stage, field: name }))
            }
        }
    }

    /// The split function that gives its items.
    pub(super) fn function(&self) -> Option<&str> {
        match self {
            Self::Whole(Splitter::Split { function, .. }) => Some(function),
            _ => None,
        }
    }

    /// The name by which its split function opens an earlier stage's output.
    pub(super) fn output_name(&self) -> Option<&str> {
        match self {
            Self::Whole(Splitter::Split { after: Some(output), .. }) => Some(&output.name),
            _ => None,
        }
    }

    /// The file it reads.
    pub(super) fn source(&self) -> Option<&NamedFile> {
        match self {
            Self::Lines { source: SourcePlan::File(file), .. }
            | Self::Records { source: SourcePlan::File(file), .. } => Some(file),
            _ => None,
        }
    }

    /// The files it takes as items.
    pub(super) fn patterns(&self) -> &[FilePattern] {
        match self {
            Self::EachFile { patterns, .. } => patterns,
            Self::Whole(_) | Self::Lines { .. } | Self::Records { .. } => &[],
        }
    }

    /// The fields it is known to give each item.
    pub(super) fn fields(&self) -> Vec<&str> {
        match self {
            Self::Whole(splitter) => splitter.fields(),
            Self::Lines { field, .. } | Self::Records { field: Some(field), .. } => vec![field],
            Self::Records { format, field: None, .. } => format.fields().to_vec(),
            Self::EachFile { field, .. } => vec!["name", field],
        }
    }

    /// Whether an item may have other fields, which show when its file is read.
    pub(super) fn has_other_fields(&self) -> bool {
        match self {
            Self::Whole(splitter) => splitter.has_other_fields(),
            Self::Records { format, field: None, .. } => format.names_its_fields(),
            _ => false,
        }
    }

    pub(super) fn into_splitter(self, found: &FoundFiles) -> Result<Splitter, ManifestError> {
        match self {
            Self::Whole(splitter) => Ok(splitter),
            Self::Lines { field, source } => {
                let (source, file) = source.resolve(found)?;
                Ok(Splitter::Lines { field, source, file })
            }
            Self::Records { format, field, source } => {
                let (source, file) = source.resolve(found)?;
                Ok(Splitter::Records { format, field, source, file })
            }
            Self::EachFile { field, patterns } => {
                Ok(Splitter::EachFile { field, files: matched(&patterns, found)? })
            }
        }
    }
}

impl SourcePlan {
    /// The source, and what it is called in messages.
    fn resolve(self, found: &FoundFiles) -> Result<(RecordSource, String), ManifestError> {
        match self {
            Self::File(file) => {
                let name = file.source.to_string();
                Ok((RecordSource::File(file.resolve(found)?), name))
            }
            Self::Output(Output { stage, name, file }) => {
                Ok((RecordSource::Stage(stage), format!("{name}/{file}")))
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

fn lines(entry: &Entry<'_>, earlier: &[StagePlan]) -> Result<SplitterPlan, ManifestError> {
    let section = Section::open(entry, &["field", "file", "after"])?;
    let field = section.require("field", "field = \"line\"")?.identifier()?;
    let source = source(&section, earlier, "file = \"words.txt\"")?;
    Ok(SplitterPlan::Lines { field, source })
}

fn bytes(entry: &Entry<'_>, earlier: &[StagePlan]) -> Result<SplitterPlan, ManifestError> {
    let section = Section::open(entry, &["field", "file", "after", "chunk", "ends"])?;
    let field = section.require("field", "field = \"text\"")?.identifier()?;
    let source = source(&section, earlier, "file = \"words.txt\"")?;
    let chunk_bytes = section.find("chunk").map_or(Ok(CHUNK_BYTES_DEFAULT), |e| chunk(&e))?;
    let ends = section.find("ends").map_or(Ok(PieceEnd::Line), |e| piece_end(&e))?;
    let format = RecordFormat::Pieces { chunk_bytes, ends };
    Ok(SplitterPlan::Records { format, field: Some(field), source })
}

fn chunk(entry: &Entry<'_>) -> Result<u64, ManifestError> {
    let text = quantity_text(entry, "a size in quotes, such as \"1 MiB\"")?;
    let bytes = parse_size(text).ok_or_else(|| no_quantity(entry, text, QuantityKind::Size))?;
    if (PIECE_BYTES_MIN..=PIECE_BYTES_MAX).contains(&bytes) {
        return Ok(bytes);
    }
    let (min, max) = (print_size(PIECE_BYTES_MIN), print_size(PIECE_BYTES_MAX));
    Err(entry.out_of_bounds(text, &min, &max))
}

fn piece_end(entry: &Entry<'_>) -> Result<PieceEnd, ManifestError> {
    match entry.text()? {
        "line" => Ok(PieceEnd::Line),
        "exact" => Ok(PieceEnd::Exact),
        other => {
            let (key, found) = (entry.path.clone(), other.to_owned());
            Err(entry.error(ManifestProblem::Choice { key, found, allowed: PIECE_ENDS }))
        }
    }
}

fn csv(entry: &Entry<'_>, earlier: &[StagePlan]) -> Result<SplitterPlan, ManifestError> {
    let section = Section::open(entry, &["file", "after", "delimiter", "field"])?;
    let source = source(&section, earlier, "file = \"stars.csv\"")?;
    let delimiter = section.find("delimiter").map_or(Ok(','), |e| delimiter(&e))?;
    let format = RecordFormat::Csv { delimiter };
    Ok(SplitterPlan::Records { format, field: record_field(&section)?, source })
}

fn delimiter(entry: &Entry<'_>) -> Result<char, ManifestError> {
    let mut characters = entry.text()?.chars();
    match (characters.next(), characters.next()) {
        (Some(delimiter), None) if RecordFormat::is_delimiter(delimiter) => Ok(delimiter),
        _ => Err(entry.wrong_type("one ASCII character in quotes, such as \",\" or \"\\t\"")),
    }
}

fn records(
    entry: &Entry<'_>,
    format: RecordFormat,
    earlier: &[StagePlan],
) -> Result<SplitterPlan, ManifestError> {
    let section = Section::open(entry, &["file", "after", "field"])?;
    let source = source(&section, earlier, "file = \"records.txt\"")?;
    Ok(SplitterPlan::Records { format, field: record_field(&section)?, source })
}

fn record_field(section: &Section<'_>) -> Result<Option<String>, ManifestError> {
    section.find("field").map(|field| field.identifier()).transpose()
}

/// The file or the earlier stage whose bytes are cut; `example` is a file.
fn source(
    section: &Section<'_>,
    earlier: &[StagePlan],
    example: &'static str,
) -> Result<SourcePlan, ManifestError> {
    match section.find("after") {
        Some(after) if section.find("file").is_some() => {
            let key = section.path.clone();
            Err(after.key_error(ManifestProblem::TwoSources { key }))
        }
        Some(after) => output(&after, earlier).map(SourcePlan::Output),
        None => {
            let file = section.require("file", example)?;
            named_file(&file, BLOB_BYTES_MAX).map(SourcePlan::File)
        }
    }
}

fn each_file(entry: &Entry<'_>) -> Result<SplitterPlan, ManifestError> {
    let section = Section::open(entry, &["field", "glob"])?;
    let named = section.require("field", "field = \"image\"")?;
    let field = named.identifier()?;
    if field == "name" {
        return Err(named.error(ManifestProblem::FieldIsName { key: named.path.clone() }));
    }
    let glob = section.require("glob", "glob = \"data/*.png\"")?;
    if glob.value().as_str().is_some() {
        return Ok(SplitterPlan::EachFile { field, patterns: vec![pattern(&glob)?] });
    }
    let entries = glob.elements("a pattern in quotes, or a list of patterns")?;
    let patterns = entries.iter().map(pattern).collect::<Result<Vec<_>, _>>()?;
    if (1..=PATTERNS_MAX).contains(&patterns.len()) {
        return Ok(SplitterPlan::EachFile { field, patterns });
    }
    Err(glob.error(ManifestProblem::Count {
        key: glob.path.clone(),
        count: patterns.len() as u128,
        what: "patterns",
        min: 1,
        max: PATTERNS_MAX as u64,
    }))
}

fn pattern(entry: &Entry<'_>) -> Result<FilePattern, ManifestError> {
    match entry.text()? {
        "" => Err(entry.error(ManifestProblem::EmptyPath { key: entry.path.clone() })),
        text => Ok(FilePattern { text: text.to_owned(), place: entry.place() }),
    }
}

/// The files of all patterns by name, each once.
fn matched(patterns: &[FilePattern], found: &FoundFiles) -> Result<Vec<FileRef>, ManifestError> {
    let mut files: Vec<FileRef> = Vec::new();
    for pattern in patterns {
        let key = pattern.place.key.clone();
        let matches = found.matches.get(&pattern.text).map_or(&[][..], Vec::as_slice);
        if matches.is_empty() {
            let pattern_text = pattern.text.clone();
            let problem = ManifestProblem::NoMatch { key, pattern: pattern_text };
            return Err(pattern.place.error(problem));
        }
        if let Some(file) = matches.iter().find(|file| file.blob.bytes > EACH_FILE_BYTES_MAX) {
            return Err(pattern.place.error(ManifestProblem::MatchTooLarge {
                key,
                name: file.name.clone(),
                bytes: file.blob.bytes,
                max: EACH_FILE_BYTES_MAX,
            }));
        }
        files.extend_from_slice(matches);
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files.dedup_by(|a, b| a.name == b.name);
    if files.len() <= EACH_FILES_MAX {
        return Ok(files);
    }
    let place = &patterns[0].place;
    Err(place.error(ManifestProblem::Count {
        key: place.key.clone(),
        count: files.len() as u128,
        what: "files",
        min: 1,
        max: EACH_FILES_MAX as u64,
    }))
}

fn replicates(
    section: &Section<'_>,
    splitter: &Entry<'_>,
) -> Result<Option<NonZeroU64>, ManifestError> {
    let Some(entry) = section.find("replicates") else { return Ok(None) };
    if !["grid", "zip"].contains(&splitter.name) {
        let (key, splitter) = (entry.path.clone(), splitter.name.to_owned());
        return Err(entry.key_error(ManifestProblem::UselessReplicates { key, splitter }));
    }
    Ok(NonZeroU64::new(entry.whole_number(1, ITEMS_MAX)?))
}

fn grid(
    entry: &Entry<'_>,
    pairing: Pairing,
    replicates: Option<NonZeroU64>,
) -> Result<Splitter, ManifestError> {
    let axes = axes(entry)?;
    let points = match pairing {
        Pairing::Product => product(&axes),
        Pairing::Zip => zipped(entry, &axes)?,
    };
    let items = points.saturating_mul(replicates.map_or(1, NonZeroU64::get).into());
    if !(1..=u128::from(ITEMS_MAX)).contains(&items) {
        return Err(entry.key_error(ManifestProblem::Count {
            key: entry.path.clone(),
            count: items,
            what: "combinations",
            min: 1,
            max: ITEMS_MAX,
        }));
    }
    if replicates.is_some() && axes.iter().any(|axis| axis.field == "replicate") {
        let key = format!("{}.replicate", entry.path);
        return Err(entry.key_error(ManifestProblem::AxisIsReplicate { key }));
    }
    Ok(Splitter::Grid { axes, pairing, replicates })
}

fn product(axes: &[Axis]) -> u128 {
    let combine = |count: u128, axis: &Axis| count.saturating_mul(axis.values.len().into());
    if axes.is_empty() { 0 } else { axes.iter().fold(1, combine) }
}

/// How many values each of the axes has.
fn zipped(entry: &Entry<'_>, axes: &[Axis]) -> Result<u128, ManifestError> {
    let Some(first) = axes.first() else { return Ok(0) };
    let length = first.values.len();
    match axes.iter().find(|axis| axis.values.len() != length) {
        None => Ok(length.into()),
        Some(other) => Err(entry.key_error(ManifestProblem::AxisLengths {
            key: format!("{}.{}", entry.path, other.field),
            length: other.values.len(),
            first: first.field.clone(),
            first_length: length,
        })),
    }
}

fn split(entry: &Entry<'_>, earlier: &[StagePlan]) -> Result<Splitter, ManifestError> {
    if entry.value().as_str().is_some() {
        return Ok(Splitter::Split { function: entry.identifier()?, items: None, after: None });
    }
    let section = Section::open(entry, &["function", "after"])?;
    let function = section.require("function", "function = \"tiles\"")?.identifier()?;
    let Output { stage, name, .. } =
        output(&section.require("after", "after = \"search\"")?, earlier)?;
    Ok(Splitter::Split { function, items: None, after: Some(EarlierOutput { stage, name }) })
}

/// The stage that `entry` names, and its one file.
fn output(entry: &Entry<'_>, earlier: &[StagePlan]) -> Result<Output, ManifestError> {
    let name = entry.text()?;
    let (key, stage) = (entry.path.clone(), name.to_owned());
    let Some(index) = earlier.iter().position(|stage| stage.name() == name) else {
        let earlier = earlier.iter().map(|stage| stage.name().to_owned()).collect();
        return Err(entry.error(ManifestProblem::NotEarlier { key, stage, earlier }));
    };
    let Some(file) = earlier[index].reducer().file() else {
        return Err(entry.error(ManifestProblem::AfterFiles { key, stage }));
    };
    let index = u32::try_from(index).expect("a job has few stages");
    Ok(Output { stage: StageIndex(index), name: stage, file: file.clone() })
}
