//! Where the data folder is.

use std::env;
use std::path::PathBuf;

use anyhow::Result;

use crate::failure::Hinted;

/// The folder asked for, or that of the environment, or `gleaner` in the platform's folder for a
/// user's data. The parser knows nothing of the environment: it would take what is set there for
/// said, and show it in every usage.
///
/// # Errors
/// When none was asked for and the user has no home folder.
pub fn find(asked: Option<PathBuf>) -> Result<PathBuf> {
    let is_said = |folder: &PathBuf| !folder.as_os_str().is_empty();
    let set = || env::var_os("GLEANER_DATA").map(PathBuf::from).filter(is_said);
    if let Some(folder) = asked.filter(is_said).or_else(set) {
        return Ok(folder);
    }
    let Some(folder) = platform() else {
        let line = "this user has no home folder to keep data in".into();
        return Err(Hinted::new(line, "choose a folder with --data DIR".into()).into());
    };
    Ok(folder.join("gleaner"))
}

/// `XDG_DATA_HOME` or `~/.local/share` (XDG Base Directory Specification).
#[cfg(not(any(windows, target_os = "macos")))]
fn platform() -> Option<PathBuf> {
    let absolute = |folder: &PathBuf| folder.is_absolute();
    let chosen = env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(absolute);
    chosen.or_else(|| Some(env::home_dir()?.join(".local/share")).filter(absolute))
}

#[cfg(target_os = "macos")]
fn platform() -> Option<PathBuf> {
    Some(env::home_dir()?.join("Library/Application Support"))
}

#[cfg(windows)]
fn platform() -> Option<PathBuf> {
    env::var_os("LOCALAPPDATA").map(PathBuf::from)
}
