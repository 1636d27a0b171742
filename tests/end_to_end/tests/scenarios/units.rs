//! What is told of units, and what their tasks logged.

use anyhow::{Context, Result, ensure};
use end_to_end::{JobFolder, Swarm};
use serde_json::Value;

/// Ten numbers, two in a unit, with as many lines of log for each as `lines` says.
fn logging(lines: u32) -> Result<JobFolder> {
    let stage = format!(
        "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\nfunction = \"flood\"\n\
         range = {{ field = \"number\", end = 10 }}\nunit_items = 2\nreduce = \"lines\"\n\
         parameters = {{ lines = {lines} }}"
    );
    JobFolder::of_test_tasks("", &stage)
}

/// A task that overflows its stack on every host, after it has said how deep it goes.
fn overflowing() -> Result<JobFolder> {
    let stage = "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\nfunction = \"deep\"\n\
                 range = { field = \"number\", end = 1 }\nreduce = \"lines\"\n\
                 parameters = { depth = 100000000 }";
    JobFolder::of_test_tasks("max_attempts = 2", stage)
}

fn units(swarm: &Swarm, arguments: &[&str]) -> Result<Vec<Value>> {
    let text = swarm.tell(&[&["units"], arguments, &["--json"]].concat())?;
    text.lines().map(|line| serde_json::from_str(line).context("a line is JSON")).collect()
}

#[test]
fn logs_are_there_after_a_crash_and_units_tell_who_did_what() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[1])?;
    let (_, waiting) = swarm.see_through(&logging(2)?.manifest())?;
    ensure!(waiting["state"] == "done", "it ended as {waiting}");
    swarm.kill_coordinator()?;
    swarm.start_coordinator()?;
    let log = swarm.tell(&["logs", "1.3"])?;
    let lines: Vec<_> = log.lines().collect();
    ensure!(lines.len() == 5, "two items of two lines below a head: {log}");
    ensure!(lines[0].starts_with("attempt-1.3.1  worker-"), "{log}");
    ensure!(lines[1].starts_with("  item 6 info: 0000"), "{log}");
    ensure!(lines[4].starts_with("  item 7 info: 0000"), "{log}");
    // By its name, as the newest of that name.
    let all = units(&swarm, &["trial"])?;
    ensure!(all.len() == 5, "five units of two items: {all:?}");
    for unit in &all {
        let attempt = &unit["attempts"][0];
        ensure!(unit["state"] == "settled" && attempt["state"] == "completed", "{unit}");
        ensure!(attempt["log_bytes"].as_u64() > Some(200), "{unit}");
    }
    ensure!(units(&swarm, &["1", "--failed"])?.is_empty(), "none has failed");
    let unknown = swarm.ask(&["logs", "unit-1.99"])?;
    ensure!(unknown.code == 1 && unknown.stderr.contains("there is no unit-1.99"), "{unknown:?}");
    let unknown = swarm.ask(&["units", "1", "--stage", "t"])?;
    ensure!(unknown.code == 1 && unknown.stderr.contains("its stages are: s"), "{unknown:?}");
    swarm.stop()
}

#[test]
fn units_that_wait_are_one_run_and_a_failure_has_its_logs() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[])?;
    let waiting = swarm.submit(&logging(1)?.manifest())?;
    let why = swarm.tell(&["why", &waiting])?;
    ensure!(why.contains("no worker is connected"), "{why}");
    let all = units(&swarm, &[&waiting])?;
    ensure!(all.len() == 1 && all[0]["state"] == "waiting", "nothing is cut yet: {all:?}");
    ensure!(all[0]["items"]["end"] == 10, "{all:?}");
    swarm.tell(&["cancel", &waiting])?;
    ensure!(units(&swarm, &[&waiting])?[0]["state"] == "dropped", "nobody waits for it any more");
    swarm.join_worker(1)?;
    let (job, end) = swarm.see_through(&overflowing()?.manifest())?;
    ensure!(end["state"] == "failed", "it ended as {end}");
    let failed = units(&swarm, &[&job, "--failed"])?;
    ensure!(failed.len() == 1 && failed[0]["state"] == "failed", "{failed:?}");
    let attempts = failed[0]["attempts"].as_array().context("a list")?;
    ensure!(attempts.len() == 2, "both attempts are told of: {failed:?}");
    let why = swarm.tell(&["why", "2.0"])?;
    ensure!(why.matches("overflowed its call stack").count() >= 2, "{why}");
    ensure!(why.contains("job-2 failed"), "{why}");
    let why = swarm.tell(&["why", "worker-"])?;
    ensure!(why.contains("it last returned attempt-2.0.2 without an answer"), "{why}");
    let unknown = swarm.ask(&["why", "2.9"])?;
    ensure!(unknown.code == 1 && unknown.stderr.contains("there is no unit-2.9"), "{unknown:?}");
    let log = swarm.tell(&["logs", "unit-2.0"])?;
    ensure!(log.matches("item 0 info: 100000000 calls deep").count() == 2, "{log}");
    ensure!(log.contains("overflowed its call stack"), "{log}");
    let newest = swarm.ask(&["status", "trial"])?;
    ensure!(newest.stderr.contains("2 jobs are called trial; this is job-2"), "{newest:?}");
    swarm.stop()
}
