//! Exact sums: whole numbers as such, floats without rounding until the end.

use gleaner_protocol::limits::ITEMS_MAX;

use super::OutputFault;
use super::exact_sum::ExactSum;
use super::numbers::{Fields, Number};

// A field has one number of each item at most, so that their sum always fits.
const _: () = assert!((ITEMS_MAX as i128).checked_mul(u64::MAX as i128).is_some());
const _: () = assert!((ITEMS_MAX as i128).checked_mul(i64::MIN as i128).is_some());

/// The sums of a stage's number fields.
#[derive(Debug)]
pub(super) struct Sums {
    fields: Fields<FieldSum>,
}

#[derive(Debug, Default)]
struct FieldSum {
    count: u64,
    whole: i128,
    /// Once there is a float.
    floats: Option<Box<ExactSum>>,
}

impl Sums {
    pub(super) fn new() -> Self {
        Self { fields: Fields::new("sum") }
    }

    pub(super) fn push(&mut self, item: u64, output: &[u8]) -> Result<(), OutputFault> {
        self.fields.visit(item, output, FieldSum::add)
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.fields.finish(|field, text| {
            text.extend_from_slice(format!("\"count\":{},\"sum\":", field.count).as_bytes());
            field.sum().write(text);
        })
    }
}

impl FieldSum {
    fn add(&mut self, number: Number) {
        self.count += 1;
        match number {
            Number::Whole(value) => self.whole += value,
            Number::Float(value) => {
                self.floats.get_or_insert_with(|| Box::new(ExactSum::zero())).add(value);
            }
        }
    }

    /// A whole number when all were; else the exact sum of all, rounded once.
    fn sum(&self) -> Number {
        let Some(floats) = &self.floats else { return Number::Whole(self.whole) };
        let mut sum = floats.clone();
        sum.add_whole(self.whole);
        Number::Float(sum.rounded())
    }
}
