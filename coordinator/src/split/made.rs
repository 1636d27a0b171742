//! The items that a split function gave, as a blob in which any range of them is found at once.
//!
//! ```text
//! items   longest   ends                the items' maps, one after the other
//! u64     u64       u64 for each item
//! ```
//! Numbers are little-endian; an end is counted from the first map. Invariants: a map has the fields
//! that its stage may give an item; memory is bounded by what is asked for. Deliberately absent:
//! running the function, which `slot` does.

use std::collections::BTreeSet;
use std::io::{self, SeekFrom};

use gleaner_protocol::limits::{RECORD_BYTES_MAX, SPLIT_ITEMS_MAX};
use gleaner_protocol::{BlobRef, ItemRange};
use serde_bytes::ByteBuf;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::FieldNames;
use crate::blobs::{BlobError, Blobs, Scratch};
use crate::reduce::messagepack::{Malformed, Reader, Token};

const NUMBER_BYTES: u64 = 8;

/// The count of the items and the length of the longest.
const HEAD_BYTES: u64 = 2 * NUMBER_BYTES;

/// How many ends are written at a time.
const ENDS_AT_ONCE: usize = 32 * 1024;

/// Why what a split function gave cannot be a stage's items.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitFault {
    /// It is no MessagePack, or breaks off.
    #[error("it gave something that is no MessagePack")]
    Malformed,
    /// It is no list.
    #[error("it gave {found}, no list of records")]
    NotList {
        /// What it is.
        found: &'static str,
    },
    /// The list is empty.
    #[error("it gave no item, so there is nothing to compute")]
    NoItems,
    /// The list is too long.
    #[error("it gave {items} items; at most {max} are possible")]
    TooMany {
        /// How many.
        items: u32,
        /// The limit.
        max: u64,
    },
    /// An item is no record.
    #[error("its item {item} is {found}, no record")]
    NotRecord {
        /// Which.
        item: u32,
        /// What it is.
        found: &'static str,
    },
    /// An item is too long.
    #[error("its item {item} has {bytes} bytes; at most {max} are possible")]
    TooLong {
        /// Which.
        item: u32,
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A field has no name.
    #[error("its item {item} has {found} for the name of a field; names are text")]
    NameNotText {
        /// Which.
        item: u32,
        /// What stands there.
        found: &'static str,
    },
    /// A field is there twice.
    #[error("its item {item} has the field {field:?} twice")]
    FieldTwice {
        /// Which.
        item: u32,
        /// The field.
        field: String,
    },
    /// A field that every item has already.
    #[error("its item {item} has the field {field:?}, which is a parameter of the stage too")]
    FieldTaken {
        /// Which.
        item: u32,
        /// The field.
        field: String,
    },
    /// A field that the stage's output has a column for.
    #[error("its item {item} has no field {field:?}, which is one of the stage's `columns`")]
    FieldMissing {
        /// Which.
        item: u32,
        /// The field.
        field: String,
    },
}

impl From<Malformed> for SplitFault {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// A split function's list, checked.
pub(super) struct Checked {
    output: ByteBuf,
    /// Where the first map begins in it.
    start: usize,
    ends: Vec<u64>,
}

impl Checked {
    /// Checks each item of a split function's output.
    pub(super) fn new(output: ByteBuf, names: &FieldNames) -> Result<Self, SplitFault> {
        let mut list = Reader::new(&output);
        let items = match list.next()? {
            Token::List(0) => return Err(SplitFault::NoItems),
            Token::List(items) if u64::from(items) <= SPLIT_ITEMS_MAX => items,
            Token::List(items) => {
                return Err(SplitFault::TooMany { items, max: SPLIT_ITEMS_MAX });
            }
            other => return Err(SplitFault::NotList { found: other.kind() }),
        };
        // The list itself says how many there are; nothing is allocated before they were seen.
        let mut ends = Vec::new();
        let mut end = 0;
        for item in 0..items {
            let map = list.skip()?;
            check_item(item, map, names)?;
            end += map.len() as u64;
            ends.push(end);
        }
        if !list.is_empty() {
            return Err(SplitFault::Malformed);
        }
        let maps = usize::try_from(end).expect("they are in memory");
        Ok(Self { start: output.len() - maps, output, ends })
    }

