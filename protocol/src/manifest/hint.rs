//! What to do about what is wrong with a manifest.

use super::error::{ManifestProblem, QuantityKind, list};
use super::nearest::nearest;
use super::splitter::SPLITTERS;
use crate::SequenceError;
use crate::limits::NAME_BYTES_MAX;

impl ManifestProblem {
    pub(super) fn hint(&self) -> String {
        match self {
            Self::TooLong { .. } => "put long lists into a file and use `lines`".into(),
            Self::Syntax { .. } => "see https://toml.io for how TOML is written".into(),
            Self::UnknownKey { name, known, .. } => unknown_key_hint(name, known),
            Self::Missing { example, .. } => format!("add `{example}`"),
            Self::Type { expected, .. } => format!("write {expected}"),
            Self::OutOfBounds { min, max, .. } => format!("choose a value from {min} to {max}"),
            Self::Quantity { kind: QuantityKind::Size, .. } => {
                "write a whole number and one of B, kB, MB, GB, KiB, MiB, GiB, such as \"256 MiB\""
                    .into()
            }
            Self::Quantity { kind: QuantityKind::Duration, .. } => {
                "write a whole number and one of s, min, h, d, such as \"10 min\"".into()
            }
            Self::Name { .. } => {
                format!("use 1 to {NAME_BYTES_MAX} letters, digits, `-`, `_` or `.`")
            }
            Self::FileName { .. } | Self::NotPlain { .. } => {
                "use a plain name such as \"result.csv\"".into()
            }
            Self::EmptyPath { .. } => "paths are relative to the manifest's folder".into(),
            Self::Choice { found, allowed, .. } => match nearest(found, allowed) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("choose one of {}", list(allowed, "or")),
            },
            Self::NotifyTarget { .. } => {
                "write an address, such as \"https://example.org/hook\", or a program and its \
                 arguments, such as [\"notify-send\", \"job done\"]"
                    .into()
            }
            Self::Splitters { .. } => {
                format!("give each stage one of {}", list(SPLITTERS, "or"))
            }
            Self::FieldIsName { .. } => "give the bytes another field, such as `bytes`".into(),
            Self::AxisIsReplicate { .. } => "rename the axis, or drop `replicates`".into(),
            Self::UselessReplicates { .. } => {
                "repeat the points of `grid` or `zip`: `grid = { i = { range = [0, 10, 1] } }` is \
                 a range"
                    .into()
            }
            Self::Sequence { fault, .. } => sequence_hint(*fault).into(),
            Self::AxisLengths { .. } => {
                "give the axes of `zip` one length, or combine each with each by `grid`".into()
            }
            Self::Pattern { .. } => {
                "use `*`, `?`, `[a-z]` and `**`; a bracket itself is `[[]`".into()
            }
            Self::NoMatch { pattern, .. } if pattern.ends_with("**") => {
                format!(
                    "`**` stands for folders alone; for the files in them write \"{pattern}/*\""
                )
            }
            Self::NoMatch { .. } => {
                "patterns are relative to the manifest's folder; `*` stops at `/`, `**` does not"
                    .into()
            }
            Self::MatchTooLarge { .. } => {
                "cut it into smaller files, or into pieces by `bytes`".into()
            }
            Self::FieldTwice { field, .. } => {
                format!("rename the parameter `{field}`, or the splitter's field")
            }
            Self::StageTwice { .. } | Self::OneFolder { .. } => {
                "give each stage a name of its own".into()
            }
            Self::Reserved { .. } => {
                "choose another: failed.csv, provenance.json and gaps.csv tell of the job".into()
            }
            Self::NotEarlier { earlier, .. } if earlier.is_empty() => {
                "the first stage needs another splitter, such as `range`, `lines` or `grid`".into()
            }
            Self::NotEarlier { earlier, .. } => {
                format!("name a stage that stands above this one: {}", list(earlier, "or"))
            }
            Self::AfterFiles { .. } => {
                "give the earlier stage another reducer, such as \"concat\"".into()
            }
            Self::FileIsOutput { .. } => "give the file another name".into(),
            Self::TwoSources { .. } => {
                "remove `file` to cut the earlier stage's output, or `after` to cut the file".into()
            }
            Self::Useless { name: "output", .. } => {
                "remove it: the task names its files itself".into()
            }
            Self::NoColumn { fields, .. } => format!("choose among {}", list(fields, "and")),
            Self::ColumnTwice { .. } => "name each column once".into(),
            Self::Useless { name: "columns", .. } => {
                "remove it: only `csv` and `top` make tables".into()
            }
            Self::Useless { name, .. } => format!("remove it, or write `reduce = \"{name}\"`"),
            Self::Bins { .. } => {
                "let `low` be less than `high`, both finite, or make fewer bins".into()
            }
            Self::Value { .. } => {
                "use a text, a finite number, a truth value, a list or a table".into()
            }
            Self::Count { count, min, what, .. } if *count < u128::from(*min) => {
                format!("give it {min} or more {what}")
            }
            Self::Count { .. } => "put less into one job, or split it into several jobs".into(),
            Self::NoFunction { kind, offered, .. } if offered.is_empty() => {
                format!("mark a function of the task crate with `{}`, and build it", kind.mark())
            }
            Self::NoFunction { function, kind, offered, .. } => {
                nearest_of(function, offered, &format!("its {kind} functions are"))
            }
            Self::NoStage { stage, stages } => nearest_of(stage, stages, "its stages are"),
            Self::WhichStage { stages, .. } if stages.is_empty() => {
                "the keys of a setting begin with `job` or `stage`".into()
            }
            Self::WhichStage { key, stages } => {
                format!("write stage.NAME.{key}, where NAME is {}", list(stages, "or"))
            }
            Self::WholeStage { .. } => {
                "name one key of it, such as stage.search.unit_items=16".into()
            }
            Self::NotThere { there, .. } if there.is_empty() => {
                "a setting changes what the manifest names: write it there first".into()
            }
            Self::NotThere { name, there, .. } => nearest_of(name, there, "it has"),
            Self::Url { .. } => {
                "write one that begins with https:// or http://, without a user's name in it".into()
            }
            Self::NoHash { .. } => {
                "add hash = \"sha256:…\", as `sha256sum` tells it; with 64 zeros, `gleaner check` \
                 tells the hash of what is there"
                    .into()
            }
            Self::Hash { .. } => "write `sha256:` or `blake3:` and 64 hexadecimal digits".into(),
            Self::FileTooLarge { .. } => "make the file smaller, or split it among stages".into(),
        }
    }
}

fn sequence_hint(fault: SequenceError) -> &'static str {
    match fault {
        SequenceError::Count { count: 0 } => "let the step lead from the start to the end",
        SequenceError::Count { .. } => "choose fewer values",
        SequenceError::NoStep => "choose another step, such as 1",
        SequenceError::TooFarApart => "use numbers of fewer digits, or list the values",
        SequenceError::Exponent => "logspace takes powers of ten: [-3, 3, 7] is 0.001 to 1000",
    }
}

fn unknown_key_hint(name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the keys here are {}", list(known, "and")),
    }
}

/// The one of `known` that was probably meant, or all of them after `introduction`.
fn nearest_of(word: &str, known: &[String], introduction: &str) -> String {
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    match nearest(word, &known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("{introduction} {}", list(&known, "and")),
    }
}
