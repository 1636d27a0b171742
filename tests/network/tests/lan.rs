//! The ten-minute path, on four machines without a way to anywhere else: a scientist and three
//! colleagues, from the archive if `GLEANER_ARCHIVE` names one. `GLEANER_TRANSCRIPT` names a file
//! for what was typed and shown, with the times.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use end_to_end::{Gleaner, JobFolder, Process, read_output, wait_until};
use libtest_mimic::{Arguments, Failed, Trial};
use network_tests::{Lan, Machine, Terminal, refusal};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

/// Enough for every worker to get some, and few enough for a second or two.
const ITEMS: u64 = 24;

/// What joining asks.
const QUESTION: &str = "Join this project? [y/N]";

/// What the colleagues do, one after another.
const CHAPTERS: [&str; 3] = ["Bo joins", "Cy joins", "Di says no, and joins later"];

/// One test.
type Test = fn() -> Result<()>;

fn main() -> ExitCode {
    let refusal = refusal();
    if let Some(reason) = &refusal {
        eprintln!("skipped: {reason}");
    }
    let tests: [(&str, Test); 2] = [
        ("three_colleagues_join_by_a_letter_and_jobs_are_done", || {
            three_colleagues_join_by_a_letter_and_jobs_are_done()
        }),
        ("a_coordinator_that_has_moved_is_found", || a_coordinator_that_has_moved_is_found()),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        let reason = refusal.clone();
        let is_ignored = reason.is_some();
        // Asked for all the same, a test that cannot be run fails.
        let run = move || match reason {
            Some(reason) => Err(Failed::from(reason)),
            None => test().map_err(|error| Failed::from(format!("{error:?}"))),
        };
        Trial::test(name, run).with_ignored_flag(is_ignored)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn three_colleagues_join_by_a_letter_and_jobs_are_done() -> Result<()> {
    let mut lan = Lan::new(&Gleaner::find()?, 4)?;
    lan.transcript().chapter("Ada starts a project");
    lan.machine_mut(0).install()?;
    let coordinator = start_coordinator(lan.machine(0))?;
    lan.machine(0).show(&coordinator.log());
    let log = coordinator.log();
    ensure!(log.contains(&format!("reachable    {} port 4747", lan.machine(0).address())), "{log}");
    ensure!(!log.contains("127.0.0.1 port 4747"), "loopback is told to others:\n{log}");
    lan.transcript().chapter("She writes a letter to three colleagues");
    let letter = lan.machine(0).tell(&["coordinator", "invite", "--uses", "3"])?;
    let workers = join_all(&mut lan, &letter).with_context(|| coordinator.log())?;

    run_the_example(&lan)?;
    run_a_new_task(&lan)?;
    lan.transcript().finish()?;
    for mut worker in workers {
        worker.interrupt(LIMIT)?;
    }
    coordinator.stop(LIMIT)
}

/// Three colleagues type the letter's line; one of them says no at first.
fn join_all(lan: &mut Lan, letter: &str) -> Result<Vec<Terminal>> {
    let line = letter.lines().find_map(|line| line.trim().strip_prefix("gleaner "));
    let line = line.with_context(|| format!("there is no command in {letter}"))?;
    let join = [&line.split(' ').collect::<Vec<_>>()[..], &["--slots", "1"]].concat();
    let fingerprint = letter.lines().map(str::trim).find(|line| is_fingerprint(line));
    let fingerprint = fingerprint.with_context(|| format!("no fingerprint in {letter}"))?;
    let mut workers = Vec::new();
    for number in 1..=3 {
        lan.transcript().chapter(CHAPTERS[number - 1]);
        lan.machine_mut(number).install()?;
        let machine = lan.machine(number);
        if number == 3 {
            decline(machine, &join)?;
        }
        let mut worker = machine.start_at_terminal(&join)?;
        worker.answer(QUESTION, "y", LIMIT)?;
        let shown = worker.shown();
        for words in ["Ada, Astronomy", "looks for planets of nearby stars", fingerprint] {
            ensure!(shown.contains(words), "{words:?} was not shown:\n{shown}");
        }
        wait_for_members(lan.machine(0), number).with_context(|| worker.shown())?;
        wait_until("a welcome", LIMIT, || Ok(worker.shown().contains("welcome").then_some(())))
            .with_context(|| worker.shown())?;
        machine.show(&worker.shown());
        workers.push(worker);
    }
    let again = [&join[..], &["--yes"]].concat();
    let full = lan.machine(3).quietly(&again).unwrap_or_else(|error| format!("{error:#}"));
    ensure!(full.contains("another worker uses the folder"), "{full}");
    Ok(workers)
}

/// Who says no has joined nothing.
fn decline(machine: &Machine, join: &[&str]) -> Result<()> {
    let mut no = machine.start_at_terminal(join)?;
    no.answer(QUESTION, "n", LIMIT)?;
    no.wait_for_end(LIMIT)?;
    machine.show(&no.shown());
    ensure!(no.shown().contains("not joined"), "{}", no.shown());
    ensure!(machine.quietly(&["worker", "projects"])?.contains("no project"), "{}", no.shown());
    Ok(())
}

fn run_the_example(lan: &Lan) -> Result<()> {
    let ada = lan.machine(0);
    lan.transcript().chapter("The example job, with fewer resamplings");
    let shorter = format!("stage.search.range.end={ITEMS}");
    ada.tell(&["submit", "jobs/planets/job.toml", "--set", &shorter, "--wait"])?;
    let output = ada.home().join("planets");
    ada.tell(&["results", "job-1", "-o", output.to_str().context("a path is text")?])?;
    let expected = Gleaner::find()?.run(&JobFolder::planets(ITEMS - 1, "1")?.manifest())?;
    ensure!(read_output(&output)? == expected, "the output differs");
    let workers = ada.tell(&["workers"])?;
    ensure!(workers.contains("3 connected with 3 slots"), "a colleague has gone: {workers}");
    Ok(())
}

/// A task of one's own, from nothing to its results.
fn run_a_new_task(lan: &Lan) -> Result<()> {
    let ada = lan.machine(0);
    let krate = ada.home().join("dice");
    let krate = krate.to_str().context("a path is text")?;
    lan.transcript().chapter("A task of her own: made, compiled and tried");
    ada.tell(&["new", "dice", "--path", krate])?;
    ada.tell(&["build", krate])?;
    ada.tell(&["test", krate])?;
    lan.transcript().chapter("Her task on the colleagues' machines");
    ada.tell(&["submit", &format!("{krate}/job.toml"), "--wait"])?;
    let output = ada.home().join("dice-results");
    ada.tell(&["results", "job-2", "-o", output.to_str().context("a path is text")?])?;
    let found = read_output(&output)?;
    let hits: Value = serde_json::from_slice(&found["throw/throw.json"])?;
    ensure!(hits["thrown"] == 10_000_000, "{hits}");
    Ok(())
}

fn a_coordinator_that_has_moved_is_found() -> Result<()> {
    let mut lan = Lan::new(&Gleaner::find()?, 2)?;
    lan.transcript().chapter("A coordinator moves to another address");
    lan.machine_mut(0).install()?;
    lan.machine_mut(1).install()?;
    let coordinator = start_coordinator(lan.machine(0))?;
    let ticket = lan.machine(0).tell(&["coordinator", "invite", "--ticket-only"])?;
    lan.machine_mut(0).move_to("10.77.0.99")?;
    let join = ["worker", "join", "--yes", ticket.trim(), "--slots", "1"];
    let worker = lan.machine(1).start(&join)?;
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
    let mut process = machine.start(&["coordinator", "start"])?;
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
