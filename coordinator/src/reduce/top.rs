//! The records with the greatest or least values of a field, best first, as CSV.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use gleaner_protocol::{TopOrder, wire};

use super::OutputFault;
use super::csv::{Cell, Csv};
use super::limits::TOP_RECORD_BYTES_MAX;
use super::messagepack::{Reader, Token};
use super::numbers::{Number, find};

const REDUCER: &str = "top";

/// The best records so far.
#[derive(Debug)]
pub(super) struct Top {
    field: String,
    records_max: usize,
    order: TopOrder,
    best: BTreeMap<Rank, Kept>,
}

/// A record with the columns of its item.
#[derive(Debug)]
struct Kept {
    columns: Vec<(String, Vec<u8>)>,
    record: Vec<u8>,
}

/// A record's place: the better value first, then the lower item, then the earlier in its list.
#[derive(Clone, Copy, Debug)]
struct Rank {
    value: Number,
    order: TopOrder,
    item: u64,
    position: u32,
}

impl Top {
    pub(super) fn new(field: String, records_max: usize, order: TopOrder) -> Self {
        Self { field, records_max, order, best: BTreeMap::new() }
    }

    /// Ranks an item's record, each of its list of records, or nothing for `None`; `columns` are
    /// those of the item itself.
    pub(super) fn push(
        &mut self,
        item: u64,
        columns: &[Cell<'_>],
        output: &[u8],
    ) -> Result<(), OutputFault> {
        let mut reader = Reader::new(output);
        match reader.next()? {
            Token::Nil => Ok(()),
            Token::Map(_) => self.rank(item, 0, columns, output),
            Token::List(records) => (0..records)
                .try_for_each(|position| self.rank(item, position, columns, reader.skip()?)),
            other => Err(OutputFault::NoRecord { reducer: REDUCER, kind: other.kind() }),
        }
    }

    /// The table, or the item at fault.
    pub(super) fn finish(self) -> Result<Vec<u8>, (u64, OutputFault)> {
        let mut text = Vec::new();
        let mut csv = Csv::default();
        for (rank, Kept { columns, record }) in &self.best {
            let item = wire::encode(&rank.item);
            let columns = columns.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
            let cells: Vec<Cell<'_>> = std::iter::once(("item", item.as_slice()))
                .chain(columns.filter(|(name, _)| *name != "item"))
                .collect();
            csv.render(&cells, record, &mut text).map_err(|fault| (rank.item, fault))?;
        }
        Ok(text)
    }

    fn rank(
        &mut self,
        item: u64,
        position: u32,
        columns: &[Cell<'_>],
        record: &[u8],
    ) -> Result<(), OutputFault> {
        let of_item = columns.iter().map(|(name, value)| name.len() + value.len());
        let bytes = record.len() + of_item.sum::<usize>();
        if bytes > TOP_RECORD_BYTES_MAX {
            return Err(OutputFault::LongRecord { bytes, max: TOP_RECORD_BYTES_MAX });
        }
        let Some(value) = self.value(record)? else { return Ok(()) };
        let rank = Rank { value, order: self.order, item, position };
        let is_full = self.best.len() == self.records_max;
        if is_full && self.best.last_key_value().is_some_and(|(worst, _)| *worst < rank) {
            return Ok(());
        }
        let columns = columns.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec()));
        self.best.insert(rank, Kept { columns: columns.collect(), record: record.to_vec() });
        if self.best.len() > self.records_max {
            self.best.pop_last();
        }
        Ok(())
    }

    /// The value that ranks a record; `None` where it has none, or a NaN.
    fn value(&self, record: &[u8]) -> Result<Option<Number>, OutputFault> {
        let field = || self.field.clone();
        let token = Reader::new(record).next()?;
        if !matches!(token, Token::Map(_)) {
            return Err(OutputFault::NoRecord { reducer: REDUCER, kind: token.kind() });
        }
        let value = find(record, &self.field)?
            .ok_or_else(|| OutputFault::NoSuchField { reducer: REDUCER, field: field() })?;
        match Reader::new(value).next()? {
            Token::Nil => Ok(None),
            token => match Number::of(token) {
                Some(number) => Ok(Some(number).filter(|number| !number.is_nan())),
                None => {
                    let kind = token.kind();
                    Err(OutputFault::NoNumber { reducer: REDUCER, field: field(), kind })
                }
            },
        }
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_value = match self.order {
            TopOrder::Greatest => other.value.compare(self.value),
            TopOrder::Least => self.value.compare(other.value),
        };
        by_value.then(self.item.cmp(&other.item)).then(self.position.cmp(&other.position))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Rank {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Rank {}
