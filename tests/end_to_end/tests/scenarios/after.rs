//! Stages whose items are cut from what an earlier stage gave.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::{Gleaner, JobFolder, Swarm, wait_until};

const STAGE_LIMIT: Duration = Duration::from_secs(120);

/// Squares as CSV; each line of that, louder; pieces of that.
fn squares(unit_items: &str) -> Result<JobFolder> {
    JobFolder::of_test_tasks(
        "",
        &format!(
            r#"[[stage]]
               name = "squares"
               module = "tasks.wasm"
               function = "square"
               range = {{ field = "number", end = 150 }}
               unit_items = {unit_items}
               reduce = "csv"
               [[stage]]
               name = "loud"
               module = "tasks.wasm"
               function = "shout"
               lines = {{ field = "line", after = "squares" }}
               unit_items = {unit_items}
               reduce = "lines"
               [[stage]]
               name = "pieces"
               module = "tasks.wasm"
               function = "quote"
               bytes = {{ field = "piece", after = "loud", chunk = "100 B" }}
               unit_items = {unit_items}
               reduce = "lines""#
        ),
    )
}

fn manifest(folder: &JobFolder) -> Result<String> {
    Ok(folder.manifest().to_str().context("a path is text")?.to_owned())
}

#[test]
fn stages_after_stages_give_the_same_bytes_however_they_are_cut_and_killed() -> Result<()> {
    let expected = Gleaner::find()?.run(&squares("\"auto\"")?.manifest())?;
    let loud = expected.get("loud/loud.txt").context("there is a text")?;
    ensure!(loud.starts_with(b"NUMBER,SQUARE\n0,0\n1,1\n"), "{}", loud.escape_ascii());
    ensure!(loud.ends_with(b"149,22201\n"), "{}", loud.escape_ascii());

    let mut swarm = Swarm::with_workers(&[1, 1])?;
    let job = swarm.submit(&squares("1")?.manifest())?;
    wait_until("the second stage", STAGE_LIMIT, || {
        let settled = swarm.status(&job)?["stages"][1]["items_settled"].as_u64();
        Ok((settled >= Some(1)).then_some(()))
    })?;
    swarm.kill_coordinator()?;
    swarm.start_coordinator()?;
    let end = swarm.wait_for_end(&job)?;
    ensure!(end["state"] == "done" && end["stages"][1]["items"] == 151, "{end}");
    ensure!(swarm.output(&job)? == expected, "the output differs");

    let again = swarm.submit_with(&squares("7")?.manifest(), &[])?;
    let end = swarm.wait_for_end(&again)?;
    ensure!(swarm.output(&again)? == expected, "what was taken over gives other bytes");
    for stage in end["stages"].as_array().into_iter().flatten() {
        ensure!(stage["items_kept"] == stage["items"], "it was computed again: {end}");
    }
    let fresh = swarm.compute(&squares("7")?.manifest())?;
    ensure!(fresh == expected, "units of 7 items give other bytes");
    swarm.stop()
}

#[test]
fn an_output_that_cannot_be_cut_fails_its_job_with_the_line_and_stays() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let folder = JobFolder::of_test_tasks(
        "",
        r#"[[stage]]
           name = "rows"
           module = "tasks.wasm"
           function = "trace"
           range = { field = "number", end = 3 }
           reduce = "lines"
           [[stage]]
           name = "stars"
           module = "tasks.wasm"
           function = "star"
           json_lines = { after = "rows" }
           reduce = "csv""#,
    )?;
    let job = swarm.submit(&folder.manifest())?;
    let end = swarm.wait_for_end(&job)?;
    let reason = "stage `stars`: \"rows/rows.txt\", line 1: it is a list, no JSON object";
    ensure!(end["state"] == "failed", "{end}");
    ensure!(end["failure"].as_str().is_some_and(|told| told.starts_with(reason)), "{end}");
    ensure!(end["failure_cause"] == "stage", "{end}");
    ensure!(end["stages"][0]["state"] == "done", "the first stage is lost: {end}");
    let said = swarm.tell(&["status", &job])?;
    ensure!(said.contains("a retry would fail alike") && !said.contains("gleaner retry"), "{said}");
    swarm.stop()
}

#[test]
fn reports_and_rehearsals_know_the_items_of_a_stage_after_a_stage() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let folder = JobFolder::of_test_tasks(
        "on_failure = \"continue\"",
        r#"[[stage]]
           name = "loud"
           module = "tasks.wasm"
           function = "shout"
           lines = { field = "line", file = "objects" }
           reduce = "lines"
           [[stage]]
           name = "stars"
           module = "tasks.wasm"
           function = "star"
           json_lines = { after = "loud" }
           reduce = "lines""#,
    )?;
    folder.add("objects", b"{\"name\": \"Sun\"}\n{\"name\": \"Vega\"}\n")?;
    let plan = swarm.tell(&["submit", &manifest(&folder)?, "--dry-run"])?;
    ensure!(plan.contains("known when loud is done"), "{plan}");

    let job = swarm.submit(&folder.manifest())?;
    let end = swarm.wait_for_end(&job)?;
    ensure!(end["stages"][1]["items_failed"] == 2, "no such star has a mass: {end}");
    let results = tempfile::tempdir()?;
    let path = results.path().to_str().context("a path is text")?;
    swarm.tell(&["results", &job, "-o", path])?;
    let failed = fs::read_to_string(results.path().join("failed.csv"))?;
    ensure!(failed.contains(r#""{""NAME"":""VEGA""}""#), "{failed}");
    swarm.stop()
}
