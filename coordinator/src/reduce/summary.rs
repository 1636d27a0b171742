//! Reducers that hold little and give one small text at the end.

use gleaner_protocol::{Reducer, RelativeName};

use super::OutputFault;
use super::csv::Cell;
use super::extreme::{Extreme, Extremes};
use super::histogram::Histogram;
use super::sum::Sums;
use super::top::Top;

/// A summary in the making.
#[derive(Debug)]
pub(super) enum Summary {
    Sum(Sums),
    Extreme(Extremes),
    Histogram(Histogram),
    Top(Top),
}

impl Summary {
    /// The summary that `reducer` makes, and its file.
    ///
    /// # Panics
    /// When it makes none.
    pub(super) fn of(reducer: &Reducer) -> (RelativeName, Self) {
        let (file, summary) = match reducer {
            Reducer::Sum { file } => (file, Self::Sum(Sums::new())),
            Reducer::Min { file } => (file, Self::Extreme(Extremes::new(Extreme::Min))),
            Reducer::Max { file } => (file, Self::Extreme(Extremes::new(Extreme::Max))),
            Reducer::Histogram { file, field, bins } => {
                (file, Self::Histogram(Histogram::new(field.clone(), bins.as_ref())))
            }
            Reducer::Top { file, field, records, order, columns: _ } => {
                (file, Self::Top(Top::new(field.clone(), records.get() as usize, *order)))
            }
            Reducer::Concat { .. }
            | Reducer::Lines { .. }
            | Reducer::Csv { .. }
            | Reducer::Files
            | Reducer::Merge { .. } => unreachable!("{reducer:?} makes no summary"),
        };
        (file.clone(), summary)
    }

    /// Takes the output of an item, and the columns of the item itself; items come in any order,
    /// each once.
    pub(super) fn push(
        &mut self,
        item: u64,
        columns: &[Cell<'_>],
        output: &[u8],
    ) -> Result<(), OutputFault> {
        match self {
            Self::Sum(sums) => sums.push(item, output),
            Self::Extreme(extremes) => extremes.push(item, output),
            Self::Histogram(histogram) => histogram.push(output),
            Self::Top(top) => top.push(item, columns, output),
        }
    }

    /// The text, or the item whose output cannot be part of it.
    pub(super) fn finish(self) -> Result<Vec<u8>, (u64, OutputFault)> {
        match self {
            Self::Sum(sums) => Ok(sums.finish()),
            Self::Extreme(extremes) => Ok(extremes.finish()),
            Self::Histogram(histogram) => Ok(histogram.finish()),
            Self::Top(top) => top.finish(),
        }
    }
}

#[cfg(test)]
mod tests;
