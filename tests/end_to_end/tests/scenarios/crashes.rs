//! Crashes in the middle of a job: SIGKILL, as a power cut of one machine.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::{Gleaner, JobFolder, Swarm, wait_until};

const ITEMS: u64 = 48;

/// How often each is killed; `cargo xtask soak` sets many.
fn kills() -> u64 {
    std::env::var("GLEANER_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(1)
}

#[test]
fn a_killed_worker_and_a_killed_coordinator_change_no_byte() -> Result<()> {
    let folder = JobFolder::planets(ITEMS - 1, "1")?;
    let expected = Gleaner::find()?.run(&folder.manifest())?;
    let mut swarm = Swarm::with_workers(&[1, 1])?;
    for kill in 0..kills() {
        let job = swarm.submit(&folder.manifest())?;
        // Elsewhere in the job each time.
        let first = 1 + kill * 7 % (ITEMS / 3);
        swarm.wait_for_items(&job, first)?;
        swarm.kill_worker(0)?;
        swarm.wait_for_items(&job, first + ITEMS / 6)?;
        swarm.kill_coordinator()?;
        // The coordinator first: a worker takes any free port, and might take the coordinator's.
        swarm.start_coordinator()?;
        swarm.restart_worker(0)?;
        let end = swarm.wait_for_end(&job)?;
        ensure!(end["state"] == "done", "after kill {kill} it ended as {end}");
        ensure!(swarm.output(&job)? == expected, "after kill {kill} the output differs");
    }
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
    let worker = swarm.worker(0).id();
    let job = swarm.submit(&JobFolder::planets(ITEMS, "1")?.manifest())?;
    swarm.wait_for_items(&job, 1)?;
    let slots = children(worker)?;
    ensure!(!slots.is_empty(), "a worker with work has slots");
    swarm.kill_worker(0)?;
    wait_until("the end of all slots", Duration::from_secs(10), || {
        Ok((!slots.iter().any(|slot| is_running(slot))).then_some(()))
    })?;
    swarm.restart_worker(0)?;
    let end = swarm.wait_for_end(&job)?;
    ensure!(end["state"] == "done", "it ended as {end}");
    swarm.stop()
}

/// Whether a process runs: not gone, and not waiting only for somebody to read how it ended.
#[cfg(target_os = "linux")]
fn is_running(process: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(process).join("stat"));
    stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with('Z')))
}

/// The ids of a process's children.
#[cfg(target_os = "linux")]
fn children(process: u32) -> Result<Vec<String>> {
    let mut children = Vec::new();
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let list = thread?.path().join("children");
        let list = fs::read_to_string(&list).with_context(|| format!("{}", list.display()))?;
        children.extend(list.split_whitespace().map(str::to_owned));
    }
    Ok(children)
}
