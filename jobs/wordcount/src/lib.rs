//! Which words does a text have, and how often?
//!
//! Three functions. [`count()`] counts the words of a piece of the text, [`add()`] adds the counts
//! of two pieces, and [`table()`] sorts them all. A word is a run of letters and digits of any
//! script, in lower case; a piece ends with a line, so that no word is cut in two.

use std::collections::BTreeMap;

use gleaner_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// How often each word is there.
pub type Counts = BTreeMap<String, u64>;

/// A piece of the text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// Its bytes, in UTF-8; what is none stands between words.
    pub text: Bytes,
}

/// The words of a piece.
#[task]
pub fn count(input: Piece) -> Counts {
    let text = String::from_utf8_lossy(&input.text);
    let mut counts = Counts::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    counts
}

/// The words of two pieces.
#[merge]
pub fn add(a: Counts, b: Counts) -> Counts {
    let (mut sum, smaller) = if a.len() >= b.len() { (a, b) } else { (b, a) };
    for (word, count) in smaller {
        *sum.entry(word).or_default() += count;
    }
    sum
}

/// The output of the stage `count`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// [`Counts`] as JSON.
    pub count: Bytes,
}

/// A row of the table.
#[derive(Debug, PartialEq, Serialize)]
pub struct Row {
    /// The word.
    pub word: String,
    /// How often it is there.
    pub count: u64,
}

/// All words, the most frequent first, those of one frequency by their letters.
///
/// # Errors
/// When the earlier stage counted something else.
#[task]
pub fn table(input: Counted) -> Result<Vec<Row>, Error> {
    let counts: Counts = serde_json::from_slice(&input.count).map_err(Error::new)?;
    let mut rows: Vec<_> = counts.into_iter().map(|(word, count)| Row { word, count }).collect();
    // Words come in their order and keep it.
    rows.sort_by_key(|row| std::cmp::Reverse(row.count));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(text: &[u8]) -> Counts {
        count(Piece { text: Bytes::from(text.to_vec()) })
    }

    fn counts(expected: &[(&str, u64)]) -> Counts {
        expected.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect()
    }

    #[test]
    fn words_are_runs_of_letters_and_digits_in_lower_case() {
        assert_eq!(counted(b"The end. THE\r\nend!"), counts(&[("end", 2), ("the", 2)]));
        assert_eq!(counted(b"don't 2x--y"), counts(&[("2x", 1), ("don", 1), ("t", 1), ("y", 1)]));
        assert_eq!(counted("Ärger, ärger".as_bytes()), counts(&[("ärger", 2)]));
        assert_eq!(counted(b"a\xffb"), counts(&[("a", 1), ("b", 1)]));
        assert_eq!(counted(b" \n"), Counts::new());
    }

    #[test]
    fn counts_of_two_pieces_add_up_in_either_order() {
        let (a, b) = (counts(&[("x", 1), ("y", 2)]), counts(&[("y", 3)]));
        let both = counts(&[("x", 1), ("y", 5)]);
        assert_eq!(add(a.clone(), b.clone()), both);
        assert_eq!(add(b, a), both);
    }

    #[test]
    fn the_table_begins_with_the_most_frequent_words() {
        let count = Bytes::from(br#"{"a": 1, "b": 3, "c": 1}"#.to_vec());
        let rows = table(Counted { count }).expect("counts");
        let row = |word: &str, count| Row { word: word.into(), count };
        assert_eq!(rows, [row("b", 3), row("a", 1), row("c", 1)]);
        assert!(table(Counted { count: Bytes::from(b"[]".to_vec()) }).is_err());
    }
}
