//! Whom a job tells how it goes, and how.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::{NOTIFY_COMMAND_BYTES_MAX, NOTIFY_COMMAND_WORDS_MAX, NOTIFY_URL_BYTES_MAX};

/// What a job has told, and to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// Told of the job's end, whatever it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_done: Option<NotifyTarget>,
    /// Told when nothing of the job is settled for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_stall: Option<NotifyTarget>,
    /// How long that while is.
    #[serde(default = "stall_after_default")]
    pub stall_after: Duration,
}

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifyTarget {
    /// Whoever answers there: it gets a POST of JSON.
    Url(String),
    /// A program on the coordinator's machine and its arguments, without a shell.
    Command(Vec<String>),
}

/// Why a target cannot be told anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotifyTargetError {
    /// The scheme is neither http nor https, or there is no host.
    #[error("{url:?} is no address of http or https")]
    Url {
        /// The text.
        url: String,
    },
    /// The address is longer than anybody's.
    #[error("the address has {bytes} bytes; the most is {NOTIFY_URL_BYTES_MAX}")]
    UrlLength {
        /// Its length.
        bytes: usize,
    },
    /// There is no program.
    #[error("the command names no program")]
    NoProgram,
    /// The command is longer than it need be.
    #[error(
        "the command has {words} words and {bytes} bytes; the most are {NOTIFY_COMMAND_WORDS_MAX} \
         and {NOTIFY_COMMAND_BYTES_MAX}"
    )]
    CommandLength {
        /// How many words.
        words: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// A word that no program can be given.
    #[error("the command's word {word:?} holds a zero byte")]
    Zero {
        /// The word.
        word: String,
    },
}

impl Default for Notify {
    /// Nobody is told anything.
    fn default() -> Self {
        Self { on_done: None, on_stall: None, stall_after: Self::STALL_AFTER_DEFAULT }
    }
}

impl Notify {
    /// Longer than nearly every unit takes, and short enough to save the day.
    pub const STALL_AFTER_DEFAULT: Duration = Duration::from_secs(30 * 60);

    /// Those who are told something.
    pub fn targets(&self) -> impl Iterator<Item = &NotifyTarget> {
        self.on_done.iter().chain(&self.on_stall)
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl NotifyTarget {
    /// Whether it may be used.
    ///
    /// # Errors
    /// The first thing wrong.
    pub fn check(&self) -> Result<(), NotifyTargetError> {
        match self {
            Self::Url(url) => check_url(url),
            Self::Command(words) => check_command(words),
        }
    }
}

impl fmt::Display for NotifyTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Command(words) => write!(f, "{words:?}"),
        }
    }
}

fn check_url(url: &str) -> Result<(), NotifyTargetError> {
    if url.len() > NOTIFY_URL_BYTES_MAX {
        return Err(NotifyTargetError::UrlLength { bytes: url.len() });
    }
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let is_address = rest.is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
            && rest.chars().all(|c| c.is_ascii_graphic())
    });
    if is_address { Ok(()) } else { Err(NotifyTargetError::Url { url: url.to_owned() }) }
}

fn check_command(words: &[String]) -> Result<(), NotifyTargetError> {
    if words.first().is_none_or(String::is_empty) {
        return Err(NotifyTargetError::NoProgram);
    }
    let bytes = words.iter().map(String::len).sum();
    if words.len() > NOTIFY_COMMAND_WORDS_MAX || bytes > NOTIFY_COMMAND_BYTES_MAX {
        return Err(NotifyTargetError::CommandLength { words: words.len(), bytes });
    }
    match words.iter().find(|word| word.contains('\0')) {
        None => Ok(()),
        Some(word) => Err(NotifyTargetError::Zero { word: word.clone() }),
    }
}

fn stall_after_default() -> Duration {
    Notify::STALL_AFTER_DEFAULT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_of_http_and_a_command_has_a_program() {
        let url = |text: &str| NotifyTarget::Url(text.into()).check();
        for sound in
            ["http://a", "https://a.example/x?y=z#f", "http://[::1]:80/", "https://1.2.3.4"]
        {
            assert_eq!(url(sound), Ok(()), "{sound}");
        }
        for unsound in [
            "",
            "a",
            "ftp://a",
            "HTTP://a",
            "http:/a",
            "http://",
            "http:///etc",
            "file:///etc/passwd",
            "http://a b",
            "http://a\r\nX: y",
            "http://ä",
            " http://a",
            "http://@a",
        ] {
            assert!(matches!(url(unsound), Err(NotifyTargetError::Url { .. })), "{unsound}");
        }
        let long = format!("http://{}", "a".repeat(NOTIFY_URL_BYTES_MAX));
        assert!(matches!(url(&long), Err(NotifyTargetError::UrlLength { .. })));

        let command = |words: &[&str]| {
            NotifyTarget::Command(words.iter().map(|word| (*word).to_owned()).collect()).check()
        };
        assert_eq!(command(&["notify-send", "job done", ""]), Ok(()));
        assert_eq!(command(&[]), Err(NotifyTargetError::NoProgram));
        assert_eq!(command(&["", "a"]), Err(NotifyTargetError::NoProgram));
        assert_eq!(command(&["a", "b\0"]), Err(NotifyTargetError::Zero { word: "b\0".into() }));
        let many = vec!["a"; NOTIFY_COMMAND_WORDS_MAX + 1];
        assert!(matches!(command(&many), Err(NotifyTargetError::CommandLength { .. })));
        let long = "a".repeat(NOTIFY_COMMAND_BYTES_MAX);
        assert!(matches!(command(&["a", &long]), Err(NotifyTargetError::CommandLength { .. })));
    }
}
