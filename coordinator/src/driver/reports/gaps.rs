//! `gaps.csv`: the items that previews lack, in rows of one reason each.

use gleaner_protocol::{BlobRef, ItemRange, JobId, StageIndex};

use crate::blobs::{BlobError, Blobs, Scratch};
use crate::reduce::{Gaps, ReduceError, csv_text};
use crate::store::{Store, StoredFailure};

const COLUMNS: &[u8] = b"stage,first_item,last_item,items,why\r\n";

/// Why a stage has no items yet.
const BLOCKED: &str = "blocked";
const FAILED: &str = "failed";

/// The table in the making.
pub(super) struct GapTable {
    scratch: Scratch,
}

/// Items of a unit that workers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ItemsOut {
    pub(crate) stage: StageIndex,
    pub(crate) items: ItemRange,
    pub(crate) state: OutState,
}

/// Whether a unit that workers have runs on one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutState {
    /// None runs it now.
    Assigned,
    Running,
}

/// What is known of a stage when its preview begins.
pub(super) struct Known {
    pub(super) job: JobId,
    pub(super) stage: StageIndex,
    /// The items of its units that workers have, in their order.
    pub(super) out: Vec<ItemsOut>,
    /// Whether the job has ended, so that nothing waits any more.
    pub(super) end: bool,
}

/// The rows of one stage.
pub(super) struct StageGaps<'a> {
    table: &'a mut GapTable,
    name: &'a str,
    known: Known,
    store: &'a Store,
    /// Failures that are read and not told yet; none after the last.
    failures: Option<std::collections::VecDeque<StoredFailure>>,
    /// Where the next failures are read.
    next_failure: u64,
}

impl GapTable {
    pub(super) async fn start(blobs: &Blobs) -> Result<Self, BlobError> {
        let mut scratch = blobs.scratch().await?;
        scratch.write(COLUMNS).await?;
        Ok(Self { scratch })
    }

    /// Adds a stage whose items are not known yet.
    pub(super) async fn blocked(&mut self, stage: &str) -> Result<(), BlobError> {
        let mut row = Vec::new();
        csv_text(stage, &mut row);
        row.extend_from_slice(format!(",,,,{BLOCKED}\r\n").as_bytes());
        self.scratch.write(&row).await
    }

    /// Adds the gaps of a stage.
    pub(super) fn of_stage<'a>(
        &'a mut self,
        name: &'a str,
        known: Known,
        store: &'a Store,
    ) -> StageGaps<'a> {
        let failures = Some(std::collections::VecDeque::new());
        StageGaps { table: self, name, known, store, failures, next_failure: 0 }
    }

    pub(super) async fn keep(self) -> Result<BlobRef, BlobError> {
        self.scratch.keep().await
    }

    async fn row(&mut self, stage: &str, items: ItemRange, why: &str) -> Result<(), BlobError> {
        let mut row = Vec::new();
        csv_text(stage, &mut row);
        let (first, last, count) = (items.start, items.end - 1, items.len());
        row.extend_from_slice(format!(",{first},{last},{count},{why}\r\n").as_bytes());
        self.scratch.write(&row).await
    }
}

impl Gaps for StageGaps<'_> {
    async fn gap(&mut self, items: ItemRange) -> Result<(), ReduceError> {
        let mut start = items.start;
        while let Some(failed) = self.failed_before(items.end).await? {
            let open = ItemRange { start, end: failed.start.max(start) };
            self.open(open).await?;
            self.table.row(self.name, failed, FAILED).await?;
            start = start.max(failed.end);
        }
        self.open(ItemRange { start, end: items.end.max(start) }).await
    }
}

impl StageGaps<'_> {
    /// Tells of what failed behind the last gap.
    pub(super) async fn finish(mut self) -> Result<(), ReduceError> {
        while let Some(failed) = self.failed_before(u64::MAX).await? {
            self.table.row(self.name, failed, FAILED).await?;
        }
        Ok(())
    }

    /// The next items that failed, if they begin before `end`.
    async fn failed_before(&mut self, end: u64) -> Result<Option<ItemRange>, ReduceError> {
        let Some(failures) = &mut self.failures else { return Ok(None) };
        if failures.is_empty() {
            let Known { job, stage, .. } = self.known;
            let mut more = self.store.failures(job, stage, self.next_failure).await?;
            more.retain(|failure| failure.stage == stage);
            let Some(last) = more.last() else {
                self.failures = None;
                return Ok(None);
            };
            self.next_failure = last.items.end;
            *failures = more.into();
        }
        let next = failures.pop_front_if(|failure| failure.items.start < end);
        Ok(next.map(|failure| failure.items))
    }

    /// Items of which nothing has failed: those that workers have, and those between them.
    async fn open(&mut self, items: ItemRange) -> Result<(), ReduceError> {
        let waiting = if self.known.end { "dropped" } else { "waiting" };
        for (part, state) in parts(items, &self.known.out) {
            let why = match state {
                Some(OutState::Assigned) => "assigned",
                Some(OutState::Running) => "running",
                None => waiting,
            };
            self.table.row(self.name, part, why).await?;
        }
        Ok(())
    }
}

/// `items` cut where units that workers have begin and end; of each part how that unit stands.
fn parts(items: ItemRange, out: &[ItemsOut]) -> Vec<(ItemRange, Option<OutState>)> {
    let mut parts = Vec::new();
    let mut start = items.start;
    let after = out.partition_point(|unit| unit.items.end <= items.start);
    for ItemsOut { items: unit, state, .. } in &out[after..] {
        let (first, end) = (unit.start.clamp(start, items.end), unit.end.min(items.end));
        if start < first {
            parts.push((ItemRange { start, end: first }, None));
        }
        if first < end {
            parts.push((ItemRange { start: first, end }, Some(*state)));
        }
        start = start.max(end);
        if unit.end >= items.end {
            break;
        }
    }
    if start < items.end {
        parts.push((ItemRange { start, end: items.end }, None));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_cut_where_units_are_out() {
        use OutState::{Assigned, Running};
        let range = |start, end| ItemRange { start, end };
        let units = [(2, 4, Running), (4, 6, Assigned), (10, 12, Running), (30, 40, Assigned)];
        let out = units.map(|(start, end, state)| {
            let (stage, items) = (StageIndex(0), range(start, end));
            ItemsOut { stage, items, state }
        });
        let check = |items, expected: &[(ItemRange, Option<OutState>)]| {
            assert_eq!(parts(items, &out), expected, "{items}");
        };
        check(range(0, 2), &[(range(0, 2), None)]);
        check(
            range(3, 11),
            &[
                (range(3, 4), Some(Running)),
                (range(4, 6), Some(Assigned)),
                (range(6, 10), None),
                (range(10, 11), Some(Running)),
            ],
        );
        check(range(12, 30), &[(range(12, 30), None)]);
        check(range(31, 33), &[(range(31, 33), Some(Assigned))]);
        check(range(35, 50), &[(range(35, 40), Some(Assigned)), (range(40, 50), None)]);
        check(range(50, 50), &[]);
    }
}
