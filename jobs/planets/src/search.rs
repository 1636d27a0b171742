//! The stage `search`: the star's periodogram, and the highest peak of each resampling.

use gleaner_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::grid::Grid;
use crate::peaks::{Peak, highest, strongest};
use crate::periodogram::Periodogram;
use crate::star::Star;

/// How many of the strongest peaks are refined in the output for the star as observed: more than
/// any report lists.
pub const PEAKS_REFINED: usize = 32;

/// In how many equal steps of the period's logarithm the periodogram is given: about what a
/// picture can show.
const ENVELOPE_BINS: usize = 1500;

/// An item: one periodogram.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// 0 for the star as observed, else the number of a resampling.
    pub resampling: u64,
    /// The shortest period, in days.
    pub period_min_days: f64,
    /// The longest period, in days.
    pub period_max_days: f64,
    /// Grid points to a natural width 1/T of a peak: see [`crate::grid`].
    pub oversampling: f64,
}

/// A row of `search.csv`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// 0 for the star as observed, else the number of a resampling.
    pub resampling: u64,
    /// The period, in days.
    pub period_days: f64,
    /// The power there, 0 to 1.
    pub power: f64,
}

/// Resampling 0: the star's periodogram as its highest power in each of 1500 equal steps of the
/// period's logarithm (where a step has no grid frequency, the power at its middle), and its
/// strongest peaks; by period. Any other: one row, the highest peak of the periodogram of the
/// velocities, with their errors, shuffled against the times by the item's seed.
///
/// # Errors
/// When the shared file `star` or a parameter cannot be used, with the line or the value.
#[task]
pub fn search(input: Search, context: &Context) -> Result<Vec<Row>, Error> {
    let star = read_star(context)?;
    let grid = Grid::new(
        input.period_min_days,
        input.period_max_days,
        input.oversampling,
        star.baseline_days(),
    )?;
    let periodogram = match input.resampling {
        0 => Periodogram::new(&star),
        _ => Periodogram::resampled(&star, &shuffled(star.len(), &mut context.rng())),
    };
    let powers = periodogram.powers(&grid, |fraction| context.progress(fraction));
    let resampling = input.resampling;
    let row = |peak: Peak| Row { resampling, period_days: 1.0 / peak.frequency, power: peak.power };
    if resampling > 0 {
        return Ok(vec![row(highest(&periodogram, &grid, &powers))]);
    }
    let resolution = 1.0 / star.baseline_days();
    let mut places = envelope(&periodogram, &grid, &powers);
    places.extend(strongest(&periodogram, &grid, &powers, PEAKS_REFINED, resolution));
    // The ends say which range was searched.
    places.extend(
        [0, grid.len - 1]
            .map(|index| Peak { frequency: grid.frequency(index as f64), power: powers[index] }),
    );
    places.sort_by(|a, b| b.frequency.total_cmp(&a.frequency));
    places.dedup_by(|a, b| a.frequency == b.frequency);
    Ok(places.into_iter().map(row).collect())
}

/// The star that a stage shares as the file `star`.
pub(crate) fn read_star(context: &Context) -> Result<Star, Error> {
    let file = context.file("star")?;
    Star::read(&file).map_err(|error| Error::from(error).context("shared file `star`"))
}

/// The numbers below `len` in an order drawn evenly from all: Fisher and Yates.
pub(crate) fn shuffled(len: usize, rng: &mut gleaner_sdk::Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    for place in (1..len).rev() {
        let bound = place as u64 + 1;
        // Draws from the incomplete last stretch would favour small numbers.
        let whole = u64::MAX - u64::MAX % bound;
        let draw = std::iter::repeat_with(|| rng.next_u64()).find(|&draw| draw < whole);
        order.swap(place, (draw.expect("draws do not end") % bound) as usize);
    }
    order
}

/// The highest place in each bin of the period's logarithm.
fn envelope(periodogram: &Periodogram, grid: &Grid, powers: &[f64]) -> Vec<Peak> {
    let log_first = libm::log(grid.first);
    let log_last = libm::log(grid.frequency((grid.len - 1) as f64));
    let bins_per_unit = ENVELOPE_BINS as f64 / (log_last - log_first);
    let mut bins: Vec<Option<Peak>> = vec![None; ENVELOPE_BINS];
    for (index, &power) in powers.iter().enumerate() {
        let frequency = grid.frequency(index as f64);
        let bin = ((libm::log(frequency) - log_first) * bins_per_unit) as usize;
        let highest = &mut bins[bin.min(ENVELOPE_BINS - 1)];
        if highest.is_none_or(|highest| power > highest.power) {
            *highest = Some(Peak { frequency, power });
        }
    }
    let middle = |bin: usize| libm::exp(log_first + (bin as f64 + 0.5) / bins_per_unit);
    bins.iter()
        .enumerate()
        .map(|(bin, highest)| {
            highest.unwrap_or_else(|| {
                let frequency = middle(bin);
                Peak { frequency, power: periodogram.power_at(frequency) }
            })
        })
        .collect()
}
