//! How far long work on one's own files is: a bar on a terminal, a line now and then elsewhere.

use std::io::{self, IsTerminal};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Form, PLAIN_INTERVAL, Printer};
use crate::words;

const COUNTED: &str = "{prefix}  {wide_bar} {human_pos}/{human_len}  {eta} left";
const IN_BYTES: &str = "{prefix}  {wide_bar} {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left";
const UNKNOWN: &str = "{prefix}  {spinner}";

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Nothing: how much there is is not known.
    Unknown,
    /// Things, one by one.
    Things,
    /// Bytes.
    Bytes,
}

/// Shows it.
pub enum Gauge {
    /// Not at all.
    Silent,
    /// As a bar.
    Live {
        /// The bar.
        bar: ProgressBar,
        /// What is being done.
        label: &'static str,
    },
    /// In lines.
    Plain {
        /// Where to.
        printer: Printer,
        /// When something was said last.
        said_at: Instant,
    },
}

impl Gauge {
    pub(super) fn new(printer: Printer) -> Self {
        match printer.form() {
            Form::Json => Self::Silent,
            Form::Text if io::stderr().is_terminal() => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                Self::Live { bar, label: "" }
            }
            Form::Text => Self::Plain { printer, said_at: Instant::now() },
        }
    }

    /// Shows that `done` of `of` are done of what is called `label`.
    pub fn show(&mut self, label: &'static str, measure: Measure, done: u64, of: u64) {
        match self {
            Self::Silent => {}
            Self::Live { bar, label: shown } => {
                if *shown != label {
                    *shown = label;
                    bar.reset();
                    bar.set_prefix(label);
                    bar.set_style(style(measure));
                }
                bar.set_length(of);
                bar.set_position(done);
            }
            Self::Plain { printer, said_at } => {
                if said_at.elapsed() >= PLAIN_INTERVAL {
                    *said_at = Instant::now();
                    printer.note(&line(label, measure, done, of));
                }
            }
        }
    }

    /// Takes it away.
    pub fn finish(self) {
        if let Self::Live { bar, .. } = self {
            bar.finish_and_clear();
        }
    }
}

fn style(measure: Measure) -> ProgressStyle {
    let template = match measure {
        Measure::Unknown => UNKNOWN,
        Measure::Things => COUNTED,
        Measure::Bytes => IN_BYTES,
    };
    ProgressStyle::with_template(template).expect("the templates are sound").progress_chars("━╸ ")
}

fn line(label: &str, measure: Measure, done: u64, of: u64) -> String {
    match measure {
        Measure::Unknown => label.to_owned(),
        Measure::Things => format!("{label}: {done} of {of}"),
        Measure::Bytes => format!("{label}: {} of {}", words::bytes(done), words::bytes(of)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_sound_and_lines_say_how_far_it_is() {
        for (measure, expected) in [
            (Measure::Unknown, "blobs"),
            (Measure::Things, "blobs: 1500 of 3000"),
            (Measure::Bytes, "blobs: 1.5 kB of 3.0 kB"),
        ] {
            style(measure);
            assert_eq!(line("blobs", measure, 1500, 3000), expected);
        }
    }
}
