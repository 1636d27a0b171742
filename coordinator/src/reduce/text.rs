//! Outputs one after the other, and outputs as lines.

use super::messagepack::{Reader, Token};
use super::{OutputFault, json};

/// Appends an output that is bytes or text, as it is.
pub(super) fn concat(output: &[u8], text: &mut Vec<u8>) -> Result<(), OutputFault> {
    match Reader::new(output).next()? {
        Token::Bytes(bytes) => text.extend_from_slice(bytes),
        Token::Text(value) => text.extend_from_slice(value.as_bytes()),
        other => return Err(OutputFault::NotBytes { kind: other.kind() }),
    }
    Ok(())
}

/// Appends an output as a line: text as it is, anything else as JSON.
pub(super) fn line(output: &[u8], text: &mut Vec<u8>) -> Result<(), OutputFault> {
    match Reader::new(output).next()? {
        Token::Text(value) => text.extend_from_slice(value.as_bytes()),
        _ => json::write(&mut Reader::new(output), text)?,
    }
    text.push(b'\n');
    Ok(())
}
