//! One long-running process, its group and its log. Unix only.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::wait_until;

/// How long the slots of a killed process may take to end: the machine may be busy.
const ORPHAN_LIMIT: Duration = Duration::from_secs(10);

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

    /// Kills it as a crash would: SIGKILL to the process alone. Its children, which are its slots,
    /// must notice and end.
    ///
    /// # Errors
    /// When it had ended before, or a child outlives it.
    pub fn kill(mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} had ended before it was killed: {status}", self.name);
        }
        let children = self.children();
        kill_process(self.pid(), Signal::KILL).context("cannot kill a child process")?;
        self.child.wait().context("cannot wait for a killed process")?;
        let what = format!("the end of all slots of {}", self.name);
        wait_until(&what, ORPHAN_LIMIT, || {
            Ok((!children.iter().any(ChildProcess::is_running)).then_some(()))
        })
    }

    /// The processes that it has started and that run, where the system tells.
    pub fn children(&self) -> Vec<ChildProcess> {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.id())) else {
            return Vec::new();
        };
        let lists = threads.flatten().map(|thread| thread.path().join("children"));
        let lists = lists.filter_map(|list| fs::read_to_string(list).ok());
        let ids: Vec<u32> = lists
            .flat_map(|list| list.split_whitespace().map(str::parse).collect::<Vec<_>>())
            .flatten()
            .collect();
        ids.into_iter().filter_map(ChildProcess::find).collect()
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
        self.memory("VmHWM:")
    }

    /// The memory it holds, in bytes, where the system tells.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.memory("VmRSS:")
    }

    /// The CPU time that it has taken, user's and system's, in seconds and without its children's,
    /// where the system tells.
    pub fn cpu_seconds(&self) -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        // `utime` and `stime`, the 14th and 15th of proc_pid_stat(5).
        let ticks = |field: usize| fields.get(field)?.parse::<u64>().ok();
        Some((ticks(11)? + ticks(12)?) as f64 / clock_ticks_per_second() as f64)
    }

    fn memory(&self, key: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kibibytes * 1024)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

/// A process that a [`Process`] has started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildProcess {
    id: u32,
    /// When it was started, in the system's ticks: its number may become another's.
    started: u64,
}

impl ChildProcess {
    fn find(id: u32) -> Option<Self> {
        let (state, started) = state_and_start(id)?;
        (state != ENDED).then_some(Self { id, started })
    }

    /// Whether it runs: not gone, and not waiting only for somebody to read how it ended.
    pub fn is_running(&self) -> bool {
        Self::find(self.id).as_ref() == Some(self)
    }
}

/// The state of a process that has ended and that nobody has asked after.
const ENDED: char = 'Z';

/// A process's state and start from `/proc/ID/stat`, after the name, which may hold anything.
fn state_and_start(id: u32) -> Option<(char, u64)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.first()?.chars().next()?, fields.get(19)?.parse().ok()?))
}

impl Drop for Process {
    /// Kills the whole group. Errors mean that it is gone, which is what is wanted.
    fn drop(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }
}
