use super::*;
use crate::peaks::{highest, strongest};
use crate::search::shuffled;
use gleaner_sdk::Context;

const STAR: &[u8] = include_bytes!("../../data/hd164922.csv");

fn star() -> Star {
    Star::read(STAR).expect("the shipped star")
}

/// The star's times and errors with other velocities.
fn star_with(velocity: impl Fn(f64) -> f64) -> Star {
    let mut star = star();
    star.velocities = star.times.iter().map(|&time| velocity(time)).collect();
    star
}

#[test]
fn rotations_stay_within_rounding_of_direct_sines_and_cosines() {
    let star = star();
    let periodogram = Periodogram::new(&star);
    let grid = Grid::new(1.1, 8000.0, 8.0, star.baseline_days()).expect("a grid");
    let tables = Tables::new(&periodogram.times, grid.spacing);
    let mut block = Block::new(&periodogram);
    let width = 2 * REACH + 1;
    let first = 1000 * width + REACH;
    block.centre = waves(&periodogram.times, grid.frequency(first as f64));
    for _ in 1..BLOCKS_UNTIL_EXACT {
        block.advance(&tables.block);
    }
    let last = (first + (BLOCKS_UNTIL_EXACT - 1) * width) as f64;
    let direct = waves(&periodogram.times, grid.frequency(last));
    for (rotated, direct) in block.centre.iter().zip(direct) {
        // The phases themselves, up to 3,000 cycles, are rounded to 4·10⁻¹³ cycles.
        let drift = (rotated.cos - direct.cos).sum().abs() + (rotated.sin - direct.sin).sum().abs();
        assert!(drift < 2e-11, "{drift}");
    }
}

#[test]
fn the_powers_of_a_grid_are_those_of_direct_evaluation() {
    let star = star();
    let order = shuffled(star.len(), &mut Context::for_test().with_seed(5).rng());
    for periodogram in [Periodogram::new(&star), Periodogram::resampled(&star, &order)] {
        let grid = Grid::new(1.1, 20_000.0, 3.0, star.baseline_days()).expect("a grid");
        let powers = periodogram.powers(&grid, |_| {});
        assert_eq!(powers.len(), grid.len);
        for index in (0..grid.len).step_by(7).chain([grid.len - 1]) {
            let direct = periodogram.power_at(grid.frequency(index as f64));
            assert!((powers[index] - direct).abs() < 1e-11, "{index}: {} {direct}", powers[index]);
        }
    }
}

#[test]
fn a_pure_sinusoid_has_all_the_power_and_its_period_is_found() {
    for period in [1.2345, 17.3, 404.4, 3000.0] {
        let star = star_with(|time| 3.0 + 2.0 * libm::sin(TAU * time / period + 0.4));
        let periodogram = Periodogram::new(&star);
        assert!((periodogram.power_at(1.0 / period) - 1.0).abs() < 1e-9);
        let grid = Grid::new(1.1, 8000.0, 4.0, star.baseline_days()).expect("a grid");
        let peak = highest(&periodogram, &grid, &periodogram.powers(&grid, |_| {}));
        assert!((1.0 / peak.frequency / period - 1.0).abs() < 1e-6, "{period}: {peak:?}");
    }
}

#[test]
fn between_grid_points_no_more_power_is_lost_than_the_bound() {
    let star = star();
    let grid = Grid::new(1.1, 8000.0, 4.0, star.baseline_days()).expect("a grid");
    for place in [500.5, 1234.4, 9999.5, 20_000.6] {
        let frequency = grid.frequency(place);
        let star = star_with(|time| libm::sin(TAU * (time - 2_450_000.0) * frequency));
        let powers = Periodogram::new(&star).powers(&grid, |_| {});
        let top = powers.iter().copied().fold(0.0, f64::max);
        assert!(top >= grid.kept_power(), "{place}: {top}");
    }
}

#[test]
fn the_strongest_peaks_are_distinct_and_sorted() {
    let star = star();
    let periodogram = Periodogram::new(&star);
    let grid = Grid::new(5.0, 8000.0, 5.0, star.baseline_days()).expect("a grid");
    let powers = periodogram.powers(&grid, |_| {});
    let resolution = 1.0 / star.baseline_days();
    let peaks = strongest(&periodogram, &grid, &powers, 10, resolution);
    assert_eq!(peaks.len(), 10);
    assert_eq!(peaks[0], highest(&periodogram, &grid, &powers));
    for pair in peaks.windows(2) {
        assert!(pair[0].power >= pair[1].power);
    }
    for (index, peak) in peaks.iter().enumerate() {
        for other in &peaks[..index] {
            assert!((peak.frequency - other.frequency).abs() > 0.6 * resolution);
        }
    }
}

#[test]
fn velocities_keep_their_errors_when_they_are_shuffled() {
    let star = star();
    let order = shuffled(star.len(), &mut Context::for_test().with_seed(1).rng());
    let (whole, moved) = (Periodogram::new(&star), Periodogram::resampled(&star, &order));
    assert!((whole.variance - moved.variance).abs() < 1e-12 * whole.variance);
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert!(sorted.iter().copied().eq(0..star.len()));
    assert_ne!(sorted, order);
}
