//! What a coordinator goes through in every trial, from its first command on, and what it has
//! promised meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use end_to_end::{Gleaner, JobFolder, Output, read_output};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Counts, Lab, Setback};

/// How often one trial may meet with a setback.
const SETBACKS_MAX: usize = 12;

/// At which of them the disk is mended, so that some are left for what its failures have led to.
const SETBACK_MENDED: usize = 4;

const _: () = assert!(SETBACK_MENDED < SETBACKS_MAX);

/// The jobs that are submitted, with what they must give.
pub struct Jobs {
    compiled: TempDir,
    jobs: [(&'static str, JobFolder, Output); 2],
}

/// One trial.
pub struct Story<'a> {
    lab: Lab,
    jobs: &'a Jobs,
    kept: Promises,
    setbacks: usize,
    /// How many operations had failed when it was last looked.
    failed: u64,
    /// What follows a coordinator's end.
    after_end: AfterEnd,
    /// The disk's last operations before something went wrong first, once the power was cut.
    troubled: Option<String>,
}

/// What follows when a coordinator has ended, as its disk failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterEnd {
    /// It is started again, on what the kernel takes to be written.
    Start,
    /// The power is cut before.
    PowerCut,
}

/// What was said to be safe.
#[derive(Default)]
struct Promises {
    /// Whether there is a project.
    is_made: bool,
    /// Jobs by the names of their submissions.
    jobs: BTreeMap<&'static str, Promised>,
    backup: Option<PathBuf>,
}

