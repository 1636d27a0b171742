//! The least or greatest number of each field, and the item that has it.

use std::cmp::Ordering;

use super::OutputFault;
use super::numbers::{Fields, Number};

/// Which number is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extreme {
    Min,
    Max,
}

/// The extremes of a stage's number fields.
#[derive(Debug)]
pub(super) struct Extremes {
    extreme: Extreme,
    fields: Fields<FieldExtreme>,
}

#[derive(Debug, Default)]
struct FieldExtreme {
    /// Numbers, NaNs not counted.
    count: u64,
    nans: u64,
    best: Option<(Number, u64)>,
}

impl Extreme {
    fn name(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::Max => "max",
        }
    }

    /// How a better number compares to one that is not.
    fn better(self) -> Ordering {
        match self {
            Self::Min => Ordering::Less,
            Self::Max => Ordering::Greater,
        }
    }
}

impl Extremes {
    pub(super) fn new(extreme: Extreme) -> Self {
        Self { extreme, fields: Fields::new(extreme.name()) }
    }

    pub(super) fn push(&mut self, item: u64, output: &[u8]) -> Result<(), OutputFault> {
        let better = self.extreme.better();
        self.fields.visit(item, output, |field, number| field.take(item, number, better))
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let name = self.extreme.name();
        self.fields.finish(|field, text| {
            let FieldExtreme { count, nans, best } = field;
            let counts = format!("\"count\":{count},\"nan\":{nans},\"{name}\":");
            text.extend_from_slice(counts.as_bytes());
            let item = match best {
                Some((number, item)) => {
                    number.write(text);
                    item.to_string()
                }
                None => {
                    text.extend_from_slice(b"null");
                    "null".to_owned()
                }
            };
            text.extend_from_slice(format!(",\"item\":{item}").as_bytes());
        })
    }
}

impl FieldExtreme {
    fn take(&mut self, item: u64, number: Number, better: Ordering) {
        if number.is_nan() {
            self.nans += 1;
            return;
        }
        self.count += 1;
        let is_best = self.best.is_none_or(|(best, holder)| match number.compare(best) {
            Ordering::Equal => item < holder,
            order => order == better,
        });
        if is_best {
            self.best = Some((number, item));
        }
    }
}
