//! What all machines could have computed: their slots by speed, for as long as they may run.

/// The speed of one ordinary slot.
pub(crate) const ORDINARY: u64 = 1_000_000;

/// The speed at hand, and its sum over time while there was something to do.
#[derive(Debug, Default)]
pub(crate) struct Supply {
    speed: u64,
    since_us: u64,
    begun_us: u64,
    /// Speed times microseconds.
    sum: u128,
}

impl Supply {
    /// A machine's speed changes.
    pub(crate) fn change(&mut self, now_us: u64, before: u64, after: u64) {
        self.advance(now_us);
        self.speed = self.speed - before + after;
    }

    /// Forgets what was at hand before now: there was nothing to do.
    pub(crate) fn begin(&mut self, now_us: u64) {
        self.since_us = now_us;
        self.begun_us = now_us;
        self.sum = 0;
    }

    /// How many microseconds of an ordinary slot were at hand up to now.
    pub(crate) fn slot_us(&mut self, now_us: u64) -> u64 {
        self.advance(now_us);
        u64::try_from(self.sum / u128::from(ORDINARY)).unwrap_or(u64::MAX)
    }

    /// How long there has been something to do.
    pub(crate) fn duration_us(&self, now_us: u64) -> u64 {
        now_us - self.begun_us
    }

    fn advance(&mut self, now_us: u64) {
        self.sum += u128::from(self.speed) * u128::from(now_us - self.since_us);
        self.since_us = now_us;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supply_is_speed_over_time() {
        let mut supply = Supply::default();
        supply.change(0, 0, 5 * ORDINARY);
        supply.begin(10);
        supply.change(20, ORDINARY, ORDINARY / 2);
        assert_eq!(supply.slot_us(30), 50 + 45);
    }
}
