//! What the macros' exports call. Not for authors: it changes with the interface.

use std::convert::Infallible;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::canonical::canonicalise_nans;
use crate::input::{decode_record, decode_value};
use crate::{Context, Error, host};

/// What a task without an input takes: any record.
pub type NoInput = serde::de::IgnoredAny;

/// What begins a MessagePack list whose length has 32 bits.
const LIST_32: u8 = 0xdd;

/// The export has done all it has to do.
pub const DONE: i32 = 0;

/// Runs a task on the item that the host has ready, and writes its output.
pub fn run_task<I, O>(task: impl FnOnce(I, &Context) -> Result<O, Error>) -> i32
where
    I: DeserializeOwned,
    O: Serialize,
{
    host::report_panics();
    let parameters = host::input(host::INPUT_SECOND);
    let item = host::input(host::INPUT_FIRST);
    let context = Context::default().with_item(host::item()).with_seed(host::seed());
    finish(answer_task(&parameters, &item, &context, task))
}

/// Runs a merge on the two values that the host has ready, and writes its output.
pub fn run_merge<T, O>(merge: impl FnOnce(T, T) -> Result<O, Error>) -> i32
where
    T: DeserializeOwned,
    O: Serialize,
{
    host::report_panics();
    let left = host::input(host::INPUT_FIRST);
    let right = host::input(host::INPUT_SECOND);
    finish(answer_merge(&left, &right, merge))
}

/// Runs a split on the parameters that the host has ready, and writes its items.
pub fn run_split<I, F>(split: F) -> i32
where
    I: DeserializeOwned,
    F: FnOnce(I, &Context) -> Result<Vec<u8>, Error>,
{
    host::report_panics();
    let parameters = host::input(host::INPUT_SECOND);
    let item = host::input(host::INPUT_FIRST);
    let context = Context::default().with_seed(host::seed());
    finish(answer_split(&parameters, &item, &context, split))
}

/// A task's output for an item, encoded.
///
/// # Errors
/// When the input does not fit the task's type, or the task says so.
pub fn answer_task<I, O>(
    parameters: &[u8],
    item: &[u8],
    context: &Context,
    task: impl FnOnce(I, &Context) -> Result<O, Error>,
) -> Result<Vec<u8>, Error>
where
    I: DeserializeOwned,
    O: Serialize,
{
    let input = decode_record(parameters, item)?;
    encode(&task(input, context)?)
}

/// A merge's output for two values, encoded.
///
/// # Errors
/// When a value does not fit the merge's type, or the merge says so.
pub fn answer_merge<T, O>(
    left: &[u8],
    right: &[u8],
    merge: impl FnOnce(T, T) -> Result<O, Error>,
) -> Result<Vec<u8>, Error>
where
    T: DeserializeOwned,
    O: Serialize,
{
    let left = decode_value(left).map_err(|error| error.context("left value"))?;
    let right = decode_value(right).map_err(|error| error.context("right value"))?;
    encode(&merge(left, right)?)
}

/// A split's items, encoded.
///
/// # Errors
/// When the parameters do not fit the split's type, or the split says so.
pub fn answer_split<I, F>(
    parameters: &[u8],
    item: &[u8],
    context: &Context,
    split: F,
) -> Result<Vec<u8>, Error>
where
    I: DeserializeOwned,
    F: FnOnce(I, &Context) -> Result<Vec<u8>, Error>,
{
    split(decode_record(parameters, item)?, context)
}

/// The items that a split gave as one list.
///
/// # Errors
/// The author's, or that an item is no record.
pub fn encode_items<T>(items: Result<T, Error>) -> Result<Vec<u8>, Error>
where
    T: IntoIterator,
    T::Item: Serialize,
{
    let mut count: u32 = 0;
    // A list whose length takes four bytes: it is known when the last item is.
    let mut list = vec![LIST_32, 0, 0, 0, 0];
    for item in items? {
        let bytes = encode(&item)?;
        if !matches!(bytes.first(), Some(0x80..=0x8f | 0xde | 0xdf)) {
            let words = format_args!(
                "item {count} of the split is no record: make it a struct with named fields"
            );
            return Err(Error::new(words));
        }
        list.extend(bytes);
        count = count.checked_add(1).ok_or_else(|| Error::new("the split gives too many items"))?;
    }
    list[1..5].copy_from_slice(&count.to_be_bytes());
    Ok(list)
}

fn finish(answer: Result<Vec<u8>, Error>) -> i32 {
    match answer {
        Ok(output) => host::write_output(&output),
        Err(error) => host::fail(&error.to_string()),
    }
    DONE
}

fn encode<T: Serialize>(output: &T) -> Result<Vec<u8>, Error> {
    let mut bytes =
        rmp_serde::to_vec_named(output).map_err(|error| Error::from(error).context("output"))?;
    canonicalise_nans(&mut bytes);
    Ok(bytes)
}

/// What an author's function gave back: a method of its own for a `Result`, whatever alias names
/// it, and one by [`PlainOutput`] for all else. A method of the type wins over one of a trait.
pub struct Returned<T>(pub T);

impl<T, E> Returned<Result<T, E>> {
    /// The result itself.
    ///
    /// # Errors
    /// The author's.
    pub fn into_result(self) -> Result<T, E> {
        self.0
    }
}

/// An output that cannot fail.
pub trait PlainOutput {
    /// The output.
    type Output;

    /// The output as a result.
    ///
    /// # Errors
    /// None.
    fn into_result(self) -> Result<Self::Output, Infallible>;
}

impl<T> PlainOutput for Returned<T> {
    type Output = T;

    fn into_result(self) -> Result<T, Infallible> {
        Ok(self.0)
    }
}

/// The author's error as one of ours.
///
/// # Errors
/// The author's.
pub fn convert<T, E: Into<Error>>(result: Result<T, E>) -> Result<T, Error> {
    result.map_err(Into::into)
}
