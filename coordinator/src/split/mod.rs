//! From a stage's splitter to its items: for a range of items, one MessagePack map of fields each.
//!
//! Ranges and grids are arithmetic, and so are exact pieces of a file; other records of a file are
//! found through a [`RecordIndex`]; a split function's are in a blob of their own; a file of many is
//! one item as it is. An earlier stage's output is cut like a file, or is one item as it is.
//! Invariants: an item's bytes depend on splitter and number alone, never on the range asked
//! for; memory is bounded by the range asked for, and [`StageInput::unit_items_max`] says how long a
//! range should be at most. Deliberately absent: the stage's parameters (the worker has them from
//! the stage's task) and how many items a unit holds.

mod error;
mod fields;
mod made;
mod pass;
mod plain;
mod records;
pub(crate) mod slot;
#[cfg(test)]
mod tests;
mod whole;

use std::io::SeekFrom;
use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::sync::Arc;

use gleaner_protocol::limits::{ITEMS_PER_UNIT_MAX, UNIT_INPUT_BYTES_TARGET};
use gleaner_protocol::{
    BlobRef, ItemRange, JobSpec, Limits, Payload, PieceEnd, RecordFormat, RecordSource, Reducer,
    Splitter, StageSpec,
};
use serde_bytes::ByteBuf;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::blobs::{BlobError, Blobs};
use pass::read_through;
use plain::{PlainError, PlainFile};
use whole::WholeFile;

pub use error::SplitError;
pub use made::SplitFault;
pub use plain::{Compression, StreamError};
pub use records::{
    FieldNames, RecordCursor, RecordError, RecordIndex, RecordProblem, RecordReader, RecordScanner,
};
pub use slot::{SlotSplitError, SlotSplitter};

/// How much of a file is read at a time.
const READ_BYTES: usize = 256 * 1024;

/// The input of one stage, opened: how many items it has, and any of them. Clones share it.
#[derive(Clone, Debug)]
pub struct StageInput {
    stage: Arc<str>,
    splitter: Arc<Splitter>,
    items: u64,
    longest_bytes: u64,
    source: Source,
    blobs: Blobs,
}

#[derive(Clone, Debug)]
enum Source {
    /// Nothing to read.
    Arithmetic,
    /// A file and where its records are.
    Records { file: PlainFile, index: Arc<RecordIndex> },
    /// A file of so many bytes, cut at multiples of a length.
    Pieces { file: PlainFile, bytes: u64, chunk_bytes: u64 },
    /// Files that are an item each.
    EachFile,
    /// What a split function gave.
    Made { items: BlobRef },
    /// The earlier stage's output.
    Whole { output: BlobRef },
}

/// What a source holds: how many items, and about how long the longest is.
struct Opened {
    source: Source,
    items: u64,
    longest_bytes: u64,
}

/// Checks what only shows between stages: each stage that takes an earlier one's output gets one
/// file.
///
/// # Errors
/// [`SplitError::NotOneFile`].
pub fn check_stages(spec: &JobSpec) -> Result<(), SplitError> {
    for stage in &spec.stages {
        if let Some(earlier) = stage.splitter.earlier_stage()
            && let Some(earlier) = spec.stages.get(earlier.0 as usize)
            && earlier.reducer == Reducer::Files
        {
            let (stage, earlier) = (stage.name.clone(), earlier.name.clone());
            return Err(SplitError::NotOneFile { stage, earlier });
        }
    }
    Ok(())
}

