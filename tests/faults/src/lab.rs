//! A coordinator whose data lie on a [`Disk`], and a worker and a submitter elsewhere.

use std::fmt;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use end_to_end::{Answer, Gleaner, Process, Reply, Request, quic_port, wait_until};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Disk, Loss, Mount};

const COMMAND_LIMIT: Duration = Duration::from_secs(120);
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const LOG_TAIL_LINES: usize = 30;

/// How often a coordinator may fail to start before the disk is mended.
const STARTS_MAX: usize = 3;

/// What workers log: each attempt that is acknowledged to them.
const WORKER_LOG: &str = "warn,gleaner=info,gleaner_worker::driver::incoming=debug";

/// The processes and their disk. Their logs are printed unless it is stopped.
pub struct Lab {
    gleaner: Gleaner,
    coordinator: Option<Process>,
    worker: Option<Process>,
    workers: usize,
    /// The port chosen at the first start: workers know it from their tickets.
    port: u16,
    loss: Loss,
    /// What workers have compiled, which takes longer than all the rest.
    compiled: PathBuf,
    mount: Option<Mount>,
    folder: TempDir,
}

/// Why something was not brought to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setback {
    /// There is no power.
    PowerCut,
    /// The coordinator has ended.
    Ended,
}

impl Lab {
    /// A lab without a project, whose workers keep what they compile in the folder `compiled`. At a
    /// power cut the disk loses what `loss` says.
    ///
    /// # Errors
    /// When there is no program, or the disk cannot be mounted.
    pub fn new(disk: Disk, loss: Loss, compiled: &Path) -> Result<Self> {
        let gleaner = Gleaner::find()?;
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let place = folder.path().join("disk");
        fs::create_dir(&place)?;
        let submitter = folder.path().join("submitter");
        fs::create_dir(&submitter)?;
        symlink(place.join("project/coordinator"), submitter.join("coordinator"))?;
        let mount = Some(Mount::new(disk, &place)?);
        let (coordinator, worker) = (None, None);
        let (workers, port) = (0, 0);
        Ok(Self {
            gleaner,
            coordinator,
            worker,
            workers,
            port,
            loss,
            compiled: compiled.to_owned(),
            mount,
            folder,
        })
    }

