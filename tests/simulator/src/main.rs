//! `cargo xtask sim`: one run, or many with seeds that follow one another.

use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use gleaner_simulator::{Faults, LateUnits, Options, Progress, Report, Tracing, run_telling};

/// How often it is told how far a long run is.
const TELL_EVERY: Duration = Duration::from_secs(5);

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
    /// What goes wrong: all that can, what happens to machines and streams, or nothing
    #[arg(long, value_enum, default_value = "all")]
    faults: FaultsArgument,
    /// What the coordinator does about units that are late at the end of a stage
    #[arg(long, value_enum, default_value = "tried-again")]
    late_units: LateUnitsArgument,
    /// Write down this many last events before a failure; 0 hashes them only
    #[arg(long)]
    trace: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum FaultsArgument {
    All,
    Machines,
    None,
}

#[derive(Clone, Copy, ValueEnum)]
enum LateUnitsArgument {
    TriedAgain,
    Awaited,
}

fn main() {
    let arguments = Arguments::parse();
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.runs) {
        let began = Instant::now();
        let mut told = began;
        let report = run_telling(options(&arguments, seed), |progress| {
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                eprintln!("{}", so_far(progress, began.elapsed()));
            }
        });
        print(seed, &report, began.elapsed());
    }
}

fn options(arguments: &Arguments, seed: u64) -> Options {
    let Arguments { hosts, units, jobs, faults, late_units, trace, .. } = *arguments;
    Options {
        seed,
        hosts: hosts.max(6),
        units,
        jobs: jobs.max(1),
        faults: match faults {
            FaultsArgument::All => Faults::Many,
            FaultsArgument::Machines => Faults::Machines,
            FaultsArgument::None => Faults::None,
        },
        late_units: match late_units {
            LateUnitsArgument::TriedAgain => LateUnits::TriedAgain,
            LateUnitsArgument::Awaited => LateUnits::Awaited,
        },
        tracing: trace.map_or(Tracing::Off, Tracing::Last),
    }
}

fn so_far(progress: Progress, elapsed: Duration) -> String {
    let Progress { events, now, units, jobs_ended } = progress;
    let rate = events as f64 / elapsed.as_secs_f64();
    format!(
        "  {:.0} s: {:.1} s of virtual time, {units} units settled, {jobs_ended} jobs ended, \
         {rate:.0} events/s",
        elapsed.as_secs_f64(),
        now.as_secs_f64()
    )
}

fn print(seed: u64, report: &Report, elapsed: Duration) {
    let Report { events, messages, message_bytes, units, makespan, busy, .. } = report;
    let each = |count: u64| count as f64 / (*units).max(1) as f64;
    let ideal = report.ideal();
    println!(
        "seed {seed}: {units} units settled in {:.1} s of virtual time, {events} events, {:.2} s",
        makespan.as_secs_f64(),
        elapsed.as_secs_f64(),
    );
    println!(
        "  {:.2}× the ideal: {:.1} s with something to compute, of which {:.1} s had to be; \
         {:.1} % of what was computed was for nothing",
        report.over_ideal(),
        busy.as_secs_f64(),
        ideal.as_secs_f64(),
        100.0 * report.wasted(),
    );
    let memory = peak_memory_bytes().map_or_else(
        || "peak memory unknown".to_owned(),
        |bytes| format!("{} MiB of memory at most", bytes >> 20),
    );
    println!(
        "  {:.0} messages/s, {:.2} messages and {:.0} bytes a unit; {memory}; shares {} % of what \
         they may be apart",
        *messages as f64 / makespan.as_secs_f64(),
        each(*messages),
        each(*message_bytes),
        report.apart_most,
    );
}

/// The most memory that this process has had, where the system tells.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}