impl StageInput {
    /// Opens a stage's input. `earlier` is the output of the stage that it comes after, or what its
    /// split function made of that, and is only looked at when it comes after one. A file of records
    /// is read once, in one pass, to find and check them, and decompressed before if it must be; so it
    /// is after a restart.
    ///
    /// # Errors
    /// Any [`SplitError`]; see there which are the submitter's to mend.
    ///
    /// # Panics
    /// When the stage comes after another one and `earlier` is `None`, or its split function was not
    /// run.
    pub async fn open(
        stage: &StageSpec,
        earlier: Option<BlobRef>,
        blobs: &Blobs,
    ) -> Result<Self, SplitError> {
        let output = || earlier.expect("the earlier stage is done before this one opens");
        let opened = match &stage.splitter {
            Splitter::Lines { source, file, .. } | Splitter::Records { source, file, .. } => {
                let blob = match source {
                    RecordSource::File(file) => *file,
                    RecordSource::Stage(_) => output(),
                };
                let opened = open_file(stage, blob, file, blobs).await;
                if opened.is_err() {
                    blobs.remove_derived(blob.hash);
                }
                opened?
            }
            Splitter::After { .. } => {
                let output = output();
                check_length(&stage.name, output)?;
                let longest_bytes = output.bytes;
                Opened { source: Source::Whole { output }, items: 1, longest_bytes }
            }
            Splitter::Split { items, .. } => {
                let made = items.or(earlier).expect("the function ran before the stage opens");
                let head = made::head(made, blobs).await;
                let (items, longest_bytes) =
                    head.map_err(|source| SplitError::Blob { stage: stage.name.clone(), source })?;
                Opened { source: Source::Made { items: made }, items, longest_bytes }
            }
            Splitter::EachFile { files, .. } => Opened {
                source: Source::EachFile,
                items: files.len() as u64,
                longest_bytes: files.iter().map(|file| file.blob.bytes).max().unwrap_or(0),
            },
            splitter => Opened {
                source: Source::Arithmetic,
                items: stage.item_count().expect("checked when the job was submitted"),
                longest_bytes: fields::longest_bytes(splitter),
            },
        };
        Ok(Self {
            stage: stage.name.as_str().into(),
            splitter: Arc::new(stage.splitter.clone()),
            items: opened.items,
            longest_bytes: opened.longest_bytes,
            source: opened.source,
            blobs: blobs.clone(),
        })
    }

    /// How many items the stage has; at least one.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// The most items to be asked for at once, so that they take little memory together; `None`
    /// when they are so short that it does not matter.
    pub fn unit_items_max(&self) -> Option<NonZeroU32> {
        let items = UNIT_INPUT_BYTES_TARGET / self.longest_bytes.max(1);
        if items >= ITEMS_PER_UNIT_MAX {
            return None;
        }
        NonZeroU32::new(u32::try_from(items).ok()?.max(1))
    }

    /// The maps of the items of `range`, in order.
    ///
    /// # Errors
    /// [`SplitError::Blob`] or [`SplitError::Damaged`]. A repeat may help with the first.
    ///
    /// # Panics
    /// When `range` reaches beyond the stage's items.
    pub async fn materialise(&self, range: ItemRange) -> Result<Vec<ByteBuf>, SplitError> {
        assert!(range.end <= self.items, "items {range} of a stage with {}", self.items);
        match &self.source {
            Source::Records { file, index } => self.records(file, index, range).await,
            Source::Pieces { file, bytes, chunk_bytes } => {
                self.pieces(file, *bytes, *chunk_bytes, range).await
            }
            Source::Arithmetic => {
                let map = |item| fields::arithmetic(&self.splitter, item);
                Ok((range.start..range.end).map(map).collect())
            }
            Source::Made { items } => {
                let read = made::read(*items, self.items, range, &self.blobs).await;
                let read = read.map_err(|source| self.blob_error(source))?;
                let blob = items.hash;
                read.map_err(|item| SplitError::Damaged {
                    stage: self.stage.to_string(),
                    blob,
                    item,
                })
            }
            Source::EachFile | Source::Whole { .. } => {
                let mut items = Vec::new();
                for item in range.start..range.end {
                    let file = self.whole_file(item).expect("its source is files");
                    let item = file.materialise(&self.blobs).await;
                    items.push(item.map_err(|source| self.blob_error(source))?);
                }
                Ok(items)
            }
        }
    }

