//! A preview of a stage's output: what its reducer makes of the results that are there.
//!
//! Items that are not settled are left out as those that failed are, so that a merge keeps the shape
//! of its tree. What it makes is no output: nobody stores it as one.

use gleaner_coordinator_core::StageOutput;
use gleaner_protocol::{ItemRange, Outcome, StageSpec};

use super::columns::ItemFields;
use super::{Merger, ReduceError, Reduction, push_unit};
use crate::blobs::Blobs;
use crate::split::StageInput;
use crate::store::{SettledResults, SettledUnit};

/// What there is of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialOutput {
    /// Its files; none when no item was settled.
    pub files: Vec<StageOutput>,
    /// How many items were settled, those that failed among them.
    pub items_settled: u64,
}

/// Is told of the items that are not settled.
pub trait Gaps: Send {
    /// Takes the next items in a row.
    fn gap(&mut self, items: ItemRange) -> impl Future<Output = Result<(), ReduceError>> + Send;
}

/// Where a preview's bytes come from and go to.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// Where the results are.
    pub read: &'a Blobs,
    /// Where the files are put.
    pub write: &'a Blobs,
}

/// Reads the settled results of a stage with `items` items and makes a preview; `input` is the
/// stage's where [`super::wants_input`] says so.
///
/// # Errors
/// [`ReduceError`].
pub async fn reduce_partial<M: Merger>(
    stage: &StageSpec,
    items: u64,
    input: Option<StageInput>,
    mut results: SettledResults,
    places: Places<'_>,
    merger: M,
    gaps: &mut impl Gaps,
) -> Result<PartialOutput, ReduceError> {
    let mut reduction = Reduction::start(stage, places.write, merger).await?;
    let mut fields = ItemFields::new(input, items);
    let (mut next_item, mut items_settled) = (0, 0);
    while let Some(unit) = results.next().await? {
        // What settles while it is read may come out of order, and is for the next preview.
        if unit.items.start < next_item || is_failure(&unit) {
            continue;
        }
        let gap = ItemRange { start: next_item, end: unit.items.start };
        leave_out(&mut reduction, gap, gaps).await?;
        next_item = unit.items.end;
        items_settled += unit.items.len();
        push_unit(&mut reduction, unit, &mut fields, places.read).await?;
        // The job itself goes first.
        tokio::task::yield_now().await;
    }
    leave_out(&mut reduction, ItemRange { start: next_item, end: items }, gaps).await?;
    let files = match (items_settled, reduction.finish().await) {
        (0, _) | (_, Err(ReduceError::Empty)) => Vec::new(),
        (_, files) => files?,
    };
    Ok(PartialOutput { files, items_settled })
}

async fn leave_out<M: Merger>(
    reduction: &mut Reduction<M>,
    items: ItemRange,
    gaps: &mut impl Gaps,
) -> Result<(), ReduceError> {
    if items.is_empty() {
        return Ok(());
    }
    gaps.gap(items).await?;
    reduction.leave_out(items).await
}

/// Whether a unit settled as the failure that its job failed of.
fn is_failure(unit: &SettledUnit) -> bool {
    matches!(&unit.outcome, Some(outcome) if !matches!(outcome, Outcome::Completed { .. }))
}
