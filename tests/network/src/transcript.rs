//! What was done on the machines, as a person sees it: a page in chapters, with the time of each.

use std::env;
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The variable that names a file to write the page to.
const FILE: &str = "GLEANER_TRANSCRIPT";

/// A page of Markdown that is printed as it grows.
pub struct Transcript {
    page: Mutex<Page>,
}

struct Page {
    text: String,
    /// When the first chapter began, and when the one that is written.
    began: Option<(Instant, Instant)>,
}

impl Transcript {
    pub(crate) fn new() -> Self {
        Self { page: Mutex::new(Page { text: String::new(), began: None }) }
    }

    /// Ends the chapter before and begins one.
    pub fn chapter(&self, title: &str) {
        let mut page = self.page();
        page.end_chapter();
        let now = Instant::now();
        page.began = Some((page.began.map_or(now, |(first, _)| first), now));
        page.add(&format!("## {title}\n\n```console\n"));
    }

    /// Ends the last chapter and writes the page where `GLEANER_TRANSCRIPT` says, if it does.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(&self) -> Result<()> {
        let mut page = self.page();
        page.end_chapter();
        if let Some((first, _)) = page.began.take() {
            page.add(&format!("From the first command to here: {}.\n", words(first.elapsed())));
        }
        let Some(file) = env::var_os(FILE) else { return Ok(()) };
        fs::write(&file, &page.text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// A command that was typed, or what one said.
    pub(crate) fn say(&self, text: &str) {
        let plain = plain(text);
        if plain.is_empty() {
            return;
        }
        let end = if plain.ends_with('\n') { "" } else { "\n" };
        self.page().add(&format!("{plain}{end}"));
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    fn end_chapter(&mut self) {
        if let Some((_, chapter)) = self.began {
            self.add(&format!("```\n\n*{}*\n\n", words(chapter.elapsed())));
        }
    }

    fn add(&mut self, text: &str) {
        print!("{text}");
        self.text += text;
    }
}

fn words(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// What a terminal was told, without colours and returns.
fn plain(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // A sequence ends with its first letter.
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(part.len(), |at| at + 1);
        plain += &part[end..];
    }
    plain.replace("^C", "").replace('\r', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_returns_are_left_out() {
        assert_eq!(plain("\x1b[1;32mdone\x1b[0m\r\nnext\x1b[K"), "done\nnext");
        assert_eq!(plain("nothing to leave out\n"), "nothing to leave out\n");
    }
}
