//! From a stage's settled results to its output, in the order of items.
//!
//! Invariants: the output depends on the items' outputs and their order alone, never on how units
//! were cut; memory is bounded by the largest output of an item (a merge holds one for each power
//! of two) and by `limits`, whatever their number; the output's blobs are durable before they are told.
//! Deliberately absent: what is settled, and when to reduce.

mod columns;
mod csv;
mod error;
mod exact_sum;
mod extreme;
mod failed;
mod files;
mod histogram;
mod json;
mod limits;
mod merge;
pub(crate) mod messagepack;
mod numbers;
mod outputs;
mod partial;
mod slot;
mod sum;
mod summary;
mod text;
mod top;

use gleaner_coordinator_core::StageOutput;
use gleaner_protocol::{BlobRef, ItemRange, Outcome, Reducer, RelativeName, StageSpec};
use serde_bytes::ByteBuf;

use crate::blobs::{Blobs, Scratch};
use crate::split::StageInput;
use crate::store::{SettledResults, SettledUnit};

pub(crate) use csv::write_text as csv_text;
pub(crate) use failed::{FailedRow, failed_header, has_parameters, parameters};

pub use columns::wants_input;
pub use error::{OutputFault, ReduceError};
pub use files::FILES_MAX;
pub use merge::Merger;
pub use partial::{Gaps, PartialOutput, Places, reduce_partial};
pub use slot::SlotMerger;

use columns::{ItemFields, Wanted};
use csv::Csv;
use files::Files;
use merge::MergeTree;
use messagepack::Reader;
use outputs::UnitOutputs;
pub(crate) use outputs::count_outputs;
use summary::Summary;

/// How much rendered text is gathered before it is written.
const WRITE_BYTES: usize = 256 * 1024;

/// Reads the settled results of a stage with `items` items and makes its output. `input` is the
/// stage's where [`wants_input`] says so. Dropping the future gives up, and leaves nothing but blobs
/// that nothing names.
///
/// # Errors
/// [`ReduceError`]; see [`ReduceError::is_of_job`] for whose fault it is.
pub async fn reduce<M: Merger>(
    stage: &StageSpec,
    items: u64,
    input: Option<StageInput>,
    mut results: SettledResults,
    blobs: &Blobs,
    merger: M,
) -> Result<Vec<StageOutput>, ReduceError> {
    let mut reduction = Reduction::start(stage, blobs, merger).await?;
    let mut fields = ItemFields::new(input, items);
    let mut next_item = 0;
    while let Some(unit) = results.next().await? {
        if unit.items.start != next_item {
            return Err(ReduceError::Gap { item: next_item });
        }
        next_item = unit.items.end;
        push_unit(&mut reduction, unit, &mut fields, blobs).await?;
    }
    if next_item != items {
        return Err(ReduceError::Gap { item: next_item });
    }
    reduction.finish().await
}

async fn push_unit<M: Merger>(
    reduction: &mut Reduction<M>,
    unit: SettledUnit,
    fields: &mut ItemFields,
    blobs: &Blobs,
) -> Result<(), ReduceError> {
    let SettledUnit { unit, items, outcome } = unit;
    let damaged = |source| ReduceError::Damaged { unit, source };
    let (outputs, failures) = match outcome {
        Some(Outcome::Completed { outputs, failures }) => (outputs, failures),
        Some(_) => return Err(damaged(None)),
        None => return reduction.leave_out(items).await,
    };
    let mut failures = failures.into_iter().map(|failure| failure.item).peekable();
    let mut outputs = UnitOutputs::open(outputs, blobs).await?;
    for item in items.start..items.end {
        let output = outputs.next().await.map_err(|source| damaged(Some(source)))?;
        let output = output.ok_or_else(|| damaged(None))?;
        match failures.next_if_eq(&item) {
            Some(_) => reduction.leave_out(ItemRange { start: item, end: item + 1 }).await?,
            None => reduction.push(item, fields.of(item).await?, output).await?,
        }
    }
    match outputs.next().await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(damaged(None)),
        Err(source) => Err(damaged(Some(source))),
    }
}

/// A stage's output in the making, fed with items' outputs in order.
#[derive(Debug)]
pub struct Reduction<M> {
    fold: Fold<M>,
    columns: Wanted,
}

#[derive(Debug)]
enum Fold<M> {
    /// One file, text appended for each item.
    Text {
        file: RelativeName,
        style: Style,
        scratch: Box<Scratch>,
        text: Vec<u8>,
    },
    /// One file, written at the end.
    Summary {
        file: RelativeName,
        summary: Summary,
        blobs: Blobs,
    },
    Files(Files),
    Merge {
        file: RelativeName,
        tree: MergeTree<M>,
        blobs: Blobs,
    },
}

#[derive(Debug)]
enum Style {
    Concat,
    Lines,
    Csv(Csv),
}

