//! Kills at random moments, as many as `cargo xtask soak` asks for and a few otherwise.
//!
//! Whatever is killed: the same bytes come out; every result that a worker was told is safe is in
//! the store, once; units are settled once and tile their stage; the sums kept beside them agree;
//! no slot outlives whoever started it (which each kill checks itself). Which process is killed,
//! and when, is drawn from a seed, which a failure prints with the command that draws the same.

mod books;

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::{Draw, Gleaner, JobFolder, Output, Process, Swarm, wait_until, with_seeds};

/// The example jobs, each small enough for a second or two of two slots.
const EXAMPLES: [(&str, MakeJob); 3] = [
    ("planets", || JobFolder::planets(31, "1")),
    ("mersenne", || JobFolder::mersenne(1_600)),
    ("wordcount", JobFolder::wordcount),
];

/// Makes a job in a folder of its own.
type MakeJob = fn() -> Result<JobFolder>;

/// The longest that is waited before a kill: kills fall into starts, computing and the end of jobs.
const PAUSE_MS_MAX: u64 = 400;

/// How often workers are killed in the middle of one job.
const KILLS_MAX: u64 = 4;

/// How long a command may take that was under way when the coordinator was killed.
const PATIENCE: Duration = Duration::from_secs(120);

/// A count that `cargo xtask soak` sets high.
fn count(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|count| count.parse().ok()).unwrap_or(default)
}

/// Lets whatever runs run for a while. A moment to kill at is no condition to wait for.
fn pause(draw: &mut Draw) {
    thread::sleep(Duration::from_millis(draw.below(PAUSE_MS_MAX)));
}

/// A coordinator and two workers that log what they are told is safe.
fn watched(gleaner: &Gleaner) -> Result<Swarm> {
    let mut swarm = Swarm::start(gleaner)?;
    swarm.log_acknowledged();
    for slots in [1, 1] {
        swarm.join_worker(slots)?;
    }
    Ok(swarm)
}

#[test]
fn workers_killed_at_random_moments_change_no_byte() -> Result<()> {
    let gleaner = Gleaner::find()?;
    for (name, example) in EXAMPLES {
        let folder = example()?;
        let expected = gleaner.run(&folder.manifest())?;
        let mut swarm = watched(&gleaner)?;
        eprintln!("workers_killed: the job {name}");
        with_seeds("--test scenarios workers_killed", count("GLEANER_RUNS", 1), |draw| {
            kill_workers(&mut swarm, &folder.manifest(), &expected, draw)
        })
        .with_context(|| format!("the job {name}"))?;
        swarm.stop()?;
    }
    Ok(())
}

fn kill_workers(
    swarm: &mut Swarm,
    manifest: &Path,
    expected: &Output,
    draw: &mut Draw,
) -> Result<()> {
    let job = swarm.submit(manifest)?;
    for _ in 0..=draw.below(KILLS_MAX) {
        pause(draw);
        let victim = draw.below(2) as usize;
        swarm.kill_worker(victim)?;
        pause(draw);
        swarm.restart_worker(victim)?;
    }
    finish(swarm, &job, expected, &[])
}

#[test]
fn a_coordinator_killed_at_random_moments_loses_and_repeats_nothing() -> Result<()> {
    let folder = traces()?;
    let gleaner = Gleaner::find()?;
    let expected = gleaner.run(&folder.manifest())?;
    let mut swarm = watched(&gleaner)?;
    with_seeds("--test scenarios a_coordinator_killed", count("GLEANER_RESTARTS", 2), |draw| {
        let job = swarm.submit(&folder.manifest())?;
        pause(draw);
        swarm.kill_coordinator()?;
        swarm.start_coordinator()?;
        books::check_acknowledged(&swarm, &[])?;
        finish(&swarm, &job, &expected, &[])
    })?;
    swarm.stop()
}

