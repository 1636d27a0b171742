//! From data to places on the page, and the axes around them.

use super::colour;
use super::svg::{Anchor, Stroke, Svg, Text};

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    /// Evenly.
    Linear {
        /// The value at the start.
        from: f64,
        /// The value at the end.
        to: f64,
    },
    /// By logarithm.
    Log {
        /// The value at the start, over 0.
        from: f64,
        /// The value at the end, over 0.
        to: f64,
    },
}

impl Scale {
    /// Where a value lies: 0 at the start, 1 at the end.
    pub(crate) fn share(self, value: f64) -> f64 {
        match self {
            Self::Linear { from, to } => (value - from) / (to - from),
            Self::Log { from, to } => libm::log(value / from) / libm::log(to / from),
        }
    }
}

/// A rectangle of the page with two axes.
#[derive(Clone, Copy)]
pub(crate) struct Panel {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
    pub(crate) x: Scale,
    pub(crate) y: Scale,
}

const LABEL_SIZE: f64 = 12.0;

impl Panel {
    /// The place of a point of data.
    pub(crate) fn place(&self, x: f64, y: f64) -> (f64, f64) {
        (
            self.left + self.x.share(x) * (self.right - self.left),
            self.bottom - self.y.share(y) * (self.bottom - self.top),
        )
    }

    /// Runs `draw` with all of it cut off outside the panel.
    pub(crate) fn clipped(&self, svg: &mut Svg, draw: impl FnOnce(&mut Svg)) {
        svg.clipped((self.left, self.top), (self.right, self.bottom), draw);
    }

    /// Grid lines and labels for values of the horizontal axis; an empty label draws a small tick.
    pub(crate) fn x_axis(&self, svg: &mut Svg, ticks: &[(f64, String)]) {
        for (value, label) in ticks {
            let (x, _) = self.place(*value, self.y_start());
            let length = if label.is_empty() { 3.0 } else { 6.0 };
            if !label.is_empty() {
                svg.line((x, self.top), (x, self.bottom), Stroke::solid(colour::GRID, 1.0));
                let text = Text::new(LABEL_SIZE, colour::INK, Anchor::Middle);
                svg.text((x, self.bottom + 21.0), text, label);
            }
            let tick = Stroke::solid(colour::INK, 1.0);
            svg.line((x, self.bottom), (x, self.bottom + length), tick);
        }
    }

    /// Grid lines alone for values of the horizontal axis.
    pub(crate) fn x_grid(&self, svg: &mut Svg, ticks: &[(f64, String)]) {
        for (value, _) in ticks {
            let (x, _) = self.place(*value, self.y_start());
            svg.line((x, self.top), (x, self.bottom), Stroke::solid(colour::GRID, 1.0));
        }
    }

    /// Grid lines and labels for values of the vertical axis.
    pub(crate) fn y_axis(&self, svg: &mut Svg, ticks: &[(f64, String)]) {
        for (value, label) in ticks {
            let (_, y) = self.place(self.x_start(), *value);
            svg.line((self.left, y), (self.right, y), Stroke::solid(colour::GRID, 1.0));
            svg.line((self.left - 6.0, y), (self.left, y), Stroke::solid(colour::INK, 1.0));
            let text = Text::new(LABEL_SIZE, colour::INK, Anchor::End);
            svg.text((self.left - 10.0, y + 4.2), text, label);
        }
    }

    /// The lines at the left and below, drawn over the data's ends.
    pub(crate) fn frame(&self, svg: &mut Svg) {
        let corners = [(self.left, self.top), (self.left, self.bottom), (self.right, self.bottom)];
        svg.polyline(&corners, Stroke::solid(colour::INK, 1.2));
    }

    fn x_start(&self) -> f64 {
        start(self.x)
    }

    fn y_start(&self) -> f64 {
        start(self.y)
    }
}

fn start(scale: Scale) -> f64 {
    match scale {
        Scale::Linear { from, .. } | Scale::Log { from, .. } => from,
    }
}

/// Round values from `from` to `to`, about `count` of them, with their labels.
pub(crate) fn linear_ticks(from: f64, to: f64, count: f64) -> Vec<(f64, String)> {
    let raw = (to - from) / count;
    let unit = libm::pow(10.0, libm::floor(libm::log10(raw)));
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|digit| digit * unit)
        .find(|step| *step >= raw * 0.999)
        .unwrap_or(10.0 * unit);
    let decimals = (-libm::floor(libm::log10(step) + 1e-9)).max(0.0) as usize;
    let first = libm::ceil(from / step - 1e-9) as i64;
    let last = libm::floor(to / step + 1e-9) as i64;
    (first..=last)
        .map(|number| {
            let value = number as f64 * step;
            (value, format!("{value:.decimals$}").replace('-', "−"))
        })
        .collect()
}

/// The values 1, 2, … 9 times powers of ten from `from` to `to`; those of 1, 2 and 5 have labels
/// when there are less than five decades, those of 1 always.
pub(crate) fn log_ticks(from: f64, to: f64) -> Vec<(f64, String)> {
    let decades = libm::log10(to / from);
    let first = libm::floor(libm::log10(from)) as i32;
    let last = libm::ceil(libm::log10(to)) as i32;
    let mut ticks = Vec::new();
    for decade in first..=last {
        for digit in 1..=9 {
            let value = f64::from(digit) * libm::pow(10.0, f64::from(decade));
            if (from * 0.9999..=to * 1.0001).contains(&value) {
                let labelled = digit == 1 || (decades < 5.0 && (digit == 2 || digit == 5));
                ticks.push((value, if labelled { number(value) } else { String::new() }));
            }
        }
    }
    ticks
}

/// A number as people write it: thousands apart by commas, no needless zeros.
pub(crate) fn number(value: f64) -> String {
    if value < 1.0 {
        let decimals = (-libm::floor(libm::log10(value) + 1e-9)) as usize;
        return format!("{value:.decimals$}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && digits.len() > 3 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
