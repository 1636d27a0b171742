//! The table `[notify]`.

use toml::de::DeValue;

use super::error::{ManifestError, ManifestProblem};
use super::section::{Entry, Section};
use super::stage::duration;
use crate::{Notify, NotifyTarget};

const KEYS: &[&str] = &["on_done", "on_stall", "stall_after"];

pub(super) fn notify(entry: Option<Entry<'_>>) -> Result<Notify, ManifestError> {
    let mut notify = Notify::default();
    let Some(entry) = entry else { return Ok(notify) };
    let section = Section::open(&entry, KEYS)?;
    notify.on_done = section.find("on_done").map(|entry| target(&entry)).transpose()?;
    notify.on_stall = section.find("on_stall").map(|entry| target(&entry)).transpose()?;
    if let Some(entry) = section.find("stall_after") {
        notify.stall_after = duration(&entry)?;
    }
    Ok(notify)
}

/// A text is an address; a command is a list, so that nobody has to guess at its words.
fn target(entry: &Entry<'_>) -> Result<NotifyTarget, ManifestError> {
    const EXPECTED: &str = "an address in quotes or a list of words";
    let target = match entry.value() {
        DeValue::String(url) => NotifyTarget::Url(url.to_string()),
        _ => {
            let words = entry.elements(EXPECTED)?;
            let words = words.iter().map(|word| Ok(word.text()?.to_owned()));
            NotifyTarget::Command(words.collect::<Result<_, _>>()?)
        }
    };
    match target.check() {
        Ok(()) => Ok(target),
        Err(reason) => {
            let key = entry.path.clone();
            Err(entry.error(ManifestProblem::NotifyTarget { key, reason }))
        }
    }
}
