//! The project's chores: `cargo xtask CHORE`.
//!
//! Each chore installs what it misses and says so. All of them share one target folder and one
//! profile, so that nothing is compiled twice; tasks alone, which are WebAssembly, have a folder
//! of their own in it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

mod bench;
mod checks;
mod demo;
mod dist;
mod guest_toolchain;
mod jobs;
mod step;
mod workspace;

use workspace::Workspace;

/// Chores of the Gleaner project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Chore {
    /// Run the example job with one worker, then with three, and show what it found.
    Demo,
    /// Build everything and run every test.
    Test,
    /// Check formatting, lints, licences and bans.
    Lint,
    /// Run the tests with the long counts of what `test` does a few of.
    Soak {
        /// How often each example job is run while its workers are killed.
        #[arg(long, default_value_t = 50)]
        runs: u32,
        /// How often the coordinator is killed in the middle of a job.
        #[arg(long, default_value_t = 100)]
        restarts: u32,
        /// How often the power of the coordinator's disk is cut; needs root and /dev/fuse.
        #[arg(long, default_value_t = 200)]
        cuts: u32,
        /// How often the coordinator's disk fails; needs root and /dev/fuse.
        #[arg(long, default_value_t = 200)]
        failures: u32,
        /// What the moments of these are drawn from; the time if not given. A failure prints it.
        #[arg(long)]
        seed: Option<u64>,
        /// How many cases each property test tries.
        #[arg(long, default_value_t = 20_000)]
        cases: u32,
        /// How many seeds the simulator tries.
        #[arg(long, default_value_t = 2_000)]
        simulations: u64,
        /// The program to start, such as an archive's; the one that is built here if not given.
        #[arg(long, value_name = "PROGRAM")]
        gleaner: Option<PathBuf>,
    },
    /// Run both cores under virtual time, with everything going wrong that can; a failure prints
    /// the command that replays it.
    #[command(disable_help_flag = true)]
    Sim {
        /// The simulator's own arguments: see `cargo xtask sim --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Compile the example tasks to WebAssembly.
    Jobs,
    /// Build the archive that users get: one program for any Linux with glibc 2.28 or newer, its
    /// manual, its licences and the example job. Installs a linker from PyPI into `target/dist`.
    Dist {
        /// Try it in a root of Debian 11 and on four machines in namespaces; needs root and
        /// `debootstrap`.
        #[arg(long)]
        check: bool,
    },
    /// Measure what the platform costs, each figure beside its limit or peer.
    Bench {
        /// How the program is built, and the sandbox alone that is measured beside it.
        #[arg(long, value_enum, default_value = "release")]
        build: bench::Build,
        /// The program to measure, such as an archive's; it is built if not given.
        #[arg(long, value_name = "PROGRAM")]
        gleaner: Option<PathBuf>,
        /// How many units a job of units that do nothing has [default: 50000, quick 10000]
        #[arg(long)]
        units: Option<u64>,
        /// Fewer and shorter rounds, for a first look
        #[arg(long)]
        quick: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    match run(Chore::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> Result<()> {
    let workspace = Workspace::find()?;
    match chore {
        Chore::Demo => demo::run(&workspace),
        Chore::Test => checks::test(&workspace),
        Chore::Lint => checks::lint(&workspace),
        Chore::Soak { runs, restarts, cuts, failures, seed, cases, simulations, gleaner } => {
            let counts = checks::Counts {
                runs,
                restarts,
                cuts,
                failures,
                seed,
                cases,
                simulations,
                gleaner,
            };
            checks::soak(&workspace, &counts)
        }
        Chore::Sim { arguments } => checks::simulate(&workspace, &arguments),
        Chore::Jobs => jobs::build(&workspace),
        Chore::Dist { check } => {
            let trial = if check { dist::Trial::Run } else { dist::Trial::Skip };
            dist::run(&workspace, trial)
        }
        Chore::Bench { build, gleaner, units, quick, json } => {
            let length = if quick { bench::Length::Quick } else { bench::Length::Full };
            let form = if json { bench::Form::Json } else { bench::Form::Table };
            bench::run(&workspace, &bench::Options { build, gleaner, length, form, units })
        }
    }
}
