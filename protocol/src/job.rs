//! A job as it is submitted, stored and handed to workers.

mod sequence;
mod splitter;

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::{
    ATTEMPTS_MAX, ITEMS_PER_UNIT_MAX, NAME_BYTES_MAX, PRIORITY_MAX, QUORUM_MAX, STAGE_FILES_MAX,
    STAGES_MAX,
};
use crate::{
    Bins, BlobHash, BlobRef, Notify, NotifyTarget, NotifyTargetError, OnFailure, Reducer,
    RelativeName, RelativeNameError, StageIndex, ValueMap, results, wire,
};

pub use self::sequence::{Number, Sequence, SequenceError};
pub use self::splitter::{
    Axis, AxisValues, EarlierOutput, Pairing, PieceEnd, RecordFormat, RecordSource, Splitter,
};

/// The version of the interface between task and host.
pub const TASK_INTERFACE_VERSION: u32 = 1;

/// Told apart from every other hash, with the version of the interface between task and host.
const ANSWERS_DOMAIN: &str = "gleaner 2026 answers of interface 1";

/// A whole job, its files already known by hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The submitter's name for it.
    pub name: String,
    /// What items' seeds are drawn from.
    pub seed: u64,
    /// Among its submitter's jobs those of higher priority go first; of old jobs, 0.
    #[serde(default)]
    pub priority: i32,
    /// How many agreeing results settle a unit.
    pub quorum: NonZeroU32,
    /// How many attempts of a unit may end without an answer before it is given up.
    pub max_attempts: NonZeroU32,
    /// Whether answers that earlier jobs settled serve this one too.
    #[serde(default)]
    pub answers: Answers,
    /// How long it is kept once it has ended; none is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Duration>,
    /// Who is told how it goes.
    #[serde(default, skip_serializing_if = "Notify::is_default")]
    pub notify: Notify,
    /// In the order of the manifest; a stage comes after those it takes its input from.
    pub stages: Vec<StageSpec>,
}

/// Where a job's answers may come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answers {
    /// Those that an earlier job settled under at least the same quorum are taken over.
    #[default]
    Kept,
    /// Every item is computed anew.
    Fresh,
}

/// One stage of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageSpec {
    /// Unique within the job.
    pub name: String,
    /// What its units run.
    pub task: StageTask,
    /// How its input is cut into items.
    pub splitter: Splitter,
    /// How many items go into a unit.
    pub unit_size: UnitSize,
    /// The most items a unit may have whatever its size, so that its inputs stay small. The
    /// coordinator sets it when it counts the items, and takes nobody else's word for it.
    #[serde(default)]
    pub unit_items_max: Option<NonZeroU32>,
    /// How its results become its output.
    pub reducer: Reducer,
}

/// What a stage's units run: all that a worker needs besides a lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageTask {
    /// The WebAssembly module.
    pub module: BlobRef,
    /// The function of the module, by its name in the source.
    pub function: String,
    /// Fields that every item shares.
    pub parameters: ValueMap,
    /// Files that every item may read.
    pub files: Vec<FileRef>,
    /// What an item and a unit may use.
    pub limits: Limits,
    /// The job's seed; each item's own is drawn from it by [`crate::item_seed`].
    pub seed: u64,
    /// What becomes of the bits of NaNs. Left out where it is the default, so that a stage without
    /// it keeps the hash of its input.
    #[serde(default, skip_serializing_if = "Floats::is_default")]
    pub floats: Floats,
    /// What becomes of a unit when one of its items gives no output.
    #[serde(default, skip_serializing_if = "OnFailure::is_stop")]
    pub on_failure: OnFailure,
}

/// What becomes of the bits of NaNs, the one thing that WebAssembly leaves to the processor.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Floats {
    /// They are the processor's. The SDK makes NaNs canonical where a task writes its output, which
    /// is enough for every task that does not look at the bits of one.
    #[default]
    Plain,
    /// The module is rewritten so that no bit of a NaN can show; costs time where a task stores
    /// floats.
    Strict,
}

