//! The numbers in an output, by the names of their fields.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::limits::{FIELD_NAME_BYTES_MAX, NUMBER_FIELDS_MAX};
use super::messagepack::{Reader, Token};
use super::{OutputFault, json};

/// How deep values may nest, as in JSON.
const DEPTH_MAX: u32 = 64;

/// A number as its task gave it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Whole(i128),
    Float(f64),
}

impl Number {
    pub(super) fn of(token: Token<'_>) -> Option<Self> {
        match token {
            Token::Unsigned(value) => Some(Self::Whole(value.into())),
            Token::Signed(value) => Some(Self::Whole(value.into())),
            Token::Float(value) => Some(Self::Float(value)),
            _ => None,
        }
    }

    pub(super) fn is_nan(self) -> bool {
        matches!(self, Self::Float(value) if value.is_nan())
    }

    /// Which is greater, exactly: no whole number is rounded for it.
    ///
    /// # Panics
    /// When one is NaN.
    pub(super) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Whole(left), Self::Whole(right)) => left.cmp(&right),
            (Self::Float(left), Self::Float(right)) => {
                left.partial_cmp(&right).expect("NaNs are not compared")
            }
            (Self::Whole(left), Self::Float(right)) => compare_whole(left, right),
            (Self::Float(left), Self::Whole(right)) => compare_whole(right, left).reverse(),
        }
    }

    /// Its JSON: digits, or a string where JSON has no word.
    pub(super) fn write(self, text: &mut Vec<u8>) {
        match self {
            Self::Whole(value) => text.extend_from_slice(value.to_string().as_bytes()),
            Self::Float(value) => json::write_float(value, text),
        }
    }
}

fn compare_whole(whole: i128, float: f64) -> Ordering {
    assert!(!float.is_nan(), "NaNs are not compared");
    // Far beyond what an output can say in a whole number.
    const BOUND: f64 = (1_u128 << 100) as f64;
    if float >= BOUND {
        return Ordering::Less;
    }
    if float <= -BOUND {
        return Ordering::Greater;
    }
    let floor = float.floor();
    match whole.cmp(&(floor as i128)) {
        Ordering::Equal if float > floor => Ordering::Less,
        other => other,
    }
}

/// What is known of each number field of a stage, in the order of their names. The field of
/// outputs that are numbers themselves has the empty name.
#[derive(Debug)]
pub(super) struct Fields<T> {
    reducer: &'static str,
    fields: BTreeMap<String, Field<T>>,
}

#[derive(Debug)]
struct Field<T> {
    /// The item that had it last.
    item: u64,
    known: T,
}

impl<T: Default> Fields<T> {
    pub(super) fn new(reducer: &'static str) -> Self {
        Self { reducer, fields: BTreeMap::new() }
    }

    /// Hands each number of an item's output to `take`, with what is known of its field. What is
    /// `None` is no number and is passed over.
    pub(super) fn visit(
        &mut self,
        item: u64,
        output: &[u8],
        mut take: impl FnMut(&mut T, Number),
    ) -> Result<(), OutputFault> {
        let mut reader = Reader::new(output);
        let mut name = String::new();
        self.visit_nested(item, &mut reader, &mut name, DEPTH_MAX, &mut take)
    }

    fn visit_nested(
        &mut self,
        item: u64,
        reader: &mut Reader<'_>,
        name: &mut String,
        depth: u32,
        take: &mut impl FnMut(&mut T, Number),
    ) -> Result<(), OutputFault> {
        let Some(below) = depth.checked_sub(1) else {
            return Err(OutputFault::Nesting { max: DEPTH_MAX });
        };
        match reader.next()? {
            Token::Nil => {}
            Token::List(values) => {
                for position in 0..values {
                    let length = push_name(name, &position.to_string())?;
                    self.visit_nested(item, reader, name, below, take)?;
                    name.truncate(length);
                }
            }
            Token::Map(pairs) => {
                for _ in 0..pairs {
                    let length = push_name(name, &key(reader.next()?)?)?;
                    self.visit_nested(item, reader, name, below, take)?;
                    name.truncate(length);
                }
            }
            token => match Number::of(token) {
                Some(number) => take(self.field(item, name)?, number),
                None => {
                    let (reducer, field, kind) = (self.reducer, name.clone(), token.kind());
                    return Err(OutputFault::NoNumber { reducer, field, kind });
                }
            },
        }
        Ok(())
    }

    fn field(&mut self, item: u64, name: &str) -> Result<&mut T, OutputFault> {
        if !self.fields.contains_key(name) {
            self.insert(item, name)?;
            return Ok(&mut self.fields.get_mut(name).expect("it was just inserted").known);
        }
        let field = self.fields.get_mut(name).expect("it is there");
        if field.item == item {
            return Err(OutputFault::RepeatedField { field: name.to_owned() });
        }
        field.item = item;
        Ok(&mut field.known)
    }