    /// The maps of the items of `range` as a lease carries them: inside it when small, else as a
    /// blob that is kept.
    ///
    /// # Errors
    /// As [`StageInput::materialise`].
    pub async fn payload(&self, range: ItemRange) -> Result<Payload, SplitError> {
        if let Some(file) = self.whole_file(range.start)
            && range.len() == 1
            && file.blob.bytes > READ_BYTES as u64
        {
            let payload = file.payload(&self.blobs).await;
            return payload.map_err(|source| self.blob_error(source));
        }
        let items = self.materialise(range).await?;
        if Payload::fits_inline(&items) {
            return Ok(Payload::Inline(items));
        }
        let put = self.blobs.put(Payload::encode_items(&items)).await;
        put.map(Payload::Blob).map_err(|source| self.blob_error(source))
    }

    /// The file that item `item` is, if items are files.
    fn whole_file(&self, item: u64) -> Option<WholeFile<'_>> {
        match (&*self.splitter, &self.source) {
            (Splitter::EachFile { field, files }, Source::EachFile) => {
                let file = &files[usize::try_from(item).expect("a list fits")];
                Some(WholeFile { name: Some(&file.name), field, blob: file.blob })
            }
            (Splitter::After { field, .. }, Source::Whole { output }) => {
                Some(WholeFile { name: None, field, blob: *output })
            }
            _ => None,
        }
    }

    async fn records(
        &self,
        plain: &PlainFile,
        index: &RecordIndex,
        range: ItemRange,
    ) -> Result<Vec<ByteBuf>, SplitError> {
        let (cursor, offset) = index.cursor(range);
        let file = self.seek(plain, offset).await?;
        let read = read_through(file, (cursor, Vec::new()), |(cursor, items), bytes| {
            match cursor.feed(bytes, |item| items.push(item)) {
                Ok(()) if !cursor.is_done() => ControlFlow::Continue(()),
                // Items that are missing tell that the file is another one.
                Ok(()) | Err(_) => ControlFlow::Break(()),
            }
        });
        let (_, items) = read.await.map_err(|source| self.blob_error(plain.read_error(source)))?;
        if items.len() as u64 == range.len() {
            return Ok(items);
        }
        Err(self.damaged(plain, range.start + items.len() as u64))
    }

    async fn pieces(
        &self,
        plain: &PlainFile,
        bytes: u64,
        chunk_bytes: u64,
        range: ItemRange,
    ) -> Result<Vec<ByteBuf>, SplitError> {
        let Splitter::Records { field: Some(field), .. } = &*self.splitter else {
            unreachable!("pieces have a field");
        };
        let mut file = self.seek(plain, range.start * chunk_bytes).await?;
        let mut items = Vec::new();
        for item in range.start..range.end {
            let length = chunk_bytes.min(bytes - item * chunk_bytes);
            let mut piece = vec![0; usize::try_from(length).expect("a piece fits in memory")];
            match file.read_exact(&mut piece).await {
                Ok(_) => items.push(fields::bytes(field, &piece)),
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Err(self.damaged(plain, item));
                }
                Err(error) => return Err(self.blob_error(plain.read_error(error))),
            }
        }
        Ok(items)
    }

    async fn seek(&self, plain: &PlainFile, offset: u64) -> Result<tokio::fs::File, SplitError> {
        let opened = plain.open().await;
        let mut file = opened.map_err(|error| match error {
            PlainError::Blob(source) => self.blob_error(source),
            // It could be decompressed before.
            PlainError::Stream(_) => self.damaged(plain, 0),
        })?;
        let sought = file.seek(SeekFrom::Start(offset)).await;
        sought.map_err(|source| self.blob_error(plain.read_error(source)))?;
        Ok(file)
    }

    fn damaged(&self, plain: &PlainFile, item: u64) -> SplitError {
        let blob = plain.source().hash;
        SplitError::Damaged { stage: self.stage.to_string(), blob, item }
    }

    fn blob_error(&self, source: BlobError) -> SplitError {
        SplitError::Blob { stage: self.stage.to_string(), source }
    }
}