/// A file shared by the items of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    /// The name by which the task opens it.
    pub name: String,
    /// Its bytes.
    pub blob: BlobRef,
}

/// How many items go into a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitSize {
    /// As many as take about the coordinator's target duration, learned as the stage runs.
    Auto,
    /// Always this many, the last unit of the stage excepted.
    Fixed(NonZeroU32),
}

/// What an item and a unit may use.
///
/// Limits that make an answer (memory, output, log, host calls) are an item's, so that answers do
/// not depend on how units were cut. Time is a unit's, and running out of it is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Linear memory of an item.
    pub memory_bytes: u64,
    /// Output of an item.
    pub output_bytes: u64,
    /// Log of an item.
    pub log_bytes: u64,
    /// Calls of the host by an item.
    pub host_calls: u64,
    /// CPU time of a unit.
    pub cpu: Duration,
    /// Time of a unit, suspension not counted.
    pub wall: Duration,
}

impl Floats {
    /// The words for them, in the order of the variants.
    pub const NAMES: &[&str] = &["plain", "strict"];

    /// The word for it, in manifests and among a program's arguments.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Strict => "strict",
        }
    }

    /// What [`Self::name`] says.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Plain, Self::Strict].into_iter().find(|floats| floats.name() == name)
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Limits {
    /// Enough for most tasks, little enough for most volunteers' machines.
    fn default() -> Self {
        Self {
            memory_bytes: 512 * 1024 * 1024,
            output_bytes: 16 * 1024 * 1024,
            log_bytes: 16 * 1024,
            host_calls: 1_000_000,
            cpu: Duration::from_secs(60 * 60),
            wall: Duration::from_secs(4 * 60 * 60),
        }
    }
}

impl Limits {
    /// The least memory an item can have: one page of WebAssembly.
    pub const MEMORY_BYTES_MIN: u64 = 64 * 1024;
    /// The most memory an item may ask for: all that 32-bit WebAssembly can address.
    pub const MEMORY_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
    /// The most output an item may ask for.
    pub const OUTPUT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
    /// The most log an item may ask for.
    pub const LOG_BYTES_MAX: u64 = 64 * 1024;
    /// The least CPU time or time a unit can be given.
    pub const TIME_MIN: Duration = Duration::from_secs(1);
    /// The most CPU time or time a unit may ask for: nobody lends a machine for longer.
    pub const TIME_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
}

