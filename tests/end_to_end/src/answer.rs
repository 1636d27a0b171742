//! A command run to its end.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::wait_until;

/// How a command ended.
#[derive(Debug)]
pub struct Answer {
    /// The exit code; -1 for a signal.
    pub code: i32,
    /// The exit code or signal in words.
    pub status: String,
    /// What it printed as its result.
    pub stdout: String,
    /// What it said besides.
    pub stderr: String,
}

impl Answer {
    /// Runs `command` to its end with nothing typed. One that takes longer than `limit` is killed,
    /// with all that it has started.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time; then with what it had said.
    pub fn of(command: &mut Command, limit: Duration) -> Result<Self> {
        Self::of_unless(command, limit, || Ok(()))
    }

    /// The same, but the command is killed once `check` fails, which is asked again and again.
    ///
    /// # Errors
    /// As [`Answer::of`], and the first of `check`.
    pub fn of_unless(
        command: &mut Command,
        limit: Duration,
        mut check: impl FnMut() -> Result<()>,
    ) -> Result<Self> {
        let printed = tempfile::tempdir().context("cannot make a folder")?;
        let stdout = printed.path().join("stdout");
        let stderr = printed.path().join("stderr");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let arguments: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        let what = format!("the end of `{}`", arguments.join(" "));
        let read = |file: &Path| fs::read_to_string(file).context("a command printed no text");
        let mut ended = || match child.try_wait()? {
            Some(status) => Ok(Some(status)),
            None => check().map(|()| None),
        };
        let status = match wait_until(&what, limit, &mut ended) {
            Ok(status) => status,
            Err(error) => {
                kill_process_group(Pid::from_child(&child), Signal::KILL)?;
                child.wait()?;
                return Err(error.context(read(&stderr)?));
            }
        };
        Ok(Self {
            code: status.code().unwrap_or(-1),
            status: status.to_string(),
            stdout: read(&stdout)?,
            stderr: read(&stderr)?,
        })
    }
}
