//! An item's MessagePack map: field names to values, in the splitter's own order.

use gleaner_protocol::Splitter;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_bytes::{ByteBuf, Bytes};

/// The map of item `item` of a splitter that needs no bytes.
///
/// # Panics
/// When the splitter is another one.
pub(super) fn arithmetic(splitter: &Splitter, item: u64) -> ByteBuf {
    match splitter {
        Splitter::Range { field, start, .. } => {
            super::encode_map(&Fields(&[(field, range_value(*start, item))]))
        }
        Splitter::Grid { axes } => {
            let mut rest = item;
            let mut fields = Vec::with_capacity(axes.len());
            for axis in axes.iter().rev() {
                let values = axis.values.len() as u64;
                fields.push((axis.field.as_str(), &axis.values[(rest % values) as usize]));
                rest /= values;
            }
            fields.reverse();
            super::encode_map(&Fields(&fields))
        }
        Splitter::Lines { .. } | Splitter::After { .. } => {
            unreachable!("lines and outputs are read, not computed")
        }
    }
}

/// The map of an item that is a line of text.
pub(super) fn line(field: &str, line: &str) -> ByteBuf {
    super::encode_map(&Fields(&[(field, line)]))
}

/// The map of an item that is a whole file.
pub(super) fn whole(field: &str, bytes: &[u8]) -> ByteBuf {
    super::encode_map(&Fields(&[(field, Bytes::new(bytes))]))
}

/// A range may start below zero and be longer than `i64` counts; its numbers themselves fit.
fn range_value(start: i64, item: u64) -> i64 {
    i64::try_from(i128::from(start) + i128::from(item)).expect("the range ends within i64")
}

struct Fields<'a, N, V>(&'a [(N, V)]);

impl<N: Serialize, V: Serialize> Serialize for Fields<'_, N, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
