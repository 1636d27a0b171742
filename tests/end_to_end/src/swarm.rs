//! A project: one coordinator and its workers, on this machine, in temporary folders.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Answer, Gleaner, Process, Reply, Request, wait_until};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const JOB_LIMIT: Duration = Duration::from_secs(180);
const LOG_TAIL_LINES: usize = 30;

/// A job's output: the bytes of each file by its path below the output folder.
pub type Output = BTreeMap<String, Vec<u8>>;

/// A running project. Killed, with its logs printed, unless it is stopped.
pub struct Swarm {
    coordinator: Option<Process>,
    workers: Vec<Worker>,
    /// The port chosen at the first start: workers know it from their tickets.
    port: u16,
    /// What workers log, where it is not what users see.
    worker_log: Option<&'static str>,
    gleaner: Gleaner,
    /// Last, so that it is removed when nothing runs in it any more.
    folder: TempDir,
}

/// A worker, running or not.
struct Worker {
    data: PathBuf,
    slots: u32,
    process: Option<Process>,
}

impl Swarm {
    /// Makes a project and starts its coordinator.
    ///
    /// # Errors
    /// When that fails, with the coordinator's own words.
    pub fn start(gleaner: &Gleaner) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let mut swarm = Self {
            coordinator: None,
            workers: Vec::new(),
            port: 0,
            worker_log: None,
            gleaner: gleaner.clone(),
            folder,
        };
        let init = ["coordinator", "init", "--name", "trial", "--operator", "tester"];
        swarm.tell(&[&init[..], &["--purpose", "finding faults"]].concat())?;
        swarm.start_coordinator()?;
        swarm.port = swarm.swarm_port()?;
        Ok(swarm)
    }

    /// Makes a project with a worker for each entry of `slots`.
    ///
    /// # Errors
    /// When something cannot be started, with its own words.
    pub fn with_workers(slots: &[u32]) -> Result<Self> {
        let mut swarm = Self::start(&Gleaner::find()?)?;
        for &slots in slots {
            swarm.join_worker(slots)?;
        }
        Ok(swarm)
    }

    /// Has workers that are started from here on log each attempt that is acknowledged to them.
    pub fn log_acknowledged(&mut self) {
        self.worker_log = Some("warn,gleaner=info,gleaner_worker::driver::incoming=debug");
    }

    /// The attempts that workers have logged as acknowledged, each as often as they have.
    pub fn acknowledged(&self) -> Vec<String> {
        let logs = (0..self.workers.len()).filter_map(|n| fs::read_to_string(self.log_of(n)).ok());
        let mut attempts = Vec::new();
        for log in logs {
            let lines = log.lines().filter(|line| line.contains("acknowledged"));
            let attempt = |line: &str| {
                let word = line.split_whitespace().find_map(|word| word.strip_prefix("attempt="));
                word.map(str::to_owned)
            };
            attempts.extend(lines.filter_map(attempt));
        }
        attempts
    }

    /// Starts the coordinator, on the port it had before, and waits until it answers.
    ///
    /// # Errors
    /// When it ends or does not answer, with its own words.
    pub fn start_coordinator(&mut self) -> Result<()> {
        assert!(self.coordinator.is_none(), "the coordinator runs already");
        // A killed coordinator leaves its last address behind.
        let _ = fs::remove_file(self.coordinator_folder().join("api-address"));
        let port = self.port.to_string();
        let mut command = self.gleaner.command(&self.data());
        command.args(["coordinator", "start", "--port", &port, "--api-port", "0", "--loopback"]);
        let log = self.folder.path().join("coordinator.log");
        let mut process = Process::start("coordinator", &mut command, &log)?;
        wait_until("the coordinator's first answer", START_LIMIT, || {
            fail_if_ended(&mut process)?;
            Ok(self.get("/v1/project").ok().filter(|reply| reply.status == 200))
        })
        .with_context(|| process.log_tail(LOG_TAIL_LINES))?;
        self.coordinator = Some(process);
        Ok(())
    }

    /// Starts one more worker with an invitation of its own, and waits until it has joined.
    /// Gives its number, from 0.
    ///
    /// # Errors
    /// When it ends or does not join, with its own words.
    pub fn join_worker(&mut self, slots: u32) -> Result<usize> {
        let number = self.workers.len();
        let data = self.folder.path().join(format!("worker-{number}"));
        let ticket = self.invite()?;
        self.workers.push(Worker { data, slots, process: None });
        let connected = self.connected_workers()?;
        self.launch_worker(number, &["join", "--yes", &ticket])?;
        wait_until("a worker's arrival", START_LIMIT, || {
            self.workers[number].process.as_mut().map(fail_if_ended).transpose()?;
            Ok((self.connected_workers()? > connected).then_some(()))
        })?;
        Ok(number)
    }

    /// Starts a worker again that has joined before.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart_worker(&mut self, number: usize) -> Result<()> {
        self.launch_worker(number, &["start"])
    }

    /// Waits until a worker has ended by itself, and not with success; gives its log.
    ///
    /// # Errors
    /// When it runs on, or ends with success.
    pub fn wait_for_worker_failure(&mut self, number: usize) -> Result<String> {
        let mut process = self.workers[number].process.take().context("it does not run")?;
        let status = wait_until("the end of a worker", START_LIMIT, || process.ended())?;
        if status.success() {
            bail!("the worker ended with success:\n{}", process.log_tail(LOG_TAIL_LINES));
        }
        Ok(process.log())
    }

    /// Kills a worker as a crash would.
    ///
    /// # Errors
    /// When it had ended before.
    pub fn kill_worker(&mut self, number: usize) -> Result<()> {
        self.workers[number].process.take().context("the worker does not run")?.kill()
    }

    /// Kills the coordinator as a crash would.
    ///
    /// # Errors
    /// When it had ended before.
    pub fn kill_coordinator(&mut self) -> Result<()> {
        self.coordinator.take().context("the coordinator does not run")?.kill()
    }

    /// The running coordinator.
    ///
    /// # Panics
    /// When there is none.
    pub fn coordinator(&self) -> &Process {
        self.coordinator.as_ref().expect("the coordinator runs")
    }

    /// A running worker.
    ///
    /// # Panics
    /// When it does not run.
    pub fn worker(&self, number: usize) -> &Process {
        self.workers[number].process.as_ref().expect("the worker runs")
    }

    /// Runs a command on the coordinator's data folder and gives its answer, whatever it is.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub fn ask(&self, arguments: &[&str]) -> Result<Answer> {
        self.gleaner.ask(&self.data(), arguments)
    }

    /// Runs a command on the coordinator's data folder that must succeed.
    ///
    /// # Errors
    /// When it fails, with its own words.
    pub fn tell(&self, arguments: &[&str]) -> Result<String> {
        self.gleaner.tell(&self.data(), arguments)
    }

    /// A new ticket.
    ///
    /// # Errors
    /// When the coordinator gives none.
    pub fn invite(&self) -> Result<String> {
        let printed = self.tell(&["coordinator", "invite", "--ticket-only"])?;
        Ok(printed.trim().to_owned())
    }

    /// Submits a job that is computed whole, and gives its id.
    ///
    /// # Errors
    /// When it is not taken, with the program's own words.
    pub fn submit(&self, manifest: &Path) -> Result<String> {
        self.submit_with(manifest, &["--fresh"])
    }

    /// Submits a job by `gleaner submit` with these options, and gives its id. Without `--fresh` it
    /// takes over what earlier ones have answered.
    ///
    /// # Errors
    /// When it is not taken, with the program's own words.
    pub fn submit_with(&self, manifest: &Path, options: &[&str]) -> Result<String> {
        let manifest = manifest.to_str().context("test folders have names of text")?;
        let command = [&["submit", manifest], options].concat();
        let reply = self.gleaner.tell_json(&self.data(), &command)?;
        reply["job"].as_str().map(str::to_owned).with_context(|| format!("no job in {reply}"))
    }

    /// Where a job stands.
    ///
    /// # Errors
    /// When the coordinator does not tell.
    pub fn status(&self, job: &str) -> Result<Value> {
        let reply = self.get(&format!("/v1/jobs/{job}"))?;
        if reply.status != 200 {
            bail!("the status of {job} is answered with {}", reply.status);
        }
        serde_json::from_slice(&reply.body).context("a status is JSON")
    }

    /// Submits a job that is computed whole and waits for its end; gives its id, and where it stands
    /// then.
    ///
    /// # Errors
    /// When it is not taken, or takes too long.
    pub fn see_through(&self, manifest: &Path) -> Result<(String, Value)> {
        let job = self.submit(manifest)?;
        let end = self.wait_for_end(&job)?;
        Ok((job, end))
    }

    /// Waits until a job is done, failed or cancelled, and gives where it stands then.
    ///
    /// # Errors
    /// When that takes too long.
    pub fn wait_for_end(&self, job: &str) -> Result<Value> {
        wait_until(&format!("the end of {job}"), JOB_LIMIT, || {
            let status = self.status(job)?;
            let ended = !["running", "paused"].iter().any(|state| status["state"] == *state);
            Ok(ended.then_some(status))
        })
    }

    /// Waits until at least `items` items of a job's first stage are settled, the job still
    /// running.
    ///
    /// # Errors
    /// When the job ends before.
    pub fn wait_for_items(&self, job: &str, items: u64) -> Result<()> {
        wait_until(&format!("{items} items of {job}"), JOB_LIMIT, || {
            let status = self.status(job)?;
            if status["state"] != "running" {
                bail!("{job} ended before {items} of its items were seen to be settled: {status}");
            }
            let settled = status["stages"][0]["items_settled"].as_u64().unwrap_or(0);
            Ok((settled >= items).then_some(()))
        })
    }

    /// A finished job's output.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn output(&self, job: &str) -> Result<Output> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let path = folder.path().to_str().context("temporary folders have names of text")?;
        self.tell(&["results", job, "-o", path])?;
        read_output(folder.path())
    }

    /// Submits a job, waits until it is done and gives its output.
    ///
    /// # Errors
    /// When it is not taken, or ends in any other way.
    pub fn compute(&self, manifest: &Path) -> Result<Output> {
        let (job, status) = self.see_through(manifest)?;
        if status["state"] != "done" {
            bail!("{job} ended as {status}");
        }
        self.output(&job)
    }

    /// The data folder that the coordinator and its clients share.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    /// The coordinator's own folder.
    pub fn coordinator_folder(&self) -> PathBuf {
        self.data().join("coordinator")
    }

    /// A worker's data folder.
    pub fn worker_data(&self, number: usize) -> &Path {
        &self.workers[number].data
    }

    /// The program.
    pub fn gleaner(&self) -> &Gleaner {
        &self.gleaner
    }

    /// Where the control API listens now: host and port.
    ///
    /// # Errors
    /// When the coordinator has not said so.
    pub fn api_address(&self) -> Result<String> {
        let file = self.coordinator_folder().join("api-address");
        let address = fs::read_to_string(&file);
        Ok(address.with_context(|| format!("cannot read {}", file.display()))?.trim().to_owned())
    }

    /// The control API's token.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn api_token(&self) -> Result<String> {
        let file = self.coordinator_folder().join("api-token");
        let token = fs::read_to_string(&file);
        Ok(token.with_context(|| format!("cannot read {}", file.display()))?.trim().to_owned())
    }

    /// Asks the control API as a good client would.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn get(&self, path: &str) -> Result<Reply> {
        let address = self.api_address()?;
        let token = format!("Bearer {}", self.api_token()?);
        Request::new("GET", path)
            .header("Host", &address)
            .header("Authorization", &token)
            .send(&address)
    }

    /// How many workers are connected.
    ///
    /// # Errors
    /// When the coordinator does not tell.
    pub fn connected_workers(&self) -> Result<usize> {
        let reply = self.get("/v1/workers")?;
        let workers: Value = serde_json::from_slice(&reply.body).context("workers are JSON")?;
        workers.as_array().map(Vec::len).with_context(|| format!("no list of workers: {workers}"))
    }

    /// Stops everything in good order: workers first.
    ///
    /// # Errors
    /// When a process does not stop, or not with success.
    pub fn stop(mut self) -> Result<()> {
        for worker in &mut self.workers {
            worker.process.take().map(|process| process.stop(STOP_LIMIT)).transpose()?;
        }
        self.coordinator.take().map(|process| process.stop(STOP_LIMIT)).transpose()?;
        Ok(())
    }

    /// Kills everything without a word.
    pub fn discard(mut self) {
        self.workers.clear();
        self.coordinator = None;
    }

    /// Starts a worker by `command`, one of those of `gleaner worker` that work.
    fn launch_worker(&mut self, number: usize, command: &[&str]) -> Result<()> {
        let name = format!("worker-{number}");
        let log = self.log_of(number);
        let worker = &mut self.workers[number];
        assert!(worker.process.is_none(), "the worker runs already");
        let slots = worker.slots.to_string();
        let mut process = self.gleaner.command(&worker.data);
        process.arg("worker").args(command).args(["--slots", &slots, "--loopback"]);
        process.envs(self.worker_log.map(|filter| ("RUST_LOG", filter)));
        worker.process = Some(Process::start(&name, &mut process, &log)?);
        Ok(())
    }

    fn log_of(&self, worker: usize) -> PathBuf {
        self.folder.path().join(format!("worker-{worker}.log"))
    }

    fn swarm_port(&self) -> Result<u16> {
        let reply = self.get("/v1/project")?;
        let project: Value = serde_json::from_slice(&reply.body).context("a project is JSON")?;
        quic_port(&project)
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        let workers = self.workers.iter().filter_map(|worker| worker.process.as_ref());
        for process in self.coordinator.iter().chain(workers) {
            let tail = process.log_tail(LOG_TAIL_LINES);
            eprintln!("--- the end of {}'s log\n{tail}", process.name());
        }
    }
}