/// Why a job cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobSpecError {
    /// A count or size is outside its bounds.
    #[error("{what} is {value}; it must be {min} to {max}")]
    OutOfBounds {
        /// What was counted, by its key in the manifest.
        what: String,
        /// What it is.
        value: u64,
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
    },
    /// A priority is outside its bounds.
    #[error("priority is {priority}; it must be -{PRIORITY_MAX} to {PRIORITY_MAX}")]
    Priority {
        /// The priority.
        priority: i32,
    },
    /// A name is empty, too long or has characters other than letters, digits, `-`, `_` and `.`.
    #[error(
        "{what} {name:?} is no name: use 1 to {NAME_BYTES_MAX} letters, digits, `-`, `_` or `.`"
    )]
    Name {
        /// What was named.
        what: String,
        /// The name.
        name: String,
    },
    /// Two things have one name.
    #[error("{what} `{name}` is there twice")]
    Duplicate {
        /// What was named.
        what: String,
        /// The name.
        name: String,
    },
    /// A stage or an output has the name of a file that tells of a job.
    #[error(
        "stage `{stage}`: the name {name:?} is that of a file beside the outputs; choose another"
    )]
    Reserved {
        /// The stage.
        stage: String,
        /// The name.
        name: String,
    },
    /// The outputs of two stages would go into one folder.
    #[error(
        "the outputs of the stages `{earlier}` and `{stage}` would go into one folder where names \
         that differ by case alone are one; rename one of them"
    )]
    OneFolder {
        /// The stage.
        stage: String,
        /// An earlier one.
        earlier: String,
    },
    /// A stage's outputs cannot go into a folder of its name.
    #[error("stage `{stage}`: its outputs cannot go into a folder of its name: {reason}")]
    Folder {
        /// The stage.
        stage: String,
        /// Why.
        reason: RelativeNameError,
    },
    /// A field that a reducer names has no name, or too long a one.
    #[error(
        "stage `{stage}`: a field of {bytes} bytes cannot be named; a name has 1 to {max}",
        max = Reducer::FIELD_BYTES_MAX
    )]
    Field {
        /// The stage.
        stage: String,
        /// The length of its name.
        bytes: usize,
    },
    /// A table's column is no field of the items.
    #[error("stage `{stage}`: its splitter gives no item the field {column:?}, a column")]
    Column {
        /// The stage.
        stage: String,
        /// The column.
        column: String,
    },
    /// A histogram's bins cannot be told apart.
    #[error("stage `{stage}`: the edges of {count} bins from {low} to {high} do not all differ")]
    Bins {
        /// The stage.
        stage: String,
        /// How many.
        count: u32,
        /// Where the first begins.
        low: String,
        /// Where the last ends.
        high: String,
    },
    /// No character that can stand between two values of CSV.
    #[error("the delimiter {delimiter:?} is none: use an ASCII character such as `,` or `;`")]
    Delimiter {
        /// The character.
        delimiter: char,
    },
    /// An axis of a grid has no values.
    #[error("the axis `{axis}` {fault}")]
    Axis {
        /// The axis.
        axis: String,
        /// Why.
        fault: SequenceError,
    },
    /// Axes whose values go together differ in length.
    #[error(
        "the axis `{first}` has {length} values and `{other}` {other_length}; zip needs as many of each"
    )]
    AxisLengths {
        /// The first axis.
        first: String,
        /// Its values.
        length: u64,
        /// Another axis.
        other: String,
        /// Its values.
        other_length: u64,
    },
    /// Somebody is to be told how the job goes who cannot be.
    #[error("{0}")]
    NotifyTarget(#[from] NotifyTargetError),
    /// A stage takes its input from one that does not come before it.
    #[error("stage `{stage}` must come after the stage it takes its input from")]
    StageOrder {
        /// The later stage.
        stage: String,
    },
}

impl JobSpec {
    /// Every blob that the job is made of, as often as it is named.
    pub fn blobs(&self) -> impl Iterator<Item = BlobRef> {
        self.stages.iter().flat_map(|stage| {
            let files = stage.task.files.iter().map(|file| file.blob);
            files.chain([stage.task.module]).chain(stage.splitter.blobs())
        })
    }

    /// The stages that take the output of `earlier`.
    pub fn stages_after(&self, earlier: StageIndex) -> impl Iterator<Item = StageIndex> {
        let stages = (0..).map(StageIndex).zip(&self.stages);
        let follows = move |stage: &StageSpec| stage.splitter.earlier_stage() == Some(earlier);
        stages.filter(move |(_, stage)| follows(stage)).map(|(index, _)| index)
    }

    /// Checks every bound and name.
    ///
    /// # Errors
    /// The first thing wrong.
    pub fn check(&self) -> Result<(), JobSpecError> {
        check_name("the job", &self.name)?;
        check_priority(self.priority)?;
        check_bounds("quorum", self.quorum.get().into(), 1, QUORUM_MAX.into())?;
        check_bounds("max_attempts", self.max_attempts.get().into(), 1, ATTEMPTS_MAX.into())?;
        if let Some(keep) = self.keep {
            let (min, max) = (Limits::TIME_MIN.as_secs(), Self::KEEP_MAX.as_secs());
            check_bounds("keep (seconds)", keep.as_secs(), min, max)?;
        }
        check_bounds("the number of stages", self.stages.len() as u64, 1, STAGES_MAX as u64)?;
        check_unique("stage", self.stages.iter().map(|stage| stage.name.as_str()))?;
        self.check_folders()?;
        for (index, stage) in self.stages.iter().enumerate() {
            stage.check(index)?;
        }
        self.check_notify()
    }