/// A job whose merges run too: their slot is the coordinator's.
fn traces() -> Result<JobFolder> {
    JobFolder::of_test_tasks(
        "",
        "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\nfunction = \"trace\"\n\
         range = { field = \"number\", end = 600 }\nunit_items = 2\n\
         reduce = \"merge\"\nmerge = \"join\"",
    )
}

#[test]
fn a_coordinator_killed_while_it_is_backed_up_and_jobs_are_removed_leaves_nothing_half()
-> Result<()> {
    let folder = traces()?;
    let gleaner = Gleaner::find()?;
    let expected = gleaner.run(&folder.manifest())?;
    let mut swarm = watched(&gleaner)?;
    let mut removed = vec![swarm.submit(&folder.manifest())?];
    finish(&swarm, &removed[0], &expected, &[])?;
    with_seeds("--test scenarios while_it_is_backed_up", count("GLEANER_RESTARTS", 2), |draw| {
        let job = swarm.submit(&folder.manifest())?;
        kill_amid_upkeep(&mut swarm, &removed, draw)?;
        finish(&swarm, &job, &expected, &removed)?;
        removed.push(job);
        Ok(())
    })?;
    swarm.stop()
}

/// Kills the coordinator, and often the backup too, while it is backed up and the last of `removed`
/// is removed. The backup is whole or none, and another one can be made in its place; the job is gone
/// for whoever was told so, and can be removed again otherwise.
fn kill_amid_upkeep(swarm: &mut Swarm, removed: &[String], draw: &mut Draw) -> Result<()> {
    let place = tempfile::tempdir()?;
    let backup = place.path().join("backup");
    let backup = backup.to_str().context("a path is text")?;
    let last = removed.last().context("a job was done before")?.as_str();
    let start = |name: &str, words: &[&str]| {
        let mut command = swarm.gleaner().command(&swarm.data());
        Process::start(name, command.args(words), &place.path().join(name))
    };
    pause(draw);
    let mut removal = start("removal", &["rm", last, "--yes"])?;
    let mut copying = start("copying", &["coordinator", "backup", backup])?;
    pause(draw);
    swarm.kill_coordinator()?;
    let copied = match (draw.below(2), copying.ended()?) {
        (_, Some(status)) => Some(status),
        (0, None) => {
            // It may end before it is hit.
            let _ = copying.kill();
            None
        }
        (_, None) => Some(wait_until("the end of the backup", PATIENCE, || copying.ended())?),
    };
    let is_there = Path::new(backup).exists();
    ensure!(
        copied.is_none_or(|status| status.success() && is_there),
        "{}",
        std::fs::read_to_string(place.path().join("copying"))?
    );
    if is_there {
        swarm.tell(&["coordinator", "verify", "--backup", backup])?;
        std::fs::remove_dir_all(backup)?;
    }
    swarm.start_coordinator()?;
    let was_told = wait_until("the end of the removal", PATIENCE, || removal.ended())?.success();
    let is_there = swarm.tell(&["jobs", "--json"])?.contains(&format!("\"{last}\""));
    ensure!(!(was_told && is_there), "{last} was removed, and is there: {}", removal.log());
    if is_there {
        swarm.tell(&["rm", last, "--yes"])?;
    }
    books::check_acknowledged(swarm, removed)?;
    swarm.tell(&["coordinator", "backup", backup])?;
    swarm.tell(&["coordinator", "verify", "--backup", backup])?;
    swarm.tell(&["coordinator", "verify"])?;
    Ok(())
}

/// The job ends as if nothing had been killed, and what is told of all but `removed` jobs holds.
fn finish(swarm: &Swarm, job: &str, expected: &Output, removed: &[String]) -> Result<()> {
    let end = swarm.wait_for_end(job)?;
    ensure!(end["state"] == "done", "{job} ended as {end}");
    ensure!(swarm.output(job)? == *expected, "the output of {job} differs");
    ensure!(!swarm.acknowledged().is_empty(), "no worker has logged what it was told is safe");
    books::check_acknowledged(swarm, removed)?;
    books::check_settled(swarm, job)
}
