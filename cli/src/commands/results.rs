//! `gleaner results`, and the fetching that `run` does.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use gleaner_client::{Client, hash_file};
use gleaner_protocol::api::OutputFile;
use gleaner_protocol::{JobId, RelativeName};
use serde::Serialize;

use super::Context;
use crate::failure::{Exit, Hinted, Interrupted};
use crate::operands::Job;
use crate::signals::unless_interrupted;
use crate::words;

/// What `gleaner results` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub job: Job,
    /// Where to put the files [default: a folder of the job's id]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Replace files that are there and differ
    #[arg(long)]
    pub force: bool,
}

/// What to do with a file that is there and differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Leave everything as it is.
    Refuse,
    /// Replace it.
    Allow,
}

/// A file of the output where it is now.
#[derive(Debug, Serialize)]
pub struct Fetched {
    #[serde(flatten)]
    file: OutputFile,
    path: PathBuf,
    /// Whether it was written now; it was there already otherwise.
    written: bool,
}

/// Fetches a job's output.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let client = context.client()?;
    let job = context.job_id(&client, arguments.job.job).await?;
    let view = client.job(job).await?;
    let folder = arguments.output.unwrap_or_else(|| PathBuf::from(job.to_string()));
    let overwrite = if arguments.force { Overwrite::Allow } else { Overwrite::Refuse };
    let fetching = fetch(&client, job, &folder, overwrite);
    let fetched = unless_interrupted(fetching, || {
        let line = format!("interrupted; the files of {job} that came whole are in {folder:?}");
        Interrupted::new(line, format!("run `gleaner results {job}` again for the others"))
    })
    .await?;
    if fetched.is_empty() {
        let next = if view.state.is_final() { "status" } else { "watch" };
        let hint = format!("see `gleaner {next} {job}`");
        let line = format!("{job} has no output: {}", words::ending(&view));
        return Err(Hinted::new(line, hint).into());
    }
    if !view.state.is_final() {
        context.printer.note(&format!("{}; its output so far:", words::ending(&view)));
    }
    context.printer.result(&fetched, || listing(&fetched))?;
    Ok(Exit::Done)
}

/// Fetches the files of a job's output that are there into `folder`: `STAGE/NAME`.
///
/// A file that is there already with the same bytes is left alone.
///
/// # Errors
/// When a file is there that differs and may not be replaced: then nothing is fetched.
pub async fn fetch(
    client: &Client,
    job: JobId,
    folder: &Path,
    overwrite: Overwrite,
) -> Result<Vec<Fetched>> {
    let mut files = Vec::new();
    for file in client.output(job).await? {
        let path = place(folder, &file)?;
        let is_missing = is_missing(&path, &file, overwrite)?;
        files.push(Fetched { file, path, written: is_missing });
    }
    for Fetched { file, path, written } in &files {
        if *written {
            let parent = path.parent().expect("it lies in the folder of its stage");
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot make the folder {parent:?}"))?;
            client.download(job, file, path).await?;
        }
    }
    Ok(files)
}

/// The files as a table.
pub fn listing(files: &[Fetched]) -> Vec<String> {
    let row = |fetched: &Fetched| {
        let note = if fetched.written { "" } else { "(was there already)" };
        let (path, bytes) = (fetched.path.display().to_string(), fetched.file.bytes);
        vec![path, format!("{bytes} bytes"), note.to_owned()]
    };
    words::table(&files.iter().map(row).collect::<Vec<_>>())
}

/// Where a file goes. Its stage's name is as much a stranger's as its own.
fn place(folder: &Path, file: &OutputFile) -> Result<PathBuf> {
    let stage: RelativeName = file.stage.parse().context("the coordinator names a bad stage")?;
    Ok(file.name.below(&stage.below(folder)))
}

/// Whether the file must be fetched.
fn is_missing(path: &Path, file: &OutputFile, overwrite: Overwrite) -> Result<bool> {
    if !path.try_exists().with_context(|| format!("cannot look at {path:?}"))? {
        return Ok(true);
    }
    let there = hash_file(path).with_context(|| format!("cannot read {path:?}"))?;
    if there.hash == file.hash {
        return Ok(false);
    }
    if overwrite == Overwrite::Allow {
        return Ok(true);
    }
    let line = format!("{path:?} is there and differs from the output; nothing was fetched");
    let hint = "choose another folder with -o DIR, or replace it with --force";
    Err(Hinted::new(line, hint.into()).into())
}
