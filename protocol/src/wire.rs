//! MessagePack with named fields, framed by a length.
//!
//! A frame is four bytes of length (big-endian) and that many bytes of one MessagePack value. A
//! reader checks the length against its own limit before it allocates. Named fields let a later
//! version add a field without breaking an older reader.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The bytes of a frame's length.
pub const FRAME_HEADER_BYTES: usize = 4;

/// Nested values deeper than this are refused, as a stranger's bytes could exhaust the stack.
const DEPTH_MAX: usize = 64;

/// Why bytes from a peer are not a message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The frame announces more than the reader takes.
    #[error("a frame of {bytes} bytes is over the limit of {max}")]
    TooLong {
        /// The bytes announced.
        bytes: u64,
        /// The reader's limit.
        max: usize,
    },
    /// The bytes are not the MessagePack of the expected type.
    #[error("not a valid message: {0}")]
    Malformed(#[from] rmp_serde::decode::Error),
    /// A whole value is followed by more bytes.
    #[error("{bytes} bytes follow the message")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

/// `value` as MessagePack with named fields.
///
/// # Panics
/// When `value` has a map key or a length that MessagePack cannot say; no type of ours does.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("our types have lengths and fit MessagePack")
}

/// One value of MessagePack and nothing after it.
///
/// # Errors
/// [`DecodeError::Malformed`] or [`DecodeError::Trailing`]. Allocation is bounded by the length of
/// `bytes`: lengths that a value announces are not believed.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut reader = bytes;
    let mut deserializer = rmp_serde::Deserializer::new(&mut reader);
    deserializer.set_max_depth(DEPTH_MAX);
    let value = T::deserialize(&mut deserializer)?;
    match reader.len() {
        0 => Ok(value),
        bytes => Err(DecodeError::Trailing { bytes }),
    }
}

/// `value` as one frame: its length, then its bytes.
///
/// # Panics
/// When the frame would be longer than four bytes of length can say.
pub fn encode_frame<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut frame = vec![0; FRAME_HEADER_BYTES];
    rmp_serde::encode::write_named(&mut frame, value)
        .expect("our types have lengths and fit MessagePack");
    let bytes = u32::try_from(frame.len() - FRAME_HEADER_BYTES).expect("a frame is under 4 GiB");
    frame[..FRAME_HEADER_BYTES].copy_from_slice(&bytes.to_be_bytes());
    frame
}

/// The length that a frame's header announces, checked against `max`.
///
/// # Errors
/// [`DecodeError::TooLong`].
pub fn frame_length(header: [u8; FRAME_HEADER_BYTES], max: usize) -> Result<usize, DecodeError> {
    let bytes = u32::from_be_bytes(header);
    match usize::try_from(bytes) {
        Ok(length) if length <= max => Ok(length),
        _ => Err(DecodeError::TooLong { bytes: u64::from(bytes), max }),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Old {
        a: u32,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New {
        a: u32,
        b: String,
    }

    #[test]
    fn a_later_version_may_add_a_field() {
        let bytes = encode(&New { a: 1, b: "x".into() });
        assert_eq!(decode::<Old>(&bytes).expect("unknown fields are skipped"), Old { a: 1 });
    }

    #[test]
    fn a_frame_says_its_length_and_the_reader_checks_it() {
        let frame = encode_frame(&Old { a: 1 });
        let header = frame[..FRAME_HEADER_BYTES].try_into().expect("four bytes");
        assert_eq!(frame_length(header, 64).expect("short"), frame.len() - FRAME_HEADER_BYTES);
        assert!(matches!(frame_length([255; 4], 64), Err(DecodeError::TooLong { max: 64, .. })));
    }

    #[test]
    fn an_announced_length_is_not_believed() {
        let four_gib_of_bytes = [0xc6, 0xff, 0xff, 0xff, 0xff];
        assert!(decode::<serde_bytes::ByteBuf>(&four_gib_of_bytes).is_err());
        let four_gib_of_items = [0xdd, 0xff, 0xff, 0xff, 0xff];
        assert!(decode::<Vec<u64>>(&four_gib_of_items).is_err());
    }

    #[test]
    fn bytes_after_a_value_and_deep_nesting_are_refused() {
        assert!(matches!(decode::<u32>(&[1, 2]), Err(DecodeError::Trailing { bytes: 1 })));
        let nested = vec![0x91; 10_000];
        assert!(decode::<crate::Value>(&nested).is_err());
    }
}
