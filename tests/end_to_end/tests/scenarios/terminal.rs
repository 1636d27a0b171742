//! Commands on a terminal of their own, which `script` of util-linux makes for them.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use end_to_end::{Gleaner, Process, wait_until};
use rustix::fs::{CWD, Mode};

const LIMIT: Duration = Duration::from_secs(60);

/// What is typed when a command asks.
#[derive(Clone, Copy, Debug)]
pub enum Keys {
    Line(&'static str),
    CtrlC,
}

/// Has `gleaner WORDS` run on a terminal, types `keys` once it has asked, and gives its exit code
/// and all that the terminal showed.
pub fn ask(gleaner: &Gleaner, data: &Path, words: &str, keys: Keys) -> Result<(i32, String)> {
    let folder = tempfile::tempdir()?;
    let keyboard = folder.path().join("keyboard");
    rustix::fs::mkfifoat(CWD, &keyboard, Mode::RWXU).context("cannot make a pipe")?;
    // Opened for both, it waits for nobody.
    let mut typed = File::options().read(true).write(true).open(&keyboard)?;
    let line = format!("exec script -qec 'gleaner {words}' /dev/null <'{}'", keyboard.display());
    let mut shell = gleaner.shell(data, &line)?;
    let mut command = Process::start("script", &mut shell, &folder.path().join("log"))?;
    wait_until("a question", LIMIT, || {
        ensure!(command.ended()?.is_none(), "`{words}` did not ask: {}", command.log());
        Ok(command.log().contains("[y/N]").then_some(()))
    })?;
    typed.write_all(match keys {
        Keys::Line(line) => line.as_bytes(),
        Keys::CtrlC => b"\x03",
    })?;
    let status = wait_until("the end of a command", LIMIT, || command.ended())?;
    match status.code() {
        Some(code) => Ok((code, command.log())),
        None => bail!("`{words}` ended with {status}: {}", command.log()),
    }
}
