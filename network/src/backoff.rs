//! How long to wait before trying again.
//!
//! Exponential backoff with full jitter: a fleet that lost its coordinator at one moment does not
//! come back at one moment. (M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog,
//! 2015.)

use std::time::Duration;

const FIRST_MAX: Duration = Duration::from_millis(500);
const CAP: Duration = Duration::from_secs(60);

/// An endless sequence of waits, each drawn evenly between nothing and a limit that starts at
/// 0.5 s and doubles up to 60 s.
#[derive(Clone, Debug)]
pub struct Backoff {
    state: u64,
    limit: Duration,
}

impl Backoff {
    /// A sequence of its own for each `seed`: different ones keep hosts apart, the same one
    /// repeats a simulation.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed, limit: FIRST_MAX }
    }

    /// The next wait.
    #[expect(clippy::should_implement_trait, reason = "it never ends, so there is no Option")]
    pub fn next(&mut self) -> Duration {
        let limit = self.limit;
        self.limit = (limit * 2).min(CAP);
        let nanos = u64::try_from(limit.as_nanos()).expect("the cap is a minute");
        Duration::from_nanos(self.random() % (nanos + 1))
    }

    /// Starts from the shortest waits again, after a success.
    pub const fn reset(&mut self) {
        self.limit = FIRST_MAX;
    }

    /// `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
    /// OOPSLA 2014): quality enough for a wait, and no dependency.
    const fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest_of_many(waits: u32) -> Vec<Duration> {
        let mut longest = vec![Duration::ZERO; waits as usize];
        for seed in 0..500 {
            let mut backoff = Backoff::new(seed);
            for longest in &mut longest {
                *longest = backoff.next().max(*longest);
            }
        }
        longest
    }

    #[test]
    fn limits_double_up_to_a_minute() {
        let longest = longest_of_many(10);
        for (wait, limit) in
            longest.iter().zip([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0])
        {
            let share = wait.as_secs_f64() / limit;
            assert!((0.9..=1.0).contains(&share), "{wait:?} of {limit} s");
        }
    }

    #[test]
    fn a_seed_repeats_and_a_reset_starts_short() {
        let mut one = Backoff::new(7);
        let mut same = Backoff::new(7);
        for _ in 0..20 {
            assert_eq!(one.next(), same.next());
        }
        one.reset();
        assert!(one.next() <= FIRST_MAX);
        assert_ne!(Backoff::new(1).next(), Backoff::new(2).next());
    }
}
