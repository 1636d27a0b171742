//! What an operator does with a coordinator's folder as a whole.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use end_to_end::{JobFolder, Swarm};
use serde_json::Value;

const ITEMS: u64 = 48;

/// The largest blob on the coordinator's disk: one of those that its job is made of.
fn largest_blob(coordinator: &Path) -> Result<PathBuf> {
    let mut largest = (0, None);
    for shelf in fs::read_dir(coordinator.join("blobs"))? {
        let shelf = shelf?;
        if shelf.file_name().len() != 2 {
            continue;
        }
        for blob in fs::read_dir(shelf.path())? {
            let blob = blob?;
            largest = largest.max((blob.metadata()?.len(), Some(blob.path())));
        }
    }
    largest.1.context("there is a blob")
}

#[test]
fn a_coordinator_at_work_is_verified_and_a_flipped_byte_is_found() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[1, 1])?;
    let job = swarm.submit(&JobFolder::planets(ITEMS - 1, "1")?.manifest())?;
    swarm.wait_for_items(&job, ITEMS / 4)?;
    let clean = swarm.tell(&["coordinator", "verify"])?;
    ensure!(clean.contains("no faults; read: jobs 1,"), "{clean}");
    swarm.wait_for_end(&job)?;

    let blob = largest_blob(&swarm.coordinator_folder())?;
    let mut bytes = fs::read(&blob)?;
    bytes[1000] ^= 1;
    fs::write(&blob, &bytes)?;
    let name = blob.file_name().context("a blob has a name")?.to_string_lossy();
    for running in [true, false] {
        let told = swarm.ask(&["coordinator", "verify"])?;
        ensure!(told.code == 1, "{running}: {told:?}");
        let line = told.stdout.lines().next().unwrap_or_default();
        ensure!(line.contains(&*name) && line.contains("its bytes have changed"), "{told:?}");
        ensure!(line.contains("put the file back from a backup"), "{told:?}");
        let json = swarm.ask(&["coordinator", "verify", "--json"])?;
        let json: Value = serde_json::from_str(&json.stdout)?;
        ensure!(json["faults_total"] == 1 && json["faults"][0]["kind"] == "blob", "{json}");
        if running {
            swarm.kill_coordinator()?;
        }
    }
    fs::remove_file(&blob)?;
    let told = swarm.ask(&["coordinator", "verify"])?;
    ensure!(told.code == 1 && told.stdout.contains("it is missing"), "{told:?}");
    swarm.start_coordinator()?;
    swarm.stop()
}
