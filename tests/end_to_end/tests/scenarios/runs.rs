//! `gleaner run`: what it keeps of a job that fails, and of one whose output has no place.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use end_to_end::{Answer, Gleaner, JobFolder, Process, read_output, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

/// A stage that gives three lines, and one that cannot cut them when `records` is `json_lines`.
fn chain(records: &str) -> Result<JobFolder> {
    JobFolder::of_test_tasks(
        "",
        &format!(
            r#"[[stage]]
               name = "rows"
               module = "tasks.wasm"
               function = "trace"
               range = {{ field = "number", end = 3 }}
               reduce = "lines"
               [[stage]]
               name = "loud"
               module = "tasks.wasm"
               function = "shout"
               {records}
               reduce = "lines""#
        ),
    )
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path is text")
}

fn run(folder: &JobFolder, output: &Path, more: &[&str]) -> Result<Answer> {
    let manifest = folder.manifest();
    let arguments = [&["run", text(&manifest)?, "-o", text(output)?], more].concat();
    Gleaner::find()?.ask(folder.path(), &arguments)
}

#[test]
fn a_run_that_fails_keeps_the_stages_that_were_done() -> Result<()> {
    let fails = chain("json_lines = { after = \"rows\" }")?;
    let output = tempfile::tempdir()?;
    for _ in 0..2 {
        let failed = run(&fails, output.path(), &[])?;
        ensure!(failed.code == 3, "it can be run again: {failed:?}");
        ensure!(failed.stderr.matches("it is a list").count() == 1, "{failed:?}");
        ensure!(!failed.stderr.contains("WARN"), "no log is asked for: {failed:?}");
        ensure!(!failed.stderr.contains("gleaner retry"), "there is no such job: {failed:?}");
        let rows = fs::read_to_string(output.path().join("rows/rows.txt"))?;
        ensure!(rows.lines().count() == 3, "{rows}");
    }
    let mended =
        run(&chain("lines = { field = \"line\", after = \"rows\" }")?, output.path(), &[])?;
    ensure!(mended.code == 0, "what a failed run left is in nobody's way: {mended:?}");
    ensure!(!mended.stderr.contains("no worker"), "a worker is there: {mended:?}");
    let again = run(&fails, output.path(), &[])?;
    ensure!(again.code == 1 && again.stderr.contains("is not empty"), "{again:?}");
    Ok(())
}

#[test]
fn a_folder_that_cannot_be_used_is_told_of_before_anything_is_computed() -> Result<()> {
    let folder = chain("lines = { field = \"line\", after = \"rows\" }")?;
    let refused = run(&folder, Path::new("/proc/none/here"), &[])?;
    ensure!(refused.code == 1 && refused.stderr.contains("/proc/none/here"), "{refused:?}");
    ensure!(!refused.stderr.contains("items"), "it has computed: {refused:?}");
    Ok(())
}

#[test]
fn what_has_no_place_after_it_was_computed_is_kept() -> Result<()> {
    let folder = chain("lines = { field = \"line\", after = \"rows\" }")?;
    let expected = Gleaner::find()?.run(&folder.manifest())?;
    let (output, temporary) = (tempfile::tempdir()?, tempfile::tempdir()?);
    // A folder in the place of a file shows only when the file is to be written.
    fs::create_dir_all(output.path().join("loud/loud.txt"))?;
    let (manifest, gleaner) = (folder.manifest(), Gleaner::find()?);
    let mut command = gleaner.command(folder.path());
    command.args(["run", text(&manifest)?, "--force", "-o"]).arg(output.path());
    let ended = command.env("TMPDIR", temporary.path()).output()?;
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    ensure!(ended.status.code() == Some(1) && said.contains("loud.txt"), "{said}");
    let kept: Vec<_> = fs::read_dir(temporary.path())?.collect::<Result<_, _>>()?;
    let [kept] = kept.as_slice() else { bail!("one folder is kept: {kept:?}") };
    ensure!(said.contains(text(&kept.path())?), "it says where: {said}");

    let start = ["coordinator", "start", "--loopback", "--port", "0", "--api-port", "0"];
    let mut coordinator = gleaner.command(&kept.path());
    let log = folder.path().join("log");
    let coordinator = Process::start("coordinator", coordinator.args(start), &log)?;
    wait_until("the coordinator of what was kept", LIMIT, || {
        Ok((gleaner.ask(&kept.path(), &["jobs"])?.code == 0).then_some(()))
    })?;
    let results = tempfile::tempdir()?;
    gleaner.tell(&kept.path(), &["results", "job-1", "-o", text(results.path())?])?;
    drop(coordinator);
    let fetched = read_output(results.path())?;
    ensure!(fetched == expected, "{:?}", fetched.keys());
    Ok(())
}
