//! `gleaner results`, and the fetching that `run` does.
//!
//! A folder of results has the outputs in a folder for each stage, and beside them the reports that
//! tell of the job. Invariants: files appear whole or not at all; what is there and differs is
//! replaced only where that was asked for, or where it is a report or a preview of the same job; what
//! takes the place of another job's results leaves none of its outputs beside reports that do not
//! name them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use gleaner_client::{Client, FetchedFile, Partial, Report, hash_file};
use gleaner_protocol::api::{JobState, JobView, OutputFile, PartialStage};
use gleaner_protocol::results::{GAPS_FILE, PROVENANCE_FILE};
use gleaner_protocol::{BlobHash, BlobRef, JobId, RelativeName};
use serde::Serialize;

use super::Context;
use super::watch::exit;
use crate::failure::{Exit, Hinted, Interrupted};
use crate::operands::Job;
use crate::output_folder::Earlier;
use crate::signals::unless_interrupted;
use crate::words;

/// The longest first line of `provenance.json` that is looked at.
const IDENTITY_BYTES_MAX: u64 = 64 * 1024;

/// What `gleaner results` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub job: Job,
    /// Where to put the files [default: a folder of the job's id]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Replace files that are there and differ, and the outputs of another job
    #[arg(long)]
    pub force: bool,
    /// Of what is not done, fetch a preview: what there is now, and `gaps.csv` for what is missing
    #[arg(long)]
    pub partial: bool,
}

/// What to do with a file that is there and differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Leave everything as it is.
    Refuse,
    /// Replace it.
    Allow,
}

/// How much to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Outputs of stages that are done.
    Whole,
    /// Previews of the others, too.
    Partial,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Output,
    Partial,
    Report,
}

/// A file where it is now.
#[derive(Debug, Serialize)]
pub struct Written {
    kind: Kind,
    stage: Option<String>,
    name: String,
    bytes: u64,
    hash: BlobHash,
    path: PathBuf,
    /// Whether it was written now; it was there already otherwise.
    written: bool,
}

/// What was fetched.
#[derive(Debug, Default)]
pub struct Fetched {
    /// The files.
    pub files: Vec<Written>,
    /// How much there is of the stages that are not done.
    stages: Vec<PartialStage>,
    /// A line for each output of another job that had to go.
    pub removed: Vec<String>,
}

/// Fetches a job's results.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let client = context.client()?;
    let job = context.job_id(&client, arguments.job.job).await?;
    let view = client.job(job).await?;
    let folder = arguments.output.unwrap_or_else(|| PathBuf::from(job.to_string()));
    let overwrite = if arguments.force { Overwrite::Allow } else { Overwrite::Refuse };
    let extent = if arguments.partial { Extent::Partial } else { Extent::Whole };
    if extent == Extent::Whole && !view.state.is_final() {
        return Err(not_ended(&view).into());
    }
    let fetching = Box::pin(fetch(&client, job, &folder, overwrite, extent));
    let fetched = unless_interrupted(fetching, || {
        let line = format!("interrupted; the files of {job} that came whole are in {folder:?}");
        Interrupted::new(line, format!("run `gleaner results {job}` again for the others"))
    })
    .await?;
    if extent == Extent::Whole && !fetched.has_output() {
        return Err(no_output(&view, &format!("; what tells of it is in {folder:?}")).into());
    }
    fetched.removed.iter().for_each(|line| context.printer.note(line));
    for stage in &fetched.stages {
        context.printer.note(&words::partial_stage(stage));
    }
    let lacks_stages = extent == Extent::Whole && view.state != JobState::Done;
    if lacks_stages {
        let ending = words::ending(&view);
        context.printer.note(&format!("{ending}; the outputs of the stages done before:"));
    }
    context.printer.result(&fetched.files, || listing(&fetched.files))?;
    Ok(if lacks_stages { exit(&view) } else { Exit::Done })
}

fn not_ended(view: &JobView) -> Hinted {
    let job = view.job;
    let hint = format!(
        "`gleaner watch {job}` waits for its end; `gleaner results {job} --partial` fetches what \
         there is of it now"
    );
    Hinted::new(words::ending(view), hint)
}

