//! `cargo xtask sim`: one run, or many with seeds that follow one another.

use std::time::Instant;

use clap::Parser;
use gleaner_simulator::{Faults, Options, Report, Tracing, run};

/// Runs both cores under virtual time, with everything going wrong that can.
#[derive(Parser)]
#[command(
    name = "cargo xtask sim",
    after_help = "Example: cargo xtask sim --seed 7 --runs 100 --hosts 12 --units 500"
)]
struct Arguments {
    /// What all chance is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many runs, the seed one higher for each
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Machines
    #[arg(long, default_value_t = 8)]
    hosts: u32,
    /// Units in all jobs together, about
    #[arg(long, default_value_t = 400)]
    units: u64,
    /// Jobs
    #[arg(long, default_value_t = 6)]
    jobs: u64,
    /// Let nothing go wrong
    #[arg(long)]
    calm: bool,
    /// Write down this many last events before a failure; 0 hashes them only
    #[arg(long)]
    trace: Option<usize>,
}

fn main() {
    let arguments = Arguments::parse();
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.runs) {
        let began = Instant::now();
        let report = run(options(&arguments, seed));
        print(seed, &report, began.elapsed().as_secs_f64());
    }
}

fn options(arguments: &Arguments, seed: u64) -> Options {
    let Arguments { hosts, units, jobs, calm, trace, .. } = *arguments;
    Options {
        seed,
        hosts: hosts.max(6),
        units,
        jobs: jobs.max(1),
        faults: if calm { Faults::None } else { Faults::Many },
        tracing: trace.map_or(Tracing::Off, Tracing::Last),
    }
}

fn print(seed: u64, report: &Report, seconds: f64) {
    let Report { events, messages, units, makespan, ideal, .. } = report;
    let each = *messages as f64 / (*units).max(1) as f64;
    println!(
        "seed {seed}: {units} units settled in {:.1} s of virtual time (work for {:.1} s), {events} \
         events, {each:.2} messages a unit, {seconds:.2} s",
        makespan.as_secs_f64(),
        ideal.as_secs_f64(),
    );
}
