//! From a stage's splitter to its items: for a range of items, one MessagePack map of fields each.
//!
//! Ranges and grids are arithmetic; lines are found through a [`LineIndex`]; a stage after another
//! has one item, the earlier stage's whole output. Invariants: an item's bytes depend on splitter
//! and number alone, never on the range asked for; memory is bounded by the range asked for.
//! Deliberately absent: the stage's parameters (the worker has them from the stage's task) and how
//! many items a unit holds.

mod fields;
mod lines;

use std::sync::Arc;

use gleaner_protocol::{
    BlobHash, BlobRef, ItemRange, JobSpec, Limits, Payload, Reducer, Splitter, StageSpec, wire,
};
use serde_bytes::ByteBuf;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::blobs::{BlobError, Blobs};

pub use lines::{LINE_BYTES_MAX, LineCursor, LineError, LineIndex, LineScanner};

/// How much of a text is read at a time.
const READ_BYTES: usize = 256 * 1024;

/// Why a stage has no items to give.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// The text cannot be cut into lines. The submitter must send another one.
    #[error("stage `{stage}`: {fault}")]
    Line {
        /// The stage.
        stage: String,
        /// Which line, and why.
        fault: LineError,
    },
    /// The text has no line. The submitter must send another one.
    #[error("stage `{stage}`: its text is empty, so there is no item to compute")]
    NoLines {
        /// The stage.
        stage: String,
    },
    /// The earlier stage's output is no single file. The job must be written in another way.
    #[error("stage `{stage}` takes the output of `{earlier}`, which is not one file")]
    NotOneFile {
        /// The stage.
        stage: String,
        /// The stage before it.
        earlier: String,
    },
    /// The earlier stage's output is too long for one item.
    #[error(
        "stage `{stage}` takes a whole output of {bytes} bytes as one item; at most {max} are possible"
    )]
    TooLong {
        /// The stage.
        stage: String,
        /// The length of the earlier stage's output.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The text or the output could not be read.
    #[error("stage `{stage}`: its input cannot be read")]
    Blob {
        /// The stage.
        stage: String,
        /// Why.
        #[source]
        source: BlobError,
    },
    /// A text is not what it was when its lines were counted: the blobs' folder is damaged.
    #[error("stage `{stage}`: item {item} is no longer in blob {text}; the blobs' disk is damaged")]
    Damaged {
        /// The stage.
        stage: String,
        /// The text.
        text: BlobHash,
        /// The first item that is missing.
        item: u64,
    },
}

impl SplitError {
    /// Whether the job itself is at fault, not this coordinator's disk.
    pub fn is_of_job(&self) -> bool {
        !matches!(self, Self::Blob { .. } | Self::Damaged { .. })
    }
}

/// The input of one stage, opened: how many items it has, and any of them. Clones share it.
#[derive(Clone, Debug)]
pub struct StageInput {
    stage: Arc<str>,
    splitter: Arc<Splitter>,
    items: u64,
    source: Source,
    blobs: Blobs,
}

#[derive(Clone, Debug)]
enum Source {
    /// Nothing to read.
    Arithmetic,
    /// A text and where its lines are.
    Lines { text: BlobRef, index: Arc<LineIndex> },
    /// The earlier stage's output.
    Whole { output: BlobRef },
}

