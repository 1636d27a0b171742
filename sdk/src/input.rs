//! From a stage's parameters and an item's fields to the author's type.

use serde::de::DeserializeOwned;

use crate::Error;

/// Nested deeper than this, a value is refused before it exhausts the stack.
const DEPTH_MAX: usize = 64;

/// The author's type from the stage's parameters and the item's fields, both MessagePack maps
/// without a common key.
///
/// # Errors
/// When a map is not one, or the type refuses a field; the error names the field.
pub(crate) fn decode_record<T: DeserializeOwned>(
    parameters: &[u8],
    item: &[u8],
) -> Result<T, Error> {
    let record = splice(parameters, item)
        .ok_or_else(|| Error::new("the host gave parameters or fields that are not a map"))?;
    decode_value(&record).map_err(|error| error.context("input"))
}

/// The author's type from one MessagePack value.
///
/// # Errors
/// When the type refuses it; the error names the field.
pub(crate) fn decode_value<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut deserializer = rmp_serde::Deserializer::new(bytes);
    deserializer.set_max_depth(DEPTH_MAX);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = error.path().to_string();
        let reason = reason(error.inner());
        match field.as_str() {
            "." => reason,
            _ => reason.context(format_args!("field `{field}`")),
        }
    })
}

/// The decoder's error in words that do not need a table of MessagePack's markers.
fn reason(error: &rmp_serde::decode::Error) -> Error {
    match error {
        rmp_serde::decode::Error::TypeMismatch(marker) => {
            let found = match marker.to_u8() {
                0xc0 => "nothing (nil)",
                0xc2 | 0xc3 => "true or false",
                0xca | 0xcb => "a float",
                0xa0..=0xbf | 0xd9..=0xdb => "text",
                0xc4..=0xc6 => "bytes",
                0x90..=0x9f | 0xdc | 0xdd => "a list",
                0x80..=0x8f | 0xde | 0xdf => "a table",
                _ => "a whole number",
            };
            Error::new(format_args!("{found} does not fit the task's type"))
        }
        other => Error::new(other),
    }
}

/// One map of the entries of both.
fn splice(first: &[u8], second: &[u8]) -> Option<Vec<u8>> {
    let (first_entries, first_body) = split_map_header(first)?;
    let (second_entries, second_body) = split_map_header(second)?;
    let entries = first_entries.checked_add(second_entries)?;
    let mut record = Vec::with_capacity(5 + first_body.len() + second_body.len());
    record.push(0xdf);
    record.extend(entries.to_be_bytes());
    record.extend(first_body);
    record.extend(second_body);
    Some(record)
}

/// The number of entries that a map's header announces, and the bytes after it.
fn split_map_header(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (&marker, rest) = bytes.split_first()?;
    match marker {
        0x80..=0x8f => Some((u32::from(marker & 0x0f), rest)),
        0xde => {
            let (length, body) = rest.split_first_chunk()?;
            Some((u32::from(u16::from_be_bytes(*length)), body))
        }
        0xdf => {
            let (length, body) = rest.split_first_chunk()?;
            Some((u32::from_be_bytes(*length), body))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        number: i64,
        scale: f64,
        #[serde(default)]
        word: Option<String>,
    }

    fn map<V: Serialize>(entries: impl IntoIterator<Item = (&'static str, V)>) -> Vec<u8> {
        let entries: BTreeMap<_, _> = entries.into_iter().collect();
        rmp_serde::to_vec_named(&entries).expect("a map")
    }

    fn decode(parameters: Vec<u8>, item: Vec<u8>) -> Result<Input, String> {
        decode_record(&parameters, &item).map_err(|error| error.to_string())
    }

    #[test]
    fn parameters_and_fields_become_one_record() {
        assert_eq!(
            decode(map([("scale", 0.5)]), map([("number", 7)])),
            Ok(Input { number: 7, scale: 0.5, word: None })
        );
        // A whole number in the manifest serves where the task takes a float.
        assert_eq!(
            decode(map([("scale", 2)]), map([("number", -7)])),
            Ok(Input { number: -7, scale: 2.0, word: None })
        );
    }

    #[test]
    fn errors_name_the_field() {
        let text = map([("scale", "wide")]);
        assert_eq!(
            decode(text, map([("number", 1)])),
            Err("input: field `scale`: text does not fit the task's type".to_owned())
        );
        assert_eq!(
            decode(map([("number", 1)]), map::<i64>([])),
            Err("input: missing field `scale`".to_owned())
        );
        assert_eq!(
            decode(map([("scael", 1.0)]), map([("number", 1)])),
            Err("input: field `scael`: unknown field `scael`, expected one of `number`, `scale`, \
                 `word`"
                .to_owned())
        );
    }

    #[test]
    fn errors_name_the_place_within_nested_fields() {
        #[derive(Debug, Deserialize)]
        struct Nested {
            #[expect(dead_code, reason = "only its decoding is tested")]
            stars: Vec<BTreeMap<String, f64>>,
        }
        let stars = map([("stars", [BTreeMap::from([("mass", "heavy")])])]);
        let error = decode_record::<Nested>(&map::<i64>([]), &stars).expect_err("not a number");
        assert!(error.to_string().starts_with("input: field `stars[0].mass`: "), "{error}");
    }

    #[test]
    fn headers_of_every_width_are_spliced() {
        let long: BTreeMap<String, i64> = (0..70_000).map(|i| (i.to_string(), i)).collect();
        let middle: BTreeMap<String, i64> = (0..300).map(|i| (format!("m{i}"), i)).collect();
        let [long, middle] = [&long, &middle].map(|map| rmp_serde::to_vec(map).expect("a map"));
        let spliced: BTreeMap<String, i64> = decode_record(&long, &middle).expect("one map");
        assert_eq!(spliced.len(), 70_300);
    }

    #[test]
    fn what_is_no_map_is_refused() {
        for bytes in [&[][..], &[0x93], &[0xde, 0], &[0xdf, 0, 0]] {
            assert!(decode_record::<Input>(bytes, &[0x80]).is_err(), "{bytes:?}");
        }
    }
}
