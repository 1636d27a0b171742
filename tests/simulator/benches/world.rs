//! One world of machines that come and go: how long its simulation takes, and how much longer than at
//! best there is something to compute, with second attempts of late units or without:
//! `cargo bench -p gleaner-simulator --bench world -- HOSTS UNITS SEED tried-again|awaited`.
//! Prints JSON.

use std::process::ExitCode;
use std::time::Instant;

use gleaner_simulator::{Faults, LateUnits, Options, Tracing, run};

const JOBS: u64 = 6;

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let all = words.len();
    words.retain(|word| word != "--bench");
    if words.len() == all {
        return ExitCode::SUCCESS;
    }
    let Some(options) = options(&words) else {
        eprintln!("use: cargo bench --bench world -- HOSTS UNITS SEED tried-again|awaited");
        return ExitCode::FAILURE;
    };
    let start = Instant::now();
    let report = run(options);
    println!(
        "{{\"seconds\":{:?},\"over_ideal\":{:?},\"units\":{}}}",
        start.elapsed().as_secs_f64(),
        report.over_ideal(),
        report.units,
    );
    ExitCode::SUCCESS
}

fn options(words: &[String]) -> Option<Options> {
    let [hosts, units, seed, late_units] = words else { return None };
    let late_units = match late_units.as_str() {
        "tried-again" => LateUnits::TriedAgain,
        "awaited" => LateUnits::Awaited,
        _ => return None,
    };
    Some(Options {
        seed: seed.parse().ok()?,
        hosts: hosts.parse().ok()?,
        units: units.parse().ok()?,
        jobs: JOBS,
        faults: Faults::Machines,
        late_units,
        tracing: Tracing::Off,
    })
}
