//! `gaps.csv`: the items that previews lack, in rows of one reason each.

use gleaner_protocol::{BlobRef, ItemRange, JobId, StageIndex};

use crate::blobs::{BlobError, Blobs, Scratch};
use crate::reduce::{Gaps, ReduceError, csv_text};
use crate::store::{Store, StoredFailure};

const COLUMNS: &[u8] = b"stage,first_item,last_item,items,why\r\n";

/// Why a stage has no items yet.
const BLOCKED: &str = "blocked";
const FAILED: &str = "failed";
const RUNNING: &str = "running";

/// The table in the making.
pub(super) struct GapTable {
    scratch: Scratch,
}

/// What is known of a stage when its preview begins.
pub(super) struct Known {
    pub(super) job: JobId,
    pub(super) stage: StageIndex,
    /// The items of units that run, in their order.
    pub(super) running: Vec<ItemRange>,
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

    /// Items of which nothing has failed: those that run, and those between them.
    async fn open(&mut self, items: ItemRange) -> Result<(), ReduceError> {
        let waiting = if self.known.end { "dropped" } else { "waiting" };
        for (part, runs) in parts(items, &self.known.running) {
            let why = if runs { RUNNING } else { waiting };
            self.table.row(self.name, part, why).await?;
        }
        Ok(())
    }
}

/// `items` cut where units that run begin and end; of each part whether it runs.
fn parts(items: ItemRange, running: &[ItemRange]) -> Vec<(ItemRange, bool)> {
    let mut parts = Vec::new();
    let mut start = items.start;
    let after = running.partition_point(|unit| unit.end <= items.start);
    for unit in &running[after..] {
        let (first, end) = (unit.start.clamp(start, items.end), unit.end.min(items.end));
        if start < first {
            parts.push((ItemRange { start, end: first }, false));
        }
        if first < end {
            parts.push((ItemRange { start: first, end }, true));
        }
        start = start.max(end);
        if unit.end >= items.end {
            break;
        }
    }
    if start < items.end {
        parts.push((ItemRange { start, end: items.end }, false));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_cut_where_units_run() {
        let range = |start, end| ItemRange { start, end };
        let running = [range(2, 4), range(4, 6), range(10, 12), range(30, 40)];
        let check = |items, expected: &[(ItemRange, bool)]| {
            assert_eq!(parts(items, &running), expected, "{items}");
        };
        check(range(0, 2), &[(range(0, 2), false)]);
        check(
            range(3, 11),
            &[
                (range(3, 4), true),
                (range(4, 6), true),
                (range(6, 10), false),
                (range(10, 11), true),
            ],
        );
        check(range(12, 30), &[(range(12, 30), false)]);
        check(range(31, 33), &[(range(31, 33), true)]);
        check(range(35, 50), &[(range(35, 40), true), (range(40, 50), false)]);
        check(range(50, 50), &[]);
    }
}
