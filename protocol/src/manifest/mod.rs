//! The manifest, `job.toml`: what a submitter writes about a job.
//!
//! Parsing is strict and pure: text in, [`Manifest`] or the first error out. An error names its
//! line, column and key, the value and the limit, and what to do. Reading and hashing the files
//! that a manifest names is the caller's: [`Manifest::files`] lists them, and
//! [`Manifest::into_job_spec`] takes their hashes. What it returns passes [`JobSpec::check`].
//! Deliberately absent: defaults that depend on the machine, includes, variables, and any other
//! way for one text to mean two jobs.
//!
//! ```toml
//! [job]
//! name = "planets"
//! seed = 164922                # default 0
//! priority = 0                 # default 0
//! quorum = 1                   # default 1
//! max_attempts = 5             # default 5
//! on_failure = "stop"          # or "continue"
//! keep = "30 d"                # default for ever
//!
//! [notify]
//! on_done = "https://example.org/hook"     # or a command: ["notify-send", "job done"]
//! on_stall = ["notify-send", "job stalled"]
//! stall_after = "30 min"
//!
//! [[stage]]
//! name = "search"
//! module = "planets.wasm"      # paths are relative to the manifest
//! function = "search"          # default "run"
//! range = { field = "resampling", start = 0, end = 2001 }
//! # or: lines = { field = "line", file = "words.txt" }
//! # or: bytes = { field = "text", file = "book.txt", chunk = "1 MiB", ends = "line" }
//! # or: csv, json_lines, fasta, fastq = { file = "records.csv" }
//! #     where `after = "earlier-stage"` may stand in the place of `file`
//! # or: each_file = { field = "image", glob = "data/*.png" }
//! # or: grid = { a = [1, 2], b = { linspace = [0, 1, 11] } }, also zip; with `replicates = 3`
//! # or: split = "tiles"          # a function of the module that gives the items
//! # or: split = { function = "tiles", after = "earlier-stage" }
//! # or: after = "earlier-stage"
//! unit_items = "auto"          # or a number
//! floats = "plain"             # or "strict"
//! reduce = "csv"               # concat, lines, csv, files, merge, sum, min, max, histogram or top
//! output = "search.csv"        # default: the stage's name and .bin, .txt, .csv or .json
//! # merge = "combine"          # with `reduce = "merge"`: the function that combines two values
//! # histogram = { field = "power", bins = 20, low = 0.0, high = 1.0 }
//! # top = { field = "power", records = 10, order = "greatest" }
//! columns = ["resampling"]     # with csv and top: the item's own fields that become columns
//!
//! [stage.parameters]           # fields that every item shares
//! period_min_days = 1.1
//!
//! [stage.files]                # files that every item may open, by name
//! star = "data/hd164922.csv"   # or { url = "https://…", hash = "sha256:…" }, as for any file
//!
//! [stage.limits]
//! memory = "256 MiB"           # also output, log, host_calls, cpu = "10 min", wall = "1 h"
//! ```

mod axes;
mod error;
mod hint;
mod nearest;
mod notify;
mod quantity;
mod reducer;
mod remote;
mod schema;
mod section;
mod setting;
mod splitter;
mod stage;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use toml::de::DeTable;

pub use self::error::{ManifestError, ManifestProblem, QuantityKind};
pub use self::quantity::{parse_duration, parse_size};
pub use self::remote::{FileHash, FileSource, ParseFileHashError, RemoteFile};
pub use self::schema::SCHEMA;
use self::section::{Entry, Section};
use self::setting::Source;
pub use self::setting::{ParseSettingError, Position, Setting};
use self::stage::StagePlan;
use crate::limits::{ATTEMPTS_MAX, EACH_FILES_MAX, PRIORITY_MAX, QUORUM_MAX, STAGES_MAX};
use crate::{Answers, BlobRef, FileRef, Floats, JobSpec, Limits, Notify, OnFailure};

/// The longest manifest in bytes: room for grids and parameters written out, and far below the
/// frame that a stage's parameters travel in.
pub const MANIFEST_BYTES_MAX: usize = 1024 * 1024;

const _: () = assert!(MANIFEST_BYTES_MAX * 4 < crate::limits::FRAME_BYTES_MAX);

const ROOT_KEYS: &[&str] = &["job", "notify", "stage"];
const QUORUM_DEFAULT: NonZeroU32 = NonZeroU32::new(1).expect("not zero");
const MAX_ATTEMPTS_DEFAULT: NonZeroU32 = NonZeroU32::new(5).expect("not zero");

/// A manifest that was read without fault; only its files are not looked at yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    name: String,
    seed: u64,
    priority: i32,
    quorum: NonZeroU32,
    max_attempts: NonZeroU32,
    on_failure: OnFailure,
    keep: Option<Duration>,
    notify: Notify,
    stages: Vec<StagePlan>,
}

