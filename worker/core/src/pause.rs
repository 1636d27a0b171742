//! A growing pause after something failed that would fail again at once.

use gleaner_protocol::Timestamp;

use crate::limits::{PAUSE_FIRST, PAUSE_MAX};

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pause {
    until: Option<Timestamp>,
    failures: u32,
}

impl Pause {
    /// Failures during a pause are the same failure again and do not lengthen it.
    pub(crate) fn on_failure(&mut self, now: Timestamp) {
        if self.until.is_none() {
            let pause = PAUSE_FIRST.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
            self.until = Some(now + pause);
            self.failures = self.failures.saturating_add(1);
        }
    }

    pub(crate) fn on_success(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn on_timeout(&mut self, now: Timestamp) {
        if self.until.is_some_and(|until| until <= now) {
            self.until = None;
        }
    }

    pub(crate) fn holds(&self) -> bool {
        self.until.is_some()
    }

    pub(crate) fn until(&self) -> Option<Timestamp> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_success_ends_them() {
        let mut pause = Pause::default();
        let mut now = Timestamp::ZERO;
        let mut lengths = Vec::new();
        for _ in 0..8 {
            pause.on_failure(now);
            pause.on_failure(now);
            let until = pause.until().expect("it has just failed");
            lengths.push(until.saturating_since(now).as_secs());
            now = until;
            pause.on_timeout(now);
            assert!(!pause.holds());
        }
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 60, 60]);
        pause.on_success();
        pause.on_failure(now);
        assert_eq!(pause.until(), Some(now + PAUSE_FIRST));
    }
}