    fn check_notify(&self) -> Result<(), JobSpecError> {
        let (seconds, after) = (Limits::TIME_MIN.as_secs(), self.notify.stall_after.as_secs());
        check_bounds("notify.stall_after (seconds)", after, seconds, Limits::TIME_MAX.as_secs())?;
        Ok(self.notify.targets().try_for_each(NotifyTarget::check)?)
    }
}

impl JobSpec {
    /// The longest that a job says it is to be kept: ten years. What is longer is for ever.
    pub const KEEP_MAX: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

    /// Each stage's outputs go into a folder of its name, beside the files that tell of the job.
    fn check_folders(&self) -> Result<(), JobSpecError> {
        let mut folders = std::collections::BTreeMap::new();
        for StageSpec { name, reducer, .. } in &self.stages {
            let stage = name.clone();
            if let Err(reason) = name.parse::<RelativeName>() {
                return Err(JobSpecError::Folder { stage, reason });
            }
            let output = reducer.file().map(RelativeName::as_str);
            let mut names = [Some(name.as_str()), output].into_iter().flatten();
            if let Some(name) = names.find(|name| results::is_reserved(name)) {
                return Err(JobSpecError::Reserved { stage, name: name.to_owned() });
            }
            if let Some(earlier) = folders.insert(name.to_lowercase(), name.clone()) {
                return Err(JobSpecError::OneFolder { stage, earlier });
            }
        }
        Ok(())
    }
}

impl StageSpec {
    /// The number of items, where the splitter knows it without reading anything.
    pub fn item_count(&self) -> Option<u64> {
        self.splitter.item_count()
    }

    /// The hash of all that decides what its items compute: what leases bind.
    pub fn input_hash(&self) -> BlobHash {
        BlobHash::of(&wire::encode(&(&self.task, &self.splitter)))
    }

    /// Names the question that the stage asks of each item: stages of one name have the same
    /// answers, as far as both have items. `earlier` is what its items are read from when it comes
    /// after another stage: that one's output, or what the split function made of it.
    pub fn answers_key(&self, earlier: Option<BlobHash>) -> BlobHash {
        // What becomes of a job when an item fails changes no answer.
        let task = StageTask { on_failure: OnFailure::Stop, ..self.task.clone() };
        let asked = (ANSWERS_DOMAIN, &task, self.splitter.without_end(), earlier);
        BlobHash::of(&wire::encode(&asked))
    }

    fn check(&self, index: usize) -> Result<(), JobSpecError> {
        check_name("the stage", &self.name)?;
        check_name("the function", &self.task.function)?;
        let files = &self.task.files;
        let output = match &self.splitter {
            Splitter::Split { after: Some(output), .. } => Some(output.name.as_str()),
            _ => None,
        };
        let count = (files.len() + usize::from(output.is_some())) as u64;
        check_bounds("the number of files", count, 0, STAGE_FILES_MAX as u64)?;
        if let Some(name) = output {
            check_name("the file", name)?;
        }
        check_unique("file", files.iter().map(|file| file.name.as_str()).chain(output))?;
        let fields = self.splitter.fields();
        for field in fields.iter().copied().chain(self.task.parameters.keys().map(String::as_str)) {
            check_name("the field", field)?;
        }
        check_unique(
            "field",
            fields.iter().copied().chain(self.task.parameters.keys().map(String::as_str)),
        )?;
        if self.splitter.earlier_stage().is_some_and(|stage| stage.0 as usize >= index) {
            return Err(JobSpecError::StageOrder { stage: self.name.clone() });
        }
        self.splitter.check()?;
        if let UnitSize::Fixed(items) = self.unit_size {
            check_bounds("unit_items", items.get().into(), 1, ITEMS_PER_UNIT_MAX)?;
        }
        self.check_reducer()?;
        self.task.limits.check()
    }

