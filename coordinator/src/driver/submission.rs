//! What a job must pass before the core sees it.

use gleaner_protocol::api::ApiError;
use gleaner_protocol::limits::MODULE_BYTES_MAX;
use gleaner_protocol::{BlobRef, JobSpec, Reducer, Splitter, StageIndex, StageSpec};
use gleaner_sandbox::{ModuleInfo, check_module};

use crate::blobs::{BlobError, Blobs};
use crate::split::{SlotSplitError, SlotSplitter, SplitError, StageInput, check_stages};

/// Why a submission was not taken. Nothing of it is kept but blobs that were sent before it.
#[derive(Debug, thiserror::Error)]
pub enum SubmissionError {
    /// The job breaks a bound or a rule.
    #[error("{0}")]
    Job(String),
    /// A file it names cannot be cut into items.
    #[error(transparent)]
    Record(SplitError),
    /// A blob it names was not sent before it.
    #[error("stage `{stage}`: {what} is not here; send the blob {blob} first", blob = blob.hash)]
    BlobMissing {
        /// The stage that names it.
        stage: String,
        /// What it is to the stage.
        what: String,
        /// The blob.
        blob: BlobRef,
    },
    /// This coordinator's disk failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// This coordinator's disk failed while the input was read.
    #[error(transparent)]
    Input(SplitError),
    /// This coordinator could not run a split function.
    #[error("stage `{stage}`, split `{function}`: it could not be run here")]
    Split {
        /// The stage.
        stage: String,
        /// The function.
        function: String,
        /// Why.
        #[source]
        source: Box<SlotSplitError>,
    },
}

impl SubmissionError {
    /// The error with what to do, as the control API says it.
    pub fn to_api(&self) -> ApiError {
        let hint = match self {
            Self::Job(_) => "mend the manifest or the task, then try again",
            Self::Record(_) => "mend the file, then try again",
            Self::BlobMissing { .. } => "a submitter uploads missing blobs and posts the job again",
            Self::Split { .. } => "submit again; if it stays so, ask the coordinator's operator",
            Self::Blob(_) | Self::Input(_) => "ask the coordinator's operator to look at its disk",
        };
        ApiError { error: self.to_string(), hint: Some(hint.into()) }
    }
}

/// Checks a job whole, as a coordinator does before it takes it, and counts the items of the stages
/// that wait for no other. Runs split functions by `splitter`, and notes in the job what they gave and
/// how many items a unit may have.
///
/// # Errors
/// [`SubmissionError`]: the first thing wrong.
pub async fn check_submission(
    spec: &mut JobSpec,
    blobs: &Blobs,
    splitter: &SlotSplitter,
) -> Result<Vec<Option<u64>>, SubmissionError> {
    spec.check().map_err(|error| SubmissionError::Job(error.to_string()))?;
    check_stages(spec).map_err(|error| SubmissionError::Job(error.to_string()))?;
    let mut items = Vec::with_capacity(spec.stages.len());
    for (index, stage) in (0..).map(StageIndex).zip(&mut spec.stages) {
        check_blobs(stage, blobs).await?;
        check_functions(stage, blobs).await?;
        split(index, stage, blobs, splitter).await?;
        let input = open_input(stage, blobs).await?;
        stage.unit_items_max = input.as_ref().and_then(StageInput::unit_items_max);
        items.push(input.map(|input| input.items()));
    }
    Ok(items)
}

async fn split(
    index: StageIndex,
    stage: &mut StageSpec,
    blobs: &Blobs,
    splitter: &SlotSplitter,
) -> Result<(), SubmissionError> {
    splitter.split(index, stage, blobs).await.map_err(|source| {
        let Splitter::Split { function, .. } = &stage.splitter else {
            unreachable!("a stage without a split function has nothing to run");
        };
        let (stage, function) = (stage.name.clone(), function.clone());
        match source.is_of_job() {
            true => SubmissionError::Job(format!("stage `{stage}`, split `{function}`: {source}")),
            false => SubmissionError::Split { stage, function, source: Box::new(source) },
        }
    })
}

async fn check_blobs(stage: &StageSpec, blobs: &Blobs) -> Result<(), SubmissionError> {
    let module = std::iter::once(("its module".to_owned(), stage.task.module));
    let files =
        stage.task.files.iter().map(|file| (format!("its file `{}`", file.name), file.blob));
    let source = stage.splitter.file().map(|(blob, name)| (format!("its file {name:?}"), blob));
    let each = match &stage.splitter {
        Splitter::EachFile { files, .. } => files.as_slice(),
        _ => &[],
    };
    let each = each.iter().map(|file| (format!("its file {:?}", file.name), file.blob));
    for (what, blob) in module.chain(files).chain(source).chain(each) {
        if blobs.find(blob.hash).await? != Some(blob) {
            let stage = stage.name.clone();
            return Err(SubmissionError::BlobMissing { stage, what, blob });
        }
    }
    Ok(())
}

async fn check_functions(stage: &StageSpec, blobs: &Blobs) -> Result<(), SubmissionError> {
    let job_error = |text: String| SubmissionError::Job(format!("stage `{}`: {text}", stage.name));
    let module = stage.task.module;
    if module.bytes > MODULE_BYTES_MAX {
        let text = format!("its module has {} bytes, over {MODULE_BYTES_MAX}", module.bytes);
        return Err(job_error(text));
    }
    let wasm = blobs.read(module.hash).await?;
    let floats = stage.task.floats;
    let checked = tokio::task::spawn_blocking(move || check_module(&wasm, floats)).await;
    let info = checked.expect("module checks do not panic");
    let info = info.map_err(|error| job_error(format!("its module is refused: {error}")))?;
    missing_function(stage, &info).map_or(Ok(()), |text| Err(job_error(text)))
}

fn missing_function(stage: &StageSpec, info: &ModuleInfo) -> Option<String> {
    let list = |names: &[String]| match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    let function = &stage.task.function;
    if !info.tasks.contains(function) {
        let tasks = list(&info.tasks);
        return Some(format!("its module has no task `{function}`; it has: {tasks}"));
    }
    if let Splitter::Split { function, .. } = &stage.splitter
        && !info.splits.contains(function)
    {
        let splits = list(&info.splits);
        return Some(format!("its module has no split `{function}`; it has: {splits}"));
    }
    match &stage.reducer {
        Reducer::Merge { function, .. } if !info.merges.contains(function) => {
            let merges = list(&info.merges);
            Some(format!("its module has no merge `{function}`; it has: {merges}"))
        }
        _ => None,
    }
}

/// The input of a stage that waits for no other.
async fn open_input(
    stage: &StageSpec,
    blobs: &Blobs,
) -> Result<Option<StageInput>, SubmissionError> {
    if stage.splitter.earlier_stage().is_some() {
        return Ok(None);
    }
    match StageInput::open(stage, None, blobs).await {
        Ok(input) => Ok(Some(input)),
        Err(error) if error.is_of_file() => Err(SubmissionError::Record(error)),
        Err(error) if error.is_of_job() => Err(SubmissionError::Job(error.to_string())),
        Err(error) => Err(SubmissionError::Input(error)),
    }
}
