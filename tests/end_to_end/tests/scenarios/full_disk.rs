//! A disk that is full: said, waited out, and nothing lost. A small file system in memory is the
//! disk, which only root may mount: elsewhere this test says so and passes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use end_to_end::{Gleaner, JobFolder, Output, Process, read_output, wait_until};
use serde_json::Value;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(180);
const ITEMS: u64 = 60;

const SQUARES: &str = "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\nfunction = \"square\"\n\
                       range = { field = \"number\", end = 40 }\nreduce = \"csv\"";

#[test]
fn a_coordinator_without_room_says_so_waits_and_goes_on() -> Result<()> {
    let Some(disk) = SmallDisk::mount("8m")? else { return Ok(()) };
    let folder = JobFolder::planets(ITEMS - 1, "1")?;
    let lab = Lab::start(disk.path())?;
    let _worker = lab.join(&lab.folder.path().join("worker"))?;
    lab.submit(&folder)?;
    // One worker never settles it.
    lab.submit(&JobFolder::of_test_tasks("quorum = 2", SQUARES)?)?;
    lab.wait_for_items(1)?;
    disk.fill()?;
    lab.wait_for_log("waits until there is room")?;
    let manifest = folder.manifest();
    let refused = lab.ask(&["submit", manifest.to_str().context("a path is text")?])?;
    ensure!(refused.code == 1, "it is taken: {refused:?}");
    ensure!(refused.stderr.contains("is full"), "the reason is missing: {refused:?}");
    ensure!(
        refused.stderr.contains("nothing was begun"),
        "it does not say what to do: {refused:?}"
    );
    let untold = lab.ask(&["pause", "job-2"])?;
    ensure!(untold.code == 1, "it is answered: {untold:?}");
    ensure!(untold.stderr.contains("may yet be done"), "what comes of it is not said: {untold:?}");
    disk.make_room()?;
    lab.wait_for_log("there is room again")?;
    ensure!(lab.status("job-2")?["state"] == "paused", "the order was lost");
    ensure!(lab.output_of("job-1")? == lab.gleaner.run(&folder.manifest())?, "the output differs");
    lab.coordinator.stop(LIMIT)
}

#[test]
fn a_worker_without_room_gives_back_what_it_cannot_begin_and_loses_nothing() -> Result<()> {
    let Some(disk) = SmallDisk::mount("16m")? else { return Ok(()) };
    let planets = JobFolder::planets(ITEMS - 1, "1")?;
    let data = tempfile::tempdir().context("cannot make a folder")?;
    let lab = Lab::start(data.path())?;
    let worker = lab.join(disk.path())?;
    let offer = "up to 14 MiB of disk";
    ensure!(worker.log().contains(offer), "a disk of 16 MiB is offered as {}", worker.log());
    lab.submit(&planets)?;
    lab.wait_for_items(1)?;
    disk.fill()?;
    // Its module is not on the worker yet, and finds no room there.
    let squares = JobFolder::of_test_tasks("", SQUARES)?;
    lab.submit(&squares)?;
    wait_until("a stage that is not ready", LIMIT, || {
        Ok(worker.log().contains("stage not ready").then_some(()))
    })
    .with_context(|| worker.log())?;
    let workers = lab.gleaner.tell_json(&lab.data, &["workers"])?;
    let id = workers[0]["worker"].as_str().context("the worker has a key")?;
    for subject in ["job-2", "unit-2.0", id] {
        wait_until("the reason", LIMIT, || {
            let told = lab.gleaner.tell(&lab.data, &["why", subject])?;
            Ok(told.contains("its disk is full").then_some(()))
        })
        .with_context(|| format!("{subject} is not said to wait for a full disk"))?;
    }
    disk.make_room()?;
    for (job, folder) in [("job-1", &planets), ("job-2", &squares)] {
        let output = lab.output_of(job).with_context(|| worker.log())?;
        ensure!(output == lab.gleaner.run(&folder.manifest())?, "the output of {job} differs");
    }
    worker.stop(LIMIT)?;
    lab.coordinator.stop(LIMIT)
}

#[test]
fn a_coordinator_that_finds_no_room_when_it_starts_says_what_to_do() -> Result<()> {
    let Some(disk) = SmallDisk::mount("2m")? else { return Ok(()) };
    let gleaner = Gleaner::find()?;
    gleaner.tell(disk.path(), &["coordinator", "init"])?;
    let start = ["coordinator", "start", "--loopback", "--port", "0", "--api-port", "0"];
    for had_started in [false, true] {
        disk.fill()?;
        let refused = gleaner.ask(disk.path(), &start)?;
        let words = &refused.stderr;
        ensure!(refused.code == 1, "it starts ({had_started}): {refused:?}");
        ensure!(words.contains("is full"), "the reason is missing ({had_started}): {words}");
        ensure!(
            words.contains("make room there"),
            "what to do is missing ({had_started}): {words}"
        );
        disk.make_room()?;
        if !had_started {
            Lab::serve(gleaner.clone(), disk.path())?.coordinator.stop(LIMIT)?;
        }
    }
    Ok(())
}