    /// Writes the blob.
    pub(super) async fn write(&self, scratch: &mut Scratch) -> Result<(), BlobError> {
        let starts = std::iter::once(&0).chain(&self.ends);
        let longest = starts.zip(&self.ends).map(|(start, end)| end - start).max().unwrap_or(0);
        let head = [self.ends.len() as u64, longest].map(u64::to_le_bytes);
        scratch.write(&head.concat()).await?;
        for ends in self.ends.chunks(ENDS_AT_ONCE) {
            let bytes: Vec<u8> = ends.iter().flat_map(|end| end.to_le_bytes()).collect();
            scratch.write(&bytes).await?;
        }
        scratch.write(&self.output[self.start..]).await
    }
}

fn check_item(item: u32, map: &[u8], names: &FieldNames) -> Result<(), SplitFault> {
    let (bytes, max) = (map.len(), RECORD_BYTES_MAX);
    if bytes > max {
        return Err(SplitFault::TooLong { item, bytes, max });
    }
    let mut reader = Reader::new(map);
    let fields = match reader.next()? {
        Token::Map(fields) => fields,
        other => return Err(SplitFault::NotRecord { item, found: other.kind() }),
    };
    let mut seen = BTreeSet::new();
    for _ in 0..fields {
        let field = match reader.next()? {
            Token::Text(field) => field,
            other => return Err(SplitFault::NameNotText { item, found: other.kind() }),
        };
        if names.taken.contains(field) {
            return Err(SplitFault::FieldTaken { item, field: field.to_owned() });
        }
        if !seen.insert(field) {
            return Err(SplitFault::FieldTwice { item, field: field.to_owned() });
        }
        reader.skip()?;
    }
    match names.wanted.iter().find(|wanted| !seen.contains(wanted.as_str())) {
        Some(field) => Err(SplitFault::FieldMissing { item, field: field.clone() }),
        None => Ok(()),
    }
}

/// How many items a blob of them holds, and how many bytes the longest has.
pub(super) async fn head(items: BlobRef, blobs: &Blobs) -> Result<(u64, u64), BlobError> {
    let read = async {
        let mut file = blobs.open_file(items.hash).await?;
        let count = file.read_u64_le().await;
        let longest = file.read_u64_le().await;
        let read_error = |source| BlobError::Read { hash: items.hash, source };
        Ok((count.map_err(read_error)?, longest.map_err(read_error)?))
    };
    read.await
}

/// The maps of a range of `count` items; the outer error is the disk's, the inner one the first item
/// that is not there.
pub(super) async fn read(
    items: BlobRef,
    count: u64,
    range: ItemRange,
    blobs: &Blobs,
) -> Result<Result<Vec<ByteBuf>, u64>, BlobError> {
    let mut file = blobs.open_file(items.hash).await?;
    match read_from(&mut file, items.bytes, count, range).await {
        Ok(maps) => Ok(maps),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Err(range.start)),
        Err(source) => Err(BlobError::Read { hash: items.hash, source }),
    }
}