fn no_output(view: &JobView, place: &str) -> Hinted {
    let job = view.job;
    let hint = format!(
        "see `gleaner status {job}`; `gleaner results {job} --partial` fetches what there is of it"
    );
    Hinted::new(format!("{job} has no output: {}{place}", words::ending(view)), hint)
}

/// Fetches a job's results into `folder`: `STAGE/NAME`, and the reports beside them.
///
/// A file that is there already with the same bytes is left alone.
///
/// # Errors
/// When a file is there that differs and may not be replaced: then no file is put in place.
pub async fn fetch(
    client: &Client,
    job: JobId,
    folder: &Path,
    overwrite: Overwrite,
    extent: Extent,
) -> Result<Fetched> {
    make_folder(folder)?;
    let (partial, outputs) = listed(client, job, folder, extent).await?;
    for file in &outputs {
        is_missing(
            &place(folder, file)?,
            BlobRef { hash: file.hash, bytes: file.bytes },
            overwrite,
        )?;
    }
    let reports = Reports::fetch(client, job, folder, partial).await?;
    reports.check(folder, overwrite)?;
    let mut fetched = Fetched::default();
    for file in outputs {
        let path = place(folder, &file)?;
        let blob = BlobRef { hash: file.hash, bytes: file.bytes };
        let written = is_missing(&path, blob, overwrite)?;
        if written {
            make_folder(path.parent().expect("it lies in the folder of its stage"))?;
            client.download(job, &file, &path).await?;
        }
        let OutputFile { stage, name, bytes, hash } = file;
        let (kind, stage, name) = (Kind::Output, Some(stage), name.to_string());
        fetched.files.push(Written { kind, stage, name, bytes, hash, path, written });
    }
    if !reports.are_of_job_in(folder)?
        && let Some(earlier) = Earlier::of(folder)?
    {
        let outputs: Vec<_> = fetched.files.iter().map(|file| file.path.as_path()).collect();
        fetched.removed = earlier.remove(folder, &outputs)?;
    }
    reports.put(folder, &mut fetched)?;
    Ok(fetched)
}

/// The outputs that are there, and where they are asked for previews of all others, no stage being
/// among both or among none of them.
async fn listed(
    client: &Client,
    job: JobId,
    folder: &Path,
    extent: Extent,
) -> Result<(Option<Partial>, Vec<OutputFile>)> {
    loop {
        let partial = match extent {
            Extent::Whole => None,
            Extent::Partial => Some(client.partial(job, folder).await?),
        };
        let outputs = client.output(job).await?;
        let mut previewed = partial.iter().flat_map(|partial| &partial.stages);
        // A stage that was done meanwhile is previewed no more: each can be that once.
        if !previewed.any(|stage| outputs.iter().any(|file| file.stage == stage.stage)) {
            return Ok((partial, outputs));
        }
    }
}

impl Fetched {
    fn has_output(&self) -> bool {
        self.files.iter().any(|file| file.kind == Kind::Output)
    }
}

/// What tells of a job, and previews, fetched but not in place yet.
struct Reports {
    files: Vec<Incoming>,
    stages: Vec<PartialStage>,
}

struct Incoming {
    kind: Kind,
    stage: Option<String>,
    name: String,
    path: PathBuf,
    fetched: FetchedFile,
}

impl Reports {
    async fn fetch(
        client: &Client,
        job: JobId,
        folder: &Path,
        partial: Option<Partial>,
    ) -> Result<Self> {
        let mut reports = Self { files: Vec::new(), stages: Vec::new() };
        if let Some(partial) = partial {
            for (file, fetched) in partial.files {
                let path = below(folder, file.stage.as_deref(), &file.name)?;
                let kind = if file.stage.is_some() { Kind::Partial } else { Kind::Report };
                let name = file.name.to_string();
                reports.files.push(Incoming { kind, stage: file.stage, name, path, fetched });
            }
            reports.stages = partial.stages;
        }
        // The last one says whose the others are.
        for report in [Report::Failed, Report::Provenance] {
            let fetched = client.report(job, report, folder).await?;
            let (path, name) = (folder.join(report.file_name()), report.file_name().to_owned());
            reports.files.push(Incoming { kind: Kind::Report, stage: None, name, path, fetched });
        }
        Ok(reports)
    }

