//! How often chance does as well.

/// A false-alarm probability from resamplings: the chance that velocities in which nothing repeats
/// have a peak at least this high somewhere in the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FalseAlarm {
    /// How many resamplings have a peak at least this high.
    pub(super) reached: usize,
    /// How many there are.
    pub(super) resamplings: usize,
}

impl FalseAlarm {
    /// Of a peak with this power, given the resamplings' highest powers.
    pub(super) fn of(power: f64, maxima: &[f64]) -> Self {
        let reached = maxima.iter().filter(|&&highest| highest >= power).count();
        Self { reached, resamplings: maxima.len() }
    }

    /// (k + 1) / (N + 1): the observation counts as one of the draws, so that the estimate is never
    /// zero. Source: Davison & Hinkley 1997, Bootstrap Methods and their Application, eq. 4.11.
    pub(super) fn probability(self) -> f64 {
        (self.reached + 1) as f64 / (self.resamplings + 1) as f64
    }

    /// In words, with the resolution where it is what limits the statement.
    pub(super) fn words(self) -> String {
        let probability = self.probability();
        match self.reached {
            0 => format!("< {}", significant(1.0 / self.resamplings.max(1) as f64)),
            _ if probability < 0.1 => significant(probability),
            _ => format!("{probability:.2}"),
        }
    }
}

/// One significant digit, rounded up: a bound stays one.
fn significant(value: f64) -> String {
    let mut exponent = libm::floor(libm::log10(value) + 1e-9);
    let mut digit = libm::ceil(value / libm::pow(10.0, exponent) - 1e-9);
    if digit >= 10.0 {
        (exponent, digit) = (exponent + 1.0, 1.0);
    }
    let decimals = (-exponent).max(0.0) as usize;
    format!("{:.decimals$}", digit * libm::pow(10.0, exponent))
}

/// The power that a peak must exceed for a false-alarm probability of at most `level`, or nothing
/// when there are too few resamplings to tell.
pub(super) fn power_at_level(level: f64, maxima: &[f64]) -> Option<f64> {
    let reached_allowed = libm::floor(level * (maxima.len() + 1) as f64) as usize;
    maxima.get(reached_allowed.checked_sub(1)?).copied()
}
