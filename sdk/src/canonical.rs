//! One set of bits for "not a number".
//!
//! Which NaN an operation gives differs between CPUs, and nothing else in WebAssembly's arithmetic
//! does. An output is therefore searched for NaNs before it leaves, after it has been encoded: a
//! walk over the encoded bytes sees every float, whatever the author's types do.

/// The NaN of 32-bit floats in an output.
pub const NAN_32: u32 = 0x7fc0_0000;
/// The NaN of 64-bit floats in an output.
pub const NAN_64: u64 = 0x7ff8_0000_0000_0000;

/// Replaces every NaN among the MessagePack values in `bytes` by [`NAN_32`] or [`NAN_64`].
///
/// Values are visited as a flat run of markers: a container's header is followed by its elements,
/// so no nesting has to be tracked. Strings, `bin` and extensions are skipped whole.
///
/// # Panics
/// When `bytes` are not whole MessagePack values; they come from an encoder.
pub fn canonicalise_nans(bytes: &mut [u8]) {
    let mut rest = bytes;
    while let Some((&mut marker, body)) = std::mem::take(&mut rest).split_first_mut() {
        let length = body_length(marker, body);
        let (body, after) = body.split_at_mut(length);
        match marker {
            0xca => canonicalise_32(body),
            0xcb => canonicalise_64(body),
            _ => {}
        }
        rest = after;
    }
}

fn canonicalise_32(body: &mut [u8]) {
    let bytes = body.try_into().expect("a 32-bit float has four bytes");
    if f32::from_bits(u32::from_be_bytes(bytes)).is_nan() {
        body.copy_from_slice(&NAN_32.to_be_bytes());
    }
}

fn canonicalise_64(body: &mut [u8]) {
    let bytes = body.try_into().expect("a 64-bit float has eight bytes");
    if f64::from_bits(u64::from_be_bytes(bytes)).is_nan() {
        body.copy_from_slice(&NAN_64.to_be_bytes());
    }
}

/// How many bytes after `marker` are not values of their own.
/// Source: the MessagePack specification, "Formats".
fn body_length(marker: u8, body: &[u8]) -> usize {
    match marker {
        0xa0..=0xbf => usize::from(marker & 0x1f),
        0xc4 | 0xd9 => 1 + length::<1>(body),
        0xc5 | 0xda => 2 + length::<2>(body),
        0xc6 | 0xdb => 4 + length::<4>(body),
        0xc7 => 2 + length::<1>(body),
        0xc8 => 3 + length::<2>(body),
        0xc9 => 5 + length::<4>(body),
        0xcc | 0xd0 => 1,
        0xcd | 0xd1 | 0xdc | 0xde | 0xd4 => 2,
        0xd5 => 3,
        0xca | 0xce | 0xd2 | 0xdd | 0xdf => 4,
        0xd6 => 5,
        0xcb | 0xcf | 0xd3 => 8,
        0xd7 => 9,
        0xd8 => 17,
        // Small integers, small containers, nil, booleans and the one unused marker.
        0x00..=0x9f | 0xc0..=0xc3 | 0xe0..=0xff => 0,
    }
}

/// The big-endian number in the first `N` bytes.
fn length<const N: usize>(body: &[u8]) -> usize {
    body[..N].iter().fold(0, |length, &byte| length << 8 | usize::from(byte))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::*;
    use crate::Bytes;

    fn encode<T: Serialize>(value: &T) -> Vec<u8> {
        rmp_serde::to_vec_named(value).expect("it encodes")
    }

    fn canonical<T: Serialize>(value: &T) -> Vec<u8> {
        let mut bytes = encode(value);
        canonicalise_nans(&mut bytes);
        bytes
    }

    const STRANGE_32: [u32; 4] = [0xffc0_0000, 0x7fc0_1234, 0x7f80_0001, 0xffff_ffff];
    const STRANGE_64: [u64; 4] =
        [0xfff8_0000_0000_0000, 0x7ff8_dead_beef_0000, 0x7ff0_0000_0000_0001, u64::MAX];

    #[test]
    fn every_nan_gets_the_same_bits() {
        for bits in STRANGE_32 {
            assert_eq!(canonical(&f32::from_bits(bits)), encode(&f32::from_bits(NAN_32)));
        }
        for bits in STRANGE_64 {
            assert_eq!(canonical(&f64::from_bits(bits)), encode(&f64::from_bits(NAN_64)));
        }
    }

    #[test]
    fn all_else_stays_as_it_is() {
        let nan_like_bytes = Bytes::from([0xca, 0xff, 0xff, 0xff, 0xff].repeat(20_000));
        assert_eq!(canonical(&nan_like_bytes), encode(&nan_like_bytes));
        for number in [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, 1.5] {
            assert_eq!(canonical(&number), encode(&number));
        }
    }

    #[test]
    fn nans_are_found_among_values_of_every_format() {
        fn record(nan: f64) -> impl Serialize {
            let strings = [1, 31, 32, 255, 256, 65_536].map(|length| "x".repeat(length));
            let bytes = [1, 255, 256, 65_536].map(|length| Bytes::from(vec![0xcb; length]));
            let integers = (
                [0_i64, 127, 128, 255, 256, 65_535, 65_536, i64::MAX],
                [u64::MAX],
                [-1_i64, -32, -33, -128, -129, -32_768, -32_769, i64::MIN],
            );
            let lists = [3, 16, 65_536].map(|length| vec![nan; length]);
            let maps = [3, 16, 65_536]
                .map(|entries| (0..entries).map(|key| (key, nan)).collect::<BTreeMap<u32, f64>>());
            ((strings, bytes), integers, (None::<u8>, true, ()), lists, (maps, nan as f32), nan)
        }
        let strange = canonical(&record(f64::from_bits(STRANGE_64[0])));
        assert!(strange == encode(&record(f64::from_bits(NAN_64))));
    }

    #[test]
    fn extensions_are_skipped_whole() {
        for (header, body) in [
            (vec![0xd4, 1], 1_usize),
            (vec![0xd5, 1], 2),
            (vec![0xd6, 1], 4),
            (vec![0xd7, 1], 8),
            (vec![0xd8, 1], 16),
            (vec![0xc7, 5, 1], 5),
            (vec![0xc8, 1, 0, 1], 256),
            (vec![0xc9, 0, 1, 0, 0, 1], 65_536),
        ] {
            let extension = [header, vec![0xca; body]].concat();
            let mut bytes = [&extension[..], &encode(&f32::from_bits(u32::MAX))].concat();
            canonicalise_nans(&mut bytes);
            assert!(bytes == [&extension[..], &encode(&f32::from_bits(NAN_32))].concat());
        }
    }
}
