//! Draws that can be repeated.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// The variable that holds a seed to begin with.
const SEED: &str = "GLEANER_SEED";

/// Numbers drawn from a seed (SplitMix64, Steele and others, 2014).
pub struct Draw {
    state: u64,
}

impl Draw {
    /// Draws that are the same for the same seed.
    pub fn of_seed(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number from 0 up to, not including, `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.state;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (drawn ^ (drawn >> 31)) % end
    }
}

/// Runs `trial` as often as `count` says, each time with a seed of its own, and tells of each.
/// `test` is what `cargo test` takes to run it: `--test TARGET NAME`.
///
/// # Errors
/// The first of `trial`, with its seed and the command that draws from it again.
pub fn with_seeds(
    test: &str,
    count: u64,
    mut trial: impl FnMut(&mut Draw) -> Result<()>,
) -> Result<()> {
    let first = first_seed()?;
    for number in 0..count {
        let seed = first.wrapping_add(number);
        let start = Instant::now();
        trial(&mut Draw::of_seed(seed)).with_context(|| {
            format!(
                "run {number}, whose draws come from the seed {seed}; to draw them again:\n\
                 {SEED}={seed} cargo test --workspace {test}"
            )
        })?;
        let seconds = start.elapsed().as_secs_f64();
        eprintln!("{test}: run {} of {count}, seed {seed}, {seconds:.1} s", number + 1);
    }
    Ok(())
}

fn first_seed() -> Result<u64> {
    match std::env::var(SEED) {
        Ok(seed) => seed.parse().with_context(|| format!("{SEED} is {seed:?}, not a number")),
        Err(_) => Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64),
    }
}
