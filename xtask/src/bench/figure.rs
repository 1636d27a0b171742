//! A figure: what it is, its rounds, what it should be and what it is compared with.

use serde_json::{Value, json};

pub struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
    /// One value for each round; at least one.
    pub rounds: Vec<f64>,
    pub aim: Option<Aim>,
    pub peer: Option<Peer>,
}

/// What a figure should be.
#[derive(Clone, Copy)]
pub enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

/// What a figure is compared with, in the figure's unit, measured in the same rounds.
pub struct Peer {
    pub name: &'static str,
    pub rounds: Vec<f64>,
}

impl Aim {
    fn words(self, unit: &str) -> String {
        match self {
            Self::AtLeast(value) => format!("≥ {} {unit}", digits(value)),
            Self::AtMost(value) => format!("≤ {} {unit}", digits(value)),
        }
    }
}

/// Prints a line for each figure, and one below it for its peer.
pub fn print_table(figures: &[Figure]) {
    println!("\n{:<54}{:>16}{:>9}{:>14}{:>9}", "", "median", "noise", "aim", "ratio");
    for figure in figures {
        let aim = figure.aim.map_or(String::new(), |aim| aim.words(figure.unit));
        line(figure.name, &figure.rounds, figure.unit, &aim, "");
        if let Some(peer) = &figure.peer {
            let ratio = format!("{:.2}×", median(&figure.rounds) / median(&peer.rounds));
            line(&format!("  against {}", peer.name), &peer.rounds, figure.unit, "", &ratio);
        }
    }
    println!(
        "\nnoise: how far the rounds lie apart, of their median; ratio: the figure to its peer"
    );
    println!("every result is committed before it is acknowledged; many share a commit");
}

fn line(name: &str, rounds: &[f64], unit: &str, aim: &str, ratio: &str) {
    let value = format!("{} {unit}", digits(median(rounds)));
    println!("{name:<54}{value:>16}{:>8.0}%{aim:>14}{ratio:>9}", 100.0 * noise(rounds));
}

/// All figures as one object.
pub fn to_json(figures: &[Figure]) -> Value {
    let peer = |peer: &Peer| json!({ "name": peer.name, "median": median(&peer.rounds), "rounds": peer.rounds });
    let figure = |figure: &Figure| {
        json!({
            "name": figure.name,
            "unit": figure.unit,
            "median": median(&figure.rounds),
            "noise": noise(&figure.rounds),
            "rounds": figure.rounds,
            "aim": figure.aim.map(|aim| aim.words(figure.unit)),
            "peer": figure.peer.as_ref().map(peer),
            "ratio": figure.peer.as_ref().map(|p| median(&figure.rounds) / median(&p.rounds)),
        })
    };
    json!({ "figures": figures.iter().map(figure).collect::<Vec<_>>() })
}

fn median(rounds: &[f64]) -> f64 {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The distance between the least and the greatest, of the median.
fn noise(rounds: &[f64]) -> f64 {
    let least = rounds.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (greatest - least) / median(rounds)
}

fn digits(value: f64) -> String {
    match value {
        value if value >= 1000.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_its_median_and_its_noise_the_spread() {
        let rounds = [30.0, 10.0, 20.0];
        assert_eq!((median(&rounds), noise(&rounds)), (20.0, 1.0));
        let figure = Figure {
            name: "f",
            unit: "s",
            rounds: rounds.to_vec(),
            aim: Some(Aim::AtMost(50.0)),
            peer: Some(Peer { name: "p", rounds: vec![10.0] }),
        };
        let json = &to_json(&[figure])["figures"][0];
        assert_eq!((json["ratio"].as_f64(), json["aim"].as_str()), (Some(2.0), Some("≤ 50.0 s")));
    }
}