    fn check_reducer(&self) -> Result<(), JobSpecError> {
        match &self.reducer {
            Reducer::Csv { columns, .. } => self.check_columns(columns.as_deref()),
            Reducer::Top { field, records, columns, .. } => {
                self.check_field(field)?;
                let records = u64::from(records.get());
                check_bounds("top.records", records, 1, Reducer::TOP_RECORDS_MAX.into())?;
                self.check_columns(columns.as_deref())
            }
            Reducer::Histogram { field, bins, .. } => {
                field.as_ref().map_or(Ok(()), |field| self.check_field(field))?;
                bins.as_ref().map_or(Ok(()), |bins| self.check_bins(bins))
            }
            _ => Ok(()),
        }
    }

    fn check_field(&self, field: &str) -> Result<(), JobSpecError> {
        let bytes = field.len();
        if (1..=Reducer::FIELD_BYTES_MAX).contains(&bytes) {
            return Ok(());
        }
        Err(JobSpecError::Field { stage: self.name.clone(), bytes })
    }

    fn check_columns(&self, columns: Option<&[String]>) -> Result<(), JobSpecError> {
        let columns = columns.unwrap_or_default();
        check_unique("column", columns.iter().map(String::as_str))?;
        if self.splitter.has_other_fields() {
            return Ok(());
        }
        let fields = self.splitter.fields();
        match columns.iter().find(|column| !fields.contains(&column.as_str())) {
            None => Ok(()),
            Some(column) => {
                let (stage, column) = (self.name.clone(), column.clone());
                Err(JobSpecError::Column { stage, column })
            }
        }
    }

    fn check_bins(&self, bins: &Bins) -> Result<(), JobSpecError> {
        check_bounds("histogram.bins", bins.count.get().into(), 1, Bins::COUNT_MAX.into())?;
        if bins.edges().is_some() {
            return Ok(());
        }
        Err(JobSpecError::Bins {
            stage: self.name.clone(),
            count: bins.count.get(),
            low: bins.low.to_string(),
            high: bins.high.to_string(),
        })
    }
}

impl Limits {
    fn check(&self) -> Result<(), JobSpecError> {
        let memory = (Self::MEMORY_BYTES_MIN, Self::MEMORY_BYTES_MAX);
        check_bounds("limits.memory", self.memory_bytes, memory.0, memory.1)?;
        check_bounds("limits.output", self.output_bytes, 0, Self::OUTPUT_BYTES_MAX)?;
        check_bounds("limits.log", self.log_bytes, 0, Self::LOG_BYTES_MAX)?;
        check_bounds("limits.host_calls", self.host_calls, 1, u64::MAX)?;
        let seconds = (Self::TIME_MIN.as_secs(), Self::TIME_MAX.as_secs());
        check_bounds("limits.cpu (seconds)", self.cpu.as_secs(), seconds.0, seconds.1)?;
        check_bounds("limits.wall (seconds)", self.wall.as_secs(), seconds.0, seconds.1)
    }
}

fn check_priority(priority: i32) -> Result<(), JobSpecError> {
    match priority.unsigned_abs() <= PRIORITY_MAX.unsigned_abs() {
        true => Ok(()),
        false => Err(JobSpecError::Priority { priority }),
    }
}

fn check_bounds(what: &str, value: u64, min: u64, max: u64) -> Result<(), JobSpecError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(JobSpecError::OutOfBounds { what: what.to_owned(), value, min, max })
}

fn check_name(what: &str, name: &str) -> Result<(), JobSpecError> {
    if is_name(name) {
        return Ok(());
    }
    Err(JobSpecError::Name { what: what.to_owned(), name: name.to_owned() })
}

/// Whether `name` can name a job, a stage, a function, a field or a shared file.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(allowed)
}

fn check_unique<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), JobSpecError> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(JobSpecError::Duplicate { what: what.to_owned(), name: name.to_owned() });
        }
    }
    Ok(())
}
