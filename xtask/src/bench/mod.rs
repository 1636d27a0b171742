//! What the platform costs, each figure beside its limit or its peer in the same run.
//!
//! All but the core alone and simulations runs on real processes over loopback, every result committed
//! with fsync before it is acknowledged. What is compared is measured in turns, so that a machine that
//! slows down slows both; a figure is the median of its rounds, and its noise is how far the rounds
//! lie apart. Rounds of simulations are worlds of other seeds.
//! Deliberately absent: assertions. A timing that is not what it should be fails nothing.

mod figure;
mod platform;
mod scale;
mod simulated;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use end_to_end::{Gleaner, JobFolder};
use serde_json::Value;

use self::figure::{Aim, Figure, Peer};
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

/// How much is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Enough for figures to be quoted.
    Full,
    /// A few minutes.
    Quick,
}

/// How figures are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A table for people.
    Table,
    /// One object for programs.
    Json,
}

/// What to measure and how.
pub struct Options {
    pub build: Build,
    /// The program to measure; it is built if not given.
    pub gleaner: Option<PathBuf>,
    pub length: Length,
    pub form: Form,
    /// Units of a job of units that do nothing; the length's own if not given.
    pub units: Option<u64>,
}

const SYNC_PERIOD: Duration = Duration::from_secs(1);
const SYNC_BYTES: usize = 4096;

/// How long rows are written.
const ROWS_SECONDS: &str = "1";

impl Length {
    fn rounds(self) -> usize {
        match self {
            Self::Full => 5,
            Self::Quick => 3,
        }
    }

    fn units(self) -> u64 {
        match self {
            Self::Full => 50_000,
            Self::Quick => 10_000,
        }
    }

    /// How long a unit of the computing kind computes.
    fn compute_seconds(self) -> u64 {
        match self {
            Self::Full => 10,
            Self::Quick => 2,
        }
    }
}

/// Measures everything and prints it.
///
/// # Errors
/// When something cannot be built, or a job does not end well.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    jobs::build(workspace)?;
    let program = match &options.gleaner {
        Some(program) => std::path::absolute(program)?,
        None => built(workspace, options.build)?,
    };
    let gleaner = Gleaner::at(&program)?;
    let program = program.to_str().context("the program's path is no text")?;
    let rounds = options.length.rounds();
    let units = options.units.unwrap_or(options.length.units());

    let mut limits = Limits { syncs: Vec::new(), rows: Vec::new() };
    let mut trials = Vec::new();
    let mut scale = scale::Scale::default();
    for round in 1..=rounds {
        step::announce(&format!("round {round} of {rounds}: {units} units that do nothing"));
        limits.syncs.push(syncs_per_second()?);
        limits.rows.push(rows_per_second(workspace, options)?);
        trials.push(platform::Trial::run(&gleaner, units)?);
        step::announce(&format!(
            "round {round} of {rounds}: workers that cost nothing, and crowds"
        ));
        scale.round(workspace, options, program)?;
    }
    scale.once(workspace, options, program)?;
    step::announce("a unit that computes, in a slot and in bare wasmtime");
    let compute = compute(workspace, options)?;
    step::announce("the coordinator's core alone");
    let core = core_alone(workspace, options)?;
    let simulated = simulated::Simulated::run(workspace, options)?;

    let mut figures = figures(&limits, &trials, &compute);
    figures.extend(scale.figures(&limits, core.us_per_unit())?);
    figures.extend(core.figures());
    figures.extend(simulated.figures());
    match options.form {
        Form::Table => figure::print_table(&figures),
        Form::Json => println!("{}", figure::to_json(&figures)),
    }
    Ok(())
}

