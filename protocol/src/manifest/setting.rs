//! Values said beside a manifest, as `--set stage.search.parameters.oversampling=4`.
//!
//! A setting is put into the document before anything is checked, so that what it makes of the
//! manifest is read as strictly as the text, and errors name the setting. Its position is an offset
//! past the end of the text: [`Source`] tells which setting that is.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ManifestError, ManifestProblem, line_and_column};
use super::section::type_name;

/// What every item of a stage is given under names of the task's own: a name that the manifest
/// does not have would be ignored there, so it is refused.
const NAMED_BY_THE_TASK: [&str; 2] = ["parameters", "files"];

/// A value that takes the place of one in a manifest, or is added to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// How it was said, for errors.
    said: String,
    keys: Vec<String>,
    /// As TOML.
    value: String,
}

/// Why a text is no setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseSettingError {
    /// There is no `=`.
    #[error("write KEY=VALUE, such as job.seed=7")]
    NoValue,
    /// What stands before the `=` is no key.
    #[error("`{key}` is no key of TOML: write parts of letters, digits, - and _ joined by dots")]
    Key {
        /// What stands there.
        key: String,
    },
    /// What stands after the `=` is no value.
    #[error(
        "`{value}` is no value of TOML: write a number, true or false, a list, or a text in \
         quotes that the shell leaves alone: '{key}=\"text\"'"
    )]
    Value {
        /// The key.
        key: String,
        /// What stands there.
        value: String,
    },
}

/// Where something of a manifest was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// In its text.
    Text {
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
    },
    /// Beside it.
    Setting {
        /// As it was said.
        said: String,
    },
}

/// A manifest's text, and the settings beside it.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    pub(super) settings: &'a [Setting],
}

impl Setting {
    /// The job's name, said as `--name`.
    pub fn of_name(name: &str) -> Self {
        Self {
            said: format!("--name {name}"),
            keys: ["job", "name"].map(String::from).to_vec(),
            value: toml::Value::from(name).to_string(),
        }
    }

    /// How much it adds to the manifest.
    pub(super) fn bytes(&self) -> usize {
        self.value.len() + 1
    }

    fn key(&self) -> String {
        self.keys.join(".")
    }
}

impl FromStr for Setting {
    type Err = ParseSettingError;

    /// Reads `KEY=VALUE`, both as TOML has them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, value) = split(text).ok_or(ParseSettingError::NoValue)?;
        let (key, value) = (key.trim(), value.trim());
        let Some(keys) = parse_key(key) else {
            return Err(ParseSettingError::Key { key: key.to_owned() });
        };
        if DeValue::parse(value).is_err() {
            let (key, value) = (key.to_owned(), value.to_owned());
            return Err(ParseSettingError::Value { key, value });
        }
        Ok(Self { said: format!("--set {text}"), keys, value: value.to_owned() })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { line, column } => write!(f, "line {line}, column {column}"),
            Self::Setting { said } => f.write_str(said),
        }
    }
}

impl<'a> Source<'a> {
    /// Where the byte at `offset` stands.
    pub(super) fn position(&self, offset: usize) -> Position {
        match self.setting_at(offset) {
            Some(setting) => Position::Setting { said: setting.said.clone() },
            None => {
                let (line, column) = line_and_column(self.text, offset);
                Position::Text { line, column }
            }
        }
    }

    /// Puts the settings into the document, the later ones over the earlier.
    pub(super) fn apply(
        &self,
        document: &mut DeTable<'a>,
        root_keys: &[&str],
    ) -> Result<(), ManifestError> {
        let mut offset = self.text.len() + 1;
        for setting in self.settings {
            let value = DeValue::parse(&setting.value).expect("it was read before");
            let placed = Placed { source: *self, setting, span: offset..offset + 1 };
            let table = placed.table(document, root_keys)?;
            let last = setting.keys.last().expect("a key has a part");
            let key = Spanned::new(placed.span.clone(), last.as_str().into());
            // The key of an entry that is there would stay, with its place in the text.
            table.remove(last.as_str());
            table.insert(key, shift(value, offset));
            offset += setting.bytes();
        }
        Ok(())
    }

