//! Many worlds, each from its seed.

use gleaner_simulator::{Faults, LateUnits, Options, Tracing, run};

/// How many seeds are tried; `cargo xtask soak` sets it.
const SEEDS: &str = "GLEANER_SIMULATIONS";

fn options(seed: u64) -> Options {
    Options {
        seed,
        hosts: 6 + (seed % 7) as u32,
        units: 60 + seed % 5 * 90,
        jobs: 2 + seed % 5,
        faults: Faults::Many,
        late_units: LateUnits::TriedAgain,
        tracing: Tracing::Last(40),
    }
}

#[test]
fn what_must_hold_holds_whatever_goes_wrong() {
    let seeds = std::env::var(SEEDS).map_or(40, |count| count.parse().expect("a count of seeds"));
    for seed in 0..seeds {
        let report = run(options(seed));
        assert!(report.messages > 0, "nothing was said in run {seed}");
    }
}

/// So long that a submitter who had more than its share would show.
#[test]
fn submitters_have_their_shares_in_long_runs() {
    for faults in [Faults::None, Faults::Many] {
        let long = |seed| Options { hosts: 8, units: 6000, jobs: 6, faults, ..options(seed) };
        let apart = (1..=4).map(|seed| run(long(seed)).apart_most);
        assert!(apart.max() > Some(0), "nothing was compared");
    }
}

#[test]
fn on_a_calm_day_every_job_ends() {
    let report = run(Options { faults: Faults::None, ..options(3) });
    assert!(report.units > 0, "nothing was settled");
}

#[test]
fn one_seed_gives_one_run() {
    for seed in [1, 2, 77] {
        assert_eq!(run(options(seed)), run(options(seed)), "seed {seed}");
    }
    assert_ne!(run(options(1)).trace_hash, run(options(2)).trace_hash);
}
