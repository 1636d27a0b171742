//! Processes that come and go, and the calls that their cores ask for.

use gleaner_protocol::Timestamp;

use crate::nature::{Clock, Life, Nature};

/// The process on a machine, if one is there. Each start is another life.
#[derive(Debug)]
pub(crate) struct Lives<P> {
    count: u64,
    process: Option<P>,
}

/// When a process is called next, as its core asked.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    set_us: Option<u64>,
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
        if self.set_us.is_some_and(|set_us| set_us <= at_us) {
            return None;
        }
        self.set_us = Some(at_us);
        Some(delay_us)
    }

    /// Whether it rings now. A ring that was planned before an earlier one does not count, and
    /// plans no other: such rings would never end.
    pub(crate) fn rings(&mut self, now_us: u64) -> bool {
        self.set_us.take_if(|set_us| *set_us == now_us).is_some()
    }
}