/// The port for workers of a project, as the control API tells of it.
///
/// # Errors
/// When it has no address of QUIC.
pub fn quic_port(project: &Value) -> Result<u16> {
    let addresses = project["addresses"].as_array().cloned().unwrap_or_default();
    let port = addresses
        .iter()
        .filter_map(Value::as_str)
        .find_map(|address| address.split_once("/udp/")?.1.split('/').next()?.parse().ok());
    port.with_context(|| format!("no address of QUIC in {project}"))
}

fn fail_if_ended(process: &mut Process) -> Result<()> {
    match process.ended()? {
        None => Ok(()),
        Some(status) => {
            bail!("{} ended with {status}:\n{}", process.name(), process.log_tail(LOG_TAIL_LINES))
        }
    }
}

/// The bytes of every file in the folders below `folder`, by its path from there: the outputs, and
/// not the reports beside them.
///
/// # Errors
/// When something cannot be read.
pub fn read_output(folder: &Path) -> Result<Output> {
    let mut output = Output::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        let entries =
            fs::read_dir(&current).with_context(|| format!("cannot list {}", current.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if current == folder {
                continue;
            }
            let name = path.strip_prefix(folder).context("a file lies below its folder")?;
            output.insert(name.display().to_string(), fs::read(&path)?);
        }
    }
    Ok(output)
}
