//! Files that a manifest has from elsewhere: a URL, and the hash that says which file is meant.
//!
//! The hash is what counts: whatever a server gives, another file is never taken for it. Deliberately
//! absent: fetching.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

use super::error::{ManifestError, ManifestProblem};
use super::section::{Entry, Section};

/// The longest URL: that of common servers.
const URL_BYTES_MAX: usize = 8 * 1024;

/// Where a manifest has a file from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileSource {
    /// A path, as the manifest has it: relative to the manifest's folder unless it is absolute.
    Local(PathBuf),
    /// A URL.
    Remote(RemoteFile),
}

/// A file that is somewhere on the web.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RemoteFile {
    /// Where: begins with `https://` or `http://`.
    pub url: String,
    /// Which file it is.
    pub hash: FileHash,
}

/// The hash of a file's bytes; prints as `blake3:` or `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileHash {
    /// BLAKE3, which `b3sum` prints.
    Blake3([u8; 32]),
    /// SHA-256 (FIPS 180-4), which `sha256sum` prints.
    Sha256([u8; 32]),
}

/// A text is no [`FileHash`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `blake3:` or `sha256:` and 64 hexadecimal digits")]
pub struct ParseFileHashError;

impl FileSource {
    pub(super) fn read(entry: &Entry<'_>) -> Result<Self, ManifestError> {
        if !entry.value().is_table() {
            return entry.file_path().map(Self::Local);
        }
        let section = Section::open(entry, &["url", "hash"])?;
        let url = section.require("url", "url = \"https://example.org/stars.csv\"")?;
        let text = url.text()?;
        if !is_url(text) {
            let (key, found) = (url.path.clone(), text.to_owned());
            return Err(url.error(ManifestProblem::Url { key, found }));
        }
        let Some(hash) = section.find("hash") else {
            return Err(section.error(ManifestProblem::NoHash { key: entry.path.clone() }));
        };
        let hash = hash.text()?.parse().map_err(|_| {
            let found = hash.value().as_str().unwrap_or_default().to_owned();
            hash.error(ManifestProblem::Hash { key: hash.path.clone(), found })
        })?;
        Ok(Self::Remote(RemoteFile { url: text.to_owned(), hash }))
    }
}

/// Whether `text` is a URL of HTTP without a user's name or password in it.
fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let printable = text.chars().all(|c| c.is_ascii_graphic());
    !host.is_empty() && !host.contains('@') && printable && text.len() <= URL_BYTES_MAX
}

impl fmt::Display for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Remote(remote) => f.write_str(&remote.url),
        }
    }
}

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, hash) = match self {
            Self::Blake3(hash) => ("blake3", hash),
            Self::Sha256(hash) => ("sha256", hash),
        };
        write!(f, "{name}:{}", HEXLOWER.encode(hash))
    }
}

impl FromStr for FileHash {
    type Err = ParseFileHashError;

    fn from_str(text: &str) -> Result<Self, ParseFileHashError> {
        let (name, digits) = text.split_once(':').ok_or(ParseFileHashError)?;
        let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
        let bytes = bytes.ok().and_then(|bytes| bytes.try_into().ok()).ok_or(ParseFileHashError)?;
        match name {
            "blake3" => Ok(Self::Blake3(bytes)),
            "sha256" => Ok(Self::Sha256(bytes)),
            _ => Err(ParseFileHashError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_http_are_told_from_others() {
        for url in ["https://a", "http://127.0.0.1:8080/a?b=c", "https://a.org/x%20y#z"] {
            assert!(is_url(url), "{url}");
        }
        let long = format!("https://a/{}", "x".repeat(URL_BYTES_MAX));
        for text in
            ["", "a.csv", "https://", "https:///x", "ftp://a/b", "file:///a", "HTTPS://a", &long]
        {
            assert!(!is_url(text), "{text}");
        }
        for text in ["https://me:secret@a/b", "https://a/b c", "https://a/\u{202e}", "https://a/\n"]
        {
            assert!(!is_url(text), "{text:?}");
        }
    }

    #[test]
    fn hashes_are_read_as_they_print() {
        for name in ["blake3", "sha256"] {
            let text = format!("{name}:{}", "0f".repeat(32));
            assert_eq!(text.parse::<FileHash>().map(|hash| hash.to_string()), Ok(text.clone()));
            let capitals = format!("{name}:{}", "0F".repeat(32));
            assert_eq!(capitals.parse::<FileHash>().map(|hash| hash.to_string()), Ok(text));
        }
        for text in
            ["", "blake3:", "md5:00", &"0f".repeat(32), &format!("sha256:{}", "0f".repeat(31))]
        {
            assert_eq!(text.parse::<FileHash>(), Err(ParseFileHashError), "{text}");
        }
    }
}
