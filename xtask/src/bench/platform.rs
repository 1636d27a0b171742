//! One project, from nothing to the end of a job of units that do nothing.

use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use end_to_end::{Gleaner, JobFolder, Process, Swarm};

/// What one project took.
pub struct Trial {
    pub first_output_seconds: f64,
    pub coordinator_mebibytes: f64,
    pub worker_mebibytes: f64,
    pub units_per_second: f64,
    /// CPU time of slots, by their own account.
    pub slot_us_per_unit: f64,
    /// CPU time of the coordinator's process, which noise beside it harms less than the clock.
    pub coordinator_us_per_unit: f64,
    /// CPU time of the worker's process, without its slots.
    pub worker_us_per_unit: f64,
}

impl Trial {
    pub fn run(gleaner: &Gleaner, units: u64) -> Result<Self> {
        let slots = thread::available_parallelism().map_or(1, usize::from);
        let slots = u32::try_from(slots).context("too many cores")?;
        let (one, many) = (JobFolder::noops(1)?, JobFolder::noops(units)?);
        let start = Instant::now();
        let mut swarm = Swarm::start(gleaner)?;
        swarm.join_worker(slots)?;
        let mebibytes = |bytes: Option<u64>| {
            bytes.map(|bytes| bytes as f64 / f64::from(1 << 20)).context("no memory is told")
        };
        let coordinator_mebibytes = mebibytes(swarm.coordinator().memory_bytes())?;
        let worker_mebibytes = mebibytes(swarm.worker(0).memory_bytes())?;
        swarm.compute(&one.manifest())?;
        let first_output_seconds = start.elapsed().as_secs_f64();

        let start = Instant::now();
        let before = cpu_seconds(&swarm)?;
        let job = swarm.submit(&many.manifest())?;
        let end = swarm.wait_for_end(&job)?;
        let seconds = start.elapsed().as_secs_f64();
        let after = cpu_seconds(&swarm)?;
        ensure!(end["state"] == "done", "the job ended as {end}");
        let cpu = end["stages"][0]["cpu_seconds"].as_f64().context("no CPU time is told")?;
        swarm.stop()?;
        Ok(Self {
            first_output_seconds,
            coordinator_mebibytes,
            worker_mebibytes,
            units_per_second: units as f64 / seconds,
            slot_us_per_unit: 1e6 * cpu / units as f64,
            coordinator_us_per_unit: 1e6 * (after.0 - before.0) / units as f64,
            worker_us_per_unit: 1e6 * (after.1 - before.1) / units as f64,
        })
    }
}

/// The CPU time that the coordinator and the worker have taken, in seconds.
fn cpu_seconds(swarm: &Swarm) -> Result<(f64, f64)> {
    let of = |process: &Process| process.cpu_seconds().context("no CPU time is told");
    Ok((of(swarm.coordinator())?, of(swarm.worker(0))?))
}
