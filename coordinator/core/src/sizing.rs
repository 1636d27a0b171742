//! How many items a unit has where its submitter does not say: as many as take the target duration.

use std::time::Duration;

use gleaner_protocol::limits::ITEMS_PER_UNIT_MAX;

/// How many units a block of fixed-size units has: the store gets one record for so many.
pub(crate) const BLOCK_UNITS_FIXED: u64 = 1024;

/// The most units a block of automatic size has, so that sizes follow what is learned.
const BLOCK_UNITS_AUTO: u64 = 64;

/// What the scheduler knows when it cuts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CutAdvice {
    /// All slots connected, at least 1.
    pub(crate) slots: u64,
    /// How long a unit should take.
    pub(crate) unit_duration: Duration,
}

/// What an item costs, learned from results.
#[derive(Debug, Default)]
pub(crate) struct ItemCost {
    cpu_per_item: Option<Duration>,
}

impl ItemCost {
    /// An exponentially weighted mean: one result in eight's weight, so that a change of cost
    /// along the items is followed and one outlier is not.
    pub(crate) fn learn(&mut self, cpu: Duration, items: u64) {
        let items = u32::try_from(items.max(1)).unwrap_or(u32::MAX);
        let seen = cpu / items;
        self.cpu_per_item = Some(match self.cpu_per_item {
            None => seen,
            Some(known) => known.saturating_mul(7).saturating_add(seen) / 8,
        });
    }

    /// Items in a unit, and units in a block: as many items as take the target duration; one while
    /// nothing is known. A block takes at most half of what is left, so that units shrink towards
    /// the end and no slot is left with a long last one (guided self-scheduling, Polychronopoulos
    /// & Kuck 1987, IEEE Trans. Comput. C-36, 1425).
    pub(crate) fn unit_size(&self, left: u64, advice: CutAdvice) -> (u64, u64) {
        let units = advice.slots.clamp(1, BLOCK_UNITS_AUTO);
        let Some(cost) = self.cpu_per_item else {
            return (1, units);
        };
        let wanted = advice.unit_duration.as_nanos() / cost.as_nanos().max(1);
        let share = left.div_ceil(advice.slots * 2).max(1);
        let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
        let unit_items = wanted.clamp(1, ITEMS_PER_UNIT_MAX).min(share);
        (unit_items, units)
    }
}
