//! An item's MessagePack map where it is computed: field names to values, in the splitter's order.

use std::num::NonZeroU64;

use gleaner_protocol::{Axis, AxisValues, Pairing, Splitter, Value, wire};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_bytes::{ByteBuf, Bytes};

/// The map of item `item` of a splitter that needs no bytes.
///
/// # Panics
/// When the splitter is another one.
pub(super) fn arithmetic(splitter: &Splitter, item: u64) -> ByteBuf {
    match splitter {
        Splitter::Range { field, start, .. } => {
            encode_map(&Fields(&[(field, range_value(*start, item))]))
        }
        Splitter::Grid { axes, pairing, replicates } => {
            let repeats = replicates.map_or(1, NonZeroU64::get);
            let mut fields = point(axes, *pairing, item / repeats);
            if replicates.is_some() {
                let replicate = i64::try_from(item % repeats).expect("items fit in 63 bits");
                fields.push(("replicate", Value::Integer(replicate)));
            }
            encode_map(&Fields(&fields))
        }
        other => unreachable!("the items of {other:?} are read, not computed"),
    }
}

/// About how many bytes the longest item of a splitter that needs no bytes takes.
pub(super) fn longest_bytes(splitter: &Splitter) -> u64 {
    let Splitter::Grid { axes, .. } = splitter else { return 0 };
    let longest = |axis: &Axis| match &axis.values {
        AxisValues::List(values) => {
            values.iter().map(|value| wire::encode(value).len() as u64).max().unwrap_or(0)
        }
        AxisValues::Sequence(_) => 0,
    };
    axes.iter().map(longest).sum()
}

/// The map of an item that is bytes.
pub(super) fn bytes(field: &str, bytes: &[u8]) -> ByteBuf {
    encode_map(&Fields(&[(field, Bytes::new(bytes))]))
}

/// `fields` as the MessagePack map that an item is.
pub(super) fn encode_map<T: Serialize>(fields: &T) -> ByteBuf {
    ByteBuf::from(wire::encode(fields))
}

fn point(axes: &[Axis], pairing: Pairing, point: u64) -> Vec<(&str, Value)> {
    let mut rest = point;
    let value = |axis: &Axis| match pairing {
        Pairing::Zip => axis.values.value(point),
        Pairing::Product => {
            let length = axis.values.len();
            let value = axis.values.value(rest % length);
            rest /= length;
            value
        }
    };
    // The last axis runs fastest.
    let values: Vec<_> = axes.iter().rev().map(value).collect();
    axes.iter().map(|axis| axis.field.as_str()).zip(values.into_iter().rev()).collect()
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