    fn setting_at(&self, offset: usize) -> Option<&'a Setting> {
        let mut end = self.text.len();
        if offset <= end {
            return None;
        }
        self.settings.iter().find(|setting| {
            end += setting.bytes();
            offset <= end
        })
    }
}

/// A setting on its way into the document.
struct Placed<'a> {
    source: Source<'a>,
    setting: &'a Setting,
    span: Range<usize>,
}

impl<'a> Placed<'a> {
    /// The table that the setting's last key belongs in.
    fn table<'d>(
        &self,
        document: &'d mut DeTable<'a>,
        root_keys: &[&str],
    ) -> Result<&'d mut DeTable<'a>, ManifestError> {
        let keys = &self.setting.keys;
        match keys[0].as_str() {
            "stage" => {
                let [_, stage, rest @ ..] = &keys[..] else { return Err(self.whole_stage()) };
                if rest.is_empty() {
                    return Err(self.whole_stage());
                }
                self.in_stage(document, stage, rest)
            }
            root if root_keys.contains(&root) => self.walk(document, keys, Names::Ours),
            _ => {
                let stages = stage_names(document);
                let [only] = &stages[..] else {
                    let key = self.setting.key();
                    return Err(self.error(ManifestProblem::WhichStage { key, stages }));
                };
                self.in_stage(document, only, keys)
            }
        }
    }

    fn in_stage<'d>(
        &self,
        document: &'d mut DeTable<'a>,
        name: &str,
        keys: &[String],
    ) -> Result<&'d mut DeTable<'a>, ManifestError> {
        let stages = stage_names(document);
        let Some(stage) = stages_of(document).find(|stage| stage_name(stage) == Some(name)) else {
            let stage = name.to_owned();
            return Err(self.error(ManifestProblem::NoStage { stage, stages }));
        };
        let names = match NAMED_BY_THE_TASK.contains(&keys[0].as_str()) {
            true => Names::TheTasks,
            false => Names::Ours,
        };
        if let ([key], Names::TheTasks) = (keys, names) {
            self.refuse_added(stage, key)?;
        }
        self.walk(stage, keys, names)
    }

    /// A whole table may take the place of the one at `key`, with no name that this does not have.
    fn refuse_added(&self, stage: &DeTable<'_>, key: &str) -> Result<(), ManifestError> {
        let value = DeValue::parse(&self.setting.value).expect("it was read before");
        let DeValue::Table(said) = value.get_ref() else { return Ok(()) };
        let none = DeTable::new();
        let there = match stage.get(key).map(Spanned::get_ref) {
            Some(DeValue::Table(there)) => there,
            _ => &none,
        };
        said.keys().try_for_each(|name| self.refuse_absent(there, name.get_ref()))
    }

    /// Goes from `table` down to the one that the last of `keys` belongs in; tables on the way
    /// that are not there are made.
    fn walk<'d>(
        &self,
        table: &'d mut DeTable<'a>,
        keys: &[String],
        names: Names,
    ) -> Result<&'d mut DeTable<'a>, ManifestError> {
        let (last, above) = keys.split_last().expect("a key has a part");
        let mut table = table;
        for (depth, key) in above.iter().enumerate() {
            if names == Names::TheTasks && depth > 0 {
                self.refuse_absent(table, key)?;
            }
            if !table.contains_key(key.as_str()) {
                let key = Spanned::new(self.span.clone(), key.clone().into());
                let made = DeValue::Table(DeTable::new());
                table.insert(key, Spanned::new(self.span.clone(), made));
            }
            let value = table.get_mut(key.as_str()).expect("it was made").get_mut();
            let found = type_name(value);
            let DeValue::Table(below) = value else {
                let problem =
                    ManifestProblem::Type { key: key.clone(), found, expected: "a table" };
                return Err(self.error(problem));
            };
            table = below;
        }
        if names == Names::TheTasks && !above.is_empty() {
            self.refuse_absent(table, last)?;
        }
        Ok(table)
    }

    fn refuse_absent(&self, table: &DeTable<'_>, name: &str) -> Result<(), ManifestError> {
        if table.contains_key(name) {
            return Ok(());
        }
        Err(self.error(ManifestProblem::NotThere {
            key: self.key_of(name),
            name: name.to_owned(),
            there: table.keys().map(|key| key.get_ref().to_string()).collect(),
        }))
    }

    /// The key that is said, down to `name`, which a whole table says in its value.
    fn key_of(&self, name: &str) -> String {
        let key = self.setting.key();
        match &self.setting.keys[..] {
            [.., table] if NAMED_BY_THE_TASK.contains(&table.as_str()) => format!("{key}.{name}"),
            _ => key,
        }
    }

    fn whole_stage(&self) -> ManifestError {
        self.error(ManifestProblem::WholeStage { key: self.setting.key() })
    }

    fn error(&self, problem: ManifestProblem) -> ManifestError {
        ManifestError::at(self.source, &self.span, problem)
    }
}

