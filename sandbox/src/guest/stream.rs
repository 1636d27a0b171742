//! The slot's ends of its two pipes.
//!
//! Reading flushes what is waiting to be written whenever it would have to wait itself, so that
//! neither side waits for the other.

use std::io;

use gleaner_protocol::limits::FRAME_BYTES_MAX;
use gleaner_protocol::wire;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::platform;

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

#[derive(Default)]
pub(super) struct Stream {
    input: Vec<u8>,
    used: usize,
    output: Vec<u8>,
}

impl Stream {
    /// The next message; none at the end of the input.
    pub(super) fn read<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let mut header = [0; wire::FRAME_HEADER_BYTES];
        if self.used == self.input.len() && self.fill()? == 0 {
            return Ok(None);
        }
        self.read_exact(&mut header)?;
        let length = wire::frame_length(header, FRAME_BYTES_MAX).map_err(io::Error::other)?;
        while self.input.len() - self.used < length {
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let frame = &self.input[self.used..self.used + length];
        let message = wire::decode(frame).map_err(io::Error::other)?;
        self.used += length;
        Ok(Some(message))
    }

    /// Fills `bytes` from the input.
    pub(super) fn read_exact(&mut self, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.used == self.input.len() {
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
            let length = bytes.len().min(self.input.len() - self.used);
            let (now, later) = bytes.split_at_mut(length);
            now.copy_from_slice(&self.input[self.used..self.used + length]);
            self.used += length;
            bytes = later;
        }
        Ok(())
    }

    /// Passes over `length` bytes of the input.
    pub(super) fn skip(&mut self, mut length: u64) -> io::Result<()> {
        while length > 0 {
            if self.used == self.input.len() && self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let now = length.min((self.input.len() - self.used) as u64);
            self.used += now as usize;
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
        self.input.drain(..self.used);
        self.used = 0;
        let held = self.input.len();
        self.input.resize(held + READ_BYTES, 0);
        let length = platform::read_input(&mut self.input[held..]);
        self.input.truncate(held + *length.as_ref().unwrap_or(&0));
        length
    }
}
