//! The coordinator at scale, with stand-ins for its workers: what a unit costs it, what a crowd
//! costs it, and how soon it is back.

use anyhow::{Context, Result};
use serde_json::Value;

use super::figure::{Aim, Figure, Peer};
use super::{Length, Limits, Options, crate_bench};
use crate::step;
use crate::workspace::Workspace;

/// What is watched at rest.
const IDLE_WORKERS: u64 = 1_000;

/// What comes back at one moment.
const RETURNING_WORKERS: u64 = 2_000;

/// Units of the job that a coordinator without a past has done when it is started again.
const FEW_UNITS: u64 = 1_000;

/// One entry a round for each.
#[derive(Default)]
pub struct Scale {
    throughput: Vec<Value>,
    idle: Vec<Value>,
    returning: Vec<Value>,
    restart: Vec<Value>,
    restart_of_few: Vec<Value>,
}

impl Length {
    /// Units of the job whose workers stand in.
    fn stand_in_units(self) -> u64 {
        match self {
            Self::Full => 1_000_000,
            Self::Quick => 200_000,
        }
    }

    /// Units done before the coordinator is started again.
    fn units_before_restart(self) -> u64 {
        match self {
            Self::Full => 10_000_000,
            Self::Quick => 300_000,
        }
    }
}

impl Scale {
    /// Measures what takes part in every round.
    ///
    /// # Errors
    /// When a benchmark fails.
    pub fn round(&mut self, workspace: &Workspace, options: &Options, program: &str) -> Result<()> {
        let bench = |name, count: u64| {
            crate_bench(workspace, options, name, &[program, &count.to_string()])
        };
        self.throughput.push(bench("throughput", options.length.stand_in_units())?);
        self.idle.push(bench("crowd", IDLE_WORKERS)?);
        self.returning.push(bench("crowd", RETURNING_WORKERS)?);
        self.restart_of_few.push(bench("restart", FEW_UNITS)?);
        Ok(())
    }

    /// Measures what takes too long for every round.
    ///
    /// # Errors
    /// When a benchmark fails.
    pub fn once(&mut self, workspace: &Workspace, options: &Options, program: &str) -> Result<()> {
        let units = options.length.units_before_restart();
        step::announce(&format!("a restart after {units} units"));
        let found = crate_bench(workspace, options, "restart", &[program, &units.to_string()])?;
        self.restart.push(found);
        Ok(())
    }

    /// The figures. `core_us` is what a lease and a result cost the core alone.
    ///
    /// # Errors
    /// When a benchmark did not give one.
    pub fn figures(&self, limits: &Limits, core_us: Vec<f64>) -> Result<Vec<Figure>> {
        let kibibytes = |bytes: Vec<f64>| bytes.into_iter().map(|bytes| bytes / 1024.0).collect();
        Ok(vec![
            Figure {
                name: "units of workers that cost nothing, durable",
                unit: "/s",
                rounds: all(&self.throughput, "units_per_second")?,
                aim: Some(Aim::AtLeast(50_000.0)),
                peer: Some(Peer {
                    name: "rows of SQLite, 1,024 a durable transaction",
                    rounds: limits.rows.clone(),
                }),
            },
            Figure {
                name: "the coordinator's CPU time for such a unit",
                unit: "µs",
                rounds: all(&self.throughput, "coordinator_us_per_unit")?,
                aim: Some(Aim::AtMost(10.0)),
                peer: Some(Peer { name: "its core alone", rounds: core_us }),
            },
            Figure {
                name: "memory of a connected worker, beyond its transport",
                unit: "KiB",
                rounds: kibibytes(all(&self.idle, "session_bytes")?),
                aim: Some(Aim::AtMost(64.0)),
                peer: Some(Peer {
                    name: "its transport",
                    rounds: kibibytes(all(&self.idle, "connection_bytes")?),
                }),
            },
            Figure {
                name: "of one core, with 1,000 idle workers",
                unit: "%",
                rounds: all(&self.idle, "idle_core_percent")?,
                aim: Some(Aim::AtMost(1.0)),
                peer: None,
            },
            Figure {
                name: "2,000 workers back at once, until the last is served",
                unit: "s",
                rounds: all(&self.returning, "back_seconds")?,
                aim: Some(Aim::AtMost(10.0)),
                peer: Some(Peer {
                    name: "their connections alone, 64 at a time",
                    rounds: all(&self.returning, "connect_seconds")?,
                }),
            },
            Figure {
                name: "the most memory of the coordinator meanwhile",
                unit: "MiB",
                rounds: all(&self.returning, "back_mebibytes_peak")?,
                aim: None,
                peer: None,
            },
            Figure {
                name: "from a start after many units to a lease",
                unit: "s",
                rounds: all(&self.restart, "lease_seconds")?,
                aim: Some(Aim::AtMost(3.0)),
                peer: Some(Peer {
                    name: "after a thousand units",
                    rounds: all(&self.restart_of_few, "lease_seconds")?,
                }),
            },
        ])
    }
}

fn all(rounds: &[Value], name: &str) -> Result<Vec<f64>> {
    let figure = |found: &Value| found[name].as_f64();
    let figures: Option<Vec<f64>> = rounds.iter().map(figure).collect();
    figures.with_context(|| format!("no `{name}` in {rounds:?}"))
}
