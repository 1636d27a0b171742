//! Tables of a manifest, read key by key with the place of everything at hand.

use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Place;
use super::error::{ManifestError, ManifestProblem};
use super::setting::Source;
use crate::job::is_name;

/// A table whose keys are all known, unless it was opened as free.
pub(super) struct Section<'a> {
    source: Source<'a>,
    pub(super) path: String,
    table: &'a DeTable<'a>,
    span: Range<usize>,
}

/// A key with its value.
pub(super) struct Entry<'a> {
    source: Source<'a>,
    pub(super) path: String,
    pub(super) name: &'a str,
    key_span: Range<usize>,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Section<'a> {
    /// The whole document.
    pub(super) fn root(
        source: Source<'a>,
        document: &'a Spanned<DeTable<'a>>,
        known: &'static [&'static str],
    ) -> Result<Self, ManifestError> {
        let section = Self { source, path: String::new(), table: document.get_ref(), span: 0..0 };
        section.refuse_unknown(known)?;
        Ok(section)
    }

    /// The table of `entry`, in which only the keys of `known` may stand.
    pub(super) fn open(
        entry: &Entry<'a>,
        known: &'static [&'static str],
    ) -> Result<Self, ManifestError> {
        let section = Self::open_free(entry)?;
        section.refuse_unknown(known)?;
        Ok(section)
    }

    /// The table of `entry`, in which any key may stand.
    pub(super) fn open_free(entry: &Entry<'a>) -> Result<Self, ManifestError> {
        let DeValue::Table(table) = entry.value.get_ref() else {
            return Err(entry.wrong_type("a table"));
        };
        Ok(Self { source: entry.source, path: entry.path.clone(), table, span: entry.value.span() })
    }

    /// The key `name`, if it is there.
    pub(super) fn find(&self, name: &str) -> Option<Entry<'a>> {
        self.table.iter().find(|(key, _)| key.get_ref() == name).map(|entry| self.entry(entry))
    }

    /// The key `name`, which must be there; `example` shows how it could look.
    pub(super) fn require(
        &self,
        name: &str,
        example: &'static str,
    ) -> Result<Entry<'a>, ManifestError> {
        self.find(name).ok_or_else(|| {
            self.error(ManifestProblem::Missing { key: self.child_path(name), example })
        })
    }

    /// All keys, in the order of the text.
    pub(super) fn entries(&self) -> Vec<Entry<'a>> {
        let mut entries: Vec<_> = self.table.iter().map(|entry| self.entry(entry)).collect();
        entries.sort_by_key(|entry| entry.key_span.start);
        entries
    }

    /// `problem` at the place of the table itself.
    pub(super) fn error(&self, problem: ManifestProblem) -> ManifestError {
        ManifestError::at(self.source, &self.span, problem)
    }

    fn refuse_unknown(&self, known: &'static [&'static str]) -> Result<(), ManifestError> {
        let unknown = self.entries().into_iter().find(|entry| !known.contains(&entry.name));
        let Some(entry) = unknown else { return Ok(()) };
        let problem = ManifestProblem::UnknownKey {
            key: entry.path.clone(),
            name: entry.name.to_owned(),
            known,
        };
        Err(entry.key_error(problem))
    }

    fn entry(
        &self,
        (key, value): (&'a Spanned<toml::de::DeString<'a>>, &'a Spanned<DeValue<'a>>),
    ) -> Entry<'a> {
        let name = key.get_ref().as_ref();
        Entry {
            source: self.source,
            path: self.child_path(name),
            name,
            key_span: key.span(),
            value,
        }
    }

    fn child_path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

impl<'a> Entry<'a> {
    /// The same entry under another path.
    pub(super) fn renamed(self, path: String) -> Self {
        Self { path, ..self }
    }

    /// The elements of a list, each under the path of the list.
    pub(super) fn elements(&self, expected: &'static str) -> Result<Vec<Entry<'a>>, ManifestError> {
        let DeValue::Array(elements) = self.value.get_ref() else {
            return Err(self.wrong_type(expected));
        };
        let element = |value: &'a Spanned<DeValue<'a>>| Entry {
            source: self.source,
            path: self.path.clone(),
            name: self.name,
            key_span: value.span(),
            value,
        };
        Ok(elements.iter().map(element).collect())
    }

    /// The value, whatever its type.
    pub(super) fn value(&self) -> &'a DeValue<'a> {
        self.value.get_ref()
    }

    /// A text.
    pub(super) fn text(&self) -> Result<&'a str, ManifestError> {
        self.value.get_ref().as_str().ok_or_else(|| self.wrong_type("a text in quotes"))
    }

    /// A name.
    pub(super) fn identifier(&self) -> Result<String, ManifestError> {
        let name = self.text()?;
        if is_name(name) {
            return Ok(name.to_owned());
        }
        Err(self.error(ManifestProblem::Name { key: self.path.clone(), name: name.to_owned() }))
    }

    /// The key itself as a name.
    pub(super) fn key_identifier(&self) -> Result<String, ManifestError> {
        if is_name(self.name) {
            return Ok(self.name.to_owned());
        }
        let problem = ManifestProblem::Name { key: self.path.clone(), name: self.name.to_owned() };
        Err(self.key_error(problem))
    }

    /// The path of a file of the submitter's.
    pub(super) fn file_path(&self) -> Result<PathBuf, ManifestError> {
        match self.text()? {
            "" => Err(self.error(ManifestProblem::EmptyPath { key: self.path.clone() })),
            path => Ok(PathBuf::from(path)),
        }
    }

    /// A whole number from `min` to `max`.
    pub(super) fn whole_number<T>(&self, min: T, max: T) -> Result<T, ManifestError>
    where
        T: Copy + TryFrom<i128> + PartialOrd + std::fmt::Display,
    {
        let DeValue::Integer(integer) = self.value.get_ref() else {
            return Err(self.wrong_type("a whole number"));
        };
        i128::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| self.out_of_bounds(&integer.to_string(), &min, &max))
    }

    /// The key's path, and where its value stands.
    pub(super) fn place(&self) -> Place {
        let position = self.source.position(self.value.span().start);
        Place { key: self.path.clone(), position }
    }

    /// `problem` at the place of the value.
    pub(super) fn error(&self, problem: ManifestProblem) -> ManifestError {
        ManifestError::at(self.source, &self.value.span(), problem)
    }

    /// `problem` at the place of the key.
    pub(super) fn key_error(&self, problem: ManifestProblem) -> ManifestError {
        ManifestError::at(self.source, &self.key_span, problem)
    }

    /// The value stands outside its bounds.
    pub(super) fn out_of_bounds(
        &self,
        value: &str,
        min: &dyn std::fmt::Display,
        max: &dyn std::fmt::Display,
    ) -> ManifestError {
        self.error(ManifestProblem::OutOfBounds {
            key: self.path.clone(),
            value: value.to_owned(),
            min: min.to_string(),
            max: max.to_string(),
        })
    }

    /// The value has another type than `expected`.
    pub(super) fn wrong_type(&self, expected: &'static str) -> ManifestError {
        let found = type_name(self.value.get_ref());
        self.error(ManifestProblem::Type { key: self.path.clone(), found, expected })
    }
}

/// What `value` is, in words.
pub(super) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
