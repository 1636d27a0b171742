//! How often values occur: numbers by bins, or each value by itself.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use gleaner_protocol::Bins;

use super::limits::{CATEGORIES_MAX, CATEGORY_BYTES_MAX};
use super::messagepack::{Reader, Token};
use super::numbers::{Number, find};
use super::{OutputFault, json};

const REDUCER: &str = "histogram";

/// The counts so far.
#[derive(Debug)]
pub(super) struct Histogram {
    field: Option<String>,
    counts: Counts,
}

#[derive(Debug)]
enum Counts {
    Bins(BinCounts),
    Categories(BTreeMap<Category, u64>),
}

#[derive(Debug)]
struct BinCounts {
    edges: Vec<f64>,
    bins: Vec<u64>,
    under: u64,
    over: u64,
    nans: u64,
}

/// A value that is counted by itself, in the order in which they are told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Category {
    Truth(bool),
    Whole(i128),
    Text(String),
}

impl Histogram {
    /// Counts the outputs, or their field `field`; by `bins` or each value by itself.
    ///
    /// # Panics
    /// When the edges of the bins do not differ; a job with such bins is not taken.
    pub(super) fn new(field: Option<String>, bins: Option<&Bins>) -> Self {
        let counts = match bins {
            None => Counts::Categories(BTreeMap::new()),
            Some(bins) => {
                let edges = bins.edges().expect("a job's bins are checked when it is taken");
                let bins = vec![0; edges.len() - 1];
                Counts::Bins(BinCounts { edges, bins, under: 0, over: 0, nans: 0 })
            }
        };
        Self { field, counts }
    }

    /// Counts an item's value, each of its list of values, or nothing for `None`.
    pub(super) fn push(&mut self, output: &[u8]) -> Result<(), OutputFault> {
        let value = match &self.field {
            None => output,
            Some(field) => find(output, field)?.ok_or_else(|| OutputFault::NoSuchField {
                reducer: REDUCER,
                field: field.clone(),
            })?,
        };
        let mut reader = Reader::new(value);
        match reader.next()? {
            Token::Nil => Ok(()),
            Token::List(values) => (0..values).try_for_each(|_| self.count(reader.next()?)),
            token => self.count(token),
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let mut text = Vec::new();
        match self.counts {
            Counts::Bins(bins) => bins.write(&mut text),
            Counts::Categories(categories) => write_categories(&categories, &mut text),
        }
        text.push(b'\n');
        text
    }

    fn count(&mut self, token: Token<'_>) -> Result<(), OutputFault> {
        let kind = token.kind();
        match &mut self.counts {
            Counts::Bins(bins) => match Number::of(token) {
                Some(number) => bins.count(number),
                None => {
                    let field = self.field.clone().unwrap_or_default();
                    return Err(OutputFault::NoNumber { reducer: REDUCER, field, kind });
                }
            },
            Counts::Categories(categories) => {
                let category = Category::of(token)?;
                if categories.len() == CATEGORIES_MAX && !categories.contains_key(&category) {
                    return Err(OutputFault::TooManyCategories { max: CATEGORIES_MAX });
                }
                *categories.entry(category).or_default() += 1;
            }
        }
        Ok(())
    }
}

impl BinCounts {
    fn count(&mut self, number: Number) {
        if number.is_nan() {
            self.nans += 1;
            return;
        }
        let not_above = |edge: &f64| Number::Float(*edge).compare(number) != Ordering::Greater;
        // How many edges are not above it: it is in the bin that the last of them begins.
        match self.edges.partition_point(not_above) {
            0 => self.under += 1,
            edges => match self.bins.get_mut(edges - 1) {
                Some(bin) => *bin += 1,
                None => self.over += 1,
            },
        }
    }

    fn write(&self, text: &mut Vec<u8>) {
        let Self { edges, bins, under, over, nans } = self;
        let count = bins.iter().sum::<u64>() + under + over;
        let counts = format!(
            "{{\"count\":{count},\"nan\":{nans},\"under\":{under},\"over\":{over},\"bins\":["
        );
        text.extend_from_slice(counts.as_bytes());
        for (position, (edges, bin)) in edges.windows(2).zip(bins).enumerate() {
            text.extend_from_slice(if position == 0 { b"{\"low\":" } else { b",{\"low\":" });
            json::write_float(edges[0], text);
            text.extend_from_slice(b",\"high\":");
            json::write_float(edges[1], text);
            text.extend_from_slice(format!(",\"count\":{bin}}}").as_bytes());
        }
        text.extend_from_slice(b"]}");
    }
}

impl Category {
    fn of(token: Token<'_>) -> Result<Self, OutputFault> {
        match token {
            Token::Bool(value) => Ok(Self::Truth(value)),
            Token::Unsigned(value) => Ok(Self::Whole(value.into())),
            Token::Signed(value) => Ok(Self::Whole(value.into())),
            Token::Text(value) if value.len() > CATEGORY_BYTES_MAX => {
                Err(OutputFault::LongCategory { bytes: value.len(), max: CATEGORY_BYTES_MAX })
            }
            Token::Text(value) => Ok(Self::Text(value.to_owned())),
            other => Err(OutputFault::NoCategory { kind: other.kind() }),
        }
    }
}

fn write_categories(categories: &BTreeMap<Category, u64>, text: &mut Vec<u8>) {
    let count: u64 = categories.values().sum();
    text.extend_from_slice(format!("{{\"count\":{count},\"categories\":[").as_bytes());
    for (position, (category, count)) in categories.iter().enumerate() {
        text.extend_from_slice(if position == 0 { b"{\"value\":" } else { b",{\"value\":" });
        match category {
            Category::Truth(value) => text.extend_from_slice(value.to_string().as_bytes()),
            Category::Whole(value) => text.extend_from_slice(value.to_string().as_bytes()),
            Category::Text(value) => json::write_string(value, text),
        }
        text.extend_from_slice(format!(",\"count\":{count}}}").as_bytes());
    }
    text.extend_from_slice(b"]}");
}
