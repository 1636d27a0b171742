//! What submitters say about their jobs, each word followed by a crash of the coordinator: what was
//! acknowledged stands.

use std::time::Duration;

use anyhow::{Result, ensure};
use end_to_end::{JobFolder, Swarm, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

/// Forty numbers to square, one in a unit.
fn squares(job: &str) -> Result<JobFolder> {
    let stage = "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\nfunction = \"square\"\n\
                 range = { field = \"number\", end = 40 }\nunit_items = 1\nreduce = \"csv\"";
    JobFolder::of_test_tasks(job, stage)
}

fn crash(swarm: &mut Swarm) -> Result<()> {
    swarm.kill_coordinator()?;
    swarm.start_coordinator()
}

/// Waits until a job that hands nothing out would have been served: another one is done.
fn let_others_go_first(swarm: &Swarm) -> Result<()> {
    swarm.compute(&squares("")?.manifest()).map(drop)
}

#[test]
fn a_paused_job_stays_paused_over_a_crash_and_a_resumed_one_goes_on() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[])?;
    let job = swarm.submit(&squares("")?.manifest())?;
    swarm.tell(&["pause", &job])?;
    crash(&mut swarm)?;
    ensure!(swarm.status(&job)?["state"] == "paused", "{}", swarm.status(&job)?);
    let said = swarm.tell(&["pause", &job])?;
    ensure!(said.contains("job-1 is paused: 0 of 40"), "a repeat says the same: {said}");
    swarm.join_worker(1)?;
    let_others_go_first(&swarm)?;
    let status = swarm.status(&job)?;
    ensure!(status["stages"][0]["items_settled"] == 0, "a paused job went on: {status}");
    swarm.tell(&["resume", &job])?;
    crash(&mut swarm)?;
    let end = swarm.wait_for_end(&job)?;
    ensure!(end["state"] == "done", "it ended as {end}");
    let late = swarm.ask(&["pause", &job])?;
    ensure!(late.code == 1 && late.stderr.contains("cannot be paused any more"), "{late:?}");
    swarm.stop()
}

#[test]
fn a_higher_priority_goes_first_and_stands_after_a_crash() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[])?;
    let first = swarm.submit(&squares("")?.manifest())?;
    let second = swarm.submit(&squares("priority = 5")?.manifest())?;
    let third = swarm.submit(&squares("")?.manifest())?;
    swarm.tell(&["priority", &third, "10"])?;
    crash(&mut swarm)?;
    for (job, priority) in [(&first, 0), (&second, 5), (&third, 10)] {
        let status = swarm.status(job)?;
        ensure!(status["priority"] == priority, "{job} should have {priority}: {status}");
    }
    swarm.join_worker(1)?;
    let settled = |job: &str| -> Result<u64> {
        Ok(swarm.status(job)?["stages"][0]["items_settled"].as_u64().unwrap_or(0))
    };
    wait_until("the end of all jobs", LIMIT, || {
        // Lower ones are asked first, so that what is seen of higher ones is the newer.
        let (low, middle, high) = (settled(&first)?, settled(&second)?, settled(&third)?);
        ensure!(low == 0 || middle > 0, "the lowest went before the middle one");
        ensure!(middle == 0 || high > 0, "the middle one went before the highest");
        Ok((low == 40 && middle == 40 && high == 40).then_some(()))
    })?;
    swarm.stop()
}
