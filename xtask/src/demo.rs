//! The demo: a real job on real processes, with one worker and with three.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use end_to_end::{Gleaner, Output};

use crate::workspace::Workspace;
use crate::{jobs, step};

mod interrupt;
mod trial;

use interrupt::Interrupt;
use trial::Trial;

/// Built with the program only so that Cargo unifies features as it does for the tests, and
/// compiles nothing twice.
const ANY_TEST: &str = "scenarios";
const WORKERS: usize = 3;
const MANIFEST: &str = "jobs/planets/job.toml";
const SUMMARY: &str = "summary.txt";

/// Runs the example job to its end with one slot, then with three workers, compares the outputs
/// and shows what was found.
///
/// # Errors
/// When anything fails, after the ends of the processes' logs; when the outputs differ.
pub fn run(workspace: &Workspace) -> Result<()> {
    let start = Instant::now();
    jobs::build(workspace)?;
    step::announce("building gleaner");
    let build = ["build", "--workspace", "--bin", "gleaner", "--test", ANY_TEST];
    step::run(workspace.cargo().args(build))?;
    let built = start.elapsed();

    let interrupt = Interrupt::watch()?;
    let gleaner = Gleaner::at(&workspace.gleaner())?;
    let manifest = workspace.root().join(MANIFEST);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let slots = u32::try_from(cores.div_ceil(WORKERS)).context("too many cores")?;
    let one = Trial::run(&gleaner, &manifest, &[1], &interrupt)?;
    let three = Trial::run(&gleaner, &manifest, &[slots; WORKERS], &interrupt)?;
    if one.output != three.output {
        bail!("the two outputs differ: {}", differences(&one.output, &three.output).join(", "));
    }
    let kept = keep(&one.output, &workspace.target().join("demo"))?;
    report(&one, &three, cores, &kept)?;
    eprintln!(
        "\nbuilt in {:.1} s; the whole demo took {:.1} s",
        seconds(built),
        seconds(start.elapsed())
    );
    Ok(())
}

fn report(one: &Trial, three: &Trial, cores: usize, kept: &[PathBuf]) -> Result<()> {
    println!("\n== what was found");
    let summary = one.output.iter().find(|(name, _)| name.ends_with(SUMMARY));
    let (_, summary) = summary.with_context(|| format!("the job gave no {SUMMARY}"))?;
    println!("{}", String::from_utf8_lossy(summary).trim_end());
    println!();
    for file in kept {
        println!("  {}", file.display());
    }

    println!("\n== how long it took");
    println!("{:<28}{:>9}{:>8}{:>12}{:>12}", "", "time", "units", "task CPU", "busy cores");
    for trial in [one, three] {
        let busy = trial.task_cpu.as_secs_f64() / seconds(trial.elapsed);
        println!(
            "{:<28}{:>7.1} s{:>8}{:>10.1} s{:>12.2}",
            trial.name,
            seconds(trial.elapsed),
            trial.units,
            seconds(trial.task_cpu),
            busy
        );
    }
    let speed_up = seconds(one.elapsed) / seconds(three.elapsed);
    println!("speed-up {speed_up:.2} on {cores} cores");
    if let Some(bytes) = three.coordinator_memory_bytes {
        println!("the coordinator held {} MiB at most", bytes.div_ceil(1 << 20));
    }
    println!("\nthe same output both times, by BLAKE3:");
    for (name, hash) in &three.hashes {
        println!("  {hash}  {name}");
    }
    Ok(())
}

/// Writes the output's files into a fresh folder and gives their paths.
fn keep(output: &Output, folder: &Path) -> Result<Vec<PathBuf>> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    let mut kept = Vec::new();
    for (name, bytes) in output {
        let file = folder.join(name);
        let parent = file.parent().context("a file lies in a folder")?;
        fs::create_dir_all(parent)?;
        fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
        kept.push(file);
    }
    Ok(kept)
}

/// The files that only one output has, or that differ.
fn differences<'a>(one: &'a Output, other: &'a Output) -> Vec<&'a str> {
    let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
    names.filter(|name| one.get(*name) != other.get(*name)).map(String::as_str).collect()
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
