//! Where the bytes are that a splitter cuts.

use serde::{Deserialize, Serialize};

use crate::{BlobHash, BlobRef, StageIndex};

/// Where the bytes are that a splitter cuts.
///
/// A file is written as its blob, `{hash, bytes}`, and a stage as `{stage}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub enum RecordSource {
    /// In a file of the submitter's.
    File(BlobRef),
    /// In the one file of an earlier stage's output.
    Stage(StageIndex),
}

/// A source as it is written: an enum without a tag would lose whether it is text or MessagePack
/// that is read, and hashes differ in the two.
#[derive(Serialize, Deserialize)]
struct Form {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<BlobHash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stage: Option<StageIndex>,
}

/// Neither a blob nor a stage, or both.
#[derive(Debug, thiserror::Error)]
#[error("a source has a file's `hash` and `bytes`, or the `stage` before")]
struct NoSource;

impl TryFrom<Form> for RecordSource {
    type Error = NoSource;

    fn try_from(form: Form) -> Result<Self, NoSource> {
        match (form.hash, form.bytes, form.stage) {
            (Some(hash), Some(bytes), None) => Ok(Self::File(BlobRef { hash, bytes })),
            (None, None, Some(stage)) => Ok(Self::Stage(stage)),
            _ => Err(NoSource),
        }
    }
}

impl From<RecordSource> for Form {
    fn from(source: RecordSource) -> Self {
        match source {
            RecordSource::File(BlobRef { hash, bytes }) => {
                Self { hash: Some(hash), bytes: Some(bytes), stage: None }
            }
            RecordSource::Stage(stage) => Self { hash: None, bytes: None, stage: Some(stage) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn a_file_is_written_as_it_was_before_there_were_stages() {
        let blob = BlobRef::of(b"words");
        assert_eq!(wire::encode(&RecordSource::File(blob)), wire::encode(&blob));
        let read: RecordSource = wire::decode(&wire::encode(&blob)).expect("a blob is a source");
        assert_eq!(read, RecordSource::File(blob));
        let text = serde_json::to_string(&blob).expect("it has a text");
        let read: RecordSource = serde_json::from_str(&text).expect("a blob is a source");
        assert_eq!(read, RecordSource::File(blob));
    }

    #[test]
    fn a_stage_is_written_by_its_number() {
        let source = RecordSource::Stage(StageIndex(3));
        assert_eq!(serde_json::to_string(&source).expect("it has a text"), r#"{"stage":3}"#);
        let read: RecordSource = wire::decode(&wire::encode(&source)).expect("it is read");
        assert_eq!(read, source);
    }

    #[test]
    fn what_is_neither_or_both_is_refused() {
        let hash = BlobHash::of(b"");
        for text in ["{}", r#"{"bytes":1}"#, &format!(r#"{{"hash":"{hash}","bytes":0,"stage":1}}"#)]
        {
            assert!(serde_json::from_str::<RecordSource>(text).is_err(), "{text}");
        }
    }
}
