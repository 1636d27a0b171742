//! Jobs that have ended without all their answers, taken up again: what there is is taken over, and
//! only the rest is computed.

use anyhow::{Context, Result, ensure};
use end_to_end::{JobFolder, Output, Swarm};
use serde_json::Value;

/// Sixty numbers, each of which takes a moment; two in a unit.
fn spins() -> Result<JobFolder> {
    JobFolder::of_test_tasks(
        "",
        r#"[[stage]]
           name = "rows"
           module = "tasks.wasm"
           function = "spin"
           range = { field = "number", end = 60 }
           unit_items = 2
           reduce = "lines"
           parameters = { iterations = 20000000 }
           [[stage]]
           name = "count"
           module = "tasks.wasm"
           function = "count_lines"
           after = "rows"
           reduce = "lines""#,
    )
}

/// Eight items, four in a unit, of a function in which some fail.
fn failing(job: &str, stage: &str) -> Result<JobFolder> {
    let stage = format!(
        "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\nunit_items = 4\nreduce = \"lines\"\n\
         {stage}"
    );
    JobFolder::of_test_tasks(job, &stage)
}

/// Retries a job and gives the new one.
fn retry(swarm: &Swarm, job: &str) -> Result<String> {
    let view: Value = serde_json::from_str(&swarm.tell(&["retry", job, "--json"])?)?;
    ensure!(view["retry_of"] == job, "it is the retry of {job}: {view}");
    view["job"].as_str().map(str::to_owned).context("a job has an id")
}

fn stage_count(view: &Value, count: &str) -> Result<u64> {
    view["stages"][0][count].as_u64().with_context(|| format!("no {count} in {view}"))
}

fn jobs(swarm: &Swarm) -> Result<usize> {
    let jobs: Vec<Value> = serde_json::from_str(&swarm.tell(&["jobs", "--json"])?)?;
    Ok(jobs.len())
}

fn check_refused(swarm: &Swarm, job: &str, words: &str) -> Result<()> {
    let refused = swarm.ask(&["retry", job])?;
    ensure!(refused.code == 1 && refused.stderr.contains(words), "{words}: {refused:?}");
    Ok(())
}

fn crash(swarm: &mut Swarm) -> Result<()> {
    swarm.kill_coordinator()?;
    swarm.start_coordinator()
}

/// Waits until a job has settled some items more than it took over, and cancels it; gives how many
/// are settled.
fn cancel_halfway(swarm: &Swarm, job: &str) -> Result<u64> {
    let kept = stage_count(&swarm.status(job)?, "items_kept")?;
    swarm.wait_for_items(job, kept + 6)?;
    swarm.tell(&["cancel", job])?;
    stage_count(&swarm.status(job)?, "items_settled")
}

#[test]
fn a_cancelled_job_is_taken_up_again_and_again_and_nothing_is_computed_twice() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[1])?;
    let folder = spins()?;
    // It asks no other job, but for those that it retries.
    let first = swarm.submit(&folder.manifest())?;
    check_refused(&swarm, &first, "job-1 has not ended")?;
    let settled = cancel_halfway(&swarm, &first)?;
    crash(&mut swarm)?;

    let second = retry(&swarm, &first)?;
    ensure!(retry(&swarm, &first)? == second, "a repeat is the same job");
    let view = swarm.status(&second)?;
    ensure!(stage_count(&view, "items_kept")? == settled, "{settled} were settled: {view}");
    let settled = cancel_halfway(&swarm, &second)?;
    swarm.tell(&["rm", "--yes", &first])?;
    check_refused(&swarm, &first, "job-1 was removed")?;
    crash(&mut swarm)?;

    let third = retry(&swarm, &second)?;
    ensure!(stage_count(&swarm.status(&third)?, "items_kept")? == settled, "{settled} were known");
    crash(&mut swarm)?;
    let said = swarm.tell(&["retry", &second, "--wait"])?;
    ensure!(said.contains("job-3 is done"), "{said}");
    let end = swarm.status(&third)?;
    let computed = 2 * stage_count(&end, "units_settled")?;
    ensure!(settled + computed == 60, "{settled} were known and {computed} computed: {end}");
    ensure!(swarm.output(&third)? == swarm.gleaner().run(&folder.manifest())?, "other bytes");
    let said = swarm.tell(&["status", &third])?;
    ensure!(said.contains("retries job-2"), "{said}");
    ensure!(retry(&swarm, &second)? == third, "a repeat after its end is the same job");
    let said = swarm.tell(&["retry", &second])?;
    ensure!(said.contains("job-3, which retries job-2, has ended"), "{said}");
    ensure!(jobs(&swarm)? == 2, "a repeat made a job");
    check_refused(&swarm, &third, "no item of it failed")?;

    swarm.tell(&["rm", "--yes", &third])?;
    crash(&mut swarm)?;
    let fourth = retry(&swarm, &second)?;
    ensure!(fourth == "job-4", "the id of a removed retry is used up: {fourth}");
    let known = stage_count(&swarm.status(&fourth)?, "items_kept")?;
    ensure!(known == settled, "{settled} are known without the removed retry, not {known}");
    swarm.tell(&["cancel", &fourth])?;
    swarm.stop()
}

