//! A file read through on threads that may block: records are parsed there, so that no long one
//! holds up those who wait for the network.
//!
//! Each piece is a task of its own. Whoever drops the future is worked for no longer than one piece.

use std::io::{self, Read};
use std::ops::ControlFlow;

use super::READ_BYTES;

/// Gives the bytes of `file` to `take` piece by piece, and an empty piece at its end, until it
/// breaks.
///
/// # Errors
/// When the file cannot be read.
pub(super) async fn read_through<T: Send + 'static>(
    file: tokio::fs::File,
    target: T,
    take: fn(&mut T, &[u8]) -> ControlFlow<()>,
) -> io::Result<T> {
    let mut pass = Pass { file: file.into_std().await, target, buffer: vec![0; READ_BYTES] };
    loop {
        let step = tokio::task::spawn_blocking(move || pass.step(take).map(|flow| (flow, pass)));
        let flow;
        (flow, pass) = step.await.expect("parsing records does not panic")?;
        if flow.is_break() {
            return Ok(pass.target);
        }
    }
}

struct Pass<T> {
    file: std::fs::File,
    target: T,
    buffer: Vec<u8>,
}

impl<T> Pass<T> {
    fn step(&mut self, take: fn(&mut T, &[u8]) -> ControlFlow<()>) -> io::Result<ControlFlow<()>> {
        let length = loop {
            match self.file.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        let flow = take(&mut self.target, &self.buffer[..length]);
        Ok(if length == 0 { ControlFlow::Break(()) } else { flow })
    }
}
