//! Processes that come and go, and the calls that their cores ask for.

use gleaner_protocol::Timestamp;

use crate::nature::{Clock, Life, Nature};

/// The process on a machine, if one is there. Each start is another life.
#[derive(Debug)]
pub(crate) struct Lives<P> {
    count: u32,
    process: Option<P>,
}

/// When a process is called next, as its core asked.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    /// When it rings, the next time last. One that was set for later stays: it may be of use then.
    set_us: Vec<u64>,
}

impl<P> Default for Lives<P> {
    fn default() -> Self {
        Self { count: 0, process: None }
    }
}

impl<P> Lives<P> {
    pub(crate) fn begin(&mut self, process: impl FnOnce(Life) -> P) {
        self.count += 1;
        self.process = Some(process(Life(self.count)));
    }

    /// The process is gone at once; what it was, if it was there.
    pub(crate) fn end(&mut self) -> Option<P> {
        self.process.take()
    }

    /// Whether the process of that life is there.
    pub(crate) fn lives_still(&self, life: Life) -> bool {
        self.process.is_some() && self.count == life.0
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process.is_some()
    }

    pub(crate) fn get(&self) -> Option<&P> {
        self.process.as_ref()
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut P> {
        self.process.as_mut()
    }
}

impl Alarm {
    /// Sets it for what a core asked for: in how many microseconds it rings, unless it rings
    /// before that anyway.
    pub(crate) fn set(
        &mut self,
        nature: &Nature,
        clock: Clock,
        due: Option<Timestamp>,
    ) -> Option<u64> {
        let delay_us = clock.until_us(nature, due?);
        let at_us = nature.now_us + delay_us;
        if self.set_us.last().is_some_and(|set_us| *set_us <= at_us) {
            return None;
        }
        self.set_us.push(at_us);
        Some(delay_us)
    }

    /// It rings; perhaps sooner than its core wants by now, which may set it anew.
    pub(crate) fn ring(&mut self, now_us: u64) {
        assert_eq!(self.set_us.pop(), Some(now_us), "each ring is the next one of those set");
    }
}
