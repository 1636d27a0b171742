//! What the search found, worked out once for table, words and pictures.

use gleaner_sdk::Error;

use super::fit::{Sinusoid, period_error_days};
use super::searched::Searched;
use super::significance::{FalseAlarm, power_at_level};
use crate::peaks::{Peak, distinct};
use crate::periodogram::Periodogram;
use crate::star::Star;

/// How many peaks are listed.
const PEAKS_LISTED: usize = 8;

/// The false-alarm probabilities that are drawn.
const LEVELS: [f64; 3] = [0.1, 0.01, 0.001];

/// A peak's power in the search and its power computed again differ by rounding only.
const POWER_TOLERANCE: f64 = 1e-9;

/// What the search found.
pub(super) struct Findings {
    /// The star's periodogram, by rising period.
    pub(super) envelope: Vec<Peak>,
    /// How many resamplings there were.
    pub(super) resamplings: usize,
    /// The strongest distinct peaks, the highest first; at least one.
    pub(super) peaks: Vec<Finding>,
    /// False-alarm probabilities and the power each needs, where the resamplings can tell.
    pub(super) levels: Vec<(f64, f64)>,
}

/// A peak and what it stands for.
pub(super) struct Finding {
    pub(super) power: f64,
    pub(super) sinusoid: Sinusoid,
    /// The standard error of its period.
    pub(super) period_error_days: Option<f64>,
    pub(super) false_alarm: FalseAlarm,
    /// The power at its frequency once the strongest peak's sinusoid is subtracted.
    pub(super) power_without_first: f64,
}

impl Finding {
    pub(super) fn period_days(&self) -> f64 {
        1.0 / self.sinusoid.frequency
    }
}

impl Findings {
    /// # Errors
    /// When the search was of another star, or found nothing at all.
    pub(super) fn new(star: &Star, searched: Searched) -> Result<Self, Error> {
        let Searched { envelope, maxima } = searched;
        let resolution = 1.0 / star.baseline_days();
        let peaks = distinct(maxima_of(&envelope), PEAKS_LISTED, resolution);
        let first = *peaks.first().ok_or_else(|| Error::new("the search has no peak"))?;
        let again = Periodogram::new(star).power_at(first.frequency);
        if (again - first.power).abs() > POWER_TOLERANCE {
            return Err(Error::new(format_args!(
                "the search's highest power is {}, but the shared file `star` gives {again} at \
                 that period: it is another star's",
                first.power
            )));
        }
        let strongest = Sinusoid::fit(star, first.frequency);
        let rest = Star { velocities: strongest.residuals(star), ..star.clone() };
        let rest = Periodogram::new(&rest);
        let finding = |peak: Peak| Finding {
            power: peak.power,
            sinusoid: Sinusoid::fit(star, peak.frequency),
            period_error_days: period_error_days(star, peak.frequency),
            false_alarm: FalseAlarm::of(peak.power, &maxima),
            power_without_first: rest.power_at(peak.frequency),
        };
        let levels = LEVELS
            .iter()
            .filter_map(|&level| Some((level, power_at_level(level, &maxima)?)))
            .collect();
        Ok(Self {
            resamplings: maxima.len(),
            peaks: peaks.into_iter().map(finding).collect(),
            levels,
            envelope,
        })
    }

    /// The strongest peak.
    pub(super) fn best(&self) -> &Finding {
        &self.peaks[0]
    }

    /// The shortest and the longest period searched, in days.
    pub(super) fn period_range(&self) -> (f64, f64) {
        let period = |peak: Option<&Peak>| peak.map_or(1.0, |peak| 1.0 / peak.frequency);
        (period(self.envelope.first()), period(self.envelope.last()))
    }
}

/// The envelope's places without a higher neighbour, the highest first. The ends count, so that a
/// power that still rises at the end of the range is not passed over.
fn maxima_of(envelope: &[Peak]) -> Vec<Peak> {
    let power = |index: usize| envelope.get(index).map_or(0.0, |peak| peak.power);
    let mut maxima: Vec<Peak> = (0..envelope.len())
        .filter(|&index| {
            let before = index.checked_sub(1).map_or(0.0, power);
            power(index) > before && power(index) >= power(index + 1)
        })
        .map(|index| envelope[index])
        .collect();
    maxima.sort_by(|a, b| b.power.total_cmp(&a.power));
    maxima
}