impl<M: Merger> Reduction<M> {
    /// An output of no items. `merger` is used by [`Reducer::Merge`] only.
    ///
    /// # Errors
    /// [`ReduceError::Blob`] when no file can be made.
    pub async fn start(stage: &StageSpec, blobs: &Blobs, merger: M) -> Result<Self, ReduceError> {
        let fold = Fold::start(&stage.reducer, blobs, merger).await?;
        Ok(Self { fold, columns: Wanted::of(stage) })
    }

    /// Takes the output of item `item`, the one after the last; `fields` is the item's own map
    /// where [`wants_input`] says so.
    ///
    /// # Errors
    /// [`ReduceError`]; the reduction is of no use after that.
    pub async fn push(
        &mut self,
        item: u64,
        fields: &[u8],
        output: ByteBuf,
    ) -> Result<(), ReduceError> {
        let fault = |fault| ReduceError::Output { item, fault };
        check_value(&output).map_err(fault)?;
        let cells = self.columns.cells(fields).map_err(fault)?;
        match &mut self.fold {
            Fold::Text { style, scratch, text, .. } => {
                let rendered = match style {
                    Style::Concat => text::concat(&output, text),
                    Style::Lines => text::line(&output, text),
                    Style::Csv(csv) => csv.render(&cells, &output, text),
                };
                rendered.map_err(fault)?;
                if text.len() >= WRITE_BYTES {
                    scratch.write(text).await?;
                    text.clear();
                }
                Ok(())
            }
            Fold::Summary { summary, .. } => summary.push(item, &cells, &output).map_err(fault),
            Fold::Files(files) => files.push(item, &output).await,
            Fold::Merge { tree, .. } => tree.push(item, output).await,
        }
    }

    /// Takes `items`, those after the last, as ones that gave no output.
    ///
    /// # Errors
    /// [`ReduceError`]; the reduction is of no use after that.
    pub async fn leave_out(&mut self, items: ItemRange) -> Result<(), ReduceError> {
        match &mut self.fold {
            // The tree keeps its shape.
            Fold::Merge { tree, .. } => tree.leave_out(items).await,
            Fold::Text { .. } | Fold::Summary { .. } | Fold::Files(_) => Ok(()),
        }
    }

    /// The files of the output, durable.
    ///
    /// # Errors
    /// [`ReduceError`].
    pub async fn finish(self) -> Result<Vec<StageOutput>, ReduceError> {
        match self.fold {
            Fold::Text { file, mut scratch, text, .. } => {
                scratch.write(&text).await?;
                Ok(one_file(file, scratch.keep().await?))
            }
            Fold::Summary { file, summary, blobs } => {
                let fault = |(item, fault)| ReduceError::Output { item, fault };
                Ok(one_file(file, blobs.put(summary.finish().map_err(fault)?).await?))
            }
            Fold::Files(files) => Ok(files.finish()),
            Fold::Merge { file, tree, blobs } => {
                let value = tree.finish().await?.ok_or(ReduceError::Empty)?;
                let mut text = Vec::new();
                json::write(&mut Reader::new(&value), &mut text).map_err(ReduceError::Merged)?;
                text.push(b'\n');
                Ok(one_file(file, blobs.put(text).await?))
            }
        }
    }
}

impl<M: Merger> Fold<M> {
    async fn start(reducer: &Reducer, blobs: &Blobs, merger: M) -> Result<Self, ReduceError> {
        let (file, style) = match reducer {
            Reducer::Concat { file } => (file, Style::Concat),
            Reducer::Lines { file } => (file, Style::Lines),
            Reducer::Csv { file, columns: _ } => (file, Style::Csv(Csv::default())),
            Reducer::Files => return Ok(Self::Files(Files::new(blobs))),
            Reducer::Merge { file, function: _ } => {
                let (file, blobs) = (file.clone(), blobs.clone());
                return Ok(Self::Merge { file, tree: MergeTree::new(merger), blobs });
            }
            Reducer::Sum { .. }
            | Reducer::Min { .. }
            | Reducer::Max { .. }
            | Reducer::Histogram { .. }
            | Reducer::Top { .. } => {
                let (file, summary) = Summary::of(reducer);
                return Ok(Self::Summary { file, summary, blobs: blobs.clone() });
            }
        };
        let (file, scratch) = (file.clone(), Box::new(blobs.scratch().await?));
        Ok(Self::Text { file, style, scratch, text: Vec::new() })
    }
}

fn one_file(name: RelativeName, blob: BlobRef) -> Vec<StageOutput> {
    vec![StageOutput { name, blob }]
}

/// An output is exactly one value.
fn check_value(output: &[u8]) -> Result<(), OutputFault> {
    let mut reader = Reader::new(output);
    reader.skip()?;
    if reader.is_empty() { Ok(()) } else { Err(OutputFault::NotOneValue) }
}

#[cfg(test)]
mod tests;
