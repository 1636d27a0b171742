//! What an operator does with a coordinator's folder as a whole.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use end_to_end::{Gleaner, JobFolder, Swarm};
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

#[test]
fn a_lost_coordinator_is_restored_and_its_workers_go_on_to_the_same_bytes() -> Result<()> {
    let folder = JobFolder::planets(2 * ITEMS - 1, "1")?;
    let expected = Gleaner::find()?.run(&folder.manifest())?;
    let mut swarm = Swarm::with_workers(&[1, 1])?;
    let job = swarm.submit(&folder.manifest())?;
    swarm.wait_for_items(&job, ITEMS / 4)?;
    let place = tempfile::tempdir()?;
    let backup = place.path().join("backup");
    let backup = backup.to_str().context("a path is text")?;
    let said = swarm.tell(&["coordinator", "backup", backup])?;
    ensure!(said.contains("with jobs 1"), "{said}");
    swarm.tell(&["coordinator", "verify", "--backup", backup])?;

    // What the lost coordinator does from here on is not in the backup.
    swarm.wait_for_items(&job, ITEMS)?;
    let lost = swarm.submit(&JobFolder::planets(ITEMS - 1, "2")?.manifest())?;
    swarm.wait_for_items(&lost, 1)?;
    swarm.kill_coordinator()?;
    let refused = swarm.ask(&["coordinator", "restore", backup])?;
    ensure!(refused.code == 1 && refused.stderr.contains("is not empty"), "{refused:?}");
    fs::remove_dir_all(swarm.coordinator_folder())?;
    swarm.tell(&["coordinator", "restore", backup])?;
    swarm.start_coordinator()?;

    ensure!(swarm.status(&lost).is_err(), "the backup knows nothing of {lost}");
    let settled = swarm.status(&job)?["stages"][0]["items_settled"].as_u64();
    ensure!(settled >= Some(ITEMS / 4), "of {} items {settled:?} are left", ITEMS / 4);
    let end = swarm.wait_for_end(&job)?;
    ensure!(end["state"] == "done", "it ended as {end}");
    ensure!(swarm.output(&job)? == expected, "the output differs");
    let (next, end) = swarm.see_through(&JobFolder::planets(ITEMS - 1, "3")?.manifest())?;
    ensure!(next == "job-1000001", "a number of the lost coordinator came again: {next}");
    ensure!(end["state"] == "done", "it ended as {end}");
    let clean = swarm.tell(&["coordinator", "verify"])?;
    ensure!(clean.contains("no faults"), "{clean}");
    swarm.stop()
}

#[test]
fn a_stopped_coordinators_store_becomes_as_small_as_what_it_holds() -> Result<()> {
    let words = |bytes: u64| {
        let stage = format!(
            "[[stage]]\nname = \"words\"\nmodule = \"tasks.wasm\"\nfunction = \"wordy\"\n\
             range = {{ field = \"number\", start = 0, end = 100 }}\nunit_items = 1\n\
             reduce = \"lines\"\nparameters = {{ bytes = {bytes} }}\n"
        );
        JobFolder::of_test_tasks("", &stage)
    };
    let mut swarm = Swarm::with_workers(&[1])?;
    let kept = words(10)?;
    let expected = swarm.compute(&kept.manifest())?;
    let (large, _) = swarm.see_through(&words(40_000)?.manifest())?;
    swarm.tell(&["rm", "--yes", &large])?;
    let refused = swarm.ask(&["coordinator", "gc"])?;
    ensure!(refused.code == 1 && refused.stderr.contains("stop it"), "{refused:?}");

    swarm.kill_coordinator()?;
    let told: Value = serde_json::from_str(&swarm.tell(&["coordinator", "gc", "--json"])?)?;
    let [before, after] = ["store_bytes_before", "store_bytes"].map(|key| told[key].as_u64());
    ensure!(before > Some(4_000_000) && after < Some(1_000_000) && after > Some(0), "{told}");
    let again = swarm.tell(&["coordinator", "gc"])?;
    ensure!(again.starts_with("files  0 with 0 B removed\nstore  "), "{again}");
    let clean = swarm.tell(&["coordinator", "verify"])?;
    ensure!(clean.contains("no faults; read: jobs 1,"), "{clean}");

    swarm.start_coordinator()?;
    ensure!(swarm.output("job-1")? == expected, "the output that was kept differs");
    ensure!(swarm.compute(&words(11)?.manifest())? != expected, "no job runs any more");
    swarm.stop()
}
