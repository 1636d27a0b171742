//! What the macros' exports call. Not for authors: it changes with the interface.

use std::convert::Infallible;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::canonical::canonicalise_nans;
use crate::input::{decode_record, decode_value};
use crate::{Context, Error, host};

/// What a task without an input takes: any record.
pub type NoInput = serde::de::IgnoredAny;

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
