//! The ten-minute path, on four machines without a way to anywhere else: a scientist and three
//! colleagues.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use end_to_end::{Gleaner, JobFolder, Process, read_output, wait_until};
use libtest_mimic::{Arguments, Failed, Trial};
use network_tests::{Lan, Machine, refusal};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

/// Enough for every worker to get some, and few enough for a second or two.
const ITEMS: u64 = 24;

/// One test.
type Test = fn() -> Result<()>;

fn main() -> ExitCode {
    let refusal = refusal();
    if let Some(reason) = &refusal {
        eprintln!("skipped: {reason}");
    }
    let tests: [(&str, Test); 2] = [
        ("three_colleagues_join_by_a_letter_and_a_job_is_done", || {
            three_colleagues_join_by_a_letter_and_a_job_is_done()
        }),
        ("a_coordinator_that_has_moved_is_found", || a_coordinator_that_has_moved_is_found()),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        let run = move || test().map_err(|error| Failed::from(format!("{error:?}")));
        Trial::test(name, run).with_ignored_flag(refusal.is_some())
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn three_colleagues_join_by_a_letter_and_a_job_is_done() -> Result<()> {
    let gleaner = Gleaner::find()?;
    let folder = JobFolder::planets(ITEMS - 1, "1")?;
    let lan = Lan::new(&gleaner, 4)?;
    let scientist = lan.machine(0);
    let coordinator = start_coordinator(scientist)?;
    let log = coordinator.log();
    ensure!(log.contains(&format!("reachable    {} port 4747", scientist.address())), "{log}");
    ensure!(!log.contains("127.0.0.1 port 4747"), "loopback is told to others:\n{log}");

    let letter = scientist.tell(&["coordinator", "invite", "--uses", "3", "--note", "the lab"])?;
    let line = letter.lines().find_map(|line| line.strip_prefix("gleaner "));
    let line = line.with_context(|| format!("there is no command in {letter}"))?;
    let join: Vec<_> = line.split(' ').collect();
    let slots = ["--slots", "1"];

    let one = lan.machine(1).start_typing("worker", &[&join[..], &slots].concat(), "y")?;
    let two = lan.machine(2).start("worker", &[&join[..], &["--yes"], &slots].concat())?;
    let no = lan.machine(3).start_typing("decliner", &join, "n")?;
    wait_until("a no to be heard", LIMIT, || Ok(no.log().contains("not joined").then_some(())))
        .with_context(|| no.log())?;
    ensure!(lan.machine(3).tell(&["worker", "projects"])?.contains("no project"), "{}", no.log());
    let three = lan.machine(3).start("worker", &[&join[..], &["--yes"], &slots].concat())?;
    wait_for_members(scientist, 3).with_context(|| {
        format!("{}\n{}\n{}\n{}", coordinator.log(), one.log(), two.log(), three.log())
    })?;
    let shown = one.log();
    let fingerprint = letter.lines().map(str::trim).find(|line| is_fingerprint(line));
    let fingerprint = fingerprint.with_context(|| format!("no fingerprint in {letter}"))?;
    for words in ["Ada, Astronomy", "looks for planets of nearby stars", fingerprint] {
        ensure!(shown.contains(words), "{words:?} was not shown:\n{shown}");
    }
    let full = lan.machine(3).ask(&[&join[..], &["--yes"]].concat())?;
    ensure!(full.stderr.contains("another worker uses the folder"), "{full:?}");

    let manifest = folder.manifest();
    let manifest = manifest.to_str().context("a path is text")?;
    scientist.tell(&["submit", manifest, "--wait"])?;
    let output = scientist.folder().join("planets");
    let path = output.to_str().context("a path is text")?;
    scientist.tell(&["results", "job-1", "-o", path])?;
    ensure!(read_output(&output)? == gleaner.run(&folder.manifest())?, "the output differs");

    for process in [two, three, coordinator] {
        process.stop(LIMIT)?;
    }
    Ok(())
}

fn a_coordinator_that_has_moved_is_found() -> Result<()> {
    let mut lan = Lan::new(&Gleaner::find()?, 2)?;
    let coordinator = start_coordinator(lan.machine(0))?;
    let ticket = lan.machine(0).tell(&["coordinator", "invite", "--ticket-only"])?;
    lan.machine_mut(0).move_to("10.77.0.99")?;
    let join = ["worker", "join", "--yes", ticket.trim(), "--slots", "1"];
    let worker = lan.machine(1).start("worker", &join)?;
    wait_for_members(lan.machine(0), 1).with_context(|| worker.log())?;
    wait_until("the worker's work", LIMIT, || Ok(worker.log().contains("welcome").then_some(())))
        .with_context(|| worker.log())?;
    worker.stop(LIMIT)?;
    coordinator.stop(LIMIT)
}

fn start_coordinator(machine: &Machine) -> Result<Process> {
    let init = ["coordinator", "init", "--name", "planets", "--operator", "Ada, Astronomy"];
    let purpose = ["--purpose", "looks for planets of nearby stars"];
    machine.tell(&[&init[..], &purpose].concat())?;
    let mut process = machine.start("coordinator", &["coordinator", "start"])?;
    wait_until("the coordinator's start", LIMIT, || {
        if let Some(status) = process.ended()? {
            bail!("the coordinator ended with {status}");
        }
        Ok(process.log().contains("next: ").then_some(()))
    })
    .with_context(|| process.log())?;
    Ok(process)
}

/// Waits until `members` workers came by the newest invitation.
fn wait_for_members(scientist: &Machine, members: usize) -> Result<()> {
    wait_until("the arrival of the workers", LIMIT, || {
        let list = scientist.quietly(&["coordinator", "invite", "--list", "--json"])?;
        let list: Value = serde_json::from_str(&list)?;
        let came = list[0]["members"].as_array().map_or(0, Vec::len);
        Ok((came == members).then_some(()))
    })
}

/// Three groups of four.
fn is_fingerprint(line: &str) -> bool {
    line.len() == 14 && line.split('-').all(|group| group.len() == 4)
}