/// A file that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    source: FileSource,
    bytes_max: u64,
    place: Place,
}

/// Files of the submitter's that a manifest names by a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePattern {
    text: String,
    place: Place,
}

/// What the caller found of the files that a manifest names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundFiles {
    /// For the source of each of [`Manifest::files`], its bytes.
    pub files: BTreeMap<FileSource, BlobRef>,
    /// For the text of each of [`Manifest::patterns`], the files that match, under their paths
    /// relative to the manifest's folder with `/` between their parts; in any order.
    pub matches: BTreeMap<String, Vec<FileRef>>,
}

/// A function of a module that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionUse<'a> {
    /// The module.
    pub module: &'a FileSource,
    /// The function.
    pub function: &'a str,
    /// What it must be.
    pub kind: FunctionKind,
    /// What becomes of the bits of NaNs in its stage.
    pub floats: Floats,
    place: &'a Place,
}

/// What a function of a module is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    /// It computes an item.
    Task,
    /// It combines two values.
    Merge,
    /// It gives a stage's items.
    Split,
}

/// Where a key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    key: String,
    position: Position,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// The first thing wrong; nothing is guessed and nothing is ignored.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        Self::parse_with(text, &[])
    }

    /// Reads a manifest in which `settings` have taken the place of what stands there, the later
    /// ones that of the earlier.
    ///
    /// # Errors
    /// The first thing wrong; nothing is guessed and nothing is ignored.
    pub fn parse_with(text: &str, settings: &[Setting]) -> Result<Self, ManifestError> {
        let source = Source { text, settings };
        let bytes = text.len() + settings.iter().map(Setting::bytes).sum::<usize>();
        if bytes > MANIFEST_BYTES_MAX {
            let problem = ManifestProblem::TooLong { bytes, max: MANIFEST_BYTES_MAX };
            return Err(ManifestError::at(source, &(0..0), problem));
        }
        let mut document = DeTable::parse(text).map_err(|error| syntax_error(source, &error))?;
        source.apply(document.get_mut(), ROOT_KEYS)?;
        let root = Section::root(source, &document, ROOT_KEYS)?;
        let job = Section::open(
            &root.require("job", "[job]")?,
            &["name", "seed", "priority", "quorum", "max_attempts", "on_failure", "keep"],
        )?;
        Ok(Self {
            name: job.require("name", "name = \"planets\"")?.identifier()?,
            seed: number_or(job.find("seed"), 0, 0, u64::MAX)?,
            priority: priority(job.find("priority"))?,
            quorum: count_or(job.find("quorum"), QUORUM_DEFAULT, QUORUM_MAX)?,
            max_attempts: count_or(job.find("max_attempts"), MAX_ATTEMPTS_DEFAULT, ATTEMPTS_MAX)?,
            on_failure: job.find("on_failure").map_or(Ok(OnFailure::Stop), |e| on_failure(&e))?,
            keep: job.find("keep").map(|entry| keep(&entry)).transpose()?,
            notify: notify::notify(root.find("notify"))?,
            stages: stages(&root)?,
        })
    }

    /// The submitter's name for the job.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The files it names: modules, shared files and those of splitters. A source recurs when it is
    /// named more than once.
    pub fn files(&self) -> impl Iterator<Item = &NamedFile> {
        self.stages.iter().flat_map(StagePlan::files)
    }

    /// The patterns by which it names files.
    pub fn patterns(&self) -> impl Iterator<Item = &FilePattern> {
        self.stages.iter().flat_map(StagePlan::patterns)
    }

    /// The functions it names, so that they can be looked for in their modules.
    pub fn functions(&self) -> impl Iterator<Item = FunctionUse<'_>> {
        self.stages.iter().flat_map(StagePlan::functions)
    }

    /// The job, with each file replaced by the blob of its bytes.
    ///
    /// # Errors
    /// When a file is too large, or a pattern matches no file or too many.
    ///
    /// # Panics
    /// When `found` lacks the source of one of [`Self::files`].
    pub fn into_job_spec(self, found: &FoundFiles) -> Result<JobSpec, ManifestError> {
        let (seed, on_failure) = (self.seed, self.on_failure);
        let stages = self.stages.into_iter().map(|stage| stage.into_spec(seed, on_failure, found));
        Ok(JobSpec {
            name: self.name,
            seed,
            priority: self.priority,
            quorum: self.quorum,
            max_attempts: self.max_attempts,
            answers: Answers::default(),
            keep: self.keep,
            notify: self.notify,
            stages: stages.collect::<Result<_, _>>()?,
        })
    }
}

impl NamedFile {
    /// Where it is.
    pub fn source(&self) -> &FileSource {
        &self.source
    }

    /// How long it may be.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Where the manifest names it.
    pub fn position(&self) -> &Position {
        &self.place.position
    }