/// Opens a stage's file and finds its items.
async fn open_file(
    stage: &StageSpec,
    blob: BlobRef,
    name: &str,
    blobs: &Blobs,
) -> Result<Opened, SplitError> {
    let named = |stage: &StageSpec| (stage.name.clone(), name.to_owned());
    let plain_error = |error| match error {
        PlainError::Blob(source) => SplitError::Blob { stage: stage.name.clone(), source },
        PlainError::Stream(fault) => {
            let (stage, file) = named(stage);
            SplitError::Stream { stage, file, fault }
        }
    };
    let file = PlainFile::find(blob, blobs).await.map_err(plain_error)?;
    let opened = if let Splitter::Records { format, .. } = &stage.splitter
        && let RecordFormat::Pieces { chunk_bytes, ends: PieceEnd::Exact } = *format
    {
        let bytes = file.bytes().await.map_err(plain_error)?;
        let source = Source::Pieces { file, bytes, chunk_bytes };
        Opened { source, items: bytes.div_ceil(chunk_bytes), longest_bytes: chunk_bytes.min(bytes) }
    } else {
        let names = field_names(stage);
        let reader = RecordReader::new(&stage.splitter, names).expect("the splitter has a file");
        let index = match scan(&file, RecordScanner::new(reader)).await {
            Ok(index) => index,
            Err(ScanError::Plain(error)) => return Err(plain_error(error)),
            Err(ScanError::Record(fault)) => {
                let (stage, file) = named(stage);
                return Err(SplitError::Record { stage, file, fault });
            }
        };
        let (items, longest_bytes) = (index.records(), index.longest_bytes());
        Opened { source: Source::Records { file, index: Arc::new(index) }, items, longest_bytes }
    };
    if opened.items > 0 {
        return Ok(opened);
    }
    let (stage, file) = named(stage);
    Err(SplitError::NoRecords { stage, file })
}

fn field_names(stage: &StageSpec) -> FieldNames {
    let wanted = match &stage.reducer {
        Reducer::Csv { columns, .. } | Reducer::Top { columns, .. } => columns.clone(),
        _ => None,
    };
    let taken = stage.task.parameters.keys().cloned().collect();
    FieldNames { taken, wanted: wanted.unwrap_or_default() }
}

enum ScanError {
    Plain(PlainError),
    Record(RecordError),
}

async fn scan(plain: &PlainFile, scanner: RecordScanner) -> Result<RecordIndex, ScanError> {
    let file = plain.open().await.map_err(ScanError::Plain)?;
    let scan = Scan { scanner: Some(scanner), index: None };
    let scan = read_through(file, scan, Scan::take).await;
    let scan = scan.map_err(|source| ScanError::Plain(plain.read_error(source).into()))?;
    scan.index.expect("it ends at the end of the file or at a fault").map_err(ScanError::Record)
}

/// A scanner until the end of its file, then what it found.
struct Scan {
    scanner: Option<RecordScanner>,
    index: Option<Result<RecordIndex, RecordError>>,
}

impl Scan {
    fn take(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        let Some(mut scanner) = self.scanner.take() else { return ControlFlow::Break(()) };
        self.index = match scanner.feed(bytes) {
            Err(fault) => Some(Err(fault)),
            Ok(()) if bytes.is_empty() => Some(scanner.finish()),
            Ok(()) => {
                self.scanner = Some(scanner);
                return ControlFlow::Continue(());
            }
        };
        ControlFlow::Break(())
    }
}

fn check_length(stage: &str, output: BlobRef) -> Result<(), SplitError> {
    let max = Limits::OUTPUT_BYTES_MAX;
    if output.bytes <= max {
        return Ok(());
    }
    Err(SplitError::TooLong { stage: stage.to_owned(), bytes: output.bytes, max })
}
