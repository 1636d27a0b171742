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

mod checks;
mod coordinator;
mod host;
mod intervals;
mod nature;
mod random;
mod store;
mod trace;
mod workload;
mod world;

pub use self::trace::Tracing;
pub use self::world::{Faults, Options, Report};

use self::world::World;

/// Runs one world to its end.
///
/// # Panics
/// When something that must hold does not; standard error then has the last lines of the trace and
/// the command that replays the run.
pub fn run(options: Options) -> Report {
    let mut guarded = Guarded { world: World::new(options), options };
    guarded.world.run()
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
        let Options { seed, hosts, units, jobs, faults, .. } = self.options;
        let calm = if faults == Faults::None { " --calm" } else { "" };
        eprintln!(
            "replay: cargo xtask sim --seed {seed} --hosts {hosts} --units {units} --jobs {jobs}\
             {calm} --trace 200"
        );
    }
}
