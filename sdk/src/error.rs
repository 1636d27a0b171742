//! Why a task gave up on an item.

use std::fmt;

/// Why a task gave up on an item, in words for whoever submitted the job.
///
/// Any `std::error::Error` becomes one by `?`, its sources appended after colons. It is not a
/// `std::error::Error` itself, as the two would then overlap.
///
/// A failure is an answer: it must be the same on every machine, so its words should name values
/// of the input, never addresses or times.
#[derive(PartialEq, Eq)]
pub struct Error {
    message: String,
}

impl Error {
    /// An error that says `message`: `Error::new("no data")`, `Error::new(format_args!(…))`, or
    /// `.map_err(Error::new)` for anything that displays.
    pub fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string() }
    }

    /// The same error with what was being done put before it: `reading star: line 3: …`.
    #[must_use]
    pub fn context(self, doing: impl fmt::Display) -> Self {
        Self { message: format!("{doing}: {}", self.message) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self { message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("line 3")
        }
    }

    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn sources_follow_after_colons() {
        let parse = || -> Result<u8, Error> { "x".parse().map_err(|e| Outer(e).into()) };
        assert_eq!(
            parse().map_err(|e| e.context("star").to_string()),
            Err("star: line 3: invalid digit found in string".to_owned())
        );
    }

    #[test]
    fn question_mark_converts_and_anything_displayed_can_be_an_error() {
        fn parse(text: &str) -> Result<u8, Error> {
            if text.is_empty() {
                return Err(Error::new(format_args!("{text:?} is empty")));
            }
            Ok(text.parse()?)
        }
        assert_eq!(parse(""), Err(Error::new("\"\" is empty")));
        assert_eq!(parse("x"), Err(Error::new("invalid digit found in string")));
        assert_eq!(parse("7"), Ok(7));
    }
}
