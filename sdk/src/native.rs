//! An author's functions run natively on the items that a slot is given, for `gleaner test`, which
//! compares the two.
//!
//! With the feature `native` each attribute adds a test beside its function, so that a function
//! need not be public and any crate's tests can be built as they are. `gleaner test` starts the one
//! it wants, and names in its environment a file of calls and a file for the answers. A test that
//! finds no such names does nothing. Not for authors: it changes with the interface.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::{env, fs};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::entry::{answer_merge, answer_split, answer_task};
use crate::{Bytes, Context, Error};

/// Names the file of [`Calls`], in MessagePack.
pub const CALLS: &str = "GLEANER_NATIVE_CALLS";
/// Names the file for a list of [`Answer`]s, in MessagePack.
pub const ANSWERS: &str = "GLEANER_NATIVE_ANSWERS";

/// What to call the function with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// The stage's parameters, a MessagePack map.
    pub parameters: Bytes,
    /// The stage's shared files: where each is, by its name.
    pub files: BTreeMap<String, PathBuf>,
    /// One call after the other.
    pub calls: Vec<Call>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The item's number.
    pub item: u64,
    /// The item's seed.
    pub seed: u64,
    /// The item's fields, a MessagePack map; or a merge's two values.
    pub values: Vec<Bytes>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The output, one MessagePack value.
    Output(Bytes),
    /// The function gave an error, in these words.
    Failed(String),
    /// The function panicked, in these words.
    Panicked(String),
}

/// Calls a task as the environment says.
///
/// # Panics
/// When the files cannot be read or written; the one who named them sees it.
pub fn serve_task<I, O>(task: impl Fn(I, &Context) -> Result<O, Error>)
where
    I: DeserializeOwned,
    O: Serialize,
{
    serve(|calls, call| answer_task(&calls.parameters, fields(call), &context(calls, call), &task));
}

/// Calls a split as the environment says.
///
/// # Panics
/// As [`serve_task`].
pub fn serve_split<I, F>(split: F)
where
    I: DeserializeOwned,
    F: Fn(I, &Context) -> Result<Vec<u8>, Error>,
{
    serve(|calls, call| {
        answer_split(&calls.parameters, fields(call), &context(calls, call), &split)
    });
}

/// Calls a merge as the environment says.
///
/// # Panics
/// As [`serve_task`].
pub fn serve_merge<T, O>(merge: impl Fn(T, T) -> Result<O, Error>)
where
    T: DeserializeOwned,
    O: Serialize,
{
    serve(|_, call| {
        let [left, right] = call.values.as_slice() else {
            return Err(Error::new("a merge takes two values"));
        };
        answer_merge(left, right, &merge)
    });
}

fn fields(call: &Call) -> &[u8] {
    call.values.first().map_or(&[][..], |value| value)
}

fn context(calls: &Calls, call: &Call) -> Context {
    let context = Context::for_test().with_item(call.item).with_seed(call.seed);
    calls.files.iter().fold(context, |context, (name, path)| {
        context.with_file(name, fs::read(path).expect("a shared file can be read"))
    })
}

fn serve(answer: impl Fn(&Calls, &Call) -> Result<Vec<u8>, Error>) {
    let (Some(calls), Some(answers)) = (env::var_os(CALLS), env::var_os(ANSWERS)) else { return };
    let calls = fs::read(calls).expect("the calls can be read");
    let calls: Calls = rmp_serde::from_slice(&calls).expect("the calls are as gleaner writes them");
    let given: Vec<_> = calls.calls.iter().map(|call| caught(|| answer(&calls, call))).collect();
    let given = rmp_serde::to_vec_named(&given).expect("answers can be encoded");
    fs::write(answers, given).expect("the answers can be written");
}

/// A panic is an answer too: a slot would say so as well.
fn caught(answer: impl FnOnce() -> Result<Vec<u8>, Error>) -> Answer {
    match catch_unwind(AssertUnwindSafe(answer)) {
        Ok(Ok(output)) => Answer::Output(Bytes::from(output)),
        Ok(Err(error)) => Answer::Failed(error.to_string()),
        Err(payload) => Answer::Panicked(words_of(&*payload)),
    }
}

fn words_of(payload: &(dyn Any + Send)) -> String {
    let words = payload.downcast_ref::<&str>().map(ToString::to_string);
    let words = words.or_else(|| payload.downcast_ref::<String>().cloned());
    words.unwrap_or_else(|| "a panic without words".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_an_error_and_a_panic_are_answers() {
        assert_eq!(caught(|| Ok(vec![1])), Answer::Output(Bytes::from(vec![1])));
        assert_eq!(caught(|| Err(Error::new("no"))), Answer::Failed("no".into()));
        assert_eq!(caught(|| panic!("{} is odd", 3)), Answer::Panicked("3 is odd".into()));
        assert_eq!(caught(|| panic!("odd")), Answer::Panicked("odd".into()));
    }
}