    /// Where the disk is.
    pub fn place(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// What the program's commands are told of where the coordinator has its data.
    pub fn data(&self) -> PathBuf {
        self.place().join("project")
    }

    /// The coordinator's own folder.
    pub fn coordinator_folder(&self) -> PathBuf {
        self.data().join("coordinator")
    }

    /// The disk.
    pub fn mount(&self) -> &Mount {
        self.mount.as_ref().expect("it is mounted but for the time of a power cut")
    }

    /// Runs a command of the operator's, beside the coordinator or without it.
    ///
    /// # Errors
    /// A [`Setback`], or when it does not end.
    pub fn ask_operator(&mut self, arguments: &[&str]) -> Result<Answer> {
        let data = self.data();
        self.ask(&data, arguments)
    }

    /// Runs a command of the operator's that must succeed.
    ///
    /// # Errors
    /// As [`Lab::ask_operator`], and when it fails, with its own words.
    pub fn tell_operator(&mut self, arguments: &[&str]) -> Result<String> {
        succeeded(arguments, self.ask_operator(arguments)?)
    }

    /// Runs a command of the submitter's that must succeed.
    ///
    /// # Errors
    /// A [`Setback`], or when it fails, with its own words.
    pub fn tell(&mut self, arguments: &[&str]) -> Result<String> {
        let data = self.folder.path().join("submitter");
        succeeded(arguments, self.ask(&data, arguments)?)
    }

    fn ask(&mut self, data: &Path, arguments: &[&str]) -> Result<Answer> {
        let mut command = self.gleaner.command(data);
        command.args(arguments).current_dir(self.folder.path());
        Answer::of_unless(&mut command, COMMAND_LIMIT, || self.check())
    }

    /// Waits for something that the coordinator is to do.
    ///
    /// # Errors
    /// A [`Setback`], the condition's own, or that it did not happen.
    pub fn wait_until<T>(
        &mut self,
        what: &str,
        mut condition: impl FnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<T> {
        wait_until(what, COMMAND_LIMIT, || {
            self.check()?;
            condition(self)
        })
    }

    /// Fails once there is no power or no coordinator any more.
    ///
    /// # Errors
    /// A [`Setback`].
    pub fn check(&mut self) -> Result<()> {
        if self.mount().disk().is_cut() {
            return Err(Setback::PowerCut.into());
        }
        match self.coordinator.as_mut().map(Process::ended).transpose()?.flatten() {
            Some(_) => Err(Setback::Ended.into()),
            None => Ok(()),
        }
    }

    /// Starts the coordinator, on the port it had before, and waits until it answers.
    ///
    /// # Errors
    /// A [`Setback`], or when it does not answer.
    pub fn start_coordinator(&mut self) -> Result<()> {
        assert!(self.coordinator.is_none(), "the coordinator runs already");
        let log = self.folder.path().join("coordinator.log");
        let before = fs::read(&log).unwrap_or_default().len();
        let port = self.port.to_string();
        let mut command = self.gleaner.command(&self.data());
        command.args(["coordinator", "start", "--port", &port, "--api-port", "0", "--loopback"]);
        command.arg("--allow-network-folder");
        self.coordinator = Some(Process::start("coordinator", &mut command, &log)?);
        wait_until("the coordinator's first answer", START_LIMIT, || {
            self.check()?;
            let log = fs::read(&log).unwrap_or_default();
            let said = String::from_utf8_lossy(&log[before..]).into_owned();
            Ok(said.contains("next: ").then_some(()))
        })?;
        if self.port == 0 {
            self.port = self.swarm_port()?;
        }
        Ok(())
    }

    /// Starts the coordinator unless it runs.
    ///
    /// # Errors
    /// As [`Lab::start_coordinator`].
    pub fn ensure_coordinator(&mut self) -> Result<()> {
        if self.coordinator.is_some() { self.check() } else { self.start_coordinator() }
    }

    /// Stops the coordinator in good order, if it runs.
    ///
    /// # Errors
    /// A [`Setback`], or when it does not stop with success.
    pub fn stop_coordinator(&mut self) -> Result<()> {
        self.check()?;
        let Some(process) = self.coordinator.take() else { return Ok(()) };
        let stopped = process.stop(STOP_LIMIT);
        self.check()?;
        stopped
    }

    /// Starts a worker with an invitation of its own, and waits until it has joined.
    ///
    /// # Errors
    /// A [`Setback`], or when it does not join.
    pub fn join_worker(&mut self) -> Result<()> {
        self.worker = None;
        let ticket = self.tell(&["coordinator", "invite", "--ticket-only"])?;
        let name = format!("worker-{}", self.workers);
        let data = self.folder.path().join(&name);
        fs::create_dir_all(data.join("worker"))?;
        symlink(&self.compiled, data.join("worker/compiled"))?;
        let mut join = self.gleaner.command(&data);
        join.args(["worker", "join", "--yes", ticket.trim(), "--slots", "2", "--loopback"]);
        join.env("RUST_LOG", WORKER_LOG);
        let log = self.folder.path().join(format!("{name}.log"));
        self.workers += 1;
        self.worker = Some(Process::start(&name, &mut join, &log)?);
        self.wait_until("a worker's arrival", |lab| {
            let workers = lab.get("/v1/workers").and_then(|reply| json(&reply));
            Ok(workers.ok().filter(|workers| !workers[0].is_null()).map(drop))
        })
    }

    /// The attempts that workers have logged as acknowledged.
    pub fn acknowledged(&self) -> Vec<String> {
        let log = |number| self.folder.path().join(format!("worker-{number}.log"));
        let logs = (0..self.workers).filter_map(|number| fs::read_to_string(log(number)).ok());
        let mut attempts = Vec::new();
        for log in logs {
            let lines = log.lines().filter(|line| line.contains("acknowledged"));
            let words = lines.flat_map(str::split_whitespace);
            attempts
                .extend(words.filter_map(|word| word.strip_prefix("attempt=")).map(str::to_owned));
        }
        attempts
    }

    /// Where a job stands.
    ///
    /// # Errors
    /// When the coordinator does not tell.
    pub fn status(&self, job: &str) -> Result<Value> {
        json(&self.get(&format!("/v1/jobs/{job}"))?)
    }

    /// Asks the control API as a good client would.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn get(&self, path: &str) -> Result<Reply> {
        let read = |name: &str| {
            let file = self.coordinator_folder().join(name);
            let text = fs::read_to_string(&file);
            text.with_context(|| format!("cannot read {}", file.display()))
        };
        let (address, token) = (read("api-address")?, read("api-token")?);
        let request = Request::new("GET", path).header("Host", address.trim());
        request.header("Authorization", &format!("Bearer {}", token.trim())).send(address.trim())
    }

    /// Kills the coordinator, if it runs, and cuts the power, if it is not cut.
    ///
    /// # Errors
    /// When its processes do not end.
    pub fn cut_power(&mut self) -> Result<()> {
        self.end_coordinator();
        let mount = self.mount.take().context("it is mounted")?;
        let disk = mount.end()?.after_power_cut(self.loss);
        self.mount = Some(Mount::new(disk, &self.place())?);
        Ok(())
    }

    /// Starts the coordinator until it runs: a disk that fails again and again is mended.
    ///
    /// # Errors
    /// When it does not run on a disk that is well.
    pub fn revive_coordinator(&mut self) -> Result<()> {
        for start in 0.. {
            self.end_coordinator();
            let Err(error) = self.start_coordinator() else { break };
            if self.mount().disk().is_cut() {
                return Err(error);
            }
            if start > STARTS_MAX {
                return Err(error.context(self.log_tail()));
            }
            if start >= STARTS_MAX {
                self.mount().disk().mend();
            }
        }
        Ok(())
    }

    /// What the coordinator said last.
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("coordinator.log"));
        let log = log.unwrap_or_default();
        let skipped = log.lines().count().saturating_sub(LOG_TAIL_LINES);
        log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }

    /// All that the coordinator has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("coordinator.log")).unwrap_or_default()
    }

    fn end_coordinator(&mut self) {
        // Dropped, it is killed, and waited for; its slots end by themselves.
        self.coordinator = None;
    }

    fn swarm_port(&self) -> Result<u16> {
        quic_port(&json(&self.get("/v1/project")?)?)
    }
}

impl fmt::Display for Setback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PowerCut => "the power is cut",
            Self::Ended => "the coordinator has ended",
        })
    }
}

impl std::error::Error for Setback {}

fn succeeded(arguments: &[&str], answer: Answer) -> Result<String> {
    if answer.code != 0 {
        let words = arguments.join(" ");
        bail!("`gleaner {words}` failed, {}: {}{}", answer.status, answer.stderr, answer.stdout);
    }
    Ok(answer.stdout)
}

fn json(reply: &Reply) -> Result<Value> {
    ensure!(reply.status == 200, "answered with {}", reply.status);
    serde_json::from_slice(&reply.body).context("an answer is JSON")
}