/// Checks what only shows between stages: each stage that takes an earlier one's output gets one
/// file.
///
/// # Errors
/// [`SplitError::NotOneFile`].
pub fn check_stages(spec: &JobSpec) -> Result<(), SplitError> {
    for stage in &spec.stages {
        if let Splitter::After { stage: earlier, .. } = &stage.splitter
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
    /// Opens a stage's input. `earlier` is the output of the stage that it comes after, and is
    /// only looked at when it comes after one. A text is read once, in one pass, to find its
    /// lines; so it is after a restart.
    ///
    /// # Errors
    /// Any [`SplitError`]; see there which are the submitter's to mend.
    ///
    /// # Panics
    /// When the stage comes after another one and `earlier` is `None`.
    pub async fn open(
        stage: &StageSpec,
        earlier: Option<BlobRef>,
        blobs: &Blobs,
    ) -> Result<Self, SplitError> {
        let (source, items) = match &stage.splitter {
            Splitter::Range { .. } | Splitter::Grid { .. } => {
                let items = stage.item_count().expect("checked when the job was submitted");
                (Source::Arithmetic, items)
            }
            Splitter::Lines { source, .. } => {
                let index = scan(&stage.name, *source, blobs).await?;
                let items = index.lines();
                (Source::Lines { text: *source, index: Arc::new(index) }, items)
            }
            Splitter::After { .. } => {
                let output = earlier.expect("the earlier stage is done before this one opens");
                check_length(&stage.name, output)?;
                (Source::Whole { output }, 1)
            }
        };
        Ok(Self {
            stage: stage.name.as_str().into(),
            splitter: Arc::new(stage.splitter.clone()),
            items,
            source,
            blobs: blobs.clone(),
        })
    }

    /// How many items the stage has; at least one.
    pub fn items(&self) -> u64 {
        self.items
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
        match (&*self.splitter, &self.source) {
            (Splitter::Lines { field, .. }, Source::Lines { text, index }) => {
                self.lines(field, *text, index, range).await
            }
            (Splitter::After { field, .. }, Source::Whole { output }) => {
                let read = self.blobs.read(output.hash).await;
                let bytes = read.map_err(|source| self.blob_error(source))?;
                Ok(vec![fields::whole(field, &bytes)])
            }
            (splitter, _) => Ok((range.start..range.end)
                .map(|item| fields::arithmetic(splitter, item))
                .collect()),
        }
    }

    /// The maps of the items of `range` as a lease carries them: inside it when small, else as a
    /// blob that is kept.
    ///
    /// # Errors
    /// As [`StageInput::materialise`].
    pub async fn payload(&self, range: ItemRange) -> Result<Payload, SplitError> {
        let items = self.materialise(range).await?;
        if Payload::fits_inline(&items) {
            return Ok(Payload::Inline(items));
        }
        let put = self.blobs.put(Payload::encode_items(&items)).await;
        put.map(Payload::Blob).map_err(|source| self.blob_error(source))
    }

    async fn lines(
        &self,
        field: &str,
        text: BlobRef,
        index: &LineIndex,
        range: ItemRange,
    ) -> Result<Vec<ByteBuf>, SplitError> {
        let (mut cursor, offset) = index.cursor(range);
        let mut file =
            self.blobs.open_file(text.hash).await.map_err(|source| self.blob_error(source))?;
        let io_error = |source| self.blob_error(BlobError::Read { hash: text.hash, source });
        file.seek(std::io::SeekFrom::Start(offset)).await.map_err(io_error)?;
        let mut items = Vec::new();
        let mut buffer = vec![0; READ_BYTES];
        while !cursor.is_done() {
            let length = file.read(&mut buffer).await.map_err(io_error)?;
            let fed = cursor.feed(&buffer[..length], |line| items.push(fields::line(field, line)));
            if fed.is_err() || length == 0 {
                break;
            }
        }
        if items.len() as u64 == range.len() {
            return Ok(items);
        }
        let item = range.start + items.len() as u64;
        Err(SplitError::Damaged { stage: self.stage.to_string(), text: text.hash, item })
    }

    fn blob_error(&self, source: BlobError) -> SplitError {
        SplitError::Blob { stage: self.stage.to_string(), source }
    }
}

async fn scan(stage: &str, text: BlobRef, blobs: &Blobs) -> Result<LineIndex, SplitError> {
    let blob_error = |source| SplitError::Blob { stage: stage.to_owned(), source };
    let line_error = |fault| SplitError::Line { stage: stage.to_owned(), fault };
    let mut file = blobs.open_file(text.hash).await.map_err(blob_error)?;
    let mut scanner = LineScanner::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut buffer).await;
        let length =
            read.map_err(|source| blob_error(BlobError::Read { hash: text.hash, source }))?;
        if length == 0 {
            break;
        }
        scanner.feed(&buffer[..length]).map_err(line_error)?;
    }
    let index = scanner.finish().map_err(line_error)?;
    if index.lines() == 0 {
        return Err(SplitError::NoLines { stage: stage.to_owned() });
    }
    Ok(index)
}

fn check_length(stage: &str, output: BlobRef) -> Result<(), SplitError> {
    let max = Limits::OUTPUT_BYTES_MAX;
    if output.bytes <= max {
        return Ok(());
    }
    Err(SplitError::TooLong { stage: stage.to_owned(), bytes: output.bytes, max })
}

/// `fields` as the MessagePack map that an item is.
fn encode_map<T: serde::Serialize>(fields: &T) -> ByteBuf {
    ByteBuf::from(wire::encode(fields))
}

#[cfg(test)]
mod tests;