/// The store's copy alone does not fit; or all bytes do, but not in as many blocks as their files
/// take, which shows only when they are written.
#[test]
fn a_backup_that_does_not_fit_says_so_and_leaves_nothing() -> Result<()> {
    const FILES: usize = 100;
    let names: Vec<_> = (0..FILES).map(|number| format!("f{number}")).collect();
    let files: Vec<_> = names.iter().map(|name| format!("{name} = \"{name}\"")).collect();
    let stage = format!("{SQUARES}\nfiles = {{ {} }}", files.join(", "));
    let folder = JobFolder::of_test_tasks("", &stage)?;
    names.iter().try_for_each(|name| folder.add(name, name.as_bytes()))?;
    let data = tempfile::tempdir().context("cannot make a folder")?;
    let lab = Lab::start(data.path())?;
    lab.submit(&folder)?;
    let whole = data.path().join("whole");
    let whole = whole.to_str().context("a path is text")?;
    let backup = lab.gleaner.tell_json(data.path(), &["coordinator", "backup", whole])?;
    let manifest = &backup["manifest"];
    let store = manifest["files"][0]["bytes"].as_u64().context("the store has a size")?;
    let blobs = manifest["blob_bytes"].as_u64().context("the blobs have a size")?;

    for bytes in [store / 2, store + blobs + 64 * 1024] {
        let Some(disk) = SmallDisk::mount(&bytes.to_string())? else { return Ok(()) };
        let target = disk.path().join("backup");
        let target = target.to_str().context("a path is text")?;
        let refused = lab.ask(&["coordinator", "backup", target])?;
        ensure!(refused.code == 1, "{bytes} bytes are enough: {refused:?}");
        ensure!(
            refused.stderr.contains("make room, or choose another"),
            "{bytes} bytes: {refused:?}"
        );
        let left = fs::read_dir(disk.path()).context("cannot list the disk")?.count();
        ensure!(left == 0, "{left} files are left on a disk of {bytes} bytes");
    }
    lab.coordinator.stop(LIMIT)
}

/// A coordinator with its data where a test wants it.
struct Lab {
    gleaner: Gleaner,
    coordinator: Process,
    data: PathBuf,
    folder: TempDir,
}

impl Lab {
    fn start(data: &Path) -> Result<Self> {
        let gleaner = Gleaner::find()?;
        gleaner.tell(data, &["coordinator", "init"])?;
        Self::serve(gleaner, data)
    }

    /// One whose project is there already.
    fn serve(gleaner: Gleaner, data: &Path) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let mut start = gleaner.command(data);
        start.args(["coordinator", "start", "--loopback", "--port", "0", "--api-port", "0"]);
        let log = folder.path().join("coordinator.log");
        let coordinator = Process::start("coordinator", &mut start, &log)?;
        let lab = Self { gleaner, coordinator, data: data.to_owned(), folder };
        lab.wait_for_log("next: ")?;
        Ok(lab)
    }

    /// A worker that has its data in `data` and has joined.
    fn join(&self, data: &Path) -> Result<Process> {
        let ticket = self.gleaner.tell(&self.data, &["coordinator", "invite", "--ticket-only"])?;
        let mut join = self.gleaner.command(data);
        join.args(["worker", "join", "--yes", "--loopback", "--slots", "1", ticket.trim()]);
        let worker = Process::start("worker", &mut join, &self.folder.path().join("worker.log"))?;
        wait_until("the worker's welcome", LIMIT, || {
            Ok(worker.log().contains("welcome").then_some(()))
        })
        .with_context(|| worker.log())?;
        Ok(worker)
    }

    fn ask(&self, arguments: &[&str]) -> Result<end_to_end::Answer> {
        self.gleaner.ask(&self.data, arguments)
    }

    fn submit(&self, folder: &JobFolder) -> Result<()> {
        let manifest = folder.manifest();
        let manifest = manifest.to_str().context("a path is text")?;
        self.gleaner.tell(&self.data, &["submit", manifest]).map(drop)
    }

    fn status(&self, job: &str) -> Result<Value> {
        self.gleaner.tell_json(&self.data, &["status", job])
    }

    fn wait_for_items(&self, items: u64) -> Result<()> {
        wait_until("settled items", LIMIT, || {
            let settled = self.status("job-1")?["stages"][0]["items_settled"].as_u64();
            Ok((settled >= Some(items)).then_some(()))
        })
    }

    fn wait_for_log(&self, words: &str) -> Result<()> {
        wait_until(words, LIMIT, || Ok(self.coordinator.log().contains(words).then_some(())))
            .with_context(|| self.coordinator.log())
    }

    /// What comes out once a job has ended.
    fn output_of(&self, job: &str) -> Result<Output> {
        let end = wait_until("the end of the job", LIMIT, || {
            let status = self.status(job)?;
            Ok((status["state"] != "running").then_some(status))
        })
        .with_context(|| self.coordinator.log())?;
        ensure!(end["state"] == "done", "it ended as {end}");
        let folder = self.folder.path().join(format!("{job}-output"));
        let path = folder.to_str().context("a path is text")?;
        self.gleaner.tell(&self.data, &["results", job, "-o", path])?;
        read_output(&folder)
    }
}

/// A file system in memory, of a size that is soon full; unmounted when dropped.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// None, with the reason printed, where it cannot be mounted.
    fn mount(size: &str) -> Result<Option<Self>> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path());
        match mount.output() {
            Ok(output) if output.status.success() => Ok(Some(Self { folder })),
            Ok(output) => {
                let words = String::from_utf8_lossy(&output.stderr);
                // Past what keeps the words of tests that pass: who reads the results must know.
                let line = format!("skipped: no small disk can be mounted: {}\n", words.trim());
                io::stderr().write_all(line.as_bytes()).context("cannot say so")?;
                Ok(None)
            }
            Err(error) => bail!("cannot run `mount`: {error}"),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Writes until nothing more fits.
    fn fill(&self) -> Result<()> {
        let mut file = File::create(self.filler()).context("cannot make the filler")?;
        while file.write_all(&[1; 4096]).is_ok() {}
        Ok(())
    }

    fn make_room(&self) -> Result<()> {
        fs::remove_file(self.filler()).context("cannot remove the filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that a failed test left may still be ending.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
