//! The slot's ends of its two pipes.
//!
//! Reading flushes what is waiting to be written whenever it would have to wait itself, so that
//! neither side waits for the other.

use std::io;
use std::ops::Range;

use gleaner_protocol::limits::FRAME_BYTES_MAX;
use gleaner_protocol::wire;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::platform;

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

pub(super) struct Stream {
    /// What is read goes here; it only grows, so that nothing is cleared again and again.
    input: Vec<u8>,
    /// The part of `input` that holds bytes not yet used.
    held: Range<usize>,
    output: Vec<u8>,
}

impl Default for Stream {
    fn default() -> Self {
        Self { input: vec![0; READ_BYTES], held: 0..0, output: Vec::new() }
    }
}

impl Stream {
    /// The next message; none at the end of the input.
    pub(super) fn read<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let mut header = [0; wire::FRAME_HEADER_BYTES];
        if self.held.is_empty() && self.fill()? == 0 {
            return Ok(None);
        }
        self.read_exact(&mut header)?;
        let length = wire::frame_length(header, FRAME_BYTES_MAX).map_err(io::Error::other)?;
        while self.held.len() < length {
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let frame = &self.input[self.held.start..self.held.start + length];
        let message = wire::decode(frame).map_err(io::Error::other)?;
        self.held.start += length;
        Ok(Some(message))
    }

    /// Fills `bytes` from the input.
    pub(super) fn read_exact(&mut self, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.held.is_empty() {
                self.flush()?;
                // Large inputs go straight to where they are wanted.
                if bytes.len() >= READ_BYTES {
                    match platform::read_input(bytes)? {
                        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                        length => bytes = &mut bytes[length..],
                    }
                    continue;
                }
                if self.fill()? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let length = bytes.len().min(self.held.len());
            let (now, later) = bytes.split_at_mut(length);
            now.copy_from_slice(&self.input[self.held.start..self.held.start + length]);
            self.held.start += length;
            bytes = later;
        }
        Ok(())
    }

    /// Passes over `length` bytes of the input.
    pub(super) fn skip(&mut self, mut length: u64) -> io::Result<()> {
        while length > 0 {
            if self.held.is_empty() && self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let now = length.min(self.held.len() as u64);
            self.held.start += now as usize;
            length -= now;
        }
        Ok(())
    }

    /// Adds a message to what will be written.
    pub(super) fn push<T: Serialize>(&mut self, message: &T) {
        self.output.extend(wire::encode_frame(message));
    }

    /// Adds bytes that belong to the last message.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// Writes all that is waiting.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let mut rest = self.output.as_slice();
        while !rest.is_empty() {
            rest = &rest[platform::write_output(rest)?..];
        }
        self.output.clear();
        Ok(())
    }

    /// Reads more; 0 at the end of the input.
    fn fill(&mut self) -> io::Result<usize> {
        self.flush()?;
        self.input.copy_within(self.held.clone(), 0);
        self.held = 0..self.held.len();
        if self.held.end == self.input.len() {
            self.input.resize(self.held.end + READ_BYTES, 0);
        }
        let length = platform::read_input(&mut self.input[self.held.end..])?;
        self.held.end += length;
        Ok(length)
    }
}
