//! Ctrl-C and kills: what goes on, what is said, and what is left behind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::{Gleaner, JobFolder, Process, Swarm, wait_until};

use crate::proxy::{Cut, Point, Proxy};

const LIMIT: Duration = Duration::from_secs(60);

/// A job that would take days.
fn endless() -> Result<JobFolder> {
    let stage = r#"
        [[stage]]
        name = "s"
        module = "tasks.wasm"
        function = "spin"
        range = { field = "number", end = 40 }
        unit_items = 1
        reduce = "lines"
        parameters = { iterations = 1_000_000_000_000_000 }"#;
    JobFolder::of_test_tasks("", stage)
}

/// A job whose output is a large and a small file.
fn letters() -> Result<JobFolder> {
    let stage = r#"
        [[stage]]
        name = "s"
        module = "tasks.wasm"
        function = "wordy"
        range = { field = "number", start = 1, end = 9 }
        reduce = "concat"
        parameters = { bytes = 1_000_000 }
        [[stage]]
        name = "t"
        module = "tasks.wasm"
        function = "trace"
        range = { field = "number", end = 3 }
        reduce = "concat""#;
    JobFolder::of_test_tasks("", stage)
}

fn start(name: &str, data: &Path, log: &Path, arguments: &[&str]) -> Result<Process> {
    let mut command: Command = Gleaner::find()?.command(data);
    command.args(arguments).stdin(Stdio::null());
    Process::start(name, &mut command, log)
}

/// Sends Ctrl-C once `words` were said, and gives all that was.
fn interrupt_after(mut process: Process, words: &str) -> Result<String> {
    wait_until(words, LIMIT, || {
        ensure!(process.ended()?.is_none(), "it ended early: {}", process.log());
        Ok(process.log().contains(words).then_some(()))
    })?;
    process.interrupt()?;
    let status = wait_until("the end of a command", LIMIT, || process.ended())?;
    let log = process.log();
    ensure!(status.code() == Some(130), "it ended with {status}: {log}");
    Ok(log)
}

#[test]
fn a_job_goes_on_when_nobody_watches_it_any_more() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let folder = endless()?;
    let manifest = folder.manifest().to_str().context("a path is text")?.to_owned();
    let log = folder.path().join("log");
    let submit = start("submit", &swarm.data(), &log, &["submit", &manifest, "--wait"])?;
    let said = interrupt_after(submit, "0 of 40 items")?;
    ensure!(said.contains("job-1 goes on") && said.contains("gleaner watch job-1"), "{said}");
    for (number, form) in [(0, None), (1, Some("--json"))] {
        let log = folder.path().join(format!("log-{number}"));
        let arguments: Vec<_> = ["watch", "job-1"].into_iter().chain(form).collect();
        let watch = start("watch", &swarm.data(), &log, &arguments)?;
        let said = interrupt_after(watch, if form.is_some() { "\"job-1\"" } else { "0 of 40" })?;
        ensure!(said.contains("job-1 goes on"), "{said}");
    }
    ensure!(swarm.status("job-1")?["state"] == "running", "{}", swarm.status("job-1")?);
    swarm.tell(&["cancel", "job-1"])?;
    swarm.stop()
}

#[test]
fn an_interrupted_run_leaves_nothing() -> Result<()> {
    let folder = endless()?;
    let manifest = folder.manifest().to_str().context("a path is text")?.to_owned();
    let output = folder.path().join("out");
    let temporary = folder.path().join("temporary");
    fs::create_dir(&temporary)?;
    let mut command = Gleaner::find()?.command(folder.path());
    command.args(["run", &manifest, "-o"]).arg(&output).env("TMPDIR", &temporary);
    let run = Process::start("run", &mut command, &folder.path().join("log"))?;
    let said = interrupt_after(run, "0 of 40 items")?;
    ensure!(said.contains("interrupted") && said.contains("run it again"), "{said}");
    ensure!(!output.exists(), "there is output of half a job");
    let left: Vec<_> = fs::read_dir(&temporary)?.collect();
    ensure!(left.is_empty(), "it left {left:?}");
    Ok(())
}

#[test]
fn results_cut_off_anywhere_are_whole_files_or_none() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let (job, _) = swarm.see_through(&letters()?.manifest())?;
    let expected = swarm.output(&job)?;
    ensure!(expected.len() == 2, "two files: {:?}", expected.keys());
    let proxy = Proxy::start(&swarm)?;
    for is_killed in [true, false] {
        let folder = tempfile::tempdir()?;
        let output = folder.path().join("out");
        let arguments = ["results", &job, "-o", output.to_str().context("a path is text")?];
        proxy.cut(Cut { begins: "GET /v1/jobs/job-1/output/s/", at: Point::HalfTheAnswer });
        let mut results = start("results", proxy.data(), &folder.path().join("log"), &arguments)?;
        proxy.wait_for_cut()?;
        wait_until("half a file", LIMIT, || {
            Ok(files(&output)?.iter().any(|name| name.ends_with(".part")).then_some(()))
        })?;
        if is_killed {
            results.kill()?;
        } else {
            results.interrupt()?;
            let status = wait_until("the end of a command", LIMIT, || results.ended())?;
            ensure!(status.code() == Some(130), "it ended with {status}: {}", results.log());
            let left = files(&output)?;
            ensure!(!left.iter().any(|name| name.ends_with(".part")), "it left {left:?}");
        }
        let whole = files(&output)?.into_iter().filter(|name| !name.ends_with(".part"));
        for name in whole {
            ensure!(Some(&fs::read(output.join(&name))?) == expected.get(&name), "{name} is torn");
        }
        swarm.tell(&arguments)?;
        for (name, bytes) in &expected {
            ensure!(fs::read(output.join(name))? == *bytes, "{name} differs after a repeat");
        }
    }
    swarm.stop()
}

/// The files below `folder` that are there, hidden ones too.
fn files(folder: &Path) -> Result<Vec<String>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    Ok(end_to_end::read_output(folder)?.into_keys().collect())
}