#[test]
fn the_old_job_stays_as_it_ended() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let first = swarm.submit_with(&spins()?.manifest(), &[])?;
    cancel_halfway(&swarm, &first)?;
    let before = swarm.status(&first)?;
    let said = swarm.tell(&["retry", &first])?;
    ensure!(said.contains("job-2 retries job-1, which stays as it was"), "{said}");
    let mut after = swarm.status(&first)?;
    ensure!(after["retried_by"] == "job-2", "it says which job retries it: {after}");
    for what in ["retried_by", "version"] {
        after[what] = before[what].clone();
    }
    ensure!(before == after, "{before} is now {after}");
    for command in ["status", "why"] {
        let said = swarm.tell(&[command, &first])?;
        ensure!(said.contains("job-2 retries"), "{command} says so: {said}");
    }
    swarm.tell(&["cancel", "job-2"])?;
    swarm.stop()
}

#[test]
fn a_task_that_fails_everywhere_fails_again_in_the_same_words() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let stage = "function = \"fail_at\"\nrange = { field = \"number\", end = 8 }\n\
                 parameters = { at = 5 }";
    let (first, first_end) = swarm.see_through(&failing("", stage)?.manifest())?;
    ensure!(first_end["state"] == "failed", "{first_end}");
    let said = swarm.tell(&["status", &first])?;
    ensure!(said.contains("`gleaner retry job-1` computes what is missing"), "{said}");
    let retried = swarm.ask(&["retry", &first, "--wait"])?;
    ensure!(retried.code == 3, "{retried:?}");
    let second_end = swarm.status("job-2")?;
    ensure!(stage_count(&second_end, "items_kept")? == 4, "the first unit is known: {second_end}");
    let words = |end: &Value| Some(end["failure"].as_str()?.split_once(' ')?.1.to_owned());
    ensure!(words(&first_end).is_some() && words(&first_end) == words(&second_end), "{second_end}");
    swarm.stop()
}

#[test]
fn a_job_that_went_on_computes_the_units_of_which_items_failed() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let going_on = "on_failure = \"continue\"\nmax_attempts = 2";
    // Where an item fails by itself, its unit is computed again; where a unit found no answer, its
    // items were cut out once more, and those that have one are known.
    let cases = [
        (
            "function = \"fail_at\"\nrange = { field = \"number\", end = 8 }\n\
             parameters = { at = 5 }",
            4,
            1,
            "0\n1\n2\n3\n4\n6\n7\n",
        ),
        (
            "function = \"deep\"\ngrid = { number = [1, 2, 3, 4], depth = [10, 100000000] }",
            4,
            4,
            "1\n2\n3\n4\n",
        ),
    ];
    for (stage, kept, failed, expected) in cases {
        let (first, end) = swarm.see_through(&failing(going_on, stage)?.manifest())?;
        ensure!(stage_count(&end, "items_failed")? == failed, "{stage}\nended as {end}");
        let retried = swarm.ask(&["retry", &first, "--wait", "--json"])?;
        ensure!(retried.code == 6, "{stage}: {retried:?}");
        let end: Value = serde_json::from_str(&retried.stdout)?;
        let counts = (stage_count(&end, "items_kept")?, stage_count(&end, "items_failed")?);
        ensure!(counts == (kept, failed), "{stage}\nended as {end}");
        let second = end["job"].as_str().context("a job has an id")?;
        let output = swarm.output(second)?;
        ensure!(output == Output::from([("s/s.txt".into(), expected.into())]), "{output:?}");
        ensure!(output == swarm.output(&first)?, "{stage}: other bytes");
        let results = tempfile::tempdir()?;
        let folder = results.path().to_str().context("a path is text")?;
        swarm.tell(&["results", second, "-o", folder])?;
        let provenance = std::fs::read(results.path().join("provenance.json"))?;
        let provenance: Value = serde_json::from_slice(&provenance)?;
        ensure!(provenance["retry_of"] == first, "{provenance}");
        let items = provenance["units"].as_array().context("a list")?.iter().filter_map(|unit| {
            unit["from"]
                .is_object()
                .then(|| unit["items"]["end"].as_u64().zip(unit["items"]["start"].as_u64()))?
        });
        let told: u64 = items.map(|(end, start)| end - start).sum();
        ensure!(told == kept, "{kept} items have their answers from {first}: {provenance}");
    }
    swarm.stop()
}

#[test]
fn a_repeat_by_name_tells_of_the_retry_that_runs() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let first = swarm.submit(&spins()?.manifest())?;
    swarm.tell(&["cancel", &first])?;
    let named = |words: &str| {
        let said = swarm.tell(&["retry", "trial"])?;
        ensure!(said.contains(words), "{words}: {said}");
        Ok(())
    };
    for _ in 0..3 {
        named("job-2 retries job-1, which stays as it was")?;
    }
    check_refused(&swarm, "job-2", "job-2 has not ended; it retries job-1")?;
    check_refused(&swarm, "job-2", "gleaner watch job-2")?;
    swarm.tell(&["cancel", "job-2"])?;
    named("job-3 retries job-2, which stays as it was")?;
    swarm.tell(&["cancel", "job-3"])?;
    swarm.stop()
}
