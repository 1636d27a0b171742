//! File names from strangers.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};

/// A file name below some folder, safe to join to a path on any system: `/`-separated parts, none
/// empty, `.` or `..`, no control character, none of `\ : * ? " < > |`, no device name of Windows,
/// at most [`RelativeName::BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RelativeName(String);

/// Why a name cannot be a file's name here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelativeNameError {
    /// The name is empty or too long.
    #[error("a file name has 1 to {max} bytes, this one has {bytes}", max = RelativeName::BYTES_MAX)]
    Length {
        /// The bytes it has.
        bytes: usize,
    },
    /// One of its parts cannot be used.
    #[error("the file name {name:?} has a part that cannot be used: {part:?}")]
    Part {
        /// The whole name.
        name: String,
        /// The part at fault.
        part: String,
    },
}

impl RelativeName {
    /// The longest name in bytes: what common file systems take for one part.
    pub const BYTES_MAX: usize = 255;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of this file below `folder`.
    pub fn below(&self, folder: &Path) -> PathBuf {
        folder.join(&self.0)
    }
}

impl FromStr for RelativeName {
    type Err = RelativeNameError;

    fn from_str(name: &str) -> Result<Self, RelativeNameError> {
        if name.is_empty() || name.len() > Self::BYTES_MAX {
            return Err(RelativeNameError::Length { bytes: name.len() });
        }
        match name.split('/').find(|part| !is_safe(part)) {
            None => Ok(Self(name.to_owned())),
            Some(part) => {
                Err(RelativeNameError::Part { name: name.to_owned(), part: part.to_owned() })
            }
        }
    }
}

fn is_safe(part: &str) -> bool {
    const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
    let stem = part.split('.').next().unwrap_or("").to_ascii_lowercase();
    let numbered_device = (stem.starts_with("com") || stem.starts_with("lpt"))
        && stem.len() == 4
        && stem.as_bytes()[3].is_ascii_digit();
    !part.is_empty()
        && part != "."
        && part != ".."
        && !part.ends_with(['.', ' '])
        && !part.chars().any(|c| c.is_control() || r#"\:*?"<>|"#.contains(c))
        && !DEVICES.contains(&stem.as_str())
        && !numbered_device
}

impl fmt::Display for RelativeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RelativeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_pass_and_dangerous_ones_do_not() {
        for name in ["a", "periodogram.svg", "stars/hd 164922.csv", "ünïcode", ".hidden"] {
            assert!(name.parse::<RelativeName>().is_ok(), "{name}");
        }
        for name in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            "nul",
            "COM1.txt",
            "a\nb",
            "c:x",
            "x.",
        ] {
            assert!(name.parse::<RelativeName>().is_err(), "{name:?}");
        }
        assert!("x".repeat(256).parse::<RelativeName>().is_err());
    }
}
