//! Where a command's examples are run.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use end_to_end::{JobFolder, Swarm, workspace_folder};
use tempfile::TempDir;

/// A submitter's key.
const KEY: &str = "submitter-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Few enough items for a second or two.
const ITEMS: u64 = 8;

/// More than are done before a test ends.
const ITEMS_OF_LONG: u64 = 2_000;

/// What all places share: a job that is done, and one that lasts.
pub struct Jobs {
    done: String,
    short: JobFolder,
    long: JobFolder,
}

impl Jobs {
    /// Has the project of `swarm` do a job.
    pub fn new(swarm: &Swarm) -> Result<Self> {
        let short = JobFolder::planets(ITEMS - 1, "1")?;
        let (done, _) = swarm.see_through(&short.manifest())?;
        Ok(Self { done, short, long: JobFolder::planets(ITEMS_OF_LONG - 1, "1")? })
    }

    /// A job that fits what `command` does with one.
    fn job_for(&self, swarm: &Swarm, command: &str) -> Result<String> {
        if command == "retry" {
            let job = swarm.submit(&self.short.manifest())?;
            swarm.tell(&["cancel", &job])?;
            return Ok(job);
        }
        if !["pause", "resume", "priority", "cancel", "rm"].contains(&command) {
            return Ok(self.done.clone());
        }
        let job = swarm.submit(&self.long.manifest())?;
        if command == "resume" {
            swarm.tell(&["pause", &job])?;
        }
        if command == "rm" {
            swarm.tell(&["cancel", &job])?;
        }
        Ok(job)
    }
}

/// A folder with a manifest and a crate in it, and a data folder.
pub struct Place<'s> {
    swarm: &'s Swarm,
    folder: JobFolder,
    data: PathBuf,
    /// The job that all places share.
    shared: String,
    /// What examples name, and its name here.
    names: Vec<(&'static str, String)>,
    _own_data: TempDir,
}

impl<'s> Place<'s> {
    /// One for the examples of `command`.
    pub fn new(swarm: &'s Swarm, shared: &Jobs, command: &[String]) -> Result<Self> {
        let folder = JobFolder::planets(ITEMS - 1, "1")?;
        std::fs::create_dir(folder.path().join("jobs"))?;
        symlink("..", folder.path().join("jobs/planets"))?;
        symlink("planets.wasm", folder.path().join("pi.wasm"))?;
        let own = tempfile::tempdir()?;
        let words: Vec<_> = command.iter().map(String::as_str).collect();
        prepare(swarm, &words, own.path(), folder.path())?;
        let data = if has_own_data(&words) { own.path().to_owned() } else { swarm.data() };
        let names = names(swarm, shared, &words, own.path())?;
        Ok(Self { swarm, folder, data, shared: shared.done.clone(), names, _own_data: own })
    }

    /// A shell that is told `line`, with the names of what is here.
    pub fn shell(&self, line: &str) -> Result<Command> {
        let told =
            self.names.iter().fold(line.to_owned(), |line, (name, here)| line.replace(name, here));
        let is_in_crate = ["gleaner build", "gleaner test"].contains(&line);
        let folder = self.folder.path().join(if is_in_crate { "pi" } else { "" });
        let target = workspace_folder().canonicalize()?.join("target/authors");
        let mut shell = self.swarm.gleaner().shell(&self.data, &told)?;
        shell.current_dir(folder);
        shell.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", target);
        Ok(shell)
    }

    /// Ends the job that the examples had for themselves: one of a high priority would keep others
    /// from the worker.
    pub fn end(self) -> Result<()> {
        let own = self.names.iter().find(|(name, job)| *name == "job-7" && *job != self.shared);
        if let Some((_, job)) = own {
            // It may have ended before, or be gone.
            self.swarm.ask(&["cancel", job])?;
        }
        Ok(())
    }

    /// A file for what a service says.
    pub fn log(&self) -> PathBuf {
        Path::new(self.folder.path()).join("service.log")
    }
}

/// Whether a command is about a machine that is not the coordinator's.
fn has_own_data(command: &[&str]) -> bool {
    matches!(
        command,
        ["coordinator"]
            | ["coordinator", "init" | "start" | "restore" | "gc"]
            | ["project" | "worker" | "use" | "submitter", ..]
            | ["build" | "test"]
    )
}

/// Does what comes before `command` on the data folder `own`, and makes the crate that it is about.
fn prepare(swarm: &Swarm, command: &[&str], own: &Path, folder: &Path) -> Result<()> {
    let ticket;
    let krate = folder.join("pi");
    if matches!(command, ["coordinator", "verify" | "restore" | "gc"]) {
        let backup = folder.join("monday");
        let backup = backup.to_str().context("a path is text")?;
        swarm.tell(&["coordinator", "backup", backup])?;
        if command == ["coordinator", "gc"] {
            swarm.gleaner().tell(own, &["coordinator", "restore", backup])?;
        }
        return Ok(());
    }
    let before: &[&str] = match command {
        ["coordinator", "start"] | ["project", ..] => {
            &["coordinator", "init", "--name", "planets", "--operator", "o", "--purpose", "p"]
        }
        ["worker", "start" | "projects" | "leave"] => {
            ticket = swarm.invite()?;
            &["worker", "join", "--yes", "--no-start", "--loopback", &ticket]
        }
        ["build" | "test"] => &["new", "pi", "--path", krate.to_str().context("a path is text")?],
        _ => return Ok(()),
    };
    swarm.gleaner().tell(own, before).map(drop)
}

/// What the examples of `command` name, and its name here.
fn names(
    swarm: &Swarm,
    shared: &Jobs,
    command: &[&str],
    own: &Path,
) -> Result<Vec<(&'static str, String)>> {
    let ticket = match command.first() {
        Some(&"use") => {
            let key = word(&swarm.gleaner().tell(own, &["submitter", "key"])?, "submitter-")?;
            swarm.tell(&["coordinator", "submitter", "add", "bo", &key])?
        }
        _ => swarm.invite()?,
    };
    let job = shared.job_for(swarm, command.last().copied().unwrap_or_default())?;
    Ok(vec![
        ("gleaner1…", word(&ticket, "gleaner1")?),
        ("submitter-…", KEY.to_owned()),
        ("invitation-3", "invitation-1".to_owned()),
        ("job-7", job),
        ("unit-7.42", word(&swarm.tell(&["units", &shared.done])?, "unit-")?),
        ("worker-abcdef", word(&swarm.tell(&["workers"])?, "worker-")?),
        ("use planets", "use trial".to_owned()),
        ("leave planets", "leave trial".to_owned()),
    ])
}

/// The first word of `text` that begins with `begin`.
fn word(text: &str, begin: &str) -> Result<String> {
    let mut words = text.split_whitespace().map(|word| word.trim_matches(['`', ',', '"']));
    let found = words.find(|word| word.starts_with(begin) && !word.contains('…'));
    Ok(found.with_context(|| format!("no {begin} in {text}"))?.to_owned())
}
