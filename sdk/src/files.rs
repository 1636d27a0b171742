//! Bytes and files in inputs and outputs.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Bytes as one field or output (MessagePack `bin`); a plain `Vec<u8>` would be a list of numbers.
///
/// The field of an item `after` another stage is one, and so is an output for the `concat`
/// reducer.
pub type Bytes = serde_bytes::ByteBuf;

/// An output for the `files` reducer: contents by name.
///
/// Names are relative, parts separated by `/`. A name that an item of the same stage has written
/// already is refused by the reducer, so put something of the item into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    contents: BTreeMap<String, Vec<u8>>,
}

impl Files {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the file `name`, in place of an earlier one of this name.
    pub fn add(&mut self, name: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.contents.insert(name.into(), content.into());
    }

    /// The content of the file `name`.
    pub fn content(&self, name: &str) -> Option<&[u8]> {
        self.contents.get(name).map(Vec::as_slice)
    }

    /// Names and contents, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.contents.iter().map(|(name, content)| (name.as_str(), content.as_slice()))
    }
}

impl Serialize for Files {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.contents.len()))?;
        for (name, content) in self.iter() {
            map.serialize_entry(name, serde_bytes::Bytes::new(content))?;
        }
        map.end()
    }
}
