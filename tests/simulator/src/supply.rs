//! What all machines could have computed: their slots by speed, for as long as they may run.

/// The speed of one ordinary slot.
pub(crate) const ORDINARY: u64 = 1_000_000;

/// The speed at hand, and its sum over time while there was something to compute.
#[derive(Debug, Default)]
pub(crate) struct Supply {
    speed: u64,
    demand: Demand,
    since_us: u64,
    wanted_us: u64,
    /// Speed times microseconds.
    sum: u128,
}

/// Whether there is an item to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Demand {
    Some,
    #[default]
    None,
}

impl Supply {
    /// A machine's speed changes.
    pub(crate) fn change(&mut self, now_us: u64, before: u64, after: u64) {
        self.advance(now_us);
        self.speed = self.speed - before + after;
    }

    /// Whether there is something to compute changes.
    pub(crate) fn demand(&mut self, now_us: u64, demand: Demand) {
        self.advance(now_us);
        self.demand = demand;
    }

    /// How many microseconds of an ordinary slot were at hand up to now when there was something to
    /// compute.
    pub(crate) fn slot_us(&mut self, now_us: u64) -> u64 {
        self.advance(now_us);
        u64::try_from(self.sum / u128::from(ORDINARY)).unwrap_or(u64::MAX)
    }

    /// How long there was something to compute up to now.
    pub(crate) fn wanted_us(&mut self, now_us: u64) -> u64 {
        self.advance(now_us);
        self.wanted_us
    }

    fn advance(&mut self, now_us: u64) {
        if self.demand == Demand::Some {
            let elapsed_us = now_us - self.since_us;
            self.wanted_us += elapsed_us;
            self.sum += u128::from(self.speed) * u128::from(elapsed_us);
        }
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
        supply.demand(10, Demand::Some);
        supply.change(20, ORDINARY, ORDINARY / 2);
        supply.demand(30, Demand::None);
        assert_eq!(supply.slot_us(90), 50 + 45);
        assert_eq!(supply.wanted_us(90), 20);
    }
}
