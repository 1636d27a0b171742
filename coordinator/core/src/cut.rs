//! A block of units: which were handed out, which are settled.

use crate::Block;

/// A block in the books of its stage.
#[derive(Debug)]
pub(crate) struct CutBlock {
    pub(crate) block: Block,
    /// Which cut it is.
    pub(crate) cut: CutKind,
    /// The next unit never handed out.
    pub(crate) next_unit: u64,
    settled: Bits,
}

/// Which cut of its items a unit is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutKind {
    /// The first one; such units are in the order of their items.
    First,
    /// The second one, into units of one item.
    Alone,
}

/// One bit for each unit of a block.
#[derive(Debug)]
struct Bits(Vec<u64>);

impl CutBlock {
    pub(crate) fn fresh(block: Block, cut: CutKind) -> Self {
        let words = (block.units as usize).div_ceil(64);
        Self { block, cut, next_unit: block.first_unit, settled: Bits(vec![0; words]) }
    }

    pub(crate) fn handed_out(block: Block, cut: CutKind) -> Self {
        Self { next_unit: block.end_unit(), ..Self::fresh(block, cut) }
    }

    pub(crate) fn units_ahead(&self) -> u64 {
        self.block.end_unit() - self.next_unit
    }

    pub(crate) fn mark_settled(&mut self, unit: u64) {
        let (word, bit) = self.position(unit);
        self.settled.0[word] |= 1 << bit;
    }

    pub(crate) fn is_settled(&self, unit: u64) -> bool {
        let (word, bit) = self.position(unit);
        self.settled.0[word] >> bit & 1 == 1
    }

    pub(crate) fn unsettled(&self) -> impl Iterator<Item = u64> {
        let units = self.block.first_unit..self.block.end_unit();
        units.filter(|unit| !self.is_settled(*unit))
    }

    pub(crate) fn settled_items(&self) -> u64 {
        let units: u64 = self.settled.0.iter().map(|word| u64::from(word.count_ones())).sum();
        // All units are of one size, but for the last one.
        let last = self.block.end_unit() - 1;
        let missing = u64::from(self.block.unit_items) - self.block.items_of(last).len();
        units * u64::from(self.block.unit_items) - if self.is_settled(last) { missing } else { 0 }
    }

    fn position(&self, unit: u64) -> (usize, u64) {
        let offset = unit - self.block.first_unit;
        ((offset / 64) as usize, offset % 64)
    }
}
