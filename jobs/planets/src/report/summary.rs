//! The findings as a table and in words.

use std::fmt::Write as _;

use super::findings::{Finding, Findings};
use super::fit::scatter;
use crate::star::Star;

/// `peaks.csv`: the peaks, the highest first. Times in days, velocities in the file's unit.
pub(super) fn peaks_csv(findings: &Findings) -> String {
    let mut csv = String::from(
        "rank,period_days,period_error_days,power,false_alarm_probability,resamplings_reaching,\
         resamplings,semi_amplitude,power_without_first\n",
    );
    for (index, peak) in findings.peaks.iter().enumerate() {
        let error = peak.period_error_days.map(|error| format!("{error:.6}")).unwrap_or_default();
        line(
            &mut csv,
            format_args!(
                "{},{:.6},{error},{:.6},{:.6},{},{},{:.4},{:.6}",
                index + 1,
                peak.period_days(),
                peak.power,
                peak.false_alarm.probability(),
                peak.false_alarm.reached,
                peak.false_alarm.resamplings,
                peak.sinusoid.semi_amplitude,
                peak.power_without_first,
            ),
        );
    }
    csv
}

/// `summary.txt`.
pub(super) fn text(title: &str, star: &Star, findings: &Findings) -> String {
    let mut text = String::new();
    let best = findings.best();
    let (period_min, period_max) = findings.period_range();
    let residuals = best.sinusoid.residuals(star);
    line(&mut text, format_args!("{title}: is there a planet?\n"));
    line(
        &mut text,
        format_args!(
            "{} velocities over {:.0} days; periods from {} to {} days; {} resamplings.",
            star.len(),
            star.baseline_days(),
            rounded(period_min),
            rounded(period_max),
            findings.resamplings,
        ),
    );
    for (index, instrument) in star.instruments.iter().enumerate() {
        line(
            &mut text,
            format_args!(
                "  instrument {}: {} points, zero point {:.3} m/s, scatter about the best \
                 sinusoid {:.2} m/s",
                instrument.name,
                instrument.points,
                instrument.zero_point,
                scatter(star, &residuals, |point| star.instrument_of[point] == index),
            ),
        );
    }
    line(&mut text, format_args!("\n{}\n", verdict(findings)));
    table(&mut text, findings);
    text.push_str(&method(findings));
    text
}

/// The period with its error, each with the digits that mean something: `1187.2 ± 2.9`.
pub(super) fn period_words(peak: &Finding) -> String {
    let period = peak.period_days();
    match peak.period_error_days {
        Some(error) if error > 0.0 => {
            let decimals = (1.0 - libm::floor(libm::log10(error))).clamp(0.0, 8.0) as usize;
            format!("{period:.decimals$} ± {error:.decimals$}")
        }
        _ => rounded(period),
    }
}

/// Four significant digits, without needless zeros.
pub(super) fn rounded(value: f64) -> String {
    let decimals = (3.0 - libm::floor(libm::log10(value))).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn verdict(findings: &Findings) -> String {
    let best = findings.best();
    let period = period_words(best);
    let words = best.false_alarm.words();
    if findings.resamplings == 0 {
        return format!(
            "The highest peak is at {period} days; without resamplings, chance is open."
        );
    }
    let share = 100.0 * best.power;
    match best.false_alarm.probability() {
        p if p <= 0.001 => format!(
            "Yes, something repeats every {period} days: a sinusoid of {:.2} m/s explains \
             {share:.1} % of the variance.\nChance does as well with a probability {words}.",
            best.sinusoid.semi_amplitude,
        ),
        _ => format!(
            "Not for certain: the highest peak, at {period} days, explains {share:.1} % of the \
             variance,\nand chance does as well with a probability {words}."
        ),
    }
}

fn table(text: &mut String, findings: &Findings) {
    line(
        text,
        format_args!(
            "{:>4}  {:>22}  {:>7}  {:>11}  {:>8}  {:>13}",
            "peak", "period (days)", "power", "false alarm", "K (m/s)", "without first"
        ),
    );
    for (index, peak) in findings.peaks.iter().enumerate() {
        line(
            text,
            format_args!(
                "{:>4}  {:>22}  {:>7.4}  {:>11}  {:>8.2}  {:>13.4}",
                index + 1,
                period_words(peak),
                peak.power,
                peak.false_alarm.words(),
                peak.sinusoid.semi_amplitude,
                peak.power_without_first,
            ),
        );
    }
}

fn method(findings: &Findings) -> String {
    let n = findings.resamplings;
    format!(
        "
power          share of the weighted variance that a sinusoid with a free mean explains
               (Zechmeister & Kürster 2009, A&A 496, 577).
peaks          distinct ones, at least one natural width 1/T apart in frequency.
period         ± the standard error for a sinusoid in white noise; it does not cover the
               chance of having taken the wrong peak.
false alarm    chance that velocities shuffled against their times have a peak at least as
               high anywhere in the range: (k + 1) / ({n} + 1), where k of {n} resamplings
               reach it. It cannot be told apart below 1 / {n}.
K              semi-amplitude of the sinusoid.
without first  power left at this period once peak 1 is subtracted: where little is left,
               the peak is an echo of peak 1 in the gaps of the observations.
"
    )
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    writeln!(text, "{arguments}").expect("a string takes what is written to it");
}
