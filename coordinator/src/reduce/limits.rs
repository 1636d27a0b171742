//! What the reducers that sum up hold in memory at most, in one place.

/// The most number fields of a stage's outputs together: as wide as a table may be.
pub(super) const NUMBER_FIELDS_MAX: usize = 4096;

/// The longest name of a number field, with the dots between records and their fields, in bytes.
pub(super) const FIELD_NAME_BYTES_MAX: usize = 1024;

/// The most values that a histogram without bins tells apart.
pub(super) const CATEGORIES_MAX: usize = 65_536;

/// The longest text that a histogram counts, in bytes: all of them take 16 MiB.
pub(super) const CATEGORY_BYTES_MAX: usize = 256;

/// The largest record that `top` ranks, with the columns of its item, in bytes of MessagePack: those
/// it keeps take 80 MiB at most. Whether a record is too large does not depend on whether it is kept.
pub(super) const TOP_RECORD_BYTES_MAX: usize = 8 * 1024;

/// How many items' own fields are read at a time for the columns of a table.
pub(super) const COLUMN_ITEMS_AT_ONCE: u64 = 64;
