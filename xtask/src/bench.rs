//! What the platform costs for a unit, beyond the guest's own time.
//!
//! A job of units that do nothing, one item each, on a real coordinator and a real worker over
//! loopback, every result committed with fsync before it is acknowledged. Beside the figure stands
//! the disk's own limit, taken in the same run.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use end_to_end::{Gleaner, JobFolder, Swarm};

use crate::workspace::Workspace;
use crate::{jobs, step};

/// How the program is built.
#[derive(Clone, Copy, ValueEnum)]
pub enum Build {
    /// As users have it; takes long to compile.
    Release,
    /// As the tests have it.
    Dev,
}

const SYNC_PERIOD: Duration = Duration::from_secs(2);
const SYNC_BYTES: usize = 4096;

/// Runs a job of `units` empty units and prints what each took.
///
/// # Errors
/// When something cannot be built or the job does not end well.
pub fn run(workspace: &Workspace, build: Build, units: u64) -> Result<()> {
    jobs::build(workspace)?;
    let gleaner = Gleaner::at(&built(workspace, build)?)?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let stage = format!(
        "[[stage]]\nname = \"s\"\nmodule = \"tasks.wasm\"\nfunction = \"noop\"\nreduce = \"lines\"\n\
         range = {{ field = \"number\", end = {units} }}\nunit_items = 1"
    );
    let folder = JobFolder::of_test_tasks("", &stage)?;
    let syncs = syncs_per_second()?;

    step::announce(&format!("{units} units that do nothing, one worker, {cores} slots"));
    let mut swarm = Swarm::start(&gleaner)?;
    swarm.join_worker(u32::try_from(cores).context("too many cores")?)?;
    let start = Instant::now();
    let job = swarm.submit(&folder.manifest())?;
    let end = swarm.wait_for_end(&job)?;
    let elapsed = start.elapsed().as_secs_f64();
    ensure!(end["state"] == "done", "the job ended as {end}");
    swarm.stop()?;

    let rate = units as f64 / elapsed;
    println!("{rate:.0} units/s: {:.1} µs a unit, from submission to output", 1e6 / rate);
    println!("limit in the same run: {syncs:.0} fdatasyncs/s of {SYNC_BYTES} bytes, one at a time");
    println!("every result is committed before it is acknowledged; many share a commit");
    Ok(())
}

fn built(workspace: &Workspace, build: Build) -> Result<PathBuf> {
    step::announce("building gleaner");
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--workspace", "--bin", "gleaner"]);
    match build {
        Build::Dev => step::run(&mut cargo).map(|_| workspace.gleaner()),
        Build::Release => {
            step::run(cargo.arg("--release"))?;
            let name = workspace.gleaner();
            let name = name.file_name().context("a program has a name")?;
            Ok(workspace.target().join("release").join(name))
        }
    }
}

/// How often a second the disk of the temporary folder can make a small write durable.
fn syncs_per_second() -> Result<f64> {
    let folder = JobFolder::new("")?;
    let mut file = File::create(folder.path().join("synced"))?;
    let start = Instant::now();
    let mut syncs = 0_u32;
    while start.elapsed() < SYNC_PERIOD {
        file.write_all(&[0; SYNC_BYTES])?;
        file.sync_data().context("cannot sync a file")?;
        syncs += 1;
    }
    Ok(f64::from(syncs) / start.elapsed().as_secs_f64())
}
