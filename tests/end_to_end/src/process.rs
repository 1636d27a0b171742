//! One long-running process, its group and its log. Unix only.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::wait_until;

/// A running process that does not outlive this value.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` in a process group of its own, what it prints appended to the file `log`.
    ///
    /// # Errors
    /// When the file cannot be opened or the process cannot be started.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("cannot share the log")?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All it has printed so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The last `lines` lines it has printed.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let skipped = log.lines().count().saturating_sub(lines);
        log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }

    /// Whether it has ended, and how.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("cannot ask after a child process")
    }

    /// Kills it as a crash would: SIGKILL to the process alone, its children left to notice.
    ///
    /// # Errors
    /// When it had ended before.
    pub fn kill(mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} had ended before it was killed: {status}", self.name);
        }
        kill_process(self.pid(), Signal::KILL).context("cannot kill a child process")?;
        self.child.wait().context("cannot wait for a killed process")?;
        Ok(())
    }

    /// Interrupts it, as Ctrl-C does: SIGINT.
    ///
    /// # Errors
    /// When it has ended before.
    pub fn interrupt(&mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} had ended before it was interrupted: {status}", self.name);
        }
        kill_process(self.pid(), Signal::INT).context("cannot signal a child process")
    }

    /// Asks it to stop, as a service manager would: SIGTERM.
    ///
    /// # Errors
    /// When it does not stop within `limit`, or not with success.
    pub fn stop(mut self, limit: Duration) -> Result<()> {
        if self.ended()?.is_none() {
            kill_process(self.pid(), Signal::TERM).context("cannot signal a child process")?;
        }
        let what = format!("the end of {}", self.name);
        let status = wait_until(&what, limit, || self.ended())?;
        if !status.success() {
            bail!("{} ended with {status}:\n{}", self.name, self.log_tail(20));
        }
        Ok(())
    }

    /// The most memory it has held, in bytes, where the system tells.
    pub fn memory_bytes_peak(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kibibytes * 1024)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    /// Kills the whole group. Errors mean that it is gone, which is what is wanted.
    fn drop(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }
}