struct Promised {
    id: String,
    is_done: bool,
    removal: Removal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removal {
    NotAsked,
    /// It may have been done or not.
    Asked,
    Done,
}

/// Something that must never be.
#[derive(Debug)]
struct Broken(String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

/// Fails with `words` unless `is_kept`.
fn keep(is_kept: bool, words: impl FnOnce() -> String) -> Result<()> {
    if is_kept { Ok(()) } else { Err(Broken(words()).into()) }
}

impl Jobs {
    /// A job whose results and input are blobs, merged in a slot of the coordinator's; and one of
    /// two stages, with results that are none.
    ///
    /// # Errors
    /// When the tasks are not built, or a job does not end.
    pub fn new() -> Result<Self> {
        let large = JobFolder::of_test_tasks(
            "",
            "[[stage]]\nname = \"large\"\nmodule = \"tasks.wasm\"\nfunction = \"wordy\"\n\
             range = { field = \"number\", start = 97, end = 101 }\nunit_items = 1\n\
             parameters = { bytes = 90000 }\nreduce = \"concat\"",
        )?;
        let small = JobFolder::of_test_tasks(
            "",
            "[[stage]]\nname = \"rows\"\nmodule = \"tasks.wasm\"\nfunction = \"shared\"\n\
             range = { field = \"number\", end = 24 }\nunit_items = 1\n\
             parameters = { file = \"text\" }\nfiles = { text = \"text\" }\nreduce = \"csv\"\n\
             [[stage]]\nname = \"counted\"\nmodule = \"tasks.wasm\"\nfunction = \"count_lines\"\n\
             after = \"rows\"\nreduce = \"merge\"\nmerge = \"join\"",
        )?;
        small.add("text", b"foobar")?;
        let gleaner = Gleaner::find()?;
        let of = |name, folder: JobFolder| -> Result<_> {
            let output = gleaner.run(&folder.manifest())?;
            Ok((name, folder, output))
        };
        let compiled = tempfile::tempdir().context("cannot make a folder")?;
        Ok(Self { compiled, jobs: [of("large", large)?, of("small", small)?] })
    }

    /// Where workers keep what they have compiled for them.
    pub fn compiled(&self) -> &Path {
        self.compiled.path()
    }

    fn find(&self, name: &str) -> &(&'static str, JobFolder, Output) {
        self.jobs.iter().find(|(known, ..)| *known == name).expect("the name of a job")
    }
}

impl<'a> Story<'a> {
    /// Nothing has happened yet.
    pub fn new(lab: Lab, jobs: &'a Jobs, after_end: AfterEnd) -> Self {
        Self {
            lab,
            jobs,
            kept: Promises::default(),
            setbacks: 0,
            failed: 0,
            after_end,
            troubled: None,
        }
    }

    /// Tells it from its beginning to its end, whatever happens meanwhile; and has the power cut at
    /// last, so that what was believed to be durable shows. Gives the disk's operations until then,
    /// or until the first power cut.
    ///
    /// # Errors
    /// What was promised and not kept, or what does not happen although the disk is well.
    pub fn tell(&mut self) -> Result<Counts> {
        self.go_on("init", Self::init)?;
        self.go_on("start", |story| story.lab.ensure_coordinator())?;
        self.go_on("join", |story| story.lab.join_worker())?;
        self.go_on("submit large", |story| story.submit("large", "first"))?;
        self.go_on("submit small", |story| story.submit("small", "second"))?;
        self.go_on("pause", |story| story.order("pause", "second"))?;
        self.go_on("resume", |story| story.order("resume", "second"))?;
        self.go_on("end large", |story| story.see_end("large", "first"))?;
        self.go_on("back up", Self::back_up)?;
        self.go_on("remove", Self::remove)?;
        self.go_on("end small", |story| story.see_end("small", "second"))?;
        self.go_on("collect", Self::collect)?;
        self.go_on("submit again", |story| story.submit("small", "third"))?;
        self.go_on("end again", |story| story.see_end("small", "third"))?;
        let counts = self.lab.mount().disk().counts();
        self.cut_power()?;
        self.go_on("start at last", |story| story.lab.ensure_coordinator())?;
        self.check_promises()?;
        for submission in ["second", "third"] {
            self.check_output("small", submission)?;
        }
        self.lab.stop_coordinator()?;
        Ok(counts)
    }

    /// Whether what was planned for the disk has begun: a run may end before the step.
    pub fn has_begun(&self) -> bool {
        self.lab.mount().disk().has_begun()
    }

    /// The disk's last operations before something went wrong first, or until now.
    pub fn troubled(&self) -> String {
        match &self.troubled {
            Some(told) => told.clone(),
            None => self.lab.mount().disk().told(),
        }
    }

    fn cut_power(&mut self) -> Result<()> {
        if self.troubled.is_none() {
            self.troubled = Some(self.lab.mount().disk().told());
        }
        self.lab.cut_power()
    }

    /// Does one thing, over setbacks, until it is done.
    fn go_on(&mut self, what: &str, mut thing: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        loop {
            let Err(error) = thing(self) else { return Ok(()) };
            let met = self.meet(error);
            let said = || format!("at `{what}`; the coordinator said:\n{}", self.lab.log_tail());
            met.with_context(said)?;
        }
    }

    /// What an operator does when something does not succeed.
    fn meet(&mut self, error: anyhow::Error) -> Result<()> {
        self.setbacks += 1;
        if error.downcast_ref::<Broken>().is_some() {
            return Err(error);
        }
        if self.setbacks > SETBACKS_MAX {
            return Err(error.context("there were setbacks without end"));
        }
        if self.lab.log().contains("panicked at") {
            return Err(error.context("the coordinator panicked"));
        }
        let disk = self.lab.mount().disk();
        let (is_cut, failed) = (disk.is_cut(), disk.failed());
        drop(disk);
        let has_ended = error.downcast_ref::<Setback>() == Some(&Setback::Ended);
        if has_ended && !is_cut {
            let said = self.lab.log_tail();
            keep(said.contains("error: "), || format!("it ended without a word: {said}"))?;
        }
        if is_cut || has_ended && failed > 0 && self.after_end == AfterEnd::PowerCut {
            self.cut_power()?;
        } else if failed == self.failed && !(has_ended && failed > 0) {
            return Err(error.context("the disk is well"));
        }
        if self.setbacks >= SETBACK_MENDED {
            self.lab.mount().disk().mend();
        }
        self.failed = self.lab.mount().disk().failed();
        if self.kept.is_made {
            self.lab.revive_coordinator()?;
            self.check_promises()?;
        }
        Ok(())
    }

    fn init(&mut self) -> Result<()> {
        let init = ["coordinator", "init", "--name", "trial", "--operator", "tester"];
        let place = ["--purpose", "finding faults", "--allow-network-folder"];
        let answer = self.lab.ask_operator(&[&init[..], &place].concat())?;
        if answer.stderr.contains("already has") {
            // What an attempt that was broken off has left, and nobody has been told of.
            fs::remove_dir_all(self.lab.data()).context("cannot remove a folder")?;
            return self.init();
        }
        ensure!(answer.code == 0, "no project is made: {}", answer.stderr);
        self.kept.is_made = true;
        Ok(())
    }

    fn submit(&mut self, name: &str, submission: &'static str) -> Result<()> {
        let (_, folder, _) = self.jobs.find(name);
        let manifest = folder.manifest();
        let manifest = manifest.to_str().context("a path is text")?;
        let reply = self.lab.tell(&["submit", manifest, "--submission", submission, "--json"])?;
        let reply: Value = serde_json::from_str(&reply)?;
        let id = reply["job"].as_str().with_context(|| format!("no job in {reply}"))?.to_owned();
        let promised = Promised { id, is_done: false, removal: Removal::NotAsked };
        self.kept.jobs.insert(submission, promised);
        Ok(())
    }

    /// An order that comes too late is none.
    fn order(&mut self, order: &str, submission: &str) -> Result<()> {
        let job = self.id(submission);
        let ordered = self.lab.tell(&[order, &job]).map(drop);
        if ordered.is_err() && self.lab.status(&job).is_ok_and(|status| status["state"] == "done") {
            return Ok(());
        }
        ordered
    }

    fn see_end(&mut self, name: &str, submission: &'static str) -> Result<()> {
        let job = self.id(submission);
        let end = self.lab.wait_until(&format!("the end of {job}"), |lab| {
            let status = lab.status(&job)?;
            let ended = !["running", "paused"].iter().any(|state| status["state"] == *state);
            Ok(ended.then_some(status))
        })?;
        keep(end["state"] == "done", || format!("{job} ended as {end}"))?;
        self.kept.jobs.get_mut(submission).expect("it was submitted").is_done = true;
        self.check_output(name, submission)
    }

    fn check_output(&mut self, name: &str, submission: &str) -> Result<()> {
        let job = self.id(submission);
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let path = folder.path().to_str().context("a path is text")?;
        self.lab.tell(&["results", &job, "-o", path])?;
        let output = read_output(folder.path())?;
        keep(output == self.jobs.find(name).2, || format!("the output of {job} differs"))
    }

    fn back_up(&mut self) -> Result<()> {
        let backup = self.lab.place().join("backup");
        if !backup.exists() {
            let path = backup.to_str().context("a path is text")?;
            self.lab.tell_operator(&["coordinator", "backup", path])?;
        }
        self.kept.backup = Some(backup);
        Ok(())
    }

    fn remove(&mut self) -> Result<()> {
        let job = self.id("first");
        self.promised("first").removal = Removal::Asked;
        self.lab.tell(&["rm", "--yes", &job])?;
        self.promised("first").removal = Removal::Done;
        Ok(())
    }

    fn collect(&mut self) -> Result<()> {
        self.lab.stop_coordinator()?;
        self.lab.tell_operator(&["coordinator", "gc"])?;
        self.lab.ensure_coordinator()
    }

    fn promised(&mut self, submission: &str) -> &mut Promised {
        self.kept.jobs.get_mut(submission).expect("it was submitted")
    }

    fn id(&self, submission: &str) -> String {
        self.kept.jobs[submission].id.clone()
    }

    /// Everything that was said to be safe is there.
    fn check_promises(&mut self) -> Result<()> {
        for (submission, promised) in &self.kept.jobs {
            let reply = self.lab.get(&format!("/v1/jobs/{}", promised.id))?;
            let state = reply.status;
            let body = String::from_utf8_lossy(&reply.body);
            let is_kept = match promised.removal {
                Removal::NotAsked => state == 200,
                Removal::Asked => true,
                Removal::Done => state != 200,
            };
            keep(is_kept, || format!("{submission}, {}, is {state}: {body}", promised.id))?;
            if promised.is_done && promised.removal == Removal::NotAsked {
                let is_done = body.contains("\"state\":\"done\"");
                keep(is_done, || format!("{} was done: {body}", promised.id))?;
            }
        }
        self.check_acknowledged()?;
        self.verify(&[])?;
        match self.kept.backup.as_ref().map(|backup| backup.display().to_string()) {
            Some(backup) => self.verify(&["--backup", &backup]),
            None => Ok(()),
        }
    }

    /// `gleaner coordinator verify` finds nothing.
    fn verify(&mut self, options: &[&str]) -> Result<()> {
        let answer = self.lab.ask_operator(&[&["coordinator", "verify"], options].concat())?;
        let disk = self.lab.mount().disk();
        if answer.code != 0 && disk.failed() > self.failed {
            // It writes where readers are, and cannot.
            return Ok(());
        }
        drop(disk);
        keep(answer.code == 0, || format!("{}{}", answer.stdout, answer.stderr))
    }

    /// Every attempt that a worker was told is safe is in the store, or its unit is settled without
    /// it, or its job removed.
    fn check_acknowledged(&self) -> Result<()> {
        let file = self.lab.coordinator_folder().join("store.sqlite");
        let store = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let names = |query: &str| -> Result<BTreeSet<String>> {
            let mut query = store.prepare(query)?;
            let rows = query.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        let kept = names(
            "SELECT 'attempt-' || job || '.' || unit || '.' || attempt FROM \
             (SELECT job, unit, attempt FROM opinion UNION ALL \
              SELECT job, unit, attempt FROM inconclusive)",
        )?;
        let settled = names("SELECT 'attempt-' || job || '.' || unit FROM settled")?;
        let removed: Vec<String> = self
            .kept
            .jobs
            .values()
            .filter(|promised| promised.removal != Removal::NotAsked)
            .map(|promised| format!("{}.", promised.id.replace("job-", "attempt-")))
            .collect();
        for told in self.lab.acknowledged() {
            let unit = told.rsplit_once('.').map_or("", |(unit, _)| unit);
            let is_kept = kept.contains(&told)
                || settled.contains(unit)
                || removed.iter().any(|job| told.starts_with(job));
            keep(is_kept, || format!("{told} was acknowledged, and is not in the store"))?;
        }
        Ok(())
    }
}
