//! The word somebody probably meant.

/// The word of `known` nearest to `word`, if it is near enough to be what was meant.
///
/// Near enough is a third of the longer word's length, in Damerau–Levenshtein edits (optimal
/// string alignment: insertions, deletions, substitutions and swaps of neighbours).
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    known
        .iter()
        .map(|candidate| (edits(&word, candidate), *candidate))
        .filter(|(edits, candidate)| *edits * 3 <= candidate.len().max(word.len()).max(3))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

fn edits(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let changed = usize::from(from[i - 1] != to[j - 1]);
            let mut least = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + changed);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                least = least.min(before_last[j - 2] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood_and_another_word_is_not() {
        let known = ["name", "seed", "quorum", "max_attempts"];
        assert_eq!(nearest("quorm", &known), Some("quorum"));
        assert_eq!(nearest("naem", &known), Some("name"));
        assert_eq!(nearest("Seed", &known), Some("seed"));
        assert_eq!(nearest("max-attempts", &known), Some("max_attempts"));
        assert_eq!(nearest("priority", &known), None);
        assert_eq!(nearest("", &known), None);
    }
}
