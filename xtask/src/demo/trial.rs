//! One run of the job on a project of its own.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use end_to_end::{Gleaner, Output, Swarm, wait_until};
use serde_json::Value;

use super::interrupt::Interrupt;
use crate::step;

const JOB_LIMIT: Duration = Duration::from_secs(60 * 60);

/// What a run gave, and what it took.
pub struct Trial {
    pub name: String,
    /// From the submission until the job is done; the workers are there before.
    pub elapsed: Duration,
    pub units: u64,
    /// CPU time of the tasks alone.
    pub task_cpu: Duration,
    pub coordinator_memory_bytes: Option<u64>,
    pub output: Output,
    /// Each file's name and hash, as the coordinator has them.
    pub hashes: Vec<(String, String)>,
}

impl Trial {
    /// Starts a project with a worker for each entry of `slots`, and runs the job on it.
    pub fn run(
        gleaner: &Gleaner,
        manifest: &Path,
        slots: &[u32],
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let name = match slots {
            [slots] => format!("one worker, {slots} slot"),
            _ => format!("{} workers, {} slots", slots.len(), slots.iter().sum::<u32>()),
        };
        step::announce(&format!("{name}: {}", manifest.display()));
        let mut swarm = Swarm::start(gleaner)?;
        let tried = measure(name, gleaner, manifest, slots, interrupt, &mut swarm);
        if interrupt.check().is_err() {
            swarm.discard();
        } else if tried.is_ok() {
            swarm.stop()?;
        }
        tried
    }
}

fn measure(
    name: String,
    gleaner: &Gleaner,
    manifest: &Path,
    slots: &[u32],
    interrupt: &Interrupt,
    swarm: &mut Swarm,
) -> Result<Trial> {
    for &slots in slots {
        swarm.join_worker(slots)?;
        interrupt.check()?;
    }
    let start = Instant::now();
    let job = swarm.submit(manifest)?;
    watch(gleaner, swarm, &job, interrupt)?;
    let elapsed = start.elapsed();

    let status = swarm.status(&job)?;
    let stages = status["stages"].as_array().context("a job has stages")?;
    let cpu = stages.iter().filter_map(|stage| stage["cpu_seconds"].as_f64()).sum();
    Ok(Trial {
        name,
        elapsed,
        units: stages.iter().filter_map(|stage| stage["units_settled"].as_u64()).sum(),
        task_cpu: Duration::try_from_secs_f64(cpu).context("CPU time is a duration")?,
        coordinator_memory_bytes: swarm.coordinator().memory_bytes_peak(),
        output: swarm.output(&job)?,
        hashes: hashes(swarm, &job)?,
    })
}

/// Shows the job's progress as any user sees it, until it is done.
fn watch(gleaner: &Gleaner, swarm: &Swarm, job: &str, interrupt: &Interrupt) -> Result<()> {
    let mut command = gleaner.command(&swarm.data());
    let mut watching = KilledOnDrop(command.args(["watch", job]).spawn()?);
    let status = wait_until(&format!("the end of {job}"), JOB_LIMIT, || {
        interrupt.check()?;
        Ok(watching.0.try_wait()?)
    })?;
    if !status.success() {
        bail!("`gleaner watch {job}` ended with {status}: {}", swarm.status(job)?);
    }
    Ok(())
}

fn hashes(swarm: &Swarm, job: &str) -> Result<Vec<(String, String)>> {
    let reply = swarm.get(&format!("/v1/jobs/{job}/output"))?;
    let files: Vec<Value> = serde_json::from_slice(&reply.body).context("an output is JSON")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(files.iter().map(|file| (text(&file["name"]), text(&file["hash"]))).collect())
}

/// A child that does not outlive this value.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        // Errors mean that it has ended, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
