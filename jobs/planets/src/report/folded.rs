//! The velocities folded at the best period, the sinusoid, and what is left.

use super::findings::Findings;
use super::fit::scatter;
use super::summary::period_words;
use crate::plot::{Anchor, Panel, Scale, Stroke, Svg, Text, colour, linear_ticks};
use crate::star::Star;

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 640.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = WIDTH - 28.0;

/// Steps of the curve: no corner is seen.
const CURVE_STEPS: usize = 240;

/// The picture as SVG.
pub(super) fn draw(title: &str, star: &Star, findings: &Findings) -> String {
    let mut svg = Svg::new(WIDTH, HEIGHT, &format!("{title}: folded velocities"));
    let sinusoid = &findings.best().sinusoid;
    let residuals = sinusoid.residuals(star);
    head(&mut svg, title, star, findings, &residuals);
    let above = panel(110.0, 440.0, star, &star.velocities, sinusoid.semi_amplitude);
    axes(&mut svg, &above, 7.0, Labels::None);
    above.clipped(&mut svg, |svg| {
        let curve: Vec<(f64, f64)> = (0..=CURVE_STEPS)
            .map(|step| step as f64 / CURVE_STEPS as f64)
            .map(|phase| above.place(phase, sinusoid.velocity_at_phase(phase)))
            .collect();
        points(svg, &above, star, &star.velocities, findings);
        svg.polyline(&curve, Stroke::solid("#ffffff", 5.0));
        svg.polyline(&curve, Stroke::solid(colour::INK, 2.4));
    });
    above.frame(&mut svg);
    let below = panel(462.0, HEIGHT - 62.0, star, &residuals, 0.0);
    axes(&mut svg, &below, 4.0, Labels::Shown);
    below.clipped(&mut svg, |svg| {
        points(svg, &below, star, &residuals, findings);
        let zero = Stroke { dashes: "6 4", ..Stroke::solid(colour::INK, 1.2) };
        svg.line(below.place(0.0, 0.0), below.place(1.0, 0.0), zero);
    });
    below.frame(&mut svg);
    axis_titles(&mut svg, &above, &below, sinusoid.maximum_time);
    svg.finish()
}

/// Whether an axis has its values written.
#[derive(Clone, Copy)]
enum Labels {
    None,
    Shown,
}

/// Room for every point with its error.
fn panel(top: f64, bottom: f64, star: &Star, values: &[f64], at_least: f64) -> Panel {
    let ends = || values.iter().zip(&star.errors);
    let low = ends().map(|(value, error)| value - error).fold(-at_least, f64::min);
    let high = ends().map(|(value, error)| value + error).fold(at_least, f64::max);
    let margin = 0.05 * (high - low);
    Panel {
        left: LEFT,
        top,
        right: RIGHT,
        bottom,
        x: Scale::Linear { from: 0.0, to: 1.0 },
        y: Scale::Linear { from: low - margin, to: high + margin },
    }
}

fn axes(svg: &mut Svg, panel: &Panel, count: f64, labels: Labels) {
    let Scale::Linear { from, to } = panel.y else { return };
    panel.y_axis(svg, &linear_ticks(from, to, count));
    let ticks = linear_ticks(0.0, 1.0, 10.0);
    match labels {
        Labels::None => panel.x_grid(svg, &ticks),
        Labels::Shown => panel.x_axis(svg, &ticks),
    }
}

fn points(svg: &mut Svg, panel: &Panel, star: &Star, values: &[f64], findings: &Findings) {
    let sinusoid = &findings.best().sinusoid;
    let places =
        || star.times.iter().zip(values).map(|(&time, &value)| (sinusoid.phase(time), value));
    for (index, (phase, value)) in places().enumerate() {
        let error = star.errors[index];
        let stroke = Stroke { opacity: 0.38, ..Stroke::solid(colour_of(star, index), 1.1) };
        svg.line(panel.place(phase, value - error), panel.place(phase, value + error), stroke);
    }
    for (index, (phase, value)) in places().enumerate() {
        svg.dot(panel.place(phase, value), 3.1, colour_of(star, index));
    }
}

fn colour_of(star: &Star, point: usize) -> &'static str {
    instrument_colour(star.instrument_of[point])
}

fn instrument_colour(instrument: usize) -> &'static str {
    colour::INSTRUMENTS[instrument % colour::INSTRUMENTS.len()]
}

fn head(svg: &mut Svg, title: &str, star: &Star, findings: &Findings, residuals: &[f64]) {
    let best = findings.best();
    let bold = Text::new(19.0, colour::INK, Anchor::Start).bold();
    let words = format!("{title}: velocities folded at {} days", period_words(best));
    svg.text((LEFT, 36.0), bold, &words);
    let words = format!(
        "Sinusoid with a semi-amplitude of {:.2} m/s. Scatter {:.2} m/s before, {:.2} m/s after \
         it is subtracted (weighted rms)",
        best.sinusoid.semi_amplitude,
        scatter(star, &star.velocities, |_| true),
        scatter(star, residuals, |_| true),
    );
    svg.text((LEFT, 59.0), Text::new(13.0, colour::FAINT, Anchor::Start), &words);
    legend(svg, star, residuals);
}

/// The instruments in columns of equal width, as many as fit; the rest are counted.
fn legend(svg: &mut Svg, star: &Star, residuals: &[f64]) {
    const COLUMN: f64 = 220.0;
    const Y: f64 = 88.0;
    let columns = ((RIGHT - LEFT) / COLUMN) as usize;
    let count = star.instruments.len();
    let shown = if count > columns { columns - 1 } else { count };
    let text = Text::new(12.5, colour::INK, Anchor::Start);
    for (index, instrument) in star.instruments.iter().take(shown).enumerate() {
        let x = LEFT + index as f64 * COLUMN;
        svg.dot((x + 5.0, Y - 4.3), 4.6, instrument_colour(index));
        let scatter = scatter(star, residuals, |point| star.instrument_of[point] == index);
        let name: String = instrument.name.chars().take(10).collect();
        let words = format!("{name}: {} points, rms {scatter:.2} m/s", instrument.points);
        svg.text((x + 16.0, Y), text, &words);
    }
    if shown < count {
        let x = LEFT + shown as f64 * COLUMN;
        svg.text((x + 16.0, Y), text, &format!("and {} more instruments", count - shown));
    }
}

fn axis_titles(svg: &mut Svg, above: &Panel, below: &Panel, maximum_time: f64) {
    let text = Text::new(13.0, colour::INK, Anchor::Middle);
    let middle = |panel: &Panel| (panel.top + panel.bottom) / 2.0;
    svg.upright_text((24.0, middle(above)), text, "Velocity (m/s)");
    svg.upright_text((24.0, middle(below)), text, "Residual (m/s)");
    let words = format!("Phase (cycles since day {maximum_time:.1}, when the curve is highest)");
    svg.text(((LEFT + RIGHT) / 2.0, HEIGHT - 16.0), text, &words);
}
