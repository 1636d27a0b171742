//! Files as their records are read: decompressed, where they are compressed.
//!
//! Compressed bytes cannot be read from the middle, so a compressed file is decompressed once, into
//! a file beside the blobs that may vanish at any time and is then made again. Which form a file has
//! is told by its first bytes, never by its name. Invariants: memory is bounded whatever a stream
//! claims; a decompressed file is there whole or not at all, and whoever gives it up leaves nothing
//! behind. Deliberately absent: compression.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use gleaner_protocol::BlobRef;
use gleaner_protocol::limits::BLOB_BYTES_MAX;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::blobs::{BlobError, Blobs};

/// How much is decompressed at a time.
const COPY_BYTES: usize = 256 * 1024;

/// The largest window of a zstd frame: what `zstd` itself takes without being told otherwise.
const ZSTD_WINDOW_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952, one member after another.
    Gzip,
    /// RFC 8878, one frame after another.
    Zstd,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlainError {
    /// The compressed stream is at fault. The submitter must send another one.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// This host's disk is.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// Why a compressed file cannot be decompressed. The submitter must send another one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// It does not hold what it should, or breaks off.
    #[error(
        "its {compression} stream is damaged or cut off after {plain_bytes} bytes of text \
         ({reason}); compress it again"
    )]
    Damaged {
        /// Its compression.
        compression: Compression,
        /// How many bytes could be had.
        plain_bytes: u64,
        /// The decoder's words.
        reason: String,
    },
    /// It holds too much.
    #[error("it has more than {max} bytes once decompressed; cut it into several files")]
    TooLong {
        /// The limit.
        max: u64,
    },
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

impl Compression {
    /// What `head`, the first bytes of a file, say.
    fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            // Some programs begin with a frame to be skipped.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// A blob whose plain bytes can be read from anywhere.
#[derive(Clone, Debug)]
pub(super) struct PlainFile {
    source: BlobRef,
    compression: Option<Compression>,
    blobs: Blobs,
    /// Held while it is decompressed: once is enough for all who wait for it.
    making: Arc<tokio::sync::Mutex<()>>,
}

impl PlainFile {
    /// Looks at the first bytes of `source`.
    pub(super) async fn find(source: BlobRef, blobs: &Blobs) -> Result<Self, PlainError> {
        let path = blobs.path(source.hash).ok_or(BlobError::Missing { hash: source.hash })?;
        let head = blocking(move || {
            let mut head = Vec::new();
            File::open(path)?.take(4).read_to_end(&mut head).map(|_| head)
        });
        let head =
            head.await.map_err(|error| BlobError::Read { hash: source.hash, source: error })?;
        let (compression, blobs) = (Compression::of(&head), blobs.clone());
        Ok(Self { source, compression, blobs, making: Arc::default() })
    }

    pub(super) fn source(&self) -> BlobRef {
        self.source
    }

    /// The file of the plain bytes; a compressed one is decompressed unless that was done before.
    pub(super) async fn open(&self) -> Result<tokio::fs::File, PlainError> {
        let Some(compression) = self.compression else {
            return Ok(self.blobs.open_file(self.source.hash).await?);
        };
        let derived = self.blobs.derived_path(self.source.hash);
        let _making = self.making.lock().await;
        match tokio::fs::File::open(&derived).await {
            Ok(file) => return Ok(file),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(self.read_error(error).into());
            }
            Err(_) => {}
        }
        let source = self.blobs.path(self.source.hash);
        let source = source.ok_or(BlobError::Missing { hash: self.source.hash })?;
        let scratch = Scratch(self.blobs.scratch_path());
        let waiting = Arc::new(());
        let waited_for = Arc::downgrade(&waiting);
        let made = blocking(move || {
            decompress(&source, &scratch.0, compression, &waited_for).map(|()| scratch)
        });
        // Moved into place here, not in the thread: who gives up while it works wants it no more.
        let moved = made.await.and_then(|scratch| {
            fs::rename(&scratch.0, &derived).map_err(Failure::Write)?;
            File::open(&derived).map_err(Failure::Read)
        });
        drop(waiting);
        match moved {
            Ok(file) => Ok(file.into()),
            Err(Failure::Stream(error)) => Err(error.into()),
            Err(Failure::Read(error)) => Err(self.read_error(error).into()),
            Err(Failure::Write(error)) => Err(self.blobs.io_error(error).into()),
            Err(Failure::GivenUp) => unreachable!("it is waited for until here"),
        }
    }

    /// How many plain bytes there are.
    pub(super) async fn bytes(&self) -> Result<u64, PlainError> {
        let meta = self.open().await?.metadata().await;
        Ok(meta.map_err(|error| self.read_error(error))?.len())
    }

    pub(super) fn read_error(&self, source: io::Error) -> BlobError {
        BlobError::Read { hash: self.source.hash, source }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("reading files does not panic")
}

enum Failure {
    Stream(StreamError),
    Read(io::Error),
    Write(io::Error),
    /// Nobody waits for it any more, or hears of this.
    GivenUp,
}

/// A file that goes with this value, unless it was moved elsewhere.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may not have been made; what cannot be removed now goes with the next start.
        let _ = fs::remove_file(&self.0);
    }
}

