//! How a stage's results become its output.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::RelativeName;

/// How settled results become a stage's output, in the order of items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reducer {
    /// One file: outputs that are bytes or text, one after the other.
    Concat {
        /// The file's name.
        file: RelativeName,
    },
    /// One file: each output a line, text as it is, anything else as JSON.
    Lines {
        /// The file's name.
        file: RelativeName,
    },
    /// One file: outputs that are a record or a list of records, as CSV (RFC 4180) with a header.
    Csv {
        /// The file's name.
        file: RelativeName,
        /// The fields of the items themselves that become columns; where nothing is said, those of
        /// a range and of a grid, and none of anything else.
        #[serde(default)]
        columns: Option<Vec<String>>,
    },
    /// Files: each output is a map of names to contents.
    Files,
    /// One file: neighbours combined by a function of the module until one is left, as JSON.
    Merge {
        /// The file's name.
        file: RelativeName,
        /// The module's merge function, by its name in the source.
        function: String,
    },
    /// One file: the exact sum of outputs that are numbers, or of each number in them, as JSON.
    Sum {
        /// The file's name.
        file: RelativeName,
    },
    /// One file: the least of outputs that are numbers, or of each number in them, and the item
    /// that has it, as JSON.
    Min {
        /// The file's name.
        file: RelativeName,
    },
    /// One file: the greatest, otherwise as [`Reducer::Min`].
    Max {
        /// The file's name.
        file: RelativeName,
    },
    /// One file: how often values occur, as JSON.
    Histogram {
        /// The file's name.
        file: RelativeName,
        /// The field that holds the values, dots between a record's and its own; the whole output
        /// otherwise.
        field: Option<String>,
        /// Numbers are counted by bins; whole numbers, booleans and text each by itself otherwise.
        bins: Option<Bins>,
    },
    /// One file: the records with the greatest or least values of a field, as CSV (RFC 4180).
    Top {
        /// The file's name.
        file: RelativeName,
        /// The field that ranks them, dots between a record's and its own.
        field: String,
        /// How many at most.
        records: NonZeroU32,
        /// Which come first.
        order: TopOrder,
        /// As with [`Reducer::Csv`].
        #[serde(default)]
        columns: Option<Vec<String>>,
    },
}

impl Reducer {
    /// The longest name of a field that ranks or is counted, in bytes.
    pub const FIELD_BYTES_MAX: usize = 1024;

    /// The most records that [`Reducer::Top`] keeps: they are held in memory.
    pub const TOP_RECORDS_MAX: u32 = 10_000;

    /// The name of the one file that it makes; [`Reducer::Files`] has the task's.
    pub fn file(&self) -> Option<&RelativeName> {
        match self {
            Self::Concat { file }
            | Self::Lines { file }
            | Self::Csv { file, .. }
            | Self::Merge { file, .. }
            | Self::Sum { file }
            | Self::Min { file }
            | Self::Max { file }
            | Self::Histogram { file, .. }
            | Self::Top { file, .. } => Some(file),
            Self::Files => None,
        }
    }
}

/// Bins of equal width for numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bins {
    /// Where the first begins.
    pub low: f64,
    /// Where the last ends.
    pub high: f64,
    /// How many.
    pub count: NonZeroU32,
}

/// Which records come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopOrder {
    /// Those with the greatest values.
    Greatest,
    /// Those with the least values.
    Least,
}

impl Bins {
    /// The most bins: far more than a picture shows.
    pub const COUNT_MAX: u32 = 65_536;

    /// The edges, one more than there are bins: a bin holds its lower edge and not its upper one.
    /// `None` when two of them are not in order: `low` is not below `high`, one is not finite, or
    /// floats lie not so dense there.
    pub fn edges(&self) -> Option<Vec<f64>> {
        let width = self.high - self.low;
        let count = self.count.get();
        let edge = |bin: u32| match bin == count {
            true => self.high,
            false => self.low + width * (f64::from(bin) / f64::from(count)),
        };
        let edges: Vec<f64> = (0..=count).map(edge).collect();
        let rising = edges.windows(2).all(|pair| pair[0] < pair[1]);
        (rising && width.is_finite()).then_some(edges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(low: f64, high: f64, count: u32) -> Option<Vec<f64>> {
        Bins { low, high, count: NonZeroU32::new(count).expect("not zero") }.edges()
    }

    #[test]
    fn edges_rise_from_low_to_high_or_there_are_none() {
        assert_eq!(edges(0.0, 1.0, 4), Some(vec![0.0, 0.25, 0.5, 0.75, 1.0]));
        assert_eq!(edges(-3.0, 3.0, 1), Some(vec![-3.0, 3.0]));
        let tenths = edges(0.0, 1.0, 10).expect("they rise");
        assert_eq!(tenths[3], 0.3, "the nearest float to what people write");
        for (low, high, count) in [
            (1.0, 1.0, 1),
            (1.0, 0.0, 2),
            (f64::NAN, 1.0, 1),
            (0.0, f64::INFINITY, 1),
            (f64::MIN, f64::MAX, 2),
            (1.0, 1.0_f64.next_up(), 2),
        ] {
            assert_eq!(edges(low, high, count), None, "{low} to {high} in {count}");
        }
    }
}
