//! A terminal at which a command runs and a person types.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::{Process, wait_until};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// What Ctrl-C types.
const INTERRUPT: &str = "\x03";

/// A command at a terminal of its own: `script`, of every Linux.
pub struct Terminal {
    process: Process,
    keyboard: File,
}

impl Terminal {
    /// Starts `command` at one, what it shows in the file `log`; the keyboard is a pipe beside it.
    pub(crate) fn start(name: &str, command: &Command, log: &Path) -> Result<Self> {
        let pipe = log.with_extension("keyboard");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .with_context(|| format!("cannot make {}", pipe.display()))?;
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<_> = words.map(quoted).collect();
        let line = format!(
            "exec script -qec {} /dev/null < {}",
            quoted(OsStr::new(&words.join(" "))),
            quoted(pipe.as_os_str())
        );
        let process = Process::start(name, Command::new("sh").args(["-c", &line]), log)?;
        // Open to both ways, it waits for nobody and never ends what is read.
        let keyboard = File::options().read(true).write(true).open(&pipe);
        let keyboard = keyboard.with_context(|| format!("cannot open {}", pipe.display()))?;
        Ok(Self { process, keyboard })
    }

    /// All that it has shown.
    pub fn shown(&self) -> String {
        self.process.log()
    }

    /// Types a line once `question` is shown.
    ///
    /// # Errors
    /// When that is not within `limit`; then with what is shown.
    pub fn answer(&mut self, question: &str, line: &str, limit: Duration) -> Result<()> {
        wait_until(question, limit, || Ok(self.shown().contains(question).then_some(())))
            .with_context(|| self.shown())?;
        self.type_in(&format!("{line}\n"))
    }

    /// Waits for the command's end.
    ///
    /// # Errors
    /// When it has not ended within `limit`; then with what is shown.
    pub fn wait_for_end(&mut self, limit: Duration) -> Result<ExitStatus> {
        wait_until("the end of a command at a terminal", limit, || self.process.ended())
            .with_context(|| self.shown())
    }

    /// Types Ctrl-C and waits for the command's end.
    ///
    /// # Errors
    /// When it has not ended within `limit`; then with what is shown.
    pub fn interrupt(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.type_in(INTERRUPT)?;
        self.wait_for_end(limit)
    }

    fn type_in(&mut self, keys: &str) -> Result<()> {
        self.keyboard.write_all(keys.as_bytes()).context("cannot type")
    }
}

/// A word for a shell.
fn quoted(word: &OsStr) -> String {
    format!("'{}'", word.to_string_lossy().replace('\'', "'\\''"))
}
