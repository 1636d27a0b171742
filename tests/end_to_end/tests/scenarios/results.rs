//! What a submitter gets of a job besides its outputs: what failed, what made them, and what there
//! is of them before they are whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::{JobFolder, Swarm, read_output, wait_until};
use gleaner_protocol::BlobHash;
use serde_json::Value;
use tempfile::TempDir;

/// The longest that a small stage may take on a loaded machine.
const LIMIT: Duration = Duration::from_secs(60);

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("test folders have names of text")
}

fn read(folder: &TempDir, name: &str) -> Result<String> {
    let path = folder.path().join(name);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

fn names(folder: &TempDir) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(folder.path())?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

fn job(head: &str, stage: &str) -> Result<JobFolder> {
    let stage = format!("[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\n{stage}");
    JobFolder::of_test_tasks(head, &stage)
}

#[test]
fn results_tell_what_failed_and_what_made_them() -> Result<()> {
    let swarm = Swarm::with_workers(&[1, 1])?;
    let folder = job(
        "seed = 7\non_failure = \"continue\"",
        "function = \"fail_at\"\ngrid = { number = [10, 11, 12, 13], at = [11, 13] }\n\
         unit_items = 3\nreduce = \"lines\"",
    )?;
    let (job, _) = swarm.see_through(&folder.manifest())?;
    let results = tempfile::tempdir()?;
    let fetch = ["results", &job, "-o", text(results.path())?, "--json"];
    let told: Value = serde_json::from_str(&swarm.tell(&fetch)?)?;
    let kinds: Vec<_> = told.as_array().into_iter().flatten().map(|file| &file["kind"]).collect();
    ensure!(kinds == ["output", "report", "report"], "{told}");

    let failed = read(&results, "failed.csv")?;
    let rows: Vec<_> = failed.split("\r\n").collect();
    ensure!(rows.len() == 4, "a header, two items and an end: {rows:?}");
    ensure!(rows[0] == "stage,item,unit,outcome,message,parameters", "{rows:?}");
    let parameters = r#""{""number"":11,""at"":11}""#;
    ensure!(rows[1].starts_with("s,2,unit-1.0,failed,"), "{rows:?}");
    ensure!(rows[1].ends_with(parameters), "{rows:?}");
    ensure!(rows[2].starts_with("s,7,unit-1.2,failed,"), "{rows:?}");

    let provenance: Value = serde_json::from_str(&read(&results, "provenance.json")?)?;
    let stage = &provenance["stages"][0];
    let module = fs::read(folder.path().join("tasks.wasm"))?;
    ensure!(stage["module"]["hash"] == BlobHash::of(&module).to_string(), "{stage}");
    let output = fs::read(results.path().join("s/s.txt"))?;
    ensure!(stage["outputs"][0]["hash"] == BlobHash::of(&output).to_string(), "{stage}");
    ensure!(provenance["seed"] == 7 && provenance["state"] == "done", "{provenance}");
    ensure!(stage["items"] == 8 && stage["items_failed"] == 2, "{stage}");
    let units = provenance["units"].as_array().context("units")?;
    let answers = units.iter().filter_map(|unit| unit["answers"].as_array());
    ensure!(answers.flatten().count() == 3, "three units: {units:?}");
    let workers = |unit: &Value| unit["agreed"].as_array().map_or(0, Vec::len);
    ensure!(units.iter().all(|unit| workers(unit) == 1), "{units:?}");

    let again = swarm.tell(&["results", &job, "-o", text(results.path())?])?;
    ensure!(again.matches("(was there already)").count() == 3, "{again}");
    fs::write(results.path().join("failed.csv"), "mine")?;
    fs::write(results.path().join("provenance.json"), "mine\n")?;
    let refused = swarm.ask(&["results", &job, "-o", text(results.path())?])?;
    ensure!(refused.code == 1 && refused.stderr.contains("is there and differs"), "{refused:?}");
    ensure!(read(&results, "failed.csv")? == "mine", "it was replaced");
    swarm.stop()
}

#[test]
fn nothing_failed_is_a_table_with_a_header_alone() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let folder = job(
        "",
        "function = \"square\"\nrange = { field = \"number\", end = 4 }\nreduce = \"csv\"",
    )?;
    let results = tempfile::tempdir()?;
    swarm.tell(&["run", text(&folder.manifest())?, "-o", text(results.path())?])?;
    ensure!(read(&results, "failed.csv")? == "stage,item,unit,outcome,message,parameters\r\n");
    let provenance: Value = serde_json::from_str(&read(&results, "provenance.json")?)?;
    ensure!(provenance["project"]["name"] == "run", "{provenance}");
    swarm.stop()
}

