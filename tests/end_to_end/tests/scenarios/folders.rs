//! One process for each data folder.

use anyhow::{Result, ensure};
use end_to_end::Swarm;

#[test]
fn a_second_process_on_a_folder_is_refused_by_its_name() -> Result<()> {
    let swarm = Swarm::with_workers(&[1])?;
    let start = ["coordinator", "start", "--loopback", "--port", "0", "--api-port", "0"];
    let coordinator = swarm.ask(&start)?;
    let start = ["worker", "start", "--loopback", "--slots", "1"];
    let worker = swarm.gleaner().ask(swarm.worker_data(0), &start)?;
    for (answer, folder) in
        [(coordinator, swarm.coordinator_folder()), (worker, swarm.worker_data(0).join("worker"))]
    {
        ensure!(answer.code != 0, "{} is shared: {answer:?}", folder.display());
        let name = folder.display().to_string();
        ensure!(answer.stderr.contains(&name), "{name} is not named: {answer:?}");
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
