//! The highest places of a periodogram, found between the points of its grid.

use crate::grid::Grid;
use crate::periodogram::Periodogram;

/// Each step of the search leaves 0.618 of the bracket: 24 leave 10⁻⁵ of a grid spacing, where the
/// power is within 10⁻¹⁰ of the peak's.
const REFINING_STEPS: usize = 24;

/// A peak, or the end of the range where the power still rises there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// In cycles a day.
    pub frequency: f64,
    /// The share of the variance explained, 0 to 1.
    pub power: f64,
}

/// The highest power of the whole range.
///
/// Every grid maximum that may hide it ([`Grid::kept_power`]) is refined.
pub fn highest(periodogram: &Periodogram, grid: &Grid, powers: &[f64]) -> Peak {
    let top = powers.iter().copied().fold(0.0, f64::max);
    let nothing = Peak { frequency: grid.first, power: 0.0 };
    maxima(powers)
        .filter(|&index| powers[index] >= top * grid.kept_power())
        .map(|index| refine(periodogram, grid, index))
        .fold(nothing, |best, peak| if peak.power > best.power { peak } else { best })
}

/// The `count` highest distinct peaks, the highest first. Distinct are those that lie at least
/// `resolution` apart in frequency; of two closer ones the lower is passed over.
pub fn strongest(
    periodogram: &Periodogram,
    grid: &Grid,
    powers: &[f64],
    count: usize,
    resolution: f64,
) -> Vec<Peak> {
    let mut candidates: Vec<Peak> = maxima(powers)
        .map(|index| Peak { frequency: grid.frequency(index as f64), power: powers[index] })
        .collect();
    candidates.sort_by(|a, b| b.power.total_cmp(&a.power));
    let mut peaks: Vec<Peak> = distinct(candidates, count, resolution)
        .iter()
        .map(|peak| {
            let index = libm::rint((peak.frequency - grid.first) / grid.spacing);
            refine(periodogram, grid, index as usize)
        })
        .collect();
    peaks.sort_by(|a, b| b.power.total_cmp(&a.power));
    peaks
}

/// The first `count` of `peaks`, the highest first, that lie at least `resolution` from those
/// taken before them.
pub fn distinct(peaks: Vec<Peak>, count: usize, resolution: f64) -> Vec<Peak> {
    let mut taken: Vec<Peak> = Vec::with_capacity(count);
    for peak in peaks {
        if taken.len() == count {
            break;
        }
        if taken.iter().all(|other| (other.frequency - peak.frequency).abs() >= resolution) {
            taken.push(peak);
        }
    }
    taken
}

/// Where no neighbour is higher, the ends included; of a level stretch the first.
fn maxima(powers: &[f64]) -> impl Iterator<Item = usize> {
    (0..powers.len()).filter(|&index| {
        let rises = index == 0 || powers[index] > powers[index - 1];
        let falls = index + 1 == powers.len() || powers[index] >= powers[index + 1];
        rises && falls
    })
}

/// The highest power between the neighbours of a grid maximum: golden-section search (Kiefer 1953).
fn refine(periodogram: &Periodogram, grid: &Grid, index: usize) -> Peak {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let at = |place: f64| {
        let frequency = grid.frequency(place);
        Peak { frequency, power: periodogram.power_at(frequency) }
    };
    let mut best = at(index as f64);
    let mut low = index.saturating_sub(1) as f64;
    let mut high = (index + 1).min(grid.len - 1) as f64;
    let (mut left, mut right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
    let (mut at_left, mut at_right) = (at(left), at(right));
    for _ in 0..REFINING_STEPS {
        if at_left.power > at_right.power {
            (high, right, at_right) = (right, left, at_left);
            left = high - GOLDEN * (high - low);
            at_left = at(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + GOLDEN * (high - low);
            at_right = at(right);
        }
        for candidate in [at_left, at_right] {
            if candidate.power > best.power {
                best = candidate;
            }
        }
    }
    best
}