#[test]
fn a_failed_job_tells_of_its_failure_and_gives_what_it_had() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let folder = job(
        "",
        "function = \"fail_at\"\nrange = { field = \"number\", end = 40 }\nparameters = { at = 17 }\n\
         unit_items = 1\nreduce = \"lines\"",
    )?;
    let (job, end) = swarm.see_through(&folder.manifest())?;
    ensure!(end["state"] == "failed", "{end}");
    let results = tempfile::tempdir()?;
    let whole = swarm.ask(&["results", &job, "-o", text(results.path())?])?;
    ensure!(whole.code == 1 && whole.stderr.contains("--partial"), "{whole:?}");
    ensure!(read(&results, "failed.csv")?.contains("s,17,unit-1.17,failed,"), "the failed item");
    let partial = swarm.ask(&["results", &job, "-o", text(results.path())?, "--partial"])?;
    ensure!(partial.code == 0, "{partial:?}");
    let (there, gaps) = there_and_missing(&results, "s", 40)?;
    ensure!(gaps.contains("s,17,17,1,failed\r\n") && gaps.contains(",dropped\r\n"), "{gaps}");
    ensure!(partial.stderr.contains(&format!("s: {there} of 40 items")), "{partial:?}");

    let output = tempfile::tempdir()?;
    let manifest = folder.manifest();
    let run = ["run", text(&manifest)?, "-o", text(output.path())?];
    for _ in 0..2 {
        let failed = swarm.ask(&run)?;
        ensure!(failed.code == 3, "it can be run again: {failed:?}");
        ensure!(read(&output, "failed.csv")?.contains("s,17,"), "{failed:?}");
    }
    swarm.stop()
}

/// Checks that a preview of numbers, one a line, has just the items that `gaps.csv` does not name;
/// gives how many, and the table.
fn there_and_missing(results: &TempDir, stage: &str, items: u64) -> Result<(usize, String)> {
    let gaps = read(results, "gaps.csv")?;
    let mut missing = BTreeSet::new();
    for row in gaps.lines().filter(|row| row.starts_with(&format!("{stage},"))) {
        let cells: Vec<_> = row.split(',').collect();
        let (first, last): (u64, u64) = (cells[1].parse()?, cells[2].parse()?);
        ensure!(cells[3].parse::<u64>()? == last - first + 1, "{row}");
        ensure!((first..=last).all(|item| missing.insert(item)), "{row} is told twice");
    }
    let preview = read(results, &format!("{stage}/{stage}.partial.txt"))?;
    let there: BTreeSet<u64> = preview.lines().map(str::parse).collect::<Result<_, _>>()?;
    let all: BTreeSet<u64> = (0..items).collect();
    ensure!(there.is_disjoint(&missing), "an item is there and missing: {gaps}");
    ensure!(&there | &missing == all, "an item is neither there nor missing: {gaps}");
    Ok((there.len(), gaps))
}

