//! Answers of earlier jobs serve later ones, as far as they ask the same.

use anyhow::{Context, Result, ensure};
use end_to_end::{JobFolder, Swarm};

/// Two stages over the numbers from 0: the second one takes the first one's output.
fn job(end: u32, unit_items: u32, quorum: u32) -> Result<JobFolder> {
    JobFolder::of_test_tasks(
        &format!("quorum = {quorum}"),
        &format!(
            r#"[[stage]]
               name = "rows"
               module = "tasks.wasm"
               function = "trace"
               range = {{ field = "number", end = {end} }}
               unit_items = {unit_items}
               reduce = "concat"
               [[stage]]
               name = "count"
               module = "tasks.wasm"
               function = "count_lines"
               after = "rows"
               reduce = "lines""#
        ),
    )
}

fn kept(swarm: &Swarm, job: &str) -> Result<(u64, u64)> {
    let view = swarm.status(job)?;
    let count = |stage: usize| view["stages"][stage]["items_kept"].as_u64();
    count(0).zip(count(1)).with_context(|| format!("no counts in {view}"))
}

#[test]
fn what_was_answered_is_not_computed_again() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[1])?;
    let first = swarm.submit_with(&job(20, 3, 1)?.manifest(), &[])?;
    ensure!(swarm.wait_for_end(&first)?["state"] == "done", "the first run is done");
    ensure!(kept(&swarm, &first)? == (0, 0), "nothing was known before");
    let output = swarm.output(&first)?;
    swarm.kill_worker(0)?;

    // Nobody is there to compute anything.
    let again = swarm.submit_with(&job(20, 7, 1)?.manifest(), &[])?;
    ensure!(swarm.wait_for_end(&again)?["state"] == "done", "the answers are known");
    ensure!(kept(&swarm, &again)? == (20, 1), "{:?}", kept(&swarm, &again)?);
    ensure!(swarm.output(&again)? == output, "known answers give the same bytes");

    let fresh = swarm.submit_with(&job(20, 3, 1)?.manifest(), &["--fresh"])?;
    let stricter = swarm.submit_with(&job(20, 3, 2)?.manifest(), &[])?;
    let longer = swarm.submit_with(&job(26, 3, 1)?.manifest(), &[])?;
    let shorter = swarm.submit_with(&job(9, 3, 1)?.manifest(), &[])?;
    ensure!(kept(&swarm, &fresh)? == (0, 0), "fresh computes everything");
    ensure!(kept(&swarm, &stricter)? == (0, 0), "one opinion does not serve a quorum of two");
    ensure!(kept(&swarm, &longer)?.0 == 20, "the beginning of more items is known");
    let units = swarm.tell(&["units", &longer])?;
    ensure!(units.contains("kept") && units.contains("unit-1.0"), "{units}");
    ensure!(kept(&swarm, &shorter)?.0 == 9, "{:?}", kept(&swarm, &shorter)?);

    swarm.restart_worker(0)?;
    for job in [&fresh, &longer, &shorter] {
        ensure!(swarm.wait_for_end(job)?["state"] == "done", "{job} is done");
    }
    ensure!(swarm.output(&fresh)? == output, "fresh answers are the same");
    let all: String = (0..26).map(|number| format!("[{number}]")).collect();
    let trace = &swarm.output(&longer)?["rows/rows.bin"];
    ensure!(trace == all.as_bytes(), "known and new answers stand in order");
    swarm.tell(&["cancel", &stricter])?;
    swarm.stop()
}

#[test]
fn a_job_that_was_given_up_leaves_its_answers() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[1])?;
    let job = JobFolder::of_test_tasks(
        "",
        r#"[[stage]]
           name = "spin"
           module = "tasks.wasm"
           function = "spin"
           range = { field = "number", end = 60 }
           unit_items = 2
           reduce = "lines"
           parameters = { iterations = 20000000 }"#,
    )?;
    let first = swarm.submit_with(&job.manifest(), &[])?;
    swarm.wait_for_items(&first, 6)?;
    swarm.tell(&["cancel", &first])?;
    let settled = swarm.status(&first)?["stages"][0]["items_settled"].as_u64();
    let settled = settled.context("a stage counts its items")?;
    // The records of both jobs are read back.
    swarm.kill_coordinator()?;
    swarm.start_coordinator()?;
    let second = swarm.submit_with(&job.manifest(), &[])?;
    ensure!(swarm.status(&second)?["stages"][0]["items_kept"] == settled, "{settled} were known");
    swarm.kill_coordinator()?;
    swarm.start_coordinator()?;
    let end = swarm.wait_for_end(&second)?;
    ensure!(end["state"] == "done", "{end}");
    ensure!(end["stages"][0]["items_kept"] == settled, "a restart forgets no answers");
    let (fresh, end) = swarm.see_through(&job.manifest())?;
    ensure!(end["state"] == "done", "{end}");
    ensure!(swarm.output(&fresh)? == swarm.output(&second)?, "the bytes are the same");
    swarm.stop()
}