/// Who chose the names of a table's keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// The manifest's own language: the strict reading knows them all.
    Ours,
    /// The task's author: the manifest has to have them.
    TheTasks,
}

fn stages_of<'d, 'a>(document: &'d mut DeTable<'a>) -> impl Iterator<Item = &'d mut DeTable<'a>> {
    let stages = match document.get_mut("stage").map(Spanned::get_mut) {
        Some(DeValue::Array(stages)) => Some(stages),
        _ => None,
    };
    stages.into_iter().flat_map(|stages| stages.iter_mut()).filter_map(|stage| {
        match stage.get_mut() {
            DeValue::Table(stage) => Some(stage),
            _ => None,
        }
    })
}

fn stage_names(document: &mut DeTable<'_>) -> Vec<String> {
    stages_of(document).filter_map(|stage| stage_name(stage).map(str::to_owned)).collect()
}

fn stage_name<'d>(stage: &'d DeTable<'_>) -> Option<&'d str> {
    stage.get("name")?.get_ref().as_str()
}

/// `value` as if it stood `by` bytes further on: entries keep their order in what was said.
fn shift(value: Spanned<DeValue<'_>>, by: usize) -> Spanned<DeValue<'_>> {
    let span = shift_span(value.span(), by);
    let shifted = match value.into_inner() {
        DeValue::Array(mut elements) => {
            for element in elements.iter_mut() {
                let inner = std::mem::replace(element, Spanned::new(0..0, DeValue::Boolean(false)));
                *element = shift(inner, by);
            }
            DeValue::Array(elements)
        }
        DeValue::Table(table) => {
            let entries = table.into_iter().map(|(key, value)| {
                let span = shift_span(key.span(), by);
                (Spanned::new(span, key.into_inner()), shift(value, by))
            });
            DeValue::Table(entries.collect())
        }
        other => other,
    };
    Spanned::new(span, shifted)
}

fn shift_span(span: Range<usize>, by: usize) -> Range<usize> {
    span.start + by..span.end + by
}

/// The text before and after the first `=` that is not in quotes.
fn split(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let place = text.find(|c| match (quote, c) {
        (None, '=') => true,
        (None, '"' | '\'') => {
            quote = Some(c);
            false
        }
        (Some(open), c) if open == c => {
            quote = None;
            false
        }
        _ => false,
    })?;
    Some((&text[..place], &text[place + 1..]))
}

/// The parts of a dotted key.
fn parse_key(key: &str) -> Option<Vec<String>> {
    let line = format!("{key} = 0");
    let document = DeTable::parse(&line).ok()?.into_inner();
    let (mut keys, mut table) = (Vec::new(), &document);
    loop {
        let mut entries = table.iter();
        let (key, value) = entries.next()?;
        if entries.next().is_some() {
            return None;
        }
        keys.push(key.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(below) => table = below,
            _ => return Some(keys),
        }
    }
}
