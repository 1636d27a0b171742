//! What tells of a job beside its output, and previews of what is not done: fetched to files under
//! names of their own, for the caller to put in place once it knows that it wants to.

use std::path::Path;

use bytes::{Buf, BytesMut};
use gleaner_protocol::api::{PartialEntry, PartialFile, PartialStage};
use gleaner_protocol::results::{FAILED_FILE, PROVENANCE_FILE};
use gleaner_protocol::{BlobHash, BlobRef, JobId};
use http::Method;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use crate::ClientError;
use crate::blobs::{Part, file_error};
use crate::client::{ANSWER_LIMIT, Client, empty};
use crate::connection::Answer;

/// The longest line before a file: a stage's words, and names.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// A file that tells of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The table of the items that gave no output.
    Failed,
    /// What made the outputs.
    Provenance,
}

/// A file that came whole; dropped, it is gone, unless it was put in place.
#[derive(Debug)]
pub struct FetchedFile {
    part: Part,
    blob: BlobRef,
}

/// What there is of a job that is not done.
#[derive(Debug, Default)]
pub struct Partial {
    /// Previews, and the table of what they lack.
    pub files: Vec<(PartialFile, FetchedFile)>,
    /// How much there is of each stage that is not done.
    pub stages: Vec<PartialStage>,
}

impl Report {
    /// The name of its file.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Failed => FAILED_FILE,
            Self::Provenance => PROVENANCE_FILE,
        }
    }
}

impl FetchedFile {
    /// Its hash and length.
    pub fn blob(&self) -> BlobRef {
        self.blob
    }

    /// Where it is until it is put in place.
    pub fn path(&self) -> &Path {
        &self.part.0
    }

    /// Puts it to `destination`, on the same file system, replacing what is there.
    ///
    /// # Errors
    /// [`ClientError::File`]; then it is gone.
    pub fn place(self, destination: &Path) -> Result<(), ClientError> {
        std::fs::rename(&self.part.0, destination)
            .map_err(|source| file_error("write", destination, source))
    }
}

impl Client {
    /// Fetches a report into `folder`, under a hidden name.
    ///
    /// # Errors
    /// As [`ClientError`] says; nothing is left. A repeat is harmless.
    pub async fn report(
        &self,
        job: JobId,
        report: Report,
        folder: &Path,
    ) -> Result<FetchedFile, ClientError> {
        let path = format!("/v1/jobs/{job}/{}", report.file_name());
        let mut answer = self.send(Method::GET, &path, empty(), ANSWER_LIMIT).await?;
        let mut incoming = Incoming::start(folder).await?;
        while let Some(chunk) = answer.chunk().await? {
            incoming.write(&chunk).await?;
        }
        incoming.finish().await
    }

    /// Fetches previews of all that a job has not done into `folder`, under hidden names.
    ///
    /// # Errors
    /// As [`ClientError`] says; nothing is left. A repeat is harmless.
    pub async fn partial(&self, job: JobId, folder: &Path) -> Result<Partial, ClientError> {
        let path = format!("/v1/jobs/{job}/partial");
        let answer = self.send(Method::GET, &path, empty(), ANSWER_LIMIT).await?;
        let mut frames = Frames { answer, buffer: BytesMut::new(), request: path };
        let mut partial = Partial::default();
        while let Some(entry) = frames.entry().await? {
            match entry {
                PartialEntry::Stage(stage) => partial.stages.push(stage),
                PartialEntry::File(file) => {
                    let fetched = frames.file(&file, folder).await?;
                    partial.files.push((file, fetched));
                }
            }
        }
        Ok(partial)
    }
}

/// An answer that is lines, and files between them.
struct Frames {
    answer: Answer,
    buffer: BytesMut,
    request: String,
}

impl Frames {
    /// The next entry; `None` at the end.
    async fn entry(&mut self) -> Result<Option<PartialEntry>, ClientError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                if line.is_empty() {
                    continue;
                }
                let entry = serde_json::from_slice(&line);
                return entry.map(Some).map_err(|error| self.malformed(error.to_string()));
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(self.malformed("a line before a file is too long".into()));
            }
            match self.answer.chunk().await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(self.malformed("its last line has no end".into())),
            }
        }
    }

    async fn file(
        &mut self,
        file: &PartialFile,
        folder: &Path,
    ) -> Result<FetchedFile, ClientError> {
        let mut incoming = Incoming::start(folder).await?;
        let mut left = file.bytes;
        while left > 0 {
            if self.buffer.is_empty() {
                let chunk = self.answer.chunk().await?;
                let chunk = chunk.ok_or_else(|| self.malformed("it ended within a file".into()))?;
                self.buffer.extend_from_slice(&chunk);
            }
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            incoming.write(&self.buffer.split_to(length)).await?;
            left -= length as u64;
        }
        let fetched = incoming.finish().await?;
        if fetched.blob.hash == file.hash {
            return Ok(fetched);
        }
        let (path, bytes) = (file.name.below(folder), fetched.blob.bytes);
        Err(ClientError::WrongBytes { path, expected: file.hash, bytes })
    }

    fn malformed(&self, reason: String) -> ClientError {
        ClientError::Malformed { request: format!("GET {}", self.request), reason }
    }
}

/// A file that comes in.
struct Incoming {
    part: Part,
    file: File,
    hasher: blake3::Hasher,
}

impl Incoming {
    async fn start(folder: &Path) -> Result<Self, ClientError> {
        let part = Part::in_folder(folder);
        let file = File::create_new(&part.0).await;
        let file = file.map_err(|source| file_error("write", &part.0, source))?;
        Ok(Self { part, file, hasher: blake3::Hasher::new() })
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.hasher.update(bytes);
        let written = self.file.write_all(bytes).await;
        written.map_err(|source| file_error("write", &self.part.0, source))
    }

    async fn finish(mut self) -> Result<FetchedFile, ClientError> {
        let synced = async {
            self.file.flush().await?;
            self.file.sync_all().await
        };
        synced.await.map_err(|source| file_error("write", &self.part.0, source))?;
        let hash = BlobHash(*self.hasher.finalize().as_bytes());
        Ok(FetchedFile { part: self.part, blob: BlobRef { hash, bytes: self.hasher.count() } })
    }
}
