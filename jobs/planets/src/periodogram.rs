//! The generalised Lomb-Scargle periodogram with floating mean.
//!
//! Source: Zechmeister & Kürster 2009, A&A 496, 577, equations 4 to 18. The power at a frequency is
//! the share of the weighted variance that the best sinusoid with a free mean explains: 0 to 1.
//!
//! # How the trigonometry is made cheap
//! A grid needs the cosine and sine of 2πft for each frequency and each point, and those of twice
//! the angle. Frequencies are taken in blocks of 2·[`REACH`] + 1 around a centre. With the angle at
//! the centre and the angle of k spacings, the sums for the frequencies k above *and* k below the
//! centre are made of the same four products, which are plain products of arrays:
//! cos(a ± b) = cos a cos b ∓ sin a sin b, and sin likewise. The cosines and sines of k spacings
//! are tables made once. The centres' advance from block to block by a rotation, and are computed
//! afresh every [`BLOCKS_UNTIL_EXACT`] blocks, so that rounding errors do not add up: a test
//! compares with direct evaluation.
//!
//! All loops run over lanes in a fixed order and trigonometry comes from the crate `libm`, so a
//! periodogram has the same bits natively and in a slot.

#[cfg(test)]
mod tests;

use std::f64::consts::TAU;

use crate::grid::Grid;
use crate::lanes::{Pair, pairs};
use crate::star::Star;

/// The blocks' reach to either side of their centre, in spacings. Tables take 512 bytes a point.
const REACH: usize = 16;
const _: () = assert!(REACH.is_multiple_of(2), "rows are taken in twos");

/// How many blocks the centres are rotated before they are computed afresh. Each rotation adds at
/// most four units of the last place (2⁻⁵³) to an error, so that 32 keep it below 2·10⁻¹⁴.
const BLOCKS_UNTIL_EXACT: usize = 32;

/// Velocities and weights, ready for periodograms.
#[derive(Clone, Debug)]
pub struct Periodogram {
    /// Days from the middle of the baseline.
    times: Vec<f64>,
    /// Σ = 1.
    weights: Vec<f64>,
    /// Weight times velocity.
    weighted: Vec<f64>,
    /// Σ weight · velocity: Y of equation 7.
    mean: f64,
    /// The weighted variance: YY of equation 10.
    variance: f64,
}

/// The sums of equations 8, 9 and 11 to 15 at a frequency, those of squares by twice the angle.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    /// Σ weight · cos, Σ weight · sin.
    weight: [f64; 2],
    /// Σ weight · velocity · cos, Σ weight · velocity · sin.
    velocity: [f64; 2],
    /// Σ weight · cos, Σ weight · sin of twice the angle.
    double: [f64; 2],
}

impl Periodogram {
    /// Of a star as observed.
    pub fn new(star: &Star) -> Self {
        let order: Vec<usize> = (0..star.len()).collect();
        Self::resampled(star, &order)
    }

    /// Of a star with its velocities and their errors moved: the point at time i gets those of the
    /// point `order[i]`.
    ///
    /// # Panics
    /// When `order` is not a permutation of the star's points.
    pub fn resampled(star: &Star, order: &[usize]) -> Self {
        assert_eq!(order.len(), star.len(), "a permutation of the points");
        let (first, last) = star.time_range();
        let middle = first + (last - first) / 2.0;
        let times = star.times.iter().map(|time| time - middle).collect();
        let star_weights = star.weights();
        let weights: Vec<f64> = order.iter().map(|&from| star_weights[from]).collect();
        let weighted: Vec<f64> =
            order.iter().map(|&from| star_weights[from] * star.velocities[from]).collect();
        let mean: f64 = weighted.iter().sum();
        let variance = order
            .iter()
            .map(|&from| star_weights[from] * (star.velocities[from] - mean).powi(2))
            .sum();
        Self { times, weights, weighted, mean, variance }
    }

    /// The power at one frequency, by direct evaluation.
    pub fn power_at(&self, frequency: f64) -> f64 {
        self.power(self.sums_at(frequency))
    }

    /// The power at each frequency of a grid; `on_progress` is told the share that is done.
    pub fn powers(&self, grid: &Grid, mut on_progress: impl FnMut(f64)) -> Vec<f64> {
        let tables = Tables::new(&self.times, grid.spacing);
        let mut block = Block::new(self);
        let width = 2 * REACH + 1;
        let mut powers = vec![0.0; grid.len.next_multiple_of(width)];
        for (number, powers) in powers.chunks_exact_mut(width).enumerate() {
            if number % BLOCKS_UNTIL_EXACT == 0 {
                on_progress((number * width) as f64 / grid.len as f64);
                block.centre = waves(&self.times, grid.frequency((number * width + REACH) as f64));
            } else {
                block.advance(&tables.block);
            }
            block.weigh();
            self.block_powers(&block, &tables, powers);
        }
        powers.truncate(grid.len);
        powers
    }

