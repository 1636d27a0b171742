//! Both cores, and nothing else of the programs, in a world of virtual time and bad luck.
//!
//! ```text
//!            one seed
//!               │
//!  Nature: time, chance, network        Checks, told of every record and action
//!      │                │                          ▲
//!  Host: worker core   Coordinator: core ──────────┘
//!   disk, slots,        store that delays, fails, fills up,
//!   owner, kills        or commits without a word; kills
//! ```
//! A run is a function of its [`Options`]: the same seed gives the same events in the same order.
//! For five minutes of virtual time machines, streams, processes, clocks and the store fail; then
//! nothing does, and every job must end. What breaks a rule panics, after it has printed the command
//! that does it again. Deliberately absent: sockets, files, threads, real time, and liars.

mod allocator;
mod checks;
mod coordinator;
mod host;
mod kept;
mod lives;
mod nature;
mod numbers;
mod queue;
mod random;
mod report;
mod store;
mod supply;
mod trace;
mod wire;
mod workload;
mod world;

pub use gleaner_coordinator_core::LateUnits;

pub use self::report::{Progress, Report};
pub use self::trace::Tracing;
pub use self::world::{Faults, Options};

use self::world::World;

/// Runs one world to its end.
///
/// # Panics
/// When something that must hold does not; standard error then has the last lines of the trace and
/// the command that replays the run.
pub fn run(options: Options) -> Report {
    run_telling(options, |_| {})
}

/// [`run`], telling now and then how far it is.
///
/// # Panics
/// As [`run`] does.
pub fn run_telling(options: Options, tell: impl FnMut(Progress)) -> Report {
    let mut guarded = Guarded { world: World::new(options), options };
    guarded.world.run(tell)
}

/// Prints how to replay a run that panics.
struct Guarded {
    world: World,
    options: Options,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for line in self.world.last_lines() {
            eprintln!("{line}");
        }
        let Options { seed, hosts, units, jobs, faults, late_units, .. } = self.options;
        let faults = match faults {
            Faults::Many => "",
            Faults::Machines => " --faults machines",
            Faults::None => " --faults none",
        };
        let late_units = match late_units {
            LateUnits::TriedAgain => "",
            LateUnits::Awaited => " --late-units awaited",
        };
        eprintln!(
            "replay: cargo xtask sim --seed {seed} --hosts {hosts} --units {units} --jobs {jobs}\
             {faults}{late_units} --trace 200"
        );
    }
}
