//! Which frequencies a periodogram is computed at.
//!
//! The grid is uniform in frequency, both ends included, with a spacing of at most
//! 1 / (`oversampling` · T), where T is the time from the first point to the last.
//!
//! # Why no peak is missed
//! The true frequency of a sinusoid is at most half a spacing from a grid point. Over the whole
//! baseline, seen from its middle, the model at that grid point then drifts from the sinusoid by a
//! phase of at most π / (2 · `oversampling`). The amplitude it finds is the sinusoid's times a mean
//! of the drift's cosine, so that at most the share 1 − cos²(π / (2 · `oversampling`)) of the
//! power is lost, however the points are spread (and up to terms that average out over the cycles
//! seen). For points spread evenly it is a third of that. With an oversampling of 10 the bound is
//! 2.4 %. [`Grid::kept_power`] is the share that is left: whichever grid maximum exceeds the
//! highest one times this share may hide the highest peak, and each of them is refined.

use std::fmt;

/// The most frequencies of a grid: powers and tables stay far below a slot's usual memory.
pub const FREQUENCIES_MAX: f64 = 4_000_000.0;

/// At an oversampling of 2 half the power can fall between two grid points; below, any.
pub const OVERSAMPLING_MIN: f64 = 2.0;

/// More only costs time.
pub const OVERSAMPLING_MAX: f64 = 100.0;

/// Uniform frequencies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// The first frequency, in cycles a day.
    pub first: f64,
    /// The distance between neighbours.
    pub spacing: f64,
    /// How many.
    pub len: usize,
    oversampling: f64,
}

/// Why a grid cannot be made.
#[allow(missing_docs, reason = "the fields are the parameters of the same names")]
#[derive(Clone, Debug, PartialEq)]
pub enum GridError {
    /// A period is zero, negative or not finite.
    Period { parameter: &'static str, days: f64 },
    /// The shortest period is not below the longest.
    Inverted { period_min_days: f64, period_max_days: f64 },
    /// The oversampling is out of its bounds.
    Oversampling { oversampling: f64 },
    /// There would be too many frequencies.
    TooLarge { frequencies: f64 },
}

impl fmt::Display for GridError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Period { parameter, days } => {
                write!(f, "{parameter} is {days}; it must be a number of days over 0")
            }
            Self::Inverted { period_min_days, period_max_days } => write!(
                f,
                "period_min_days is {period_min_days}, which is not below \
                 period_max_days, {period_max_days}"
            ),
            Self::Oversampling { oversampling } => write!(
                f,
                "oversampling is {oversampling}; it must be {OVERSAMPLING_MIN} to \
                 {OVERSAMPLING_MAX}"
            ),
            Self::TooLarge { frequencies } => write!(
                f,
                "the grid would have {frequencies:.0} frequencies; at most {FREQUENCIES_MAX} are \
                 computed: raise period_min_days or lower oversampling"
            ),
        }
    }
}

impl std::error::Error for GridError {}

impl Grid {
    /// The grid for periods from `period_min_days` to `period_max_days` over a baseline.
    ///
    /// # Errors
    /// [`GridError`], for the first parameter that is out of bounds.
    pub fn new(
        period_min_days: f64,
        period_max_days: f64,
        oversampling: f64,
        baseline_days: f64,
    ) -> Result<Self, GridError> {
        for (parameter, days) in
            [("period_min_days", period_min_days), ("period_max_days", period_max_days)]
        {
            if !(days > 0.0 && days.is_finite()) {
                return Err(GridError::Period { parameter, days });
            }
        }
        if period_min_days >= period_max_days {
            return Err(GridError::Inverted { period_min_days, period_max_days });
        }
        if !(OVERSAMPLING_MIN..=OVERSAMPLING_MAX).contains(&oversampling) {
            return Err(GridError::Oversampling { oversampling });
        }
        let (first, last) = (1.0 / period_max_days, 1.0 / period_min_days);
        let intervals = libm::ceil((last - first) * oversampling * baseline_days).max(1.0);
        if intervals + 1.0 > FREQUENCIES_MAX {
            return Err(GridError::TooLarge { frequencies: intervals + 1.0 });
        }
        let spacing = (last - first) / intervals;
        Ok(Self { first, spacing, len: intervals as usize + 1, oversampling })
    }

    /// The frequency at `index`, in cycles a day; between two of them for a fraction.
    pub fn frequency(&self, index: f64) -> f64 {
        self.first + index * self.spacing
    }

    /// The least share of a peak's power that the nearest grid point has.
    pub fn kept_power(&self) -> f64 {
        let cosine = libm::cos(std::f64::consts::FRAC_PI_2 / self.oversampling);
        cosine * cosine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_on_the_grid_and_the_spacing_is_kept() {
        let grid = Grid::new(1.1, 8000.0, 10.0, 7017.0).expect("a grid");
        assert_eq!(grid.frequency(0.0), 1.0 / 8000.0);
        assert!((grid.frequency(grid.len as f64 - 1.0) - 1.0 / 1.1).abs() < 1e-12);
        assert!(grid.spacing <= 1.0 / 70_170.0);
        assert_eq!(grid.len, 63_784);
        assert!((grid.kept_power() - 0.9755).abs() < 1e-4);
    }

    #[test]
    fn parameters_out_of_bounds_are_named_with_their_values() {
        let error = |min, max, oversampling| {
            Grid::new(min, max, oversampling, 7017.0).expect_err("out of bounds").to_string()
        };
        for (message, words) in [
            (error(0.0, 10.0, 5.0), "period_min_days is 0"),
            (error(1.0, f64::NAN, 5.0), "period_max_days is NaN"),
            (error(1.0, f64::INFINITY, 5.0), "period_max_days is inf"),
            (error(10.0, 1.0, 5.0), "period_min_days is 10, which is not below"),
            (error(5.0, 5.0, 5.0), "not below"),
            (error(1.0, 10.0, 1.0), "oversampling is 1; it must be 2 to 100"),
            (error(1e-9, 10.0, 5.0), "at most 4000000 are computed"),
        ] {
            assert!(message.contains(words), "{message}");
        }
    }
}