    fn block_powers(&self, block: &Block, tables: &Tables, powers: &mut [f64]) {
        powers[REACH] = self.power(block.centre_sums());
        for first in (0..REACH).step_by(2) {
            let rows = [first, first + 1];
            for (row, [above, below]) in rows.into_iter().zip(block.sums(tables, rows)) {
                powers[REACH + row + 1] = self.power(above);
                powers[REACH - row - 1] = self.power(below);
            }
        }
    }

    fn sums_at(&self, frequency: f64) -> Sums {
        let mut sums = Sums::default();
        for ((&time, &weight), &weighted) in
            self.times.iter().zip(&self.weights).zip(&self.weighted)
        {
            let (sin, cos) = sin_cos_cycles(frequency * time);
            sums.weight[0] += weight * cos;
            sums.weight[1] += weight * sin;
            sums.velocity[0] += weighted * cos;
            sums.velocity[1] += weighted * sin;
            sums.double[0] += weight * (cos * cos - sin * sin);
            sums.double[1] += weight * (2.0 * sin * cos);
        }
        sums
    }

    /// Equations 5, 6 and 10 to 15; 0 where the points say nothing about the frequency.
    fn power(&self, sums: Sums) -> f64 {
        let [c, s] = sums.weight;
        let yc = sums.velocity[0] - self.mean * c;
        let ys = sums.velocity[1] - self.mean * s;
        let cc = 0.5 * (1.0 + sums.double[0]) - c * c;
        let ss = 0.5 * (1.0 - sums.double[0]) - s * s;
        let cs = 0.5 * sums.double[1] - c * s;
        let determinant = cc * ss - cs * cs;
        if determinant <= DETERMINANT_MIN {
            return 0.0;
        }
        let explained = ss * yc * yc + cc * ys * ys - 2.0 * cs * yc * ys;
        (explained / (self.variance * determinant)).clamp(0.0, 1.0)
    }
}

/// Below this, cosine, sine and mean cannot be told apart at the points' times: what is left of
/// the determinant (1/4 for even phases) is rounding.
const DETERMINANT_MIN: f64 = 1e-12;

/// Sine and cosine of an angle in cycles: whole cycles are taken off exactly before the angle is
/// rounded to radians.
pub(crate) fn sin_cos_cycles(cycles: f64) -> (f64, f64) {
    libm::sincos(TAU * (cycles - libm::rint(cycles)))
}

/// Cosines and sines of two angles.
#[derive(Clone, Copy, Debug)]
struct Wave {
    cos: Pair,
    sin: Pair,
}

impl Wave {
    /// Of the sums of both angles.
    fn rotated(self, by: Self) -> Self {
        Self {
            cos: self.cos * by.cos - self.sin * by.sin,
            sin: self.sin * by.cos + self.cos * by.sin,
        }
    }

    /// Of twice the angles.
    fn doubled(self) -> Self {
        self.rotated(self)
    }

    fn scaled(self, by: Pair) -> Self {
        Self { cos: self.cos * by, sin: self.sin * by }
    }
}

/// The waves of a frequency at each time.
fn waves(times: &[f64], frequency: f64) -> Vec<Wave> {
    let wave = |chunk: &[f64]| {
        let (first_sin, first_cos) = sin_cos_cycles(frequency * chunk[0]);
        let (second_sin, second_cos) = match chunk.get(1) {
            Some(second) => sin_cos_cycles(frequency * second),
            None => (0.0, 1.0),
        };
        Wave { cos: Pair::new(first_cos, second_cos), sin: Pair::new(first_sin, second_sin) }
    };
    times.chunks(2).map(wave).collect()
}

/// The waves of 1 to [`REACH`] spacings, of twice that, and of a whole block.
struct Tables {
    single: Vec<Vec<Wave>>,
    double: Vec<Vec<Wave>>,
    block: Vec<Wave>,
}

impl Tables {
    fn new(times: &[f64], spacing: f64) -> Self {
        let rows = |factor: usize| {
            (1..=REACH).map(|row| waves(times, (factor * row) as f64 * spacing)).collect()
        };
        let width = (2 * REACH + 1) as f64 * spacing;
        Self { single: rows(1), double: rows(2), block: waves(times, width) }
    }
}

