//! MessagePack as JSON text (RFC 8259).
//!
//! Numbers are exact: a float is the shortest decimal that reads back to the same bits. What JSON
//! has no word for is a string: `"NaN"`, `"Infinity"`, `"-Infinity"`, and bytes as base 64
//! (RFC 4648). Keys that are numbers or booleans become their text.

use data_encoding::BASE64;

use super::OutputFault;
use super::messagepack::{Reader, Token};

/// How deep values may nest; a guard for the stack, far beyond what a task's types do.
const DEPTH_MAX: u32 = 64;

/// Appends the next value to `text`.
pub(super) fn write(reader: &mut Reader<'_>, text: &mut Vec<u8>) -> Result<(), OutputFault> {
    write_nested(reader, text, DEPTH_MAX)
}

fn write_nested(
    reader: &mut Reader<'_>,
    text: &mut Vec<u8>,
    depth: u32,
) -> Result<(), OutputFault> {
    let Some(below) = depth.checked_sub(1) else {
        return Err(OutputFault::Nesting { max: DEPTH_MAX });
    };
    match reader.next()? {
        Token::List(values) => {
            text.push(b'[');
            for position in 0..values {
                separate(text, position);
                write_nested(reader, text, below)?;
            }
            text.push(b']');
        }
        Token::Map(pairs) => {
            text.push(b'{');
            for position in 0..pairs {
                separate(text, position);
                write_key(reader.next()?, text)?;
                text.push(b':');
                write_nested(reader, text, below)?;
            }
            text.push(b'}');
        }
        Token::Float(value) => write_float(value, text),
        Token::Text(value) => write_string(value, text),
        Token::Bytes(value) => write_string(&BASE64.encode(value), text),
        Token::Extension(kind) => return Err(OutputFault::Extension { kind }),
        token => text.extend_from_slice(plain(token).as_bytes()),
    }
    Ok(())
}

/// The text of a value that holds no others and needs no quotes.
pub(super) fn plain(token: Token<'_>) -> String {
    match token {
        Token::Nil => "null".to_owned(),
        Token::Bool(value) => value.to_string(),
        Token::Unsigned(value) => value.to_string(),
        Token::Signed(value) => value.to_string(),
        Token::Float(value) => float(value),
        Token::Text(_) | Token::Bytes(_) | Token::List(_) | Token::Map(_) | Token::Extension(_) => {
            unreachable!("{} is no plain value", token.kind())
        }
    }
}

/// Appends a float; what JSON has no number for as a string.
pub(super) fn write_float(value: f64, text: &mut Vec<u8>) {
    match value.is_finite() {
        true => text.extend_from_slice(float(value).as_bytes()),
        false => write_string(&float(value), text),
    }
}

/// Appends a string in quotes.
pub(super) fn write_string(value: &str, text: &mut Vec<u8>) {
    serde_json::to_writer(text, value).expect("writing to memory does not fail");
}

fn float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    serde_json::to_string(&value).expect("a finite number has a JSON form")
}

fn write_key(key: Token<'_>, text: &mut Vec<u8>) -> Result<(), OutputFault> {
    match key {
        Token::Text(key) => write_string(key, text),
        Token::Bool(_) | Token::Unsigned(_) | Token::Signed(_) => {
            write_string(&plain(key), text);
        }
        key => return Err(OutputFault::Key { kind: key.kind() }),
    }
    Ok(())
}

fn separate(text: &mut Vec<u8>, position: u32) {
    if position > 0 {
        text.push(b',');
    }
}
