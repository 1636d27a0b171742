//! A line of JSON as an object, its keys in the order of the text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::content::{Content, FieldValue};
use super::fault::RecordProblem;

/// How deep lists and objects may nest: far below what MessagePack readers refuse.
const DEPTH_MAX: usize = 32;

/// The most values in a record, whole lists and objects counted too: each takes some 100 bytes, which
/// two of text may stand for.
const VALUES_MAX: usize = 1_000_000;

/// Below this size every whole number fits in 64 bits, and the parser makes no float of it.
const CERTAINLY_WHOLE: f64 = 9_223_372_036_854_775_808.0;

/// A value of JSON. Numbers are whole where they are written so and fit in 64 bits.
#[derive(Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

/// The object on a line.
pub(super) fn object(line: &str) -> Result<Content<'static>, RecordProblem> {
    if values_at_most(line) > VALUES_MAX {
        return Err(RecordProblem::TooManyValues { max: VALUES_MAX });
    }
    let json: Json = serde_json::from_str(line).map_err(|error| not_json(&error))?;
    if json.depth() > DEPTH_MAX {
        return Err(RecordProblem::TooDeep { max: DEPTH_MAX });
    }
    if let Some(key) = json.key_twice() {
        return Err(RecordProblem::KeyTwice { key: key.to_owned() });
    }
    if json.has_large_float()
        && let Some(problem) = too_large_number(line)
    {
        return Err(problem);
    }
    let Json::Object(entries) = json else {
        return Err(RecordProblem::NotObject { found: json.kind() });
    };
    let field = |(key, value)| (Cow::Owned(key), FieldValue::Json(value));
    Ok(Content::Fields(entries.into_iter().map(field).collect()))
}

/// A bound of the number of values in a text of JSON, found without holding any: each but the first
/// follows a comma, or what begins a list or an object.
fn values_at_most(line: &str) -> usize {
    let mut values = 1;
    let mut bytes = line.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b',' | b'[' | b'{' => values += 1,
            b'"' => skip_text(&mut bytes),
            _ => {}
        }
    }
    values
}

/// Goes on behind the end of a text that has begun.
fn skip_text(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'"' => return,
            _ => {}
        }
    }
}

/// The first whole number that does not fit in 64 bits, of a line that is JSON: the parser makes
/// floats of such numbers, and what an identifier loses by that nobody would see.
fn too_large_number(line: &str) -> Option<RecordProblem> {
    let bytes = line.as_bytes();
    let mut key = 0..0;
    let mut depth = 0;
    let mut next = 0;
    while next < bytes.len() {
        let start = next;
        next += 1;
        match bytes[start] {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            b'"' => {
                let mut rest = line[next..].bytes();
                skip_text(&mut rest);
                next = bytes.len() - rest.len();
                // What stands there is a field's name, or its value, which holds no number.
                if depth == 1 {
                    key = start..next;
                }
            }
            b'-' | b'0'..=b'9' => {
                let is_of_number =
                    |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
                next += bytes[next..].iter().take_while(|byte| is_of_number(byte)).count();
                if is_too_large(&line[start..next]) {
                    let field = serde_json::from_str(&line[key]).unwrap_or_default();
                    return Some(RecordProblem::NumberTooLarge { field, column: start + 1 });
                }
            }
            _ => {}
        }
    }
    None
}

fn is_too_large(number: &str) -> bool {
    let is_whole = !number.contains(['.', 'e', 'E']);
    is_whole && number.parse::<i64>().is_err() && number.parse::<u64>().is_err()
}

/// The parser's words without the line, which is always the first.
fn not_json(error: &serde_json::Error) -> RecordProblem {
    let words = error.to_string();
    let words = words.split(" at line ").next().unwrap_or_default();
    RecordProblem::NotJson { reason: format!("{words} at column {}", error.column()) }
}

impl Json {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a truth value",
            Self::Signed(_) | Self::Unsigned(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::List(values) => 1 + values.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(entries) => {
                1 + entries.iter().map(|(_, value)| value.depth()).max().unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// Whether a float is there that may have been written as a whole number.
    fn has_large_float(&self) -> bool {
        match self {
            Self::Float(number) => number.abs() >= CERTAINLY_WHOLE,
            Self::List(values) => values.iter().any(Self::has_large_float),
            Self::Object(entries) => entries.iter().any(|(_, value)| value.has_large_float()),
            _ => false,
        }
    }

    /// A key that an object has twice: readers of JSON disagree about what it means.
    fn key_twice(&self) -> Option<&str> {
        match self {
            Self::List(values) => values.iter().find_map(Self::key_twice),
            Self::Object(entries) => {
                let mut keys: Vec<_> = entries.iter().map(|(key, _)| key.as_str()).collect();
                keys.sort_unstable();
                let twice = keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
                twice.or_else(|| entries.iter().find_map(|(_, value)| value.key_twice()))
            }
            _ => None,
        }
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(truth) => serializer.serialize_bool(*truth),
            Self::Signed(number) => serializer.serialize_i64(*number),
            Self::Unsigned(number) => serializer.serialize_u64(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(values) => values.serialize(serializer),
            Self::Object(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Json, E> {
        Ok(Json::Bool(truth))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Signed(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Unsigned(number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Float(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = values.next_element()? {
            list.push(value);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            object.push(entry);
        }
        Ok(Json::Object(object))
    }
}
