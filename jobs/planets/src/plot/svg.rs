//! An SVG document, element by element.

use std::fmt::Write as _;

/// An SVG document that is being written.
pub(crate) struct Svg {
    text: String,
    clips: usize,
}

/// How a line looks.
#[derive(Clone, Copy)]
pub(crate) struct Stroke<'a> {
    pub(crate) colour: &'a str,
    pub(crate) width: f64,
    pub(crate) opacity: f64,
    /// Lengths of dashes and gaps; empty for a whole line.
    pub(crate) dashes: &'a str,
}

/// Which end of a text is at its place.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    pub(crate) size: f64,
    pub(crate) colour: &'a str,
    pub(crate) anchor: Anchor,
    /// 400 or 600, which are the fonts there are.
    pub(crate) weight: u16,
}

impl<'a> Stroke<'a> {
    pub(crate) fn solid(colour: &'a str, width: f64) -> Self {
        Self { colour, width, opacity: 1.0, dashes: "" }
    }
}

impl<'a> Text<'a> {
    pub(crate) fn new(size: f64, colour: &'a str, anchor: Anchor) -> Self {
        Self { size, colour, anchor, weight: 400 }
    }

    pub(crate) fn bold(self) -> Self {
        Self { weight: 600, ..self }
    }
}

impl Svg {
    /// A white page of `width` by `height` points, described by `title` for those who cannot see.
    pub(crate) fn new(width: f64, height: f64, title: &str) -> Self {
        let mut svg = Self { text: String::new(), clips: 0 };
        svg.line_of(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" \
             font-family=\"Inter, Helvetica, Arial, sans-serif\">"
        ));
        svg.line_of(format_args!("<title>{}</title>", escaped(title)));
        svg.line_of(format_args!("<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>"));
        svg
    }

    /// The document.
    pub(crate) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: Stroke<'_>) {
        let style = style(stroke);
        self.line_of(format_args!(
            "<path d=\"M{:.2} {:.2}L{:.2} {:.2}\" fill=\"none\" {style}/>",
            from.0, from.1, to.0, to.1
        ));
    }

    pub(crate) fn polyline(&mut self, points: &[(f64, f64)], stroke: Stroke<'_>) {
        let style = style(stroke);
        let path = path(points);
        self.line_of(format_args!(
            "<path d=\"{path}\" fill=\"none\" stroke-linejoin=\"round\" {style}/>"
        ));
    }

    /// A closed area.
    pub(crate) fn area(&mut self, points: &[(f64, f64)], colour: &str, opacity: f64) {
        let path = path(points);
        self.line_of(format_args!(
            "<path d=\"{path}Z\" fill=\"{colour}\" fill-opacity=\"{opacity}\"/>"
        ));
    }

    /// A dot with a thin white rim, so that neighbours are told apart.
    pub(crate) fn dot(&mut self, at: (f64, f64), radius: f64, colour: &str) {
        self.line_of(format_args!(
            "<circle cx=\"{:.2}\" cy=\"{:.2}\" r=\"{radius}\" fill=\"{colour}\" \
             stroke=\"#ffffff\" stroke-width=\"0.6\"/>",
            at.0, at.1
        ));
    }

    pub(crate) fn text(&mut self, at: (f64, f64), text: Text<'_>, words: &str) {
        self.turned_text(at, text, words, "");
    }

    /// Text that reads from below to above.
    pub(crate) fn upright_text(&mut self, at: (f64, f64), text: Text<'_>, words: &str) {
        let turn = format!(" transform=\"rotate(-90 {:.2} {:.2})\"", at.0, at.1);
        self.turned_text(at, text, words, &turn);
    }

    /// Runs `draw` with all of it cut off outside a rectangle.
    pub(crate) fn clipped(
        &mut self,
        (left, top): (f64, f64),
        (right, bottom): (f64, f64),
        draw: impl FnOnce(&mut Self),
    ) {
        self.clips += 1;
        let clip = self.clips;
        let (width, height) = (right - left, bottom - top);
        self.line_of(format_args!(
            "<clipPath id=\"clip{clip}\"><rect x=\"{left}\" y=\"{top}\" width=\"{width}\" \
             height=\"{height}\"/></clipPath>\n<g clip-path=\"url(#clip{clip})\">"
        ));
        draw(self);
        self.line_of(format_args!("</g>"));
    }

    fn turned_text(&mut self, at: (f64, f64), text: Text<'_>, words: &str, turn: &str) {
        let Text { size, colour, anchor, weight } = text;
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.line_of(format_args!(
            "<text x=\"{:.2}\" y=\"{:.2}\"{turn} font-size=\"{size}\" font-weight=\"{weight}\" \
             fill=\"{colour}\" text-anchor=\"{anchor}\">{}</text>",
            at.0,
            at.1,
            escaped(words)
        ));
    }

    fn line_of(&mut self, arguments: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{arguments}").expect("a string takes what is written to it");
    }
}

fn path(points: &[(f64, f64)]) -> String {
    let mut path = String::with_capacity(points.len() * 14);
    for (index, (x, y)) in points.iter().enumerate() {
        let letter = if index == 0 { 'M' } else { 'L' };
        write!(path, "{letter}{x:.2} {y:.2}").expect("a string takes what is written to it");
    }
    path
}

fn style(stroke: Stroke<'_>) -> String {
    let Stroke { colour, width, opacity, dashes } = stroke;
    let mut style = format!("stroke=\"{colour}\" stroke-width=\"{width}\"");
    if opacity < 1.0 {
        style += &format!(" stroke-opacity=\"{opacity}\"");
    }
    if !dashes.is_empty() {
        style += &format!(" stroke-dasharray=\"{dashes}\"");
    }
    style
}

/// Text from a file or a manifest as XML text: marked-up characters escaped, and those that XML
/// cannot hold left out.
pub(super) fn escaped(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    for letter in words.chars() {
        match letter {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {}
            letter => text.push(letter),
        }
    }
    text
}
