//! Bodies that are made while they are sent: what is read of the store and of blobs never stands in
//! memory as a whole, whatever the job's size.
//!
//! Invariants: a body that was not finished breaks its connection, so that nobody takes a part of
//! it for the whole; nothing more of it is made once its reader has gone.

use std::io;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use tokio::sync::mpsc;

/// How much is gathered before it is sent.
const PART_BYTES: usize = 64 * 1024;

/// Parts between whoever makes a body and its connection.
const PARTS_AHEAD: usize = 4;

/// How long a reader may take for what was made ahead before it counts as gone: others wait for
/// what it holds.
const READER_PATIENCE: Duration = Duration::from_secs(60);

/// The reader of a body has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads the answer any more")]
pub struct ReaderGone;

/// A body to be sent.
#[derive(Debug)]
pub struct Streamed {
    parts: mpsc::Receiver<Part>,
}

/// Writes a body.
#[derive(Debug)]
pub struct BodyWriter {
    parts: mpsc::Sender<Part>,
    gathered: Vec<u8>,
}

#[derive(Debug)]
enum Part {
    Bytes(Bytes),
    End,
}

/// A body and its writer.
pub fn streamed() -> (BodyWriter, Streamed) {
    let (sender, parts) = mpsc::channel(PARTS_AHEAD);
    (BodyWriter { parts: sender, gathered: Vec::new() }, Streamed { parts })
}

impl BodyWriter {
    /// Appends `bytes`; waits while the reader is slow.
    ///
    /// # Errors
    /// [`ReaderGone`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ReaderGone> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() < PART_BYTES {
            return Ok(());
        }
        self.flush().await
    }

    /// Sends what was gathered.
    ///
    /// # Errors
    /// [`ReaderGone`].
    pub async fn flush(&mut self) -> Result<(), ReaderGone> {
        let part = Part::Bytes(std::mem::take(&mut self.gathered).into());
        self.send(part).await
    }

    /// Ends the body: it is whole.
    ///
    /// # Errors
    /// [`ReaderGone`].
    pub async fn finish(mut self) -> Result<(), ReaderGone> {
        self.flush().await?;
        self.send(Part::End).await
    }

    async fn send(&self, part: Part) -> Result<(), ReaderGone> {
        match self.parts.send_timeout(part, READER_PATIENCE).await {
            Ok(()) => Ok(()),
            Err(_) => Err(ReaderGone),
        }
    }

    /// Waits until the reader has gone.
    pub async fn reader_gone(&self) {
        self.parts.closed().await;
    }
}

impl From<Streamed> for Body {
    fn from(streamed: Streamed) -> Self {
        let parts = stream::unfold(Some(streamed.parts), |parts| async {
            let mut parts = parts?;
            match parts.recv().await {
                Some(Part::Bytes(bytes)) => Some((Ok(bytes), Some(parts))),
                Some(Part::End) => None,
                None => Some((Err(io::Error::other("the answer could not be finished")), None)),
            }
        });
        Self::from_stream(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_whole_only_when_it_was_finished() {
        let (mut writer, streamed) = streamed();
        writer.write(b"half").await.expect("read");
        writer.finish().await.expect("read");
        let bytes = axum::body::to_bytes(streamed.into(), 100).await.expect("whole");
        assert_eq!(&bytes[..], b"half");

        let (mut writer, streamed) = super::streamed();
        writer.write(b"half").await.expect("read");
        writer.flush().await.expect("read");
        drop(writer);
        assert!(axum::body::to_bytes(streamed.into(), 100).await.is_err(), "it was not finished");
    }

    #[tokio::test]
    async fn nothing_is_written_for_a_reader_that_has_gone() {
        let (mut writer, streamed) = streamed();
        drop(streamed);
        writer.reader_gone().await;
        let (more, end) = (writer.write(&[0; PART_BYTES]).await, writer.finish().await);
        assert_eq!((more, end), (Err(ReaderGone), Err(ReaderGone)));
    }
}
