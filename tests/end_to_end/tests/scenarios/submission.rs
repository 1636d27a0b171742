//! A submission is taken once, wherever the submitter or the coordinator is cut off.

use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};
use end_to_end::{JobFolder, Process, Swarm};
use serde_json::Value;

use crate::proxy::{Cut, Point, Proxy};

/// A job with a shared file that takes many packets.
fn job_with_a_file() -> Result<JobFolder> {
    let stage = r#"
        [[stage]]
        name = "s"
        module = "tasks.wasm"
        function = "shared"
        range = { field = "number", end = 2 }
        reduce = "csv"
        parameters = { file = "text" }
        files = { text = "large" }"#;
    let folder = JobFolder::of_test_tasks("", stage)?;
    folder.add("large", &vec![b'x'; 24 * 1024 * 1024])?;
    Ok(folder)
}

fn jobs(swarm: &Swarm) -> Result<usize> {
    Ok(serde_json::from_str::<Vec<Value>>(&swarm.tell(&["jobs", "--json"])?)?.len())
}

#[test]
fn a_coordinator_killed_between_commit_and_reply_has_taken_the_job_once() -> Result<()> {
    let mut swarm = Swarm::with_workers(&[])?;
    let proxy = Proxy::start(&swarm)?;
    let folder = job_with_a_file()?;
    let manifest = folder.manifest().to_str().context("a path is text")?.to_owned();
    proxy.cut(Cut { begins: "POST /v1/jobs", at: Point::Answered });
    let (gleaner, data) = (swarm.gleaner().clone(), proxy.data());
    let answer = thread::scope(|scope| -> Result<_> {
        let submit = scope.spawn(|| gleaner.ask(data, &["submit", &manifest, "--json"]));
        proxy.wait_for_cut()?;
        swarm.kill_coordinator()?;
        swarm.start_coordinator()?;
        proxy.let_go();
        submit.join().expect("asking does not panic")
    })?;
    ensure!(answer.code == 0, "it ended with {answer:?}");
    ensure!(answer.stdout.trim() == r#"{"job":"job-1"}"#, "it said {answer:?}");
    ensure!(jobs(&swarm)? == 1, "it was taken {} times", jobs(&swarm)?);
    let posts = proxy.take_requests().iter().filter(|line| *line == "POST /v1/jobs").count();
    ensure!(posts >= 2, "the reply was lost, so it must have been repeated: {posts} requests");
    swarm.stop()
}

#[test]
fn a_submitter_killed_anywhere_goes_on_where_it_was() -> Result<()> {
    let cuts = [
        ("HEAD /v1/blobs/", Point::Answered, 0),
        ("PUT /v1/blobs/", Point::HalfTheBody, 0),
        ("PUT /v1/blobs/", Point::Answered, 0),
        ("POST /v1/jobs", Point::HalfTheBody, 0),
        ("POST /v1/jobs", Point::Answered, 1),
    ];
    let folder = job_with_a_file()?;
    let manifest = folder.manifest().to_str().context("a path is text")?.to_owned();
    let submit = ["submit", &manifest, "--submission", "nightly", "--json"];
    for (begins, at, jobs_left) in cuts {
        let swarm = Swarm::with_workers(&[])?;
        let proxy = Proxy::start(&swarm)?;
        proxy.cut(Cut { begins, at });
        let mut command: Command = swarm.gleaner().command(proxy.data());
        command.args(submit).stdin(Stdio::null());
        let killed = Process::start("submit", &mut command, &proxy.data().join("log"))?;
        proxy.wait_for_cut()?;
        killed.kill()?;
        ensure!(jobs(&swarm)? == jobs_left, "cut at {begins} {at:?}: {} jobs", jobs(&swarm)?);

        let sent = puts(&proxy);
        let again = swarm.gleaner().ask(proxy.data(), &submit)?;
        ensure!(again.stdout.trim() == r#"{"job":"job-1"}"#, "after {begins} {at:?}: {again:?}");
        ensure!(jobs(&swarm)? == 1, "after {begins} {at:?} there are {} jobs", jobs(&swarm)?);
        // What was whole before is not sent again.
        let whole = if at == Point::HalfTheBody && begins.starts_with("PUT") { 0 } else { sent };
        ensure!(puts(&proxy) + whole == 2, "after {begins} {at:?}: {sent} were sent before");
        swarm.stop()?;
    }
    Ok(())
}

fn puts(proxy: &Proxy) -> usize {
    proxy.take_requests().iter().filter(|line| line.starts_with("PUT")).count()
}

#[test]
fn a_submission_is_one_job_and_no_other() -> Result<()> {
    let swarm = Swarm::with_workers(&[])?;
    let folder = job_with_a_file()?;
    let manifest = folder.manifest().to_str().context("a path is text")?.to_owned();
    let submit = ["submit", &manifest, "--submission", "nightly", "--json"];
    for _ in 0..2 {
        ensure!(swarm.tell(&submit)?.trim() == r#"{"job":"job-1"}"#, "a repeat is the same job");
    }
    let other = swarm.ask(&[&submit[..], &["--set", "range.end=3"]].concat())?;
    ensure!(other.code == 1 && other.stderr.contains("job-1, which is another job"), "{other:?}");
    ensure!(swarm.tell(&["submit", &manifest, "--json"])?.contains("job-2"), "without a name");
    swarm.stop()
}