/// The waves at a block's centre, as they are and weighted.
struct Block {
    /// Weights, and weights times velocities.
    weights: Vec<[Pair; 2]>,
    centre: Vec<Wave>,
    /// The centre's waves times weight.
    weight: Vec<Wave>,
    /// The centre's waves times weight and velocity.
    velocity: Vec<Wave>,
    /// The waves of twice the centre's angle times weight.
    double: Vec<Wave>,
}

impl Block {
    fn new(periodogram: &Periodogram) -> Self {
        let weights = pairs(&periodogram.weights);
        let weighted = pairs(&periodogram.weighted);
        Self {
            weights: weights.into_iter().zip(weighted).map(|(a, b)| [a, b]).collect(),
            centre: Vec::new(),
            weight: Vec::new(),
            velocity: Vec::new(),
            double: Vec::new(),
        }
    }

    /// Moves the centre by a block.
    fn advance(&mut self, by: &[Wave]) {
        for (wave, &by) in self.centre.iter_mut().zip(by) {
            *wave = wave.rotated(by);
        }
    }

    fn weigh(&mut self) {
        let waves = || self.centre.iter().zip(&self.weights);
        self.weight.clear();
        self.weight.extend(waves().map(|(wave, &[weight, _])| wave.scaled(weight)));
        self.velocity.clear();
        self.velocity.extend(waves().map(|(wave, &[_, weighted])| wave.scaled(weighted)));
        self.double.clear();
        self.double.extend(waves().map(|(wave, &[weight, _])| wave.doubled().scaled(weight)));
    }

    fn centre_sums(&self) -> Sums {
        let total = |waves: &[Wave]| {
            let zero = Pair::splat(0.0);
            let start = Wave { cos: zero, sin: zero };
            let total = waves
                .iter()
                .fold(start, |sum, wave| Wave { cos: sum.cos + wave.cos, sin: sum.sin + wave.sin });
            [total.cos.sum(), total.sin.sum()]
        };
        Sums {
            weight: total(&self.weight),
            velocity: total(&self.velocity),
            double: total(&self.double),
        }
    }

    /// The sums above and below the centre, for two rows of the tables.
    fn sums(&self, tables: &Tables, rows: [usize; 2]) -> [[Sums; 2]; 2] {
        let single = rows.map(|row| tables.single[row].as_slice());
        let double = rows.map(|row| tables.double[row].as_slice());
        let weight = products(&self.weight, single);
        let velocity = products(&self.velocity, single);
        let double = products(&self.double, double);
        [0, 1].map(|row| {
            [0, 1].map(|side| Sums {
                weight: weight[row][side],
                velocity: velocity[row][side],
                double: double[row][side],
            })
        })
    }
}

/// For two rows of a table: the sums of cosine and sine, above the centre and below it.
fn products(centre: &[Wave], [first, second]: [&[Wave]; 2]) -> [[[f64; 2]; 2]; 2] {
    let (mut sums, mut more) = (Products::zero(), Products::zero());
    for ((centre, first), second) in centre.iter().zip(first).zip(second) {
        sums = sums.with(centre, first);
        more = more.with(centre, second);
    }
    [sums.sides(), more.sides()]
}

/// The four sums that the angles above and below a centre are made of.
#[derive(Clone, Copy)]
struct Products {
    cos_cos: Pair,
    sin_sin: Pair,
    sin_cos: Pair,
    cos_sin: Pair,
}

impl Products {
    fn zero() -> Self {
        let zero = Pair::splat(0.0);
        Self { cos_cos: zero, sin_sin: zero, sin_cos: zero, cos_sin: zero }
    }

    fn with(self, centre: &Wave, row: &Wave) -> Self {
        Self {
            cos_cos: self.cos_cos + centre.cos * row.cos,
            sin_sin: self.sin_sin + centre.sin * row.sin,
            sin_cos: self.sin_cos + centre.sin * row.cos,
            cos_sin: self.cos_sin + centre.cos * row.sin,
        }
    }

    fn sides(self) -> [[f64; 2]; 2] {
        let (cos_cos, sin_sin) = (self.cos_cos.sum(), self.sin_sin.sum());
        let (sin_cos, cos_sin) = (self.sin_cos.sum(), self.cos_sin.sum());
        [[cos_cos - sin_sin, sin_cos + cos_sin], [cos_cos + sin_sin, sin_cos - cos_sin]]
    }
}
