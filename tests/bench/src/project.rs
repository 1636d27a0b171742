//! What the benchmarks share: their arguments, and a way into a project.

use std::path::PathBuf;

use anyhow::{Context, Result};
use end_to_end::{Gleaner, Swarm};
use gleaner_protocol::Ticket;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a benchmark is asked for: `-- PROGRAM COUNT`.
pub struct Arguments {
    /// The program that is measured.
    pub gleaner: Gleaner,
    /// Of units or of workers.
    pub count: u64,
}

impl Arguments {
    /// The words of this process; none when it is not run as a benchmark, as by `cargo test`.
    ///
    /// # Errors
    /// When the program is not there, or a word is missing.
    pub fn read() -> Result<Option<Self>> {
        let mut words: Vec<String> = std::env::args().skip(1).collect();
        let all = words.len();
        words.retain(|word| word != "--bench");
        if words.len() == all {
            return Ok(None);
        }
        let [program, count] = words.as_slice() else {
            anyhow::bail!("use: cargo bench --bench NAME -- PROGRAM COUNT");
        };
        allow_many_sockets()?;
        let count = count.parse().with_context(|| format!("{count} is no count"))?;
        let program = PathBuf::from(program);
        Ok(Some(Self { gleaner: Gleaner::at(&std::path::absolute(program)?)?, count }))
    }
}

/// Each stand-in has sockets of its own, for QUIC and for TCP.
fn allow_many_sockets() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let all = Rlimit { current: maximum, maximum };
    setrlimit(Resource::Nofile, all).context("cannot have as many files open as the system allows")
}

/// A ticket that any number of workers may use.
///
/// # Errors
/// When the coordinator gives none.
pub fn ticket_for_all(swarm: &Swarm) -> Result<Ticket> {
    let ticket = swarm.invite()?;
    ticket.parse().with_context(|| format!("{ticket} is no ticket"))
}
