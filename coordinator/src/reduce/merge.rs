//! Outputs merged two by two, neighbours first, until one is left.
//!
//! ```text
//! items   0   1   2   3   4   5   6
//!          \ /     \ /     \ /   /
//!           ·       ·       ·   /
//!            \     /         \ /
//!               ·             ·
//!                 \          /
//!                      ·
//! ```
//! The tree depends on the number of items alone: a binary counter whose digits are values, so at
//! most one value for each power of two is held. An item that gave no output has its place in it:
//! its neighbour's value goes up unmerged.

use gleaner_protocol::ItemRange;
use serde_bytes::ByteBuf;

use super::ReduceError;
use crate::function::CallError;

/// Makes one value of two; what a task's `#[merge]` function does in a slot.
pub trait Merger: Send {
    /// The value of `left` and `right`, each an item's output or what this function gave before;
    /// `left` comes from earlier items.
    fn merge(
        &mut self,
        left: ByteBuf,
        right: ByteBuf,
    ) -> impl Future<Output = Result<ByteBuf, CallError>> + Send;
}

/// The digits of the counter, the greatest first.
#[derive(Debug)]
pub(super) struct MergeTree<M> {
    merger: M,
    digits: Vec<Digit>,
}

#[derive(Debug)]
struct Digit {
    level: u32,
    items: ItemRange,
    /// None when none of its items gave an output.
    value: Option<ByteBuf>,
}

impl<M: Merger> MergeTree<M> {
    pub(super) fn new(merger: M) -> Self {
        Self { merger, digits: Vec::new() }
    }

    /// Takes the next item's output.
    pub(super) async fn push(&mut self, item: u64, output: ByteBuf) -> Result<(), ReduceError> {
        let items = ItemRange { start: item, end: item + 1 };
        self.push_digit(Digit { level: 0, items, value: Some(output) }).await
    }

    /// Takes the next items as ones without output: whole subtrees of them, so that it takes no
    /// time to pass by more items than anybody can count.
    pub(super) async fn leave_out(&mut self, items: ItemRange) -> Result<(), ReduceError> {
        let mut start = items.start;
        while start < items.end {
            let level = start.trailing_zeros().min((items.end - start).ilog2());
            let end = start + (1 << level);
            self.push_digit(Digit { level, items: ItemRange { start, end }, value: None }).await?;
            start = end;
        }
        Ok(())
    }

    async fn push_digit(&mut self, mut digit: Digit) -> Result<(), ReduceError> {
        while let Some(left) = self.digits.pop_if(|left| left.level == digit.level) {
            digit = self.merge(left, digit).await?;
        }
        self.digits.push(digit);
        Ok(())
    }

    /// The value of all items; `None` when none gave an output.
    pub(super) async fn finish(mut self) -> Result<Option<ByteBuf>, ReduceError> {
        let Some(mut last) = self.digits.pop() else { return Ok(None) };
        while let Some(left) = self.digits.pop() {
            last = self.merge(left, last).await?;
        }
        Ok(last.value)
    }

    async fn merge(&mut self, left: Digit, right: Digit) -> Result<Digit, ReduceError> {
        let value = match (left.value, right.value) {
            (Some(one), Some(other)) => {
                let merged = self.merger.merge(one, other).await.map_err(|source| {
                    ReduceError::Merge { left: left.items, right: right.items, source }
                })?;
                Some(merged)
            }
            (value, None) | (None, value) => value,
        };
        let items = ItemRange { start: left.items.start, end: right.items.end };
        Ok(Digit { level: left.level + 1, items, value })
    }
}
