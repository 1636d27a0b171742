//! What a record holds, and its MessagePack.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_bytes::{ByteBuf, Bytes};

use super::json::Json;
use crate::split::fields::encode_map;

/// What a record holds.
#[derive(Debug)]
pub(super) enum Content<'a> {
    /// One value, for the field that the job names.
    Value(FieldValue<'a>),
    /// Fields of its own.
    Fields(Vec<(Cow<'a, str>, FieldValue<'a>)>),
}

#[derive(Debug)]
pub(super) enum FieldValue<'a> {
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
    Json(Json),
}

impl Content<'_> {
    /// The item's map: the record under `field`, or else its own fields.
    pub(super) fn encode(&self, field: Option<&str>) -> ByteBuf {
        match (self, field) {
            (Self::Fields(_), None) => encode_map(self),
            (_, field) => encode_map(&Named(field.unwrap_or_default(), self)),
        }
    }
}

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::Fields(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl Serialize for FieldValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => Bytes::new(bytes).serialize(serializer),
            Self::Json(json) => json.serialize(serializer),
        }
    }
}

struct Named<'a>(&'a str, &'a Content<'a>);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, self.1)?;
        map.end()
    }
}
