//! Bytes up and down, streamed: never a whole file in memory.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gleaner_protocol::api::OutputFile;
use gleaner_protocol::{BlobHash, BlobRef, JobId};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, channel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{ANSWER_LIMIT, Client, empty};
use crate::connection::Answer;
use crate::{ClientError, LocalBlob};

const CHUNK_BYTES: usize = 256 * 1024;

/// Chunks between the disk and the connection: enough to keep both busy.
const CHUNKS_IN_FLIGHT: usize = 4;

/// A whole blob of the largest size, slowly: only there so that a dead coordinator is noticed.
const UPLOAD_LIMIT: Duration = Duration::from_secs(6 * 60 * 60);

/// What became of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    /// The bytes were sent.
    Sent,
    /// The coordinator held them already.
    Held,
}

/// The hash and length of the file at `path`.
///
/// # Errors
/// When it cannot be read, or is no ordinary file.
pub fn hash_file(path: &Path) -> io::Result<BlobRef> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not an ordinary file"));
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(BlobRef { hash: BlobHash(*hasher.finalize().as_bytes()), bytes: hasher.count() })
}

impl Client {
    /// Whether the coordinator holds a blob.
    ///
    /// # Errors
    /// As [`ClientError`] says; nothing is changed.
    pub async fn holds_blob(&self, hash: BlobHash) -> Result<bool, ClientError> {
        let path = format!("/v1/blobs/{hash}");
        let answer = self.send(Method::HEAD, &path, empty(), ANSWER_LIMIT).await?;
        Ok(answer.status() != StatusCode::NOT_FOUND)
    }

    /// Sends the bytes of a file unless the coordinator holds them already.
    ///
    /// # Errors
    /// As [`ClientError`] says: [`ClientError::FileRefused`] when there is no room for the file, or
    /// it has changed since it was hashed. A repeat is harmless.
    pub async fn upload(&self, file: &LocalBlob) -> Result<Upload, ClientError> {
        if self.holds_blob(file.blob.hash).await? {
            return Ok(Upload::Held);
        }
        let read_error = |source| file_error("read", &file.path, source);
        let source = tokio::fs::File::open(&file.path).await.map_err(read_error)?;
        let (sender, body) = channel::Channel::<Bytes, io::Error>::new(CHUNKS_IN_FLIGHT);
        let feeding = tokio::spawn(feed(source, file.blob.bytes, sender));
        let request = Request::builder()
            .method(Method::PUT)
            .uri(format!("/v1/blobs/{}", file.blob.hash))
            .header(http::header::CONTENT_LENGTH, file.blob.bytes)
            .header(http::header::CONTENT_TYPE, "application/octet-stream");
        let answer = self.endpoint().send(request, body.boxed(), UPLOAD_LIMIT).await;
        // An unreadable file breaks the connection: what broke it is the better answer.
        if let (Err(_), Ok(Err(source))) = (&answer, feeding.await) {
            return Err(read_error(source));
        }
        match answer {
            Err(ClientError::Refused { status, error }) => {
                Err(ClientError::FileRefused { path: file.path.clone(), status, error })
            }
            answer => answer.map(|_| Upload::Sent),
        }
    }

    /// Fetches one file of a job's output to `destination`, replacing what is there.
    ///
    /// The file appears whole and verified, or not at all. A download that is given up leaves
    /// nothing behind; one whose process is killed leaves a hidden file `.gleaner-….part`.
    ///
    /// # Errors
    /// As [`ClientError`] says. A repeat is harmless.
    pub async fn download(
        &self,
        job: JobId,
        file: &OutputFile,
        destination: &Path,
    ) -> Result<(), ClientError> {
        let (stage, name) = (escape(&file.stage), escape(file.name.as_str()));
        let path = format!("/v1/jobs/{job}/output/{stage}/{name}");
        let answer = self.send(Method::GET, &path, empty(), ANSWER_LIMIT).await?;
        let part = Part::in_folder(destination.parent().unwrap_or(Path::new(".")));
        write(answer, file, &part.0, destination).await
    }
}

/// A file that is written under a name of its own; dropped, it is gone, unless it was renamed.
#[derive(Debug)]
pub(crate) struct Part(pub(crate) PathBuf);

impl Part {
    /// A name in `folder` that nobody else uses.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let number = getrandom::u64().expect("the system has randomness");
        Self(folder.join(format!(".gleaner-{number:016x}.part")))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It may never have been made, or bear its final name by now.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Hands `bytes` bytes of `source` to the connection, as fast as it takes them.
async fn feed(
    mut source: tokio::fs::File,
    bytes: u64,
    mut sender: channel::Sender<Bytes, io::Error>,
) -> io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        let read = match (&mut source).take(left).read_buf(&mut chunk).await {
            Ok(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            other => other,
        };
        match read {
            Ok(read) => left -= read as u64,
            Err(error) => {
                let kind = error.kind();
                sender.abort(error);
                return Err(kind.into());
            }
        }
        if sender.send_data(chunk.freeze()).await.is_err() {
            // The connection is gone; its own error says why.
            return Ok(());
        }
    }
    Ok(())
}

async fn write(
    mut answer: Answer,
    file: &OutputFile,
    part: &Path,
    destination: &Path,
) -> Result<(), ClientError> {
    let write_error = |source| file_error("write", destination, source);
    let mut target = tokio::fs::File::create_new(part).await.map_err(write_error)?;
    let mut hasher = blake3::Hasher::new();
    while let Some(chunk) = answer.chunk().await? {
        hasher.update(&chunk);
        if hasher.count() > file.bytes {
            break;
        }
        target.write_all(&chunk).await.map_err(write_error)?;
    }
    if hasher.count() != file.bytes || hasher.finalize().as_bytes() != &file.hash.0 {
        let (path, expected) = (destination.to_owned(), file.hash);
        return Err(ClientError::WrongBytes { path, expected, bytes: hasher.count() });
    }
    target.sync_all().await.map_err(write_error)?;
    tokio::fs::rename(part, destination).await.map_err(write_error)
}

pub(crate) fn file_error(action: &'static str, path: &Path, source: io::Error) -> ClientError {
    ClientError::File { action, path: path.to_owned(), source }
}

/// `text` as one segment of a path, or a value of a query: all but unreserved characters escaped
/// (RFC 3986, 2.3).
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
