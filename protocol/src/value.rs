//! Plain values: a job's parameters and the fields of an item.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A named set of values, in the order of their names.
pub type ValueMap = BTreeMap<String, Value>;

/// A value as a manifest can write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Text(String),
    /// Values in order.
    List(Vec<Value>),
    /// Values by name.
    Table(ValueMap),
}