    /// The key that names it.
    pub fn key(&self) -> &str {
        &self.place.key
    }

    fn resolve(&self, found: &FoundFiles) -> Result<BlobRef, ManifestError> {
        let blob = *found.files.get(&self.source).expect("the caller has hashed all files");
        if blob.bytes <= self.bytes_max {
            return Ok(blob);
        }
        Err(self.place.error(ManifestProblem::FileTooLarge {
            key: self.place.key.clone(),
            bytes: blob.bytes,
            max: self.bytes_max,
        }))
    }
}

impl FilePattern {
    /// The pattern: relative to the manifest's folder unless it is absolute.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the manifest names it.
    pub fn position(&self) -> &Position {
        &self.place.position
    }

    /// The key that names it.
    pub fn key(&self) -> &str {
        &self.place.key
    }

    /// The error that more files match than a stage may have.
    pub fn too_many(&self) -> ManifestError {
        self.place.error(ManifestProblem::Count {
            key: self.place.key.clone(),
            count: EACH_FILES_MAX as u128 + 1,
            what: "files or more",
            min: 1,
            max: EACH_FILES_MAX as u64,
        })
    }

    /// The error that it is no pattern, in the words of whoever reads patterns.
    pub fn unreadable(&self, reason: &str) -> ManifestError {
        self.place.error(ManifestProblem::Pattern {
            key: self.place.key.clone(),
            pattern: self.text.clone(),
            reason: reason.to_owned(),
        })
    }
}

impl FunctionUse<'_> {
    /// The error that the module has no such function; `offered` are those it has of this kind.
    pub fn not_found(&self, offered: &[String]) -> ManifestError {
        self.place.error(ManifestProblem::NoFunction {
            key: self.place.key.clone(),
            function: self.function.to_owned(),
            module: self.module.to_string(),
            kind: self.kind,
            offered: offered.to_vec(),
        })
    }
}

impl FunctionKind {
    fn mark(self) -> &'static str {
        match self {
            Self::Task => "#[task]",
            Self::Merge => "#[merge]",
            Self::Split => "#[split]",
        }
    }
}

impl fmt::Display for FunctionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Task => "task",
            Self::Merge => "merge",
            Self::Split => "split",
        })
    }
}

impl Place {
    fn error(&self, problem: ManifestProblem) -> ManifestError {
        ManifestError { position: self.position.clone(), problem: Box::new(problem) }
    }
}

fn syntax_error(source: Source<'_>, error: &toml::de::Error) -> ManifestError {
    let message = error.message().lines().collect::<Vec<_>>().join("; ");
    let span = error.span().unwrap_or(0..0);
    ManifestError::at(source, &span, ManifestProblem::Syntax { message })
}

fn stages(root: &Section<'_>) -> Result<Vec<StagePlan>, ManifestError> {
    let list = root.require("stage", "[[stage]]")?;
    let entries = list.elements("[[stage]], in two pairs of brackets")?;
    if entries.is_empty() || entries.len() > STAGES_MAX {
        return Err(list.key_error(ManifestProblem::Count {
            key: "stage".into(),
            count: entries.len() as u128,
            what: "stages",
            min: 1,
            max: STAGES_MAX as u64,
        }));
    }
    let mut stages: Vec<StagePlan> = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let stage = StagePlan::read(entry.renamed(format!("stage#{}", index + 1)), &stages)?;
        stages.push(stage);
    }
    Ok(stages)
}

fn on_failure(entry: &Entry<'_>) -> Result<OnFailure, ManifestError> {
    const CHOICES: &[&str] = &["stop", "continue"];
    match entry.text()? {
        "stop" => Ok(OnFailure::Stop),
        "continue" => Ok(OnFailure::Continue),
        other => {
            let (key, found) = (entry.path.clone(), other.to_owned());
            Err(entry.error(ManifestProblem::Choice { key, found, allowed: CHOICES }))
        }
    }
}

fn keep(entry: &Entry<'_>) -> Result<Duration, ManifestError> {
    stage::duration_within(entry, Limits::TIME_MIN, JobSpec::KEEP_MAX)
}

fn number_or(
    entry: Option<Entry<'_>>,
    default: u64,
    min: u64,
    max: u64,
) -> Result<u64, ManifestError> {
    entry.map_or(Ok(default), |entry| entry.whole_number(min, max))
}

fn priority(entry: Option<Entry<'_>>) -> Result<i32, ManifestError> {
    entry.map_or(Ok(0), |entry| entry.whole_number(-PRIORITY_MAX, PRIORITY_MAX))
}

fn count_or(
    entry: Option<Entry<'_>>,
    default: NonZeroU32,
    max: u32,
) -> Result<NonZeroU32, ManifestError> {
    let Some(entry) = entry else { return Ok(default) };
    let count = entry.whole_number(1, max)?;
    Ok(NonZeroU32::new(count).expect("the least allowed is 1"))
}