#[test]
fn a_job_that_runs_has_previews_that_go_when_it_is_done() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let stages = "[[stage]]\nname = \"rows\"\nmodule = \"tasks.wasm\"\nfunction = \"fail_at\"\nrange = { field = \"number\", end = 6000 }\n\
                  parameters = { at = -1 }\nunit_items = 1\nreduce = \"lines\"\n\
                  [[stage]]\nname = \"count\"\nmodule = \"tasks.wasm\"\nfunction = \"count_lines\"\n\
                  after = \"rows\"\nreduce = \"lines\"";
    let folder = JobFolder::of_test_tasks("", stages)?;
    let job = swarm.submit(&folder.manifest())?;
    swarm.wait_for_items(&job, 10)?;
    swarm.tell(&["pause", &job])?;
    let results = tempfile::tempdir()?;
    let place = text(results.path())?;
    let whole = swarm.ask(&["results", &job, "-o", place])?;
    ensure!(whole.code == 1 && whole.stderr.contains("--partial"), "{whole:?}");
    ensure!(names(&results)?.is_empty(), "it wrote {:?}", names(&results)?);

    let partial = swarm.ask(&["results", &job, "-o", place, "--partial"])?;
    ensure!(partial.code == 0, "{partial:?}");
    let (there, gaps) = there_and_missing(&results, "rows", 6000)?;
    ensure!(there >= 10 && gaps.contains("count,,,,blocked\r\n"), "{there}: {gaps}");
    ensure!(partial.stderr.contains("of 6,000 items"), "{partial:?}");
    ensure!(partial.stderr.contains("count: has not begun"), "{partial:?}");
    let expected = ["failed.csv", "gaps.csv", "provenance.json", "rows"].map(str::to_owned);
    ensure!(names(&results)? == expected.into(), "{:?}", names(&results)?);
    let incoming = swarm.coordinator_folder().join("blobs/incoming");
    ensure!(fs::read_dir(incoming)?.next().is_none(), "a preview left something behind");

    swarm.tell(&["resume", &job])?;
    let end = swarm.wait_for_end(&job)?;
    ensure!(end["state"] == "done", "{end}");
    swarm.tell(&["results", &job, "-o", place])?;
    ensure!(read_output(results.path())? == swarm.output(&job)?, "the previews are gone");
    ensure!(!names(&results)?.contains("gaps.csv"), "nothing is missing any more");
    swarm.stop()
}

#[test]
fn a_part_of_a_job_is_not_taken_for_the_whole() -> Result<()> {
    let swarm = Swarm::with_workers(&[2])?;
    let stages = "[[stage]]\nname = \"rows\"\nmodule = \"tasks.wasm\"\nfunction = \"square\"\n\
                  range = { field = \"number\", end = 4 }\nreduce = \"csv\"\n\
                  [[stage]]\nname = \"long\"\nmodule = \"tasks.wasm\"\nfunction = \"spin\"\n\
                  range = { field = \"number\", end = 1 }\n\
                  parameters = { iterations = 1000000000000 }\nreduce = \"lines\"";
    let folder = JobFolder::of_test_tasks("", stages)?;
    let job = swarm.submit(&folder.manifest())?;
    wait_until("the end of the first stage", LIMIT, || {
        Ok((swarm.status(&job)?["stages"][0]["state"] == "done").then_some(()))
    })?;
    let results = tempfile::tempdir()?;
    let fetch = ["results", &job, "-o", text(results.path())?];
    let refused = swarm.ask(&fetch)?;
    ensure!(refused.code == 1 && refused.stderr.contains("--partial"), "{refused:?}");
    ensure!(names(&results)?.is_empty(), "it wrote {:?}", names(&results)?);
    swarm.tell(&["cancel", &job])?;
    let ended = swarm.ask(&fetch)?;
    ensure!(ended.code == 4 && ended.stderr.contains("was cancelled"), "{ended:?}");
    ensure!(read(&results, "rows/rows.csv")?.starts_with("number,square\r\n"), "{ended:?}");
    swarm.stop()
}

#[test]
fn forced_results_leave_no_output_of_another_job() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let range = "function = \"square\"\nrange = { field = \"number\", end = 4 }";
    let (table, _) =
        swarm.see_through(&job("", &format!("{range}\nreduce = \"csv\""))?.manifest())?;
    let (lines, _) =
        swarm.see_through(&job("", &format!("{range}\nreduce = \"lines\""))?.manifest())?;
    let results = tempfile::tempdir()?;
    let place = text(results.path())?;
    swarm.tell(&["results", &table, "-o", place])?;
    fs::write(results.path().join("s/notes"), "mine")?;
    let refused = swarm.ask(&["results", &lines, "-o", place])?;
    ensure!(refused.code == 1 && results.path().join("s/s.csv").exists(), "{refused:?}");
    let forced = swarm.ask(&["results", &lines, "-o", place, "--force"])?;
    ensure!(forced.code == 0 && forced.stderr.contains("s.csv, which was of job-1"), "{forced:?}");
    let there: Vec<_> = read_output(results.path())?.into_keys().collect();
    ensure!(there == ["s/notes", "s/s.txt"], "{there:?}");
    swarm.stop()
}
