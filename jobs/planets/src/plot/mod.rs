//! Pictures: SVG written as text, PNG drawn from it.
//!
//! A picture has a fixed size in points; a [`Panel`] maps data to a rectangle of it. Nothing here
//! measures text, so what could collide is placed apart by whoever draws it.

mod panel;
mod raster;
mod svg;
#[cfg(test)]
mod tests;

pub(crate) use panel::{Panel, Scale, linear_ticks, log_ticks, number};
pub(crate) use raster::png;
pub(crate) use svg::{Anchor, Stroke, Svg, Text};

/// Where data go: the colours of one picture's parts, chosen to be told apart with every kind of
/// colour vision (Okabe & Ito 2008) and in print.
pub(crate) mod colour {
    /// Text and axes.
    pub(crate) const INK: &str = "#1f2430";
    /// What matters less.
    pub(crate) const FAINT: &str = "#6b7280";
    /// Grid lines.
    pub(crate) const GRID: &str = "#e7e9ee";
    /// The main curve.
    pub(crate) const CURVE: &str = "#0b4f8a";
    /// The area below it.
    pub(crate) const AREA: &str = "#0b4f8a";
    /// What stands out.
    pub(crate) const ACCENT: &str = "#c2410c";
    /// One for each instrument, again from the first when there are more.
    pub(crate) const INSTRUMENTS: [&str; 7] =
        ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a7a00"];
}
