//! Jobs that are removed: from every list at once, and from the disk, crashes or not.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use end_to_end::{JobFolder, Request, Swarm, wait_until};
use gleaner_protocol::BlobHash;
use serde_json::Value;

use crate::terminal::{self, Keys};

const LIMIT: Duration = Duration::from_secs(60);

/// Numbers from 0, each with a line of its own.
fn numbers(end: u32) -> Result<JobFolder> {
    numbers_of("", end)
}

fn numbers_of(job: &str, end: u32) -> Result<JobFolder> {
    JobFolder::of_test_tasks(
        job,
        &format!(
            r#"[[stage]]
               name = "rows"
               module = "tasks.wasm"
               function = "trace"
               range = {{ field = "number", end = {end} }}
               unit_items = 2
               reduce = "concat""#
        ),
    )
}

/// Blobs on the coordinator's disk; what is no blob lies in folders of longer names.
fn blobs(swarm: &Swarm) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for shelf in fs::read_dir(swarm.coordinator_folder().join("blobs"))? {
        let shelf = shelf?;
        if shelf.file_name().len() == 2 {
            for file in fs::read_dir(shelf.path())? {
                files.push(file?.path());
            }
        }
    }
    Ok(files)
}

fn jobs(swarm: &Swarm) -> Result<Vec<String>> {
    let jobs: Vec<Value> = serde_json::from_str(&swarm.tell(&["jobs", "--json"])?)?;
    let id = |job: &Value| job["job"].as_str().map(str::to_owned).context("a job has an id");
    jobs.iter().map(id).collect()
}

#[test]
fn a_removed_job_leaves_nothing_but_what_others_took_over() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[1])?;
    let (small, large) = (numbers(10)?, numbers(14)?);
    let first = swarm.submit_with(&small.manifest(), &[])?;
    swarm.wait_for_end(&first)?;
    let second = swarm.submit_with(&large.manifest(), &[])?;
    let view = swarm.wait_for_end(&second)?;
    ensure!(view["stages"][0]["items_kept"] == 10, "{view}");
    let before = swarm.output(&second)?;

    let unasked = swarm.ask(&["rm", &first])?;
    ensure!(unasked.code == 1 && unasked.stderr.contains("--yes"), "{unasked:?}");
    let said = swarm.tell(&["rm", "--yes", &first])?;
    ensure!(said.contains("job-1 is removed"), "{said}");
    swarm.kill_coordinator()?;
    swarm.start_coordinator()?;
    ensure!(jobs(&swarm)? == [second.clone()], "{:?}", jobs(&swarm)?);
    for command in ["status", "results", "watch", "units", "why", "cancel"] {
        let answer = swarm.ask(&[command, &first])?;
        ensure!(answer.code == 1, "{command}: {answer:?}");
        ensure!(answer.stderr.contains("job-1 was removed"), "{command}: {answer:?}");
    }
    let logs = swarm.ask(&["logs", "unit-1.0"])?;
    ensure!(logs.code == 1 && logs.stderr.contains("job-1 was removed"), "{logs:?}");
    ensure!(swarm.output(&second)? == before, "what was taken over must stay");
    let again = swarm.tell(&["rm", "--yes", &first, &second])?;
    ensure!(again.contains("job-1 was removed before"), "{again}");
    ensure!(again.contains("job-2 is removed"), "{again}");
    wait_until("an empty disk", LIMIT, || Ok(blobs(&swarm)?.is_empty().then_some(())))?;

    let third = swarm.submit_with(&large.manifest(), &[])?;
    ensure!(third == "job-3", "an id came again: {third}");
    let view = swarm.wait_for_end(&third)?;
    ensure!(view["stages"][0]["items_kept"] == 0, "answers of removed jobs serve nobody: {view}");
    ensure!(swarm.output(&third)? == before, "it is computed anew to the same bytes");
    swarm.stop()
}

#[test]
fn a_job_that_runs_stays_and_a_removed_submission_computes_nothing() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let folder = numbers(4)?;
    let manifest = folder.manifest();
    let submit = ["submit", manifest.to_str().context("a path is text")?, "--submission", "once"];
    swarm.tell(&submit)?;
    let refused = swarm.ask(&["rm", "--yes", "job-1"])?;
    ensure!(refused.code == 1 && refused.stderr.contains("cancel it first"), "{refused:?}");
    swarm.tell(&["cancel", "job-1"])?;
    swarm.tell(&["rm", "--yes", "job-1"])?;
    let repeated = swarm.ask(&submit)?;
    ensure!(repeated.code == 1, "{repeated:?}");
    ensure!(repeated.stderr.contains("was taken as job-1, which was removed"), "{repeated:?}");
    ensure!(jobs(&swarm)?.is_empty(), "{:?}", jobs(&swarm)?);
    swarm.stop()
}

