//! Scheduling in simulated worlds of machines that come and go, with speeds that differ widely.

use anyhow::{Context, Result};
use serde_json::Value;

use super::figure::{Aim, Figure, Peer};
use super::{Length, Options, crate_bench};
use crate::step;
use crate::workspace::Workspace;

/// The machines of the worlds whose makespans are compared.
const MACHINES: u64 = 1_000;

/// What their worlds are drawn from: one for each round.
const SEEDS: [u64; 3] = [1, 2, 3];

/// The makespans of the same worlds, and how long a large one takes.
pub struct Simulated {
    tried_again: Vec<f64>,
    awaited: Vec<f64>,
    large_seconds: f64,
    /// Of a world with a tenth of its machines and units.
    tenth_seconds: f64,
    length: Length,
}

impl Length {
    /// Units of the worlds whose makespans are compared.
    fn simulated_units(self) -> u64 {
        match self {
            Self::Full => 400_000,
            Self::Quick => 100_000,
        }
    }

    /// Machines and units of a large world.
    fn large_world(self) -> (u64, u64) {
        match self {
            Self::Full => (100_000, 10_000_000),
            Self::Quick => (10_000, 1_000_000),
        }
    }
}

impl Simulated {
    /// Simulates all of them.
    ///
    /// # Errors
    /// When a world breaks a rule.
    pub fn run(workspace: &Workspace, options: &Options) -> Result<Self> {
        let world = |machines: u64, units: u64, seed: u64, late_units: &str| {
            let [machines, units, seed] = [machines, units, seed].map(|count| count.to_string());
            crate_bench(workspace, options, "world", &[&machines, &units, &seed, late_units])
        };
        let length = options.length;
        let makespans = |late_units: &str| -> Result<Vec<f64>> {
            let found = |seed| world(MACHINES, length.simulated_units(), seed, late_units);
            SEEDS.into_iter().map(|seed| figure(&found(seed)?, "over_ideal")).collect()
        };
        step::announce("simulated machines that come and go");
        let (tried_again, awaited) = (makespans("tried-again")?, makespans("awaited")?);
        let (machines, units) = length.large_world();
        step::announce(&format!("{machines} simulated machines and {units} units"));
        let seconds = |part: u64| {
            figure(&world(machines / part, units / part, SEEDS[0], "tried-again")?, "seconds")
        };
        let (tenth_seconds, large_seconds) = (seconds(10)?, seconds(1)?);
        Ok(Self { tried_again, awaited, large_seconds, tenth_seconds, length })
    }

    /// The figures.
    pub fn figures(self) -> Vec<Figure> {
        let is_full = self.length == Length::Full;
        let (large, tenth) = match self.length {
            Length::Full => {
                ("to simulate 100,000 machines and 10 M units", "10,000 machines and 1 M units")
            }
            Length::Quick => {
                ("to simulate 10,000 machines and 1 M units", "1,000 machines and 100,000 units")
            }
        };
        vec![
            Figure {
                name: "makespan of 1,000 machines that come and go, to the ideal",
                unit: "×",
                rounds: self.tried_again,
                aim: is_full.then_some(Aim::AtMost(1.10)),
                peer: Some(Peer { name: "without second attempts", rounds: self.awaited }),
            },
            Figure {
                name: large,
                unit: "s",
                rounds: vec![self.large_seconds],
                aim: is_full.then_some(Aim::AtMost(300.0)),
                peer: Some(Peer { name: tenth, rounds: vec![self.tenth_seconds] }),
            },
        ]
    }
}

fn figure(found: &Value, name: &str) -> Result<f64> {
    found[name].as_f64().with_context(|| format!("no `{name}` in {found}"))
}
