//! Crashes in the middle of a job: SIGKILL, as a power cut of one machine.

use anyhow::{Result, ensure};
use end_to_end::{Gleaner, JobFolder, Swarm};

const ITEMS: u64 = 48;

#[test]
fn a_killed_worker_and_a_killed_coordinator_change_no_byte() -> Result<()> {
    let folder = JobFolder::planets(ITEMS - 1, "1")?;
    let expected = Gleaner::find()?.run(&folder.manifest())?;
    let mut swarm = Swarm::with_workers(&[1, 1])?;
    let job = swarm.submit(&folder.manifest())?;
    swarm.wait_for_items(&job, 1)?;
    swarm.kill_worker(0)?;
    swarm.wait_for_items(&job, 1 + ITEMS / 6)?;
    swarm.kill_coordinator()?;
    // The coordinator first: a worker takes any free port, and might take the coordinator's.
    swarm.start_coordinator()?;
    swarm.restart_worker(0)?;
    let end = swarm.wait_for_end(&job)?;
    ensure!(end["state"] == "done", "it ended as {end}");
    ensure!(swarm.output(&job)? == expected, "the output differs");
    swarm.stop()
}

#[test]
fn both_killed_at_once_lose_nothing_that_was_settled() -> Result<()> {
    let folder = JobFolder::planets(ITEMS - 1, "2")?;
    let expected = Gleaner::find()?.run(&folder.manifest())?;
    let mut swarm = Swarm::with_workers(&[2])?;
    let job = swarm.submit(&folder.manifest())?;
    swarm.wait_for_items(&job, ITEMS / 4)?;
    swarm.kill_coordinator()?;
    swarm.kill_worker(0)?;
    swarm.start_coordinator()?;
    let settled = swarm.status(&job)?["stages"][0]["items_settled"].as_u64();
    ensure!(settled >= Some(ITEMS / 4), "of {} items {settled:?} are left", ITEMS / 4);
    swarm.restart_worker(0)?;
    let end = swarm.wait_for_end(&job)?;
    ensure!(end["state"] == "done", "it ended as {end}");
    ensure!(swarm.output(&job)? == expected, "the output differs");
    swarm.stop()
}

#[cfg(target_os = "linux")]
#[test]
fn slots_do_not_outlive_their_worker() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[2])?;
    let job = swarm.submit(&JobFolder::planets(ITEMS, "1")?.manifest())?;
    swarm.wait_for_items(&job, 1)?;
    ensure!(!swarm.worker(0).children().is_empty(), "a worker with work has slots");
    // Fails when one outlives it.
    swarm.kill_worker(0)?;
    swarm.restart_worker(0)?;
    let end = swarm.wait_for_end(&job)?;
    ensure!(end["state"] == "done", "it ended as {end}");
    swarm.stop()
}