fn figures(limits: &Limits, trials: &[platform::Trial], compute: &Compute) -> Vec<Figure> {
    let of = |value: fn(&platform::Trial) -> f64| trials.iter().map(value).collect::<Vec<_>>();
    let slot_us = of(|trial| trial.slot_us_per_unit);
    vec![
        Figure {
            name: "units that do nothing, end to end, durable",
            unit: "/s",
            rounds: of(|trial| trial.units_per_second),
            aim: Some(Aim::AtLeast(20_000.0)),
            peer: Some(Peer {
                name: "small writes with fdatasync, one at a time",
                rounds: limits.syncs.clone(),
            }),
        },
        Figure {
            name: "units that do nothing, against rows alone",
            unit: "/s",
            rounds: of(|trial| trial.units_per_second),
            aim: None,
            peer: Some(Peer {
                name: "rows of SQLite, 1,024 a durable transaction",
                rounds: limits.rows.clone(),
            }),
        },
        Figure {
            name: "a unit's share of the time, end to end",
            unit: "µs",
            rounds: of(|trial| 1e6 / trial.units_per_second),
            aim: Some(Aim::AtMost(50.0)),
            peer: Some(Peer { name: "its slot's own CPU time", rounds: slot_us }),
        },
        Figure {
            name: "the coordinator's CPU time for a unit",
            unit: "µs",
            rounds: of(|trial| trial.coordinator_us_per_unit),
            aim: None,
            peer: None,
        },
        Figure {
            name: "the worker's CPU time for a unit, without its slots",
            unit: "µs",
            rounds: of(|trial| trial.worker_us_per_unit),
            aim: None,
            peer: None,
        },
        Figure {
            name: "a unit that computes for seconds, in a slot",
            unit: "s",
            rounds: compute.slot.clone(),
            aim: None,
            peer: Some(Peer { name: "the same in bare wasmtime", rounds: compute.bare.clone() }),
        },
        Figure {
            name: "from an empty folder to a first output",
            unit: "s",
            rounds: of(|trial| trial.first_output_seconds),
            aim: None,
            peer: None,
        },
        Figure {
            name: "memory of a coordinator at rest",
            unit: "MiB",
            rounds: of(|trial| trial.coordinator_mebibytes),
            aim: None,
            peer: None,
        },
        Figure {
            name: "memory of a worker at rest",
            unit: "MiB",
            rounds: of(|trial| trial.worker_mebibytes),
            aim: Some(Aim::AtMost(30.0)),
            peer: None,
        },
    ]
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

/// What the disk allows, measured before each trial.
struct Limits {
    syncs: Vec<f64>,
    rows: Vec<f64>,
}

/// Seconds that the same kernel took, in turns.
struct Compute {
    slot: Vec<f64>,
    bare: Vec<f64>,
}

/// How many rows SQLite makes durable in a second, as the store commits them.
fn rows_per_second(workspace: &Workspace, options: &Options) -> Result<f64> {
    let found = crate_bench(workspace, options, "rows", &[ROWS_SECONDS])?;
    found["rows_per_second"].as_f64().with_context(|| format!("no figure in {found}"))
}

/// The sandbox's own benchmark, which alone may use wasmtime.
fn compute(workspace: &Workspace, options: &Options) -> Result<Compute> {
    let seconds = options.length.compute_seconds().to_string();
    let rounds = options.length.rounds().to_string();
    let found = crate_bench(workspace, options, "compute", &[&seconds, &rounds])?;
    let list = |name: &str| -> Option<Vec<f64>> {
        found[name].as_array()?.iter().map(Value::as_f64).collect()
    };
    let missing = || format!("no figures in {found}");
    Ok(Compute {
        slot: list("slot_seconds").with_context(missing)?,
        bare: list("bare_seconds").with_context(missing)?,
    })
}

/// The coordinator's core, without input and output.
struct CoreAlone {
    events_per_second: Vec<f64>,
    map_per_second: Vec<f64>,
    /// Empty where the system does not tell.
    bytes_a_unit: Vec<f64>,
}

fn core_alone(workspace: &Workspace, options: &Options) -> Result<CoreAlone> {
    let mut rounds = Vec::new();
    for _ in 0..options.length.rounds() {
        rounds.push(crate_bench(workspace, options, "core", &[])?);
    }
    let all = |name: &str| rounds.iter().filter_map(|found| found[name].as_f64()).collect();
    Ok(CoreAlone {
        events_per_second: all("events_per_second"),
        map_per_second: all("map_per_second"),
        bytes_a_unit: all("bytes_a_unit"),
    })
}

impl CoreAlone {
    /// A lease and a result, which are two events.
    fn us_per_unit(&self) -> Vec<f64> {
        self.events_per_second.iter().map(|events| 2e6 / events).collect()
    }

    fn figures(self) -> Vec<Figure> {
        let mut figures = vec![Figure {
            name: "leases and results through the core alone",
            unit: "/s",
            rounds: self.events_per_second,
            aim: Some(Aim::AtLeast(1_000_000.0)),
            peer: Some(Peer {
                name: "the same numbers through a map",
                rounds: self.map_per_second,
            }),
        }];
        if !self.bytes_a_unit.is_empty() {
            figures.push(Figure {
                name: "the core's memory for a settled unit",
                unit: "bytes",
                rounds: self.bytes_a_unit,
                aim: Some(Aim::AtMost(16.0)),
                peer: None,
            });
        }
        figures
    }
}

/// What the benchmark of a crate prints: one object of JSON.
fn crate_bench(
    workspace: &Workspace,
    options: &Options,
    name: &str,
    arguments: &[&str],
) -> Result<Value> {
    let mut cargo = workspace.cargo();
    cargo.args(["bench", "--quiet", "--workspace", "--bench", name]);
    if let Build::Dev = options.build {
        cargo.args(["--profile", "dev"]);
    }
    let output = cargo.arg("--").args(arguments).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("the benchmark `{name}` failed ({})", output.status);
    }
    let text = String::from_utf8(output.stdout)?;
    let found = text.lines().find_map(|line| serde_json::from_str::<Value>(line).ok());
    found.with_context(|| format!("no figures in {text:?}"))
}