/// Writes what `source` holds to `target`, for as long as it is waited for.
fn decompress(
    source: &Path,
    target: &Path,
    compression: Compression,
    waited_for: &Weak<()>,
) -> Result<(), Failure> {
    let source = Watched::open(source).map_err(Failure::Read)?;
    let trouble = Arc::clone(&source.trouble);
    let mut target = File::create_new(target).map_err(Failure::Write)?;
    let mut plain: Box<dyn Read> = match compression {
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(source))),
        Compression::Zstd => Box::new(Frames::new(BufReader::new(source))),
    };
    let mut buffer = vec![0; COPY_BYTES];
    let mut plain_bytes = 0;
    loop {
        if waited_for.strong_count() == 0 {
            return Err(Failure::GivenUp);
        }
        let length = match plain.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let trouble = trouble.lock().ok().and_then(|mut trouble| trouble.take());
                return Err(trouble.map_or_else(
                    || {
                        let reason = error.to_string();
                        let stream = StreamError::Damaged { compression, plain_bytes, reason };
                        Failure::Stream(stream)
                    },
                    Failure::Read,
                ));
            }
        };
        plain_bytes += length as u64;
        if plain_bytes > BLOB_BYTES_MAX {
            return Err(Failure::Stream(StreamError::TooLong { max: BLOB_BYTES_MAX }));
        }
        target.write_all(&buffer[..length]).map_err(Failure::Write)?;
    }
}

/// A file whose own errors are remembered: decoders wrap them in theirs.
struct Watched {
    file: File,
    trouble: Arc<Mutex<Option<io::Error>>>,
}

impl Watched {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, trouble: Arc::default() })
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer).inspect_err(|error| {
            if let Ok(mut trouble) = self.trouble.lock() {
                *trouble = Some(error.kind().into());
            }
        })
    }
}

/// The frames of a zstd file, one after another.
struct Frames<R> {
    source: R,
    frame: FrameDecoder,
    has_frame: bool,
}

impl<R: BufRead> Frames<R> {
    fn new(source: R) -> Self {
        let mut frame = FrameDecoder::new();
        frame.set_max_window_size(ZSTD_WINDOW_BYTES_MAX);
        Self { source, frame, has_frame: false }
    }

    /// Begins the next frame, unless the file is at its end.
    fn begin(&mut self) -> io::Result<()> {
        while !self.source.fill_buf()?.is_empty() {
            match self.frame.init(&mut self.source) {
                Ok(()) => {
                    self.has_frame = true;
                    return Ok(());
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => skip(&mut self.source, length.into())?,
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.has_frame = false;
        let sum = self.frame.get_checksum_from_data();
        if sum.is_some() && sum != self.frame.get_calculated_checksum() {
            return Err(io::Error::other("a frame's checksum does not match"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.has_frame {
                self.begin()?;
                if !self.has_frame {
                    return Ok(0);
                }
            }
            while self.frame.can_collect() == 0 && !self.frame.is_finished() {
                let strategy = BlockDecodingStrategy::UptoBlocks(1);
                self.frame.decode_blocks(&mut self.source, strategy).map_err(io::Error::other)?;
            }
            match self.frame.read(buffer)? {
                0 => self.end()?,
                length => return Ok(length),
            }
        }
    }
}

fn skip(source: &mut impl Read, length: u64) -> io::Result<()> {
    let skipped = io::copy(&mut source.take(length), &mut io::sink())?;
    if skipped == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn frames(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        Frames::new(bytes).read_to_end(&mut plain).map(|_| plain)
    }

    #[test]
    fn the_first_bytes_tell_how_a_file_is_compressed() {
        let check = |head: &[u8], expected| assert_eq!(Compression::of(head), expected, "{head:?}");
        check(&[0x1f, 0x8b, 8, 0], Some(Compression::Gzip));
        check(&[0x28, 0xb5, 0x2f, 0xfd], Some(Compression::Zstd));
        check(&[0x5a, 0x2a, 0x4d, 0x18], Some(Compression::Zstd));
        check(&[0x1f, 0x8b], None);
        check(b"id,n", None);
        check(b"", None);
    }

    proptest! {
        #[test]
        fn frames_give_what_went_in(texts in proptest::collection::vec("[ab\n]{0,300}", 0..4)) {
            let frame = |text: &String| compress_to_vec(text.as_bytes(), CompressionLevel::Fastest);
            let file: Vec<u8> = texts.iter().flat_map(frame).collect();
            prop_assert_eq!(frames(&file).expect("sound frames"), texts.concat().into_bytes());
        }

        #[test]
        fn damaged_frames_are_refused_or_read_but_never_a_panic(
            text in "[abc\n]{0,500}",
            damages in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut file = compress_to_vec(text.as_bytes(), CompressionLevel::Fastest);
            for (place, byte) in damages {
                let place = place.index(file.len());
                file[place] ^= byte;
            }
            let _ = frames(&file[..cut.index(file.len() + 1)]);
        }
    }
}
