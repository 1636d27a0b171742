//! The periodogram with its false-alarm levels and peaks.

use super::findings::Findings;
use super::summary::{period_words, rounded};
use crate::plot::{
    Anchor, Panel, Scale, Stroke, Svg, Text, colour, linear_ticks, log_ticks, number,
};
use crate::star::Star;

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 540.0;

/// Lines of text need this much to be told apart.
const LEVEL_LABELS_APART: f64 = 15.0;

/// A peak's mark needs this much room to either side.
const MARKS_APART: f64 = 16.0;

/// The picture as SVG.
pub(super) fn draw(title: &str, star: &Star, findings: &Findings) -> String {
    let mut svg = Svg::new(WIDTH, HEIGHT, &format!("{title}: periodogram"));
    let panel = panel(findings);
    head(&mut svg, &panel, title, star, findings);
    panel.x_axis(&mut svg, &log_ticks(start(panel.x), end(panel.x)));
    panel.y_axis(&mut svg, &linear_ticks(0.0, end(panel.y), 6.0));
    curve(&mut svg, &panel, findings);
    levels(&mut svg, &panel, findings);
    panel.frame(&mut svg);
    marks(&mut svg, &panel, findings);
    let axis = Text::new(13.0, colour::INK, Anchor::Middle);
    svg.text(((panel.left + panel.right) / 2.0, HEIGHT - 16.0), axis, "Period (days)");
    svg.upright_text((24.0, (panel.top + panel.bottom) / 2.0), axis, "Power");
    svg.finish()
}

fn panel(findings: &Findings) -> Panel {
    let (from, to) = findings.period_range();
    let highest_level = findings.levels.iter().map(|level| level.1).fold(0.0, f64::max);
    let highest = findings.best().power.max(highest_level);
    Panel {
        left: 72.0,
        top: 84.0,
        right: WIDTH - 118.0,
        bottom: HEIGHT - 62.0,
        x: Scale::Log { from, to },
        y: Scale::Linear { from: 0.0, to: highest * 1.12 },
    }
}

fn head(svg: &mut Svg, panel: &Panel, title: &str, star: &Star, findings: &Findings) {
    let bold = Text::new(19.0, colour::INK, Anchor::Start).bold();
    svg.text((panel.left, 36.0), bold, &format!("{title}: what repeats in its velocities"));
    let words = format!(
        "Generalised Lomb–Scargle periodogram of {} velocities from {} over {} days; \
         false-alarm levels from {} resamplings",
        star.len(),
        match star.instruments.len() {
            1 => "one instrument".to_owned(),
            count => format!("{count} instruments"),
        },
        number(star.baseline_days()),
        number(findings.resamplings as f64),
    );
    svg.text((panel.left, 59.0), Text::new(13.0, colour::FAINT, Anchor::Start), &words);
}

fn curve(svg: &mut Svg, panel: &Panel, findings: &Findings) {
    let points: Vec<(f64, f64)> = findings
        .envelope
        .iter()
        .map(|place| panel.place(1.0 / place.frequency, place.power))
        .collect();
    let mut area = points.clone();
    area.extend(points.last().map(|&(x, _)| (x, panel.bottom)));
    area.extend(points.first().map(|&(x, _)| (x, panel.bottom)));
    panel.clipped(svg, |svg| {
        svg.area(&area, colour::AREA, 0.12);
        svg.polyline(&points, Stroke::solid(colour::CURVE, 1.1));
    });
}

/// The levels, with labels in the right margin that are pushed apart where lines are close.
fn levels(svg: &mut Svg, panel: &Panel, findings: &Findings) {
    let label = Text::new(12.0, colour::ACCENT, Anchor::Start);
    let mut label_y = f64::INFINITY;
    let middle = findings.levels.len() as f64 / 2.0;
    for (index, &(level, power)) in findings.levels.iter().enumerate() {
        let (_, y) = panel.place(end(panel.x), power);
        let dashes = ["2 4", "6 4", ""][index.min(2)];
        let stroke = Stroke { dashes, ..Stroke::solid(colour::ACCENT, 1.1) };
        svg.line((panel.left, y), (panel.right, y), stroke);
        let wanted = y + (middle - index as f64 - 0.5) * 4.0;
        label_y = wanted.min(label_y - LEVEL_LABELS_APART);
        let leader = Stroke::solid(colour::ACCENT, 0.8);
        svg.polyline(
            &[(panel.right, y), (panel.right + 6.0, y), (panel.right + 16.0, label_y)],
            leader,
        );
        let words = format!("{} %", rounded(100.0 * level));
        svg.text((panel.right + 20.0, label_y + 4.2), label, &words);
    }
    if !findings.levels.is_empty() {
        let at = (panel.right + 20.0, label_y - 13.0);
        svg.text(at, label.bold(), "False alarm");
    }
}

/// Numbers on the peaks above every level; the period of the highest.
fn marks(svg: &mut Svg, panel: &Panel, findings: &Findings) {
    let level = findings.levels.iter().map(|level| level.1).fold(0.0, f64::max);
    let mut taken: Vec<f64> = Vec::new();
    for (index, peak) in findings.peaks.iter().enumerate() {
        let (x, y) = panel.place(peak.period_days(), peak.power);
        let is_free = taken.iter().all(|other| (other - x).abs() >= MARKS_APART);
        if index > 0 && (peak.power <= level || !is_free) {
            continue;
        }
        taken.push(x);
        let triangle = [(x, y - 4.0), (x - 4.0, y - 11.0), (x + 4.0, y - 11.0)];
        svg.area(&triangle, colour::ACCENT, 1.0);
        let rank = Text::new(12.0, colour::INK, Anchor::Middle).bold();
        match index {
            0 => best_label(svg, panel, findings, (x, y)),
            _ => svg.text((x, y - 15.0), rank, &(index + 1).to_string()),
        }
    }
}

fn best_label(svg: &mut Svg, panel: &Panel, findings: &Findings, (x, y): (f64, f64)) {
    let best = findings.best();
    let words = format!("{} days", period_words(best));
    let (anchor, at) = match x > (panel.left + panel.right) / 2.0 {
        true => (Anchor::End, x - 10.0),
        false => (Anchor::Start, x + 10.0),
    };
    svg.text((at, y - 6.0), Text::new(14.0, colour::INK, anchor).bold(), &words);
    let chance = match findings.resamplings {
        0 => format!("power {:.3}", best.power),
        _ => format!("power {:.3}, false alarm {}", best.power, best.false_alarm.words()),
    };
    svg.text((at, y + 11.0), Text::new(12.0, colour::FAINT, anchor), &chance);
}

fn start(scale: Scale) -> f64 {
    match scale {
        Scale::Linear { from, .. } | Scale::Log { from, .. } => from,
    }
}

fn end(scale: Scale) -> f64 {
    match scale {
        Scale::Linear { to, .. } | Scale::Log { to, .. } => to,
    }
}
