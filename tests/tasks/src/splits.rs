//! Splits, well-behaved and not, and the tasks that take their items.

use std::collections::BTreeMap;
use std::hint::black_box;

use gleaner_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// What `words` is told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// How many letters a word has at least.
    pub letters: usize,
    /// How many steps to take before, each as long as a multiplication.
    #[serde(default)]
    pub steps: u64,
}

/// An item of `words`.
#[derive(Debug, PartialEq, Serialize)]
pub struct Word {
    /// The word.
    pub word: String,
    /// How often it is there.
    pub count: u64,
}

/// The different words of the shared file `text`, in order.
///
/// # Errors
/// When there is no such file, or it is no text.
#[split]
pub fn words(input: Text, context: &Context) -> Result<Vec<Word>, Error> {
    let mut state = context.seed();
    for _ in 0..input.steps {
        state = black_box(state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1));
    }
    let text = String::from_utf8(context.file("text")?)?;
    let mut counts = BTreeMap::<&str, u64>::new();
    for word in text.split_whitespace().filter(|word| word.len() >= input.letters) {
        *counts.entry(word).or_default() += 1;
    }
    Ok(counts.into_iter().map(|(word, count)| Word { word: word.to_owned(), count }).collect())
}

/// An item of `words`, with the parameters of its stage.
#[derive(Deserialize)]
pub struct SharedWord {
    /// The word.
    pub word: String,
    /// How often it is there.
    pub count: u64,
}

/// A row of `spell`.
#[derive(Debug, PartialEq, Serialize)]
pub struct Spelt {
    /// The word backwards.
    pub backwards: String,
    /// Its letters, as often as it is there.
    pub letters: u64,
}

/// A word backwards.
#[task]
pub fn spell(input: SharedWord) -> Spelt {
    let letters = input.word.chars().count() as u64 * input.count;
    Spelt { backwards: input.word.chars().rev().collect(), letters }
}

/// What `odd` is told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Odd {
    /// What to do.
    pub how: String,
}

/// An item of `odd`.
#[derive(Debug, PartialEq, Serialize)]
pub struct Item {
    /// A parameter's name.
    pub how: u64,
}

/// Gives items that are none.
///
/// # Errors
/// When it is told to fail.
///
/// # Panics
/// When it is told to.
#[split]
pub fn odd(input: Odd) -> Result<Vec<Item>, Error> {
    match input.how.as_str() {
        "fail" => Err(Error::new("there is nothing to split")),
        "panic" => panic!("a split that gives up"),
        "none" => Ok(Vec::new()),
        _ => Ok(vec![Item { how: 1 }]),
    }
}
