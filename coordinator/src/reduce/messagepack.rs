//! MessagePack read token by token, without a tree: memory stays that of the bytes, whatever they
//! say. The bytes are a stranger's.

use rmp::Marker;

/// One value, or the beginning of one that holds others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// So many values follow.
    List(u32),
    /// So many keys, each with its value, follow.
    Map(u32),
    Extension(i8),
}

/// The bytes are no MessagePack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads one value after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn next(&mut self) -> Result<Token<'a>, Malformed> {
        Ok(match Marker::from_u8(self.array::<1>()?[0]) {
            Marker::Null => Token::Nil,
            Marker::True => Token::Bool(true),
            Marker::False => Token::Bool(false),
            Marker::FixPos(value) => Token::Unsigned(value.into()),
            Marker::FixNeg(value) => Token::Signed(value.into()),
            Marker::U8 => Token::Unsigned(u8::from_be_bytes(self.array()?).into()),
            Marker::U16 => Token::Unsigned(u16::from_be_bytes(self.array()?).into()),
            Marker::U32 => Token::Unsigned(u32::from_be_bytes(self.array()?).into()),
            Marker::U64 => Token::Unsigned(u64::from_be_bytes(self.array()?)),
            Marker::I8 => Token::Signed(i8::from_be_bytes(self.array()?).into()),
            Marker::I16 => Token::Signed(i16::from_be_bytes(self.array()?).into()),
            Marker::I32 => Token::Signed(i32::from_be_bytes(self.array()?).into()),
            Marker::I64 => Token::Signed(i64::from_be_bytes(self.array()?)),
            Marker::F32 => Token::Float(f32::from_be_bytes(self.array()?).into()),
            Marker::F64 => Token::Float(f64::from_be_bytes(self.array()?)),
            Marker::FixStr(length) => self.text(length.into())?,
            Marker::Str8 => self.length8().and_then(|length| self.text(length))?,
            Marker::Str16 => self.length16().and_then(|length| self.text(length))?,
            Marker::Str32 => self.length32().and_then(|length| self.text(length))?,
            Marker::Bin8 => self.length8().and_then(|length| self.bytes(length))?,
            Marker::Bin16 => self.length16().and_then(|length| self.bytes(length))?,
            Marker::Bin32 => self.length32().and_then(|length| self.bytes(length))?,
            Marker::FixArray(length) => Token::List(length.into()),
            Marker::Array16 => Token::List(self.length16()?),
            Marker::Array32 => Token::List(self.length32()?),
            Marker::FixMap(length) => Token::Map(length.into()),
            Marker::Map16 => Token::Map(self.length16()?),
            Marker::Map32 => Token::Map(self.length32()?),
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 => self.length8().and_then(|length| self.extension(length))?,
            Marker::Ext16 => self.length16().and_then(|length| self.extension(length))?,
            Marker::Ext32 => self.length32().and_then(|length| self.extension(length))?,
            Marker::Reserved => return Err(Malformed),
        })
    }

    /// The bytes of the next value with all that it holds.
    pub(crate) fn skip(&mut self) -> Result<&'a [u8], Malformed> {
        let start = self.rest;
        let mut left: u64 = 1;
        while left > 0 {
            left += match self.next()? {
                Token::List(values) => u64::from(values),
                Token::Map(pairs) => 2 * u64::from(pairs),
                _ => 0,
            };
            left -= 1;
        }
        Ok(&start[..start.len() - self.rest.len()])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*array)
    }

    fn length8(&mut self) -> Result<u32, Malformed> {
        self.array().map(u8::from_be_bytes).map(u32::from)
    }

    fn length16(&mut self) -> Result<u32, Malformed> {
        self.array().map(u16::from_be_bytes).map(u32::from)
    }

    fn length32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    fn slice(&mut self, length: u32) -> Result<&'a [u8], Malformed> {
        let (slice, rest) = self.rest.split_at_checked(length as usize).ok_or(Malformed)?;
        self.rest = rest;
        Ok(slice)
    }

    fn text(&mut self, length: u32) -> Result<Token<'a>, Malformed> {
        std::str::from_utf8(self.slice(length)?).map(Token::Text).map_err(|_| Malformed)
    }

    fn bytes(&mut self, length: u32) -> Result<Token<'a>, Malformed> {
        self.slice(length).map(Token::Bytes)
    }

    fn extension(&mut self, length: u32) -> Result<Token<'a>, Malformed> {
        let kind = i8::from_be_bytes(self.array()?);
        self.slice(length)?;
        Ok(Token::Extension(kind))
    }
}

impl Token<'_> {
    /// What it is, in an author's words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nothing (`None` or `()`)",
            Self::Bool(_) => "a boolean",
            Self::Unsigned(_) | Self::Signed(_) => "a whole number",
            Self::Float(_) => "a floating-point number",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
            Self::Map(_) => "a record",
            Self::Extension(_) => "a MessagePack extension",
        }
    }
}
