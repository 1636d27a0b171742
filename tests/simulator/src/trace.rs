//! What happened, as a hash by which two runs are compared and as the last lines before a failure.

use std::collections::VecDeque;
use std::fmt::Debug;

/// How much of an event is shown: its beginning says what it is.
const LINE_MAX: usize = 300;

/// How much of a run is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracing {
    /// Nothing: for runs too long to be written down.
    Off,
    /// A hash over every event and action, and the last so many of them.
    Last(usize),
}

/// A run's hash and its last lines.
#[derive(Debug)]
pub(crate) struct Trace {
    tracing: Tracing,
    hash: u64,
    pub(crate) events: u64,
    lines: VecDeque<String>,
}

impl Trace {
    pub(crate) fn new(tracing: Tracing) -> Self {
        Self { tracing, hash: 0xcbf2_9ce4_8422_2325, events: 0, lines: VecDeque::new() }
    }

    pub(crate) fn note(&mut self, at_us: u64, what: &impl Debug) {
        self.events += 1;
        let Tracing::Last(count) = self.tracing else { return };
        let line = format!("{at_us} µs: {what:?}");
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.lines.len() >= count {
            self.lines.pop_front();
        }
        if count > 0 {
            self.lines.push_back(line.chars().take(LINE_MAX).collect());
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}
