//! The life of a job: waiting, running, agreed upon, repeated, cancelled.

use anyhow::{Context, Result, ensure};
use end_to_end::{JobFolder, Swarm};
use gleaner_client::{Client, JobFile, new_submission_id};
use serde_json::Value;

fn squares(job: &str) -> Result<JobFolder> {
    let stage = r#"
        [[stage]]
        name = "s"
        module = "tasks.wasm"
        function = "square"
        range = { field = "number", end = 40 }
        unit_items = 4
        reduce = "csv""#;
    JobFolder::of_test_tasks(job, stage)
}

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

#[test]
fn a_job_waits_for_a_worker_that_joins_later() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[])?;
    let job = swarm.submit(&squares("")?.manifest())?;
    let status = swarm.status(&job)?;
    ensure!(status["state"] == "running", "without workers a job waits: {status}");
    ensure!(status["stages"][0]["items_settled"] == 0, "nobody can have settled: {status}");
    swarm.join_worker(1)?;
    let end = swarm.wait_for_end(&job)?;
    ensure!(end["state"] == "done", "it ended as {end}");
    ensure!(end["stages"][0]["items_settled"] == 40, "it ended as {end}");
    swarm.stop()
}

#[test]
fn a_quorum_of_two_asks_both_workers() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[1])?;
    let job = swarm.submit(&squares("quorum = 2")?.manifest())?;
    // One worker's opinion must not do, however long it waits.
    end_to_end::wait_until("the first opinions", std::time::Duration::from_secs(60), || {
        Ok((results(&swarm)? == [10]).then_some(()))
    })?;
    let status = swarm.status(&job)?;
    ensure!(status["stages"][0]["units_settled"] == 0, "one opinion settled a unit: {status}");
    swarm.join_worker(1)?;
    let end = swarm.wait_for_end(&job)?;
    ensure!(end["state"] == "done", "it ended as {end}");
    ensure!(results(&swarm)? == [10, 10], "opinions of the workers: {:?}", results(&swarm)?);
    swarm.stop()
}

/// How many results each worker has returned.
fn results(swarm: &Swarm) -> Result<Vec<u64>> {
    let workers: Vec<Value> = serde_json::from_slice(&swarm.get("/v1/workers")?.body)?;
    let count = |worker: &Value| worker["results"].as_u64().context("a worker has results");
    workers.iter().map(count).collect()
}

#[test]
fn a_cancelled_job_gives_its_slots_back() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let job = swarm.submit(&endless()?.manifest())?;
    let limit = std::time::Duration::from_secs(60);
    end_to_end::wait_until("an attempt that runs", limit, || {
        let running = swarm.status(&job)?["stages"][0]["attempts_running"].as_u64();
        Ok(running.filter(|&running| running == 1))
    })?;
    let units = swarm.tell(&["units", &job])?;
    ensure!(units.contains("running since"), "no unit is said to run: {units}");
    let why = swarm.tell(&["why", "unit-1.0"])?;
    ensure!(why.contains("has been running on worker-"), "it is not said to run: {why}");
    swarm.tell(&["cancel", &job])?;
    ensure!(swarm.status(&job)?["state"] == "cancelled", "{}", swarm.status(&job)?);
    // Its only slot was spinning: this job ends only if the slot was freed.
    swarm.compute(&squares("")?.manifest())?;
    swarm.tell(&["cancel", &job]).context("a repeat is harmless")?;
    swarm.stop()
}

#[test]
fn a_repeated_submission_is_the_same_job() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[])?;
    let folder = squares("")?;
    let submission = new_submission_id();
    let submit = |swarm: &Swarm| -> Result<_> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = Client::open(&swarm.coordinator_folder())?;
        let job = JobFile::read(&folder.manifest())?.prepare()?;
        Ok(runtime.block_on(client.submit_prepared(&job, submission))?)
    };
    let first = submit(&swarm)?;
    ensure!(submit(&swarm)? == first, "a repeat made another job");
    swarm.kill_coordinator()?;
    swarm.start_coordinator()?;
    ensure!(submit(&swarm)? == first, "a repeat after a crash made another job");
    let jobs: Vec<Value> = serde_json::from_str(&swarm.tell(&["jobs", "--json"])?)?;
    ensure!(jobs.len() == 1, "there are {} jobs", jobs.len());
    swarm.stop()
}
