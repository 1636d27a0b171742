//! Tasks that take records of files, and points of grids.

use gleaner_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// An item of pieces of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// The bytes.
    pub piece: Bytes,
}

/// The piece as text, its line ends written out.
#[task]
pub fn quote(input: Piece) -> String {
    String::from_utf8_lossy(&input.piece).replace('\n', "\\n")
}

/// A row of a table, or a line of JSON.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Star {
    /// The first field.
    pub name: String,
    /// The second field.
    pub mass: String,
}

/// The row itself.
#[task]
pub fn star(input: Star) -> Star {
    input
}

/// A row under a field of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NestedStar {
    /// The row.
    pub row: Star,
    /// A parameter that has the name of a column.
    pub mass: f64,
}

/// The row with the parameter.
#[task]
pub fn nested_star(input: NestedStar) -> String {
    format!("{} {} {}", input.row.name, input.row.mass, input.mass)
}

/// A record of FASTA or FASTQ.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequence {
    /// Its id.
    pub id: String,
    /// What stands after the id.
    pub description: String,
    /// Its letters.
    pub sequence: String,
    /// Its qualities, of FASTQ.
    #[serde(default)]
    pub quality: String,
}

/// The sequence itself.
#[task]
pub fn sequence(input: Sequence) -> Sequence {
    input
}

/// An item that is a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedFile {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub content: Bytes,
}

/// A row of `measure`.
#[derive(Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The file's name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// The sum of its bytes.
    pub sum: u64,
}

/// The length of a file and the sum of its bytes.
#[task]
pub fn measure(input: NamedFile) -> Measured {
    let sum = input.content.iter().map(|byte| u64::from(*byte)).sum();
    Measured { name: input.name, bytes: input.content.len() as u64, sum }
}

/// A point of a grid that is there more than once.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replicated {
    /// An axis.
    pub x: f64,
    /// Which time.
    pub replicate: u64,
}

/// A row of `replicated`.
#[derive(Debug, PartialEq, Serialize)]
pub struct Drawn {
    /// The axis' value.
    pub x: f64,
    /// Which time.
    pub replicate: u64,
    /// The item's seed.
    pub seed: u64,
}

/// The point with its seed.
#[task]
pub fn replicated(input: Replicated, context: &Context) -> Drawn {
    Drawn { x: input.x, replicate: input.replicate, seed: context.seed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tests_of_the_whole_expect() {
        assert_eq!(quote(Piece { piece: Bytes::from(b"a\nb".to_vec()) }), "a\\nb");
        let row = || Star { name: "Sun".into(), mass: "1".into() };
        assert_eq!(star(row()), row());
        assert_eq!(nested_star(NestedStar { row: row(), mass: 2.0 }), "Sun 1 2");
        let file = NamedFile { name: "a".into(), content: Bytes::from(vec![1, 2]) };
        assert_eq!(measure(file), Measured { name: "a".into(), bytes: 2, sum: 3 });
        let record = || Sequence {
            id: "r".into(),
            description: String::new(),
            sequence: "AC".into(),
            quality: "II".into(),
        };
        assert_eq!(sequence(record()), record());
        let context = Context::for_test().with_seed(9);
        let drawn = replicated(Replicated { x: 0.5, replicate: 1 }, &context);
        assert_eq!(drawn, Drawn { x: 0.5, replicate: 1, seed: 9 });
    }
}
