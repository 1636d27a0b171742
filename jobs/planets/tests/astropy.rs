//! The periodogram against another program's: astropy's `LombScargle` on the same data. How the
//! reference was made stands at its top.

use planets::grid::Grid;
use planets::peaks::highest;
use planets::periodogram::Periodogram;
use planets::star::Star;

const STAR: &[u8] = include_bytes!("../data/hd164922.csv");
const REFERENCE: &str = include_str!("data/astropy.csv");

/// Frequencies and powers; the last is the highest peak.
fn reference() -> Vec<(f64, f64)> {
    let rows = REFERENCE.lines().filter(|line| !line.starts_with('#')).skip(1);
    rows.map(|row| {
        let (frequency, power) = row.split_once(',').expect("two columns");
        (frequency.parse().expect("a number"), power.parse().expect("a number"))
    })
    .collect()
}

#[test]
fn every_power_agrees() {
    let star = Star::read(STAR).expect("the shipped star");
    let periodogram = Periodogram::new(&star);
    for (frequency, power) in reference() {
        let ours = periodogram.power_at(frequency);
        assert!((ours - power).abs() < 1e-10, "{frequency}: {ours} and {power}");
    }
}

#[test]
fn the_highest_peak_agrees() {
    let star = Star::read(STAR).expect("the shipped star");
    let periodogram = Periodogram::new(&star);
    let grid = Grid::new(1.1, 8000.0, 10.0, star.baseline_days()).expect("a grid");
    let powers = periodogram.powers(&grid, |_| {});
    let peak = highest(&periodogram, &grid, &powers);
    let (frequency, power) = *reference().last().expect("the highest peak");
    assert!((1.0 / peak.frequency - 1.0 / frequency).abs() < 0.01, "{}", 1.0 / peak.frequency);
    assert!((peak.power - power).abs() < 1e-9, "{}", peak.power);
    assert!((1.0 / peak.frequency - 1187.0).abs() < 0.5);
    assert!((peak.power - 0.644).abs() < 0.0005);
}