#[test]
fn a_job_is_removed_by_itself_when_it_was_kept_as_long_as_it_says() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[1])?;
    let (long, _) = swarm.see_through(&numbers_of("keep = \"30 d\"", 4)?.manifest())?;
    let said = swarm.tell(&["status", &long])?;
    ensure!(said.contains("kept until 20"), "{said}");
    let short = swarm.submit(&numbers_of("keep = \"1 s\"", 4)?.manifest())?;
    swarm.kill_coordinator()?;
    swarm.start_coordinator()?;
    wait_until("the end of what is kept for a second", LIMIT, || {
        let status = swarm.ask(&["status", &short])?;
        Ok(status.stderr.contains("job-2 was removed").then_some(()))
    })?;
    ensure!(jobs(&swarm)? == [long], "{:?}", jobs(&swarm)?);
    swarm.stop()
}

#[test]
fn only_a_yes_on_a_terminal_removes() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let job = swarm.submit(&numbers(4)?.manifest())?;
    swarm.tell(&["cancel", &job])?;
    let words = format!("rm {job}");
    for (keys, code) in [(Keys::Line("n\n"), 1), (Keys::Line("\n"), 1), (Keys::CtrlC, 130)] {
        let (ended, shown) = terminal::ask(swarm.gleaner(), &swarm.data(), &words, keys)?;
        ensure!(ended == code, "{keys:?}: it ended with {ended}: {shown}");
        ensure!(shown.contains("job-1 was cancelled"), "it says what would go: {shown}");
        ensure!(jobs(&swarm)? == [job.clone()], "{keys:?} is no yes: {shown}");
    }
    let (ended, shown) =
        terminal::ask(swarm.gleaner(), &swarm.data(), &words, Keys::Line("yes\n"))?;
    ensure!(ended == 0 && shown.contains("job-1 is removed"), "{ended}: {shown}");
    ensure!(jobs(&swarm)?.is_empty(), "{:?}", jobs(&swarm)?);
    swarm.stop()
}

#[test]
fn what_was_sent_and_never_used_goes_after_its_day() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[])?;
    swarm.submit(&numbers(4)?.manifest())?;
    let used = blobs(&swarm)?;
    // One shelf is looked at at a time: in that of the job's own blob, two that nobody uses.
    let shelf = used.first().and_then(|file| file.parent()).context("the job has a blob")?;
    let fits = |bytes: &String| shelf.ends_with(&BlobHash::of(bytes.as_bytes()).to_string()[..2]);
    let sent: Vec<String> = (0..).map(|n: u32| n.to_string()).filter(fits).take(2).collect();
    let (address, bearer) = (swarm.api_address()?, format!("Bearer {}", swarm.api_token()?));
    for bytes in &sent {
        let path = format!("/v1/blobs/{}", BlobHash::of(bytes.as_bytes()));
        let request = Request::new("PUT", &path).header("Host", &address);
        let request = request.header("Authorization", &bearer).body(bytes.as_bytes());
        let reply = request.send(&address)?;
        ensure!(reply.status == 204, "{} of {path}", reply.status);
    }
    let file = |bytes: &str| shelf.join(&BlobHash::of(bytes.as_bytes()).to_string()[2..]);
    let [forgotten, young] = [file(&sent[0]), file(&sent[1])];
    ensure!(forgotten.exists() && young.exists(), "they were sent");
    swarm.kill_coordinator()?;
    let yesterday = SystemTime::now() - Duration::from_secs(25 * 60 * 60);
    for old in used.iter().chain([&forgotten]) {
        fs::File::open(old)?.set_modified(yesterday)?;
    }
    swarm.start_coordinator()?;
    wait_until("the end of what is unused", LIMIT, || Ok((!forgotten.exists()).then_some(())))?;
    ensure!(young.exists(), "a submission may be on its way");
    for file in used {
        ensure!(file.exists(), "{} is a job's", file.display());
    }
    swarm.stop()
}
