//! Why a stage has no items to give.

use gleaner_protocol::BlobHash;

use super::plain::StreamError;
use super::records::RecordError;
use crate::blobs::BlobError;

/// Why a stage has no items to give.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// A file cannot be cut into records. The submitter must send another one.
    #[error("stage `{stage}`: {file:?}, {fault}")]
    Record {
        /// The stage.
        stage: String,
        /// The submitter's name for the file.
        file: String,
        /// Which line, and why.
        fault: RecordError,
    },
    /// A file cannot be decompressed. The submitter must send another one.
    #[error("stage `{stage}`: {file:?}: {fault}")]
    Stream {
        /// The stage.
        stage: String,
        /// The submitter's name for the file.
        file: String,
        /// Why.
        fault: StreamError,
    },
    /// A file has no record. The submitter must send another one.
    #[error("stage `{stage}`: {file:?} has no record, so there is no item to compute")]
    NoRecords {
        /// The stage.
        stage: String,
        /// The submitter's name for the file.
        file: String,
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
    /// A file or the output could not be read.
    #[error("stage `{stage}`: its input cannot be read")]
    Blob {
        /// The stage.
        stage: String,
        /// Why.
        #[source]
        source: BlobError,
    },
    /// A file is not what it was when its records were counted: the blobs' folder is damaged.
    #[error("stage `{stage}`: item {item} is no longer in blob {blob}; the blobs' disk is damaged")]
    Damaged {
        /// The stage.
        stage: String,
        /// The file.
        blob: BlobHash,
        /// The first item that is missing.
        item: u64,
    },
}

impl SplitError {
    /// Whether a file of the submitter's is at fault.
    pub fn is_of_file(&self) -> bool {
        matches!(self, Self::Record { .. } | Self::Stream { .. } | Self::NoRecords { .. })
    }

    /// Whether the job itself is at fault, not this coordinator's disk.
    pub fn is_of_job(&self) -> bool {
        !matches!(self, Self::Blob { .. } | Self::Damaged { .. })
    }
}
