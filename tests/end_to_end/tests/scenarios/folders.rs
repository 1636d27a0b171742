//! One process for each data folder, and one port for each coordinator.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::{Process, Swarm, wait_until};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_second_process_on_a_folder_is_refused_by_its_name() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let start = ["coordinator", "start", "--loopback", "--port", "0", "--api-port", "0"];
    let coordinator = swarm.ask(&start)?;
    let start = ["worker", "start", "--loopback", "--slots", "1"];
    let worker = swarm.gleaner().ask(swarm.worker_data(0), &start)?;
    for (answer, folder, process) in [
        (coordinator, swarm.coordinator_folder(), swarm.coordinator().id()),
        (worker, swarm.worker_data(0).join("worker"), swarm.worker(0).id()),
    ] {
        ensure!(answer.code == 1, "{} is shared: {answer:?}", folder.display());
        let name = folder.display().to_string();
        ensure!(answer.stderr.contains(&name), "{name} is not named: {answer:?}");
        let holder = format!("process {process}");
        ensure!(answer.stderr.contains(&holder), "{holder} is not named: {answer:?}");
        ensure!(answer.stderr.lines().count() == 1, "it is one line: {answer:?}");
    }
    swarm.stop()
}

#[test]
fn a_project_is_made_once() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let init = ["coordinator", "init", "--name", "again", "--operator", "x", "--purpose", "y"];
    let answer = swarm.ask(&init)?;
    ensure!(answer.code != 0, "the project's key was made anew: {answer:?}");
    let name = swarm.coordinator_folder().display().to_string();
    ensure!(answer.stderr.contains(&name), "{name} is not named: {answer:?}");
    swarm.stop()
}

#[test]
fn a_folder_that_cannot_be_written_is_said_in_a_line() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let ticket = swarm.invite()?;
    // Nothing can be made there, not even by root.
    let nowhere = Path::new("/proc/gleaner");
    for arguments in [
        &["coordinator", "init"][..],
        &["coordinator", "start", "--loopback"],
        &["worker", "join", "--yes", "--loopback", &ticket],
    ] {
        let answer = swarm.gleaner().ask(nowhere, arguments)?;
        ensure!(answer.code == 1, "{arguments:?} is answered with {answer:?}");
        ensure!(answer.stderr.contains("/proc/gleaner"), "the folder is not named: {answer:?}");
        let errors = answer.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        ensure!(errors == 1, "it is one error: {answer:?}");
    }
    swarm.stop()
}

#[test]
fn a_port_that_is_taken_names_who_has_it() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let port = port(&swarm)?;
    let data = tempfile::tempdir()?;
    swarm.gleaner().tell(data.path(), &["coordinator", "init"])?;
    let start = ["coordinator", "start", "--loopback", "--api-port", "0", "--port", &port];
    let answer = swarm.gleaner().ask(data.path(), &start)?;
    let holder = format!("(process {})", swarm.coordinator().id());
    ensure!(answer.code == 1, "the port is shared: {answer:?}");
    for words in [port.as_str(), holder.as_str(), "--port"] {
        ensure!(answer.stderr.contains(words), "no {words:?} in {answer:?}");
    }
    swarm.stop()
}

#[test]
fn a_restart_keeps_the_port_that_tickets_name() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[])?;
    let before = port(&swarm)?;
    swarm.kill_coordinator()?;
    std::fs::remove_file(swarm.coordinator_folder().join("api-address"))?;
    let mut start = swarm.gleaner().command(&swarm.data());
    start.args(["coordinator", "start", "--loopback", "--api-port", "0"]);
    let process = Process::start("coordinator", &mut start, &swarm.data().join("log"))?;
    let after = wait_until("the coordinator's answer", LIMIT, || Ok(port(&swarm).ok()))
        .with_context(|| process.log())?;
    ensure!(after == before, "it was on port {before} and is on {after}");
    process.stop(LIMIT)?;
    swarm.stop()
}

/// The port that the coordinator tells workers.
fn port(swarm: &Swarm) -> Result<String> {
    let project: Value = serde_json::from_slice(&swarm.get("/v1/project")?.body)?;
    let address = project["addresses"][0].as_str().context("it has an address")?.to_owned();
    let port = address.split("/udp/").nth(1).and_then(|rest| rest.split('/').next());
    port.map(str::to_owned).with_context(|| format!("{address} is no address of QUIC"))
}