async fn read_from(
    file: &mut tokio::fs::File,
    bytes: u64,
    count: u64,
    range: ItemRange,
) -> io::Result<Result<Vec<ByteBuf>, u64>> {
    let first = HEAD_BYTES + count * NUMBER_BYTES;
    let before = range.start.saturating_sub(1);
    file.seek(SeekFrom::Start(HEAD_BYTES + before * NUMBER_BYTES)).await?;
    let mut ends = vec![0; usize::try_from((range.end - before) * NUMBER_BYTES).expect("a unit")];
    file.read_exact(&mut ends).await?;
    let mut ends =
        ends.chunks_exact(8).map(|end| u64::from_le_bytes(end.try_into().expect("eight bytes")));
    let mut start = if range.start == 0 { 0 } else { ends.next().unwrap_or(0) };
    file.seek(SeekFrom::Start(first + start)).await?;
    let mut maps = Vec::new();
    for (item, end) in (range.start..).zip(ends) {
        if end < start || first + end > bytes {
            return Ok(Err(item));
        }
        let mut map = vec![0; usize::try_from(end - start).expect("an item fits in memory")];
        file.read_exact(&mut map).await?;
        maps.push(ByteBuf::from(map));
        start = end;
    }
    Ok(Ok(maps))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use gleaner_protocol::wire;
    use serde::Serialize;

    use super::*;

    fn check<T: Serialize>(output: &T, names: &FieldNames, expected: &str) {
        let error = Checked::new(ByteBuf::from(wire::encode(output)), names).err();
        let error = error.expect("it is refused");
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn what_is_no_list_of_records_is_refused() {
        let any = FieldNames::default();
        check(&7, &any, "it gave a whole number, no list of records");
        check(&[0_u8; 0], &any, "it gave no item, so there is nothing to compute");
        check(&["x"], &any, "its item 0 is text, no record");
        check(
            &[BTreeMap::from([(1, 2)])],
            &any,
            "its item 0 has a whole number for the name of a field; names are text",
        );
        let items = [BTreeMap::from([("x", 1)]), BTreeMap::from([("y", 1)])];
        let taken = FieldNames { taken: ["y".to_owned()].into(), wanted: Vec::new() };
        check(
            &items,
            &taken,
            "its item 1 has the field \"y\", which is a parameter of the stage too",
        );
        let wanted = FieldNames { taken: BTreeSet::new(), wanted: vec!["x".to_owned()] };
        check(
            &items,
            &wanted,
            "its item 1 has no field \"x\", which is one of the stage's `columns`",
        );
    }

    #[test]
    fn what_breaks_off_or_repeats_a_field_is_refused() {
        let any = FieldNames::default();
        let check = |output: &[u8], fault: SplitFault| {
            assert_eq!(Checked::new(ByteBuf::from(output), &any).err(), Some(fault), "{output:?}");
        };
        check(b"\x92\x81\xa1x\x01", SplitFault::Malformed);
        check(b"\x91\x81\xa1x\x01\x01", SplitFault::Malformed);
        check(
            b"\xdd\xff\xff\xff\xff",
            SplitFault::TooMany { items: u32::MAX, max: SPLIT_ITEMS_MAX },
        );
        let twice = SplitFault::FieldTwice { item: 0, field: "x".into() };
        check(b"\x91\x82\xa1x\x01\xa1x\x02", twice);
    }

    #[tokio::test]
    async fn any_range_is_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = Blobs::open(folder.path()).expect("a folder for blobs");
        let items: Vec<_> = (0..100_u64).map(|n| BTreeMap::from([("n", n * n * n)])).collect();
        let checked = Checked::new(ByteBuf::from(wire::encode(&items)), &FieldNames::default());
        let mut scratch = blobs.scratch().await.expect("a file");
        checked.expect("records").write(&mut scratch).await.expect("written");
        let blob = scratch.keep().await.expect("kept");

        assert_eq!(head(blob, &blobs).await.expect("its head"), (100, 8));
        for (start, end) in [(0, 100), (0, 1), (1, 2), (41, 57), (99, 100)] {
            let found = read(blob, 100, ItemRange { start, end }, &blobs).await.expect("read");
            let wanted = &items[start as usize..end as usize];
            let wanted: Vec<_> =
                wanted.iter().map(|item| ByteBuf::from(wire::encode(item))).collect();
            assert_eq!(found, Ok(wanted), "{start}..{end}");
        }
        let cut = BlobRef { bytes: blob.bytes - 1, ..blob };
        let found = read(cut, 100, ItemRange { start: 98, end: 100 }, &blobs).await.expect("read");
        assert_eq!(found, Err(99));
    }
}
