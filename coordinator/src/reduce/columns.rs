//! The columns that a table has of the items themselves.

use gleaner_protocol::{ItemRange, Reducer, Splitter, StageSpec};
use serde_bytes::ByteBuf;

use super::csv::{Cell, read_fields};
use super::limits::COLUMN_ITEMS_AT_ONCE;
use super::messagepack::{Reader, Token};
use super::{OutputFault, ReduceError};
use crate::split::StageInput;

/// Which of an item's fields are columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    None,
    All,
    Named(Vec<String>),
}

/// The fields of a stage's items, read in order.
#[derive(Debug)]
pub(super) struct ItemFields {
    /// None where no field is wanted.
    input: Option<StageInput>,
    items: u64,
    page: ItemRange,
    fields: Vec<ByteBuf>,
}

/// Whether the table of a stage has columns of its items themselves, so that its input is needed.
pub fn wants_input(stage: &StageSpec) -> bool {
    Wanted::of(stage) != Wanted::None
}

impl Wanted {
    /// Those that the manifest names. Where it does not, all fields of a range and of a grid, which
    /// are what a table is read by, and none of what is read from a file.
    pub(super) fn of(stage: &StageSpec) -> Self {
        let (Reducer::Csv { columns, .. } | Reducer::Top { columns, .. }) = &stage.reducer else {
            return Self::None;
        };
        match (columns, &stage.splitter) {
            (Some(columns), _) if columns.is_empty() => Self::None,
            (Some(columns), _) => Self::Named(columns.clone()),
            (None, Splitter::Range { .. } | Splitter::Grid { .. }) => Self::All,
            (None, _) => Self::None,
        }
    }

    /// The cells of an item with these fields.
    pub(super) fn cells<'a>(&self, fields: &'a [u8]) -> Result<Vec<Cell<'a>>, OutputFault> {
        if *self == Self::None {
            return Ok(Vec::new());
        }
        let mut reader = Reader::new(fields);
        let Token::Map(count) = reader.next()? else { return Err(OutputFault::Malformed) };
        let cells = read_fields(&mut reader, count)?;
        let Self::Named(names) = self else { return Ok(cells) };
        let cell = |column: &String| {
            let cell = cells.iter().find(|(name, _)| name == column);
            cell.copied().ok_or_else(|| OutputFault::NoColumn { column: column.clone() })
        };
        names.iter().map(cell).collect()
    }
}

impl ItemFields {
    /// The fields of a stage's `items` items.
    pub(super) fn new(input: Option<StageInput>, items: u64) -> Self {
        Self { input, items, page: ItemRange { start: 0, end: 0 }, fields: Vec::new() }
    }

    /// The MessagePack map of an item; nothing where no field is wanted.
    pub(super) async fn of(&mut self, item: u64) -> Result<&[u8], ReduceError> {
        let Some(input) = &self.input else { return Ok(&[]) };
        if !(self.page.start..self.page.end).contains(&item) {
            let at_once = input.unit_items_max().map_or(u64::MAX, |max| max.get().into());
            let at_once = at_once.min(COLUMN_ITEMS_AT_ONCE);
            let end = item.saturating_add(at_once).min(self.items);
            self.page = ItemRange { start: item, end };
            self.fields = input.materialise(self.page).await?;
        }
        Ok(&self.fields[(item - self.page.start) as usize])
    }
}