    fn insert(&mut self, item: u64, name: &str) -> Result<(), OutputFault> {
        let is_plain = |name: &str| name.is_empty();
        if self.fields.first_key_value().is_some_and(|(first, _)| is_plain(first) != is_plain(name))
        {
            return Err(OutputFault::MixedNumbers { reducer: self.reducer });
        }
        if self.fields.len() == NUMBER_FIELDS_MAX {
            return Err(OutputFault::TooManyNumbers { max: NUMBER_FIELDS_MAX });
        }
        self.fields.insert(name.to_owned(), Field { item, known: T::default() });
        Ok(())
    }

    /// One line of JSON: an object for outputs that are numbers, else one that has such an object
    /// under each field's name. `write` writes the members of one, without its braces.
    pub(super) fn finish(self, write: impl Fn(&T, &mut Vec<u8>)) -> Vec<u8> {
        let mut text = Vec::new();
        let object = |known: &T, text: &mut Vec<u8>| {
            text.push(b'{');
            write(known, text);
            text.push(b'}');
        };
        match self.fields.first_key_value() {
            None => object(&T::default(), &mut text),
            Some((name, field)) if name.is_empty() => object(&field.known, &mut text),
            Some(_) => {
                for (position, (name, field)) in self.fields.iter().enumerate() {
                    text.push(if position == 0 { b'{' } else { b',' });
                    json::write_string(name, &mut text);
                    text.push(b':');
                    object(&field.known, &mut text);
                }
                text.push(b'}');
            }
        }
        text.push(b'\n');
        text
    }
}

/// The bytes of the value of a field, dots between a record's name and its fields'; the outer
/// record's own field comes first where both could be meant. `None` when there is none.
pub(super) fn find<'a>(record: &'a [u8], path: &str) -> Result<Option<&'a [u8]>, OutputFault> {
    let mut reader = Reader::new(record);
    let Token::Map(pairs) = reader.next()? else { return Ok(None) };
    let mut nested = None;
    for _ in 0..pairs {
        let name = key(reader.next()?)?;
        let value = reader.skip()?;
        if name == path {
            return Ok(Some(value));
        }
        if let Some(rest) = path.strip_prefix(&name).and_then(|rest| rest.strip_prefix('.')) {
            nested = nested.or(find(value, rest)?);
        }
    }
    Ok(nested)
}

fn key(token: Token<'_>) -> Result<String, OutputFault> {
    match token {
        Token::Text(name) => Ok(name.to_owned()),
        Token::Unsigned(_) | Token::Signed(_) => Ok(json::plain(token)),
        other => Err(OutputFault::Key { kind: other.kind() }),
    }
}

/// Appends a field's name; the length of the name without it.
fn push_name(name: &mut String, field: &str) -> Result<usize, OutputFault> {
    let length = name.len();
    if !name.is_empty() {
        name.push('.');
    }
    name.push_str(field);
    if name.len() > FIELD_NAME_BYTES_MAX {
        return Err(OutputFault::LongFieldName { bytes: name.len(), max: FIELD_NAME_BYTES_MAX });
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_exactly() {
        use Number::{Float, Whole};
        use Ordering::{Equal, Greater, Less};
        let two_53 = 1_i128 << 53;
        for (left, right, expected) in [
            (Whole(1), Float(1.0), Equal),
            (Whole(two_53 + 1), Float(two_53 as f64), Greater),
            (Whole(u64::MAX.into()), Float(u64::MAX as f64), Less),
            (Whole(-1), Float(-1.5), Greater),
            (Whole(-2), Float(-1.5), Less),
            (Whole(i64::MIN.into()), Float(f64::NEG_INFINITY), Greater),
            (Whole(i64::MAX.into()), Float(f64::INFINITY), Less),
            (Float(0.0), Float(-0.0), Equal),
            (Float(0.5), Whole(0), Greater),
        ] {
            assert_eq!(left.compare(right), expected, "{left:?} and {right:?}");
            assert_eq!(right.compare(left), expected.reverse(), "{right:?} and {left:?}");
        }
    }

    #[test]
    fn a_field_is_found_by_its_dotted_name() {
        let map = |pairs: &[(&str, Vec<u8>)]| {
            let encoded = pairs.iter().flat_map(|(name, value)| {
                [gleaner_protocol::wire::encode(*name), value.clone()].concat()
            });
            [vec![0x80 | pairs.len() as u8], encoded.collect()].concat()
        };
        let inner = map(&[("b", vec![1]), ("c.d", vec![2])]);
        let record = map(&[("a", inner), ("a.b", vec![3]), ("x", vec![4])]);
        let found = |path| find(&record, path).expect("sound").map(<[u8]>::to_vec);
        assert_eq!(found("x"), Some(vec![4]));
        assert_eq!(found("a.b"), Some(vec![3]), "the outer record's own comes first");
        assert_eq!(found("a.c.d"), Some(vec![2]));
        assert_eq!((found("a.x"), found("x.y"), found("")), (None, None, None));
    }
}
