//! The sinusoid that a peak stands for.

use std::f64::consts::TAU;

use crate::periodogram::{Periodogram, sin_cos_cycles};
use crate::star::Star;

/// The best sinusoid with a free mean at a fixed frequency, by weighted least squares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sinusoid {
    pub(super) frequency: f64,
    /// Half the distance from lowest to highest velocity: K.
    pub(super) semi_amplitude: f64,
    /// What it goes around.
    pub(super) mean: f64,
    /// When it is highest, in days; the time nearest to the middle of the baseline.
    pub(super) maximum_time: f64,
}

impl Sinusoid {
    pub(super) fn fit(star: &Star, frequency: f64) -> Self {
        let (first, last) = star.time_range();
        let middle = first + (last - first) / 2.0;
        let mut normal = [[0.0; 4]; 3];
        for ((&time, &velocity), weight) in
            star.times.iter().zip(&star.velocities).zip(star.weights())
        {
            let (sin, cos) = sin_cos_cycles(frequency * (time - middle));
            let terms = [cos, sin, 1.0, velocity];
            for (row, term) in normal.iter_mut().zip(terms) {
                for (entry, other) in row.iter_mut().zip(terms) {
                    *entry += weight * term * other;
                }
            }
        }
        let [cos, sin, mean] = solve(normal);
        let phase = libm::atan2(sin, cos) / TAU;
        Self {
            frequency,
            semi_amplitude: libm::sqrt(cos * cos + sin * sin),
            mean,
            maximum_time: middle + phase / frequency,
        }
    }

    /// The phase of a time: 0 to 1, 0 at the maximum.
    pub(super) fn phase(&self, time: f64) -> f64 {
        let cycles = self.frequency * (time - self.maximum_time);
        cycles - libm::floor(cycles)
    }

    pub(super) fn velocity_at_phase(&self, phase: f64) -> f64 {
        self.mean + self.semi_amplitude * sin_cos_cycles(phase).1
    }

    /// What the points have that the sinusoid has not.
    pub(super) fn residuals(&self, star: &Star) -> Vec<f64> {
        star.times
            .iter()
            .zip(&star.velocities)
            .map(|(&time, velocity)| velocity - self.velocity_at_phase(self.phase(time)))
            .collect()
    }
}

/// The standard error of a peak's period, in days: the period's change at which χ², all else
/// fitted again, rises by what the residuals scatter for one degree of freedom. It comes from the
/// curvature of the peak, so it holds for a sinusoid in white noise and says nothing about the
/// chance of having the wrong peak. Nothing where the peak has no curvature or no residuals.
pub(super) fn period_error_days(star: &Star, frequency: f64) -> Option<f64> {
    let periodogram = Periodogram::new(star);
    // A twentieth of the natural width: far above rounding, and still a parabola.
    let step = 0.05 / star.baseline_days();
    let [before, at, after] =
        [-1.0, 0.0, 1.0].map(|side| periodogram.power_at(frequency + side * step));
    let curvature = (2.0 * at - before - after) / (step * step);
    // Two amplitudes, the frequency, and a zero point for each instrument.
    let freedom = star.len().checked_sub(3 + star.instruments.len()).filter(|&n| n > 0)?;
    let variance = 2.0 * (1.0 - at) / (freedom as f64 * curvature);
    (curvature > 0.0).then(|| libm::sqrt(variance) / (frequency * frequency))
}

/// The scatter of values about zero with the star's weights: a weighted root mean square.
pub(super) fn scatter(star: &Star, values: &[f64], keep: impl Fn(usize) -> bool) -> f64 {
    let kept = || star.weights().into_iter().zip(values).enumerate().filter(|(i, _)| keep(*i));
    let weights: f64 = kept().map(|(_, (weight, _))| weight).sum();
    let squares: f64 = kept().map(|(_, (weight, value))| weight * value * value).sum();
    libm::sqrt(squares / weights)
}

/// Solves three equations, given as rows of coefficients and right side, by Cramer's rule; the
/// points of a star always give three independent ones, or nothing is explained at all.
fn solve(rows: [[f64; 4]; 3]) -> [f64; 3] {
    let determinant = |column: [usize; 3]| {
        let at = |row: usize, place: usize| rows[row][column[place]];
        at(0, 0) * (at(1, 1) * at(2, 2) - at(1, 2) * at(2, 1))
            - at(0, 1) * (at(1, 0) * at(2, 2) - at(1, 2) * at(2, 0))
            + at(0, 2) * (at(1, 0) * at(2, 1) - at(1, 1) * at(2, 0))
    };
    let whole = determinant([0, 1, 2]);
    if whole == 0.0 {
        return [0.0; 3];
    }
    [[3, 1, 2], [0, 3, 2], [0, 1, 3]].map(|columns| determinant(columns) / whole)
}