    /// Whether all may be put in place: nothing else is there, or what is there is of the same job.
    fn check(&self, folder: &Path, overwrite: Overwrite) -> Result<()> {
        if self.are_of_job_in(folder)? {
            return Ok(());
        }
        for file in &self.files {
            is_missing(&file.path, file.fetched.blob(), overwrite)?;
        }
        Ok(())
    }

    /// Whether the reports that are there are of the same job.
    fn are_of_job_in(&self, folder: &Path) -> Result<bool> {
        let provenance = self.files.last().expect("the provenance comes last");
        let known = identity(&folder.join(PROVENANCE_FILE))?;
        Ok(known.is_some() && known == identity(provenance.fetched.path())?)
    }

    fn put(self, folder: &Path, fetched: &mut Fetched) -> Result<()> {
        remove_stale(folder, &fetched.files)?;
        for Incoming { kind, stage, name, path, fetched: file } in self.files {
            let BlobRef { hash, bytes } = file.blob();
            let written = is_missing(&path, file.blob(), Overwrite::Allow)?;
            if written {
                make_folder(path.parent().expect("it lies in a folder"))?;
                file.place(&path)?;
            }
            fetched.files.push(Written { kind, stage, name, bytes, hash, path, written });
        }
        fetched.stages = self.stages;
        Ok(())
    }
}

/// Removes what an earlier `--partial` left of what is whole now. What is still missing is told anew.
fn remove_stale(folder: &Path, outputs: &[Written]) -> Result<()> {
    let previews = outputs.iter().filter_map(|output| {
        let name = output.name.parse::<RelativeName>().ok()?;
        let partial = gleaner_protocol::results::partial_name(&name);
        // The outputs themselves may have such names.
        let is_output = outputs
            .iter()
            .any(|other| other.stage == output.stage && other.name == partial.as_str());
        (!is_output).then(|| below(folder, output.stage.as_deref(), &partial))
    });
    if identity(&folder.join(PROVENANCE_FILE))?.is_none() {
        return Ok(());
    }
    let gaps = [Ok(folder.join(GAPS_FILE))];
    for path in previews.chain(gaps) {
        let path = path?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {path:?}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The first line of `provenance.json`, which says of which job it is; none where there is no file.
fn identity(path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {path:?}")),
    };
    let mut line = Vec::new();
    let read = BufReader::new(file).take(IDENTITY_BYTES_MAX).read_until(b'\n', &mut line);
    read.with_context(|| format!("cannot read {path:?}"))?;
    Ok(Some(line))
}

/// The files as a table.
pub fn listing(files: &[Written]) -> Vec<String> {
    let row = |file: &Written| {
        let note = if file.written { "" } else { "(was there already)" };
        let (path, bytes) = (file.path.display().to_string(), file.bytes);
        vec![path, format!("{bytes} bytes"), note.to_owned()]
    };
    words::table(&files.iter().map(row).collect::<Vec<_>>())
}

/// Where a file goes. Its stage's name is as much a stranger's as its own.
fn place(folder: &Path, file: &OutputFile) -> Result<PathBuf> {
    below(folder, Some(&file.stage), &file.name)
}

fn below(folder: &Path, stage: Option<&str>, name: &RelativeName) -> Result<PathBuf> {
    let Some(stage) = stage else { return Ok(name.below(folder)) };
    let stage: RelativeName = stage.parse().context("the coordinator names a bad stage")?;
    Ok(name.below(&stage.below(folder)))
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {folder:?}"))
}

/// Whether the file must be fetched.
fn is_missing(path: &Path, wanted: BlobRef, overwrite: Overwrite) -> Result<bool> {
    if !path.try_exists().with_context(|| format!("cannot look at {path:?}"))? {
        return Ok(true);
    }
    let there = hash_file(path).with_context(|| format!("cannot read {path:?}"))?;
    if there.hash == wanted.hash {
        return Ok(false);
    }
    if overwrite == Overwrite::Allow {
        return Ok(true);
    }
    let line = format!("{path:?} is there and differs from the output; nothing was fetched");
    let hint = "choose another folder with -o DIR, or replace it with --force";
    Err(Hinted::new(line, hint.into()).into())
}
