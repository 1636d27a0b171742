//! The process behind a slot: its walls, its stops and its ends.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use gleaner_protocol::{Floats, Limits, Outcome};
use gleaner_sandbox::{Sandbox, SlotSpec};
use libtest_mimic::Trial;

use crate::guests::{LONG, LOOP_WHEN_1, task};
use crate::stage::{config, outputs, shared, slot, spec, trial, unit, until, write};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("the_walls_are_up", walls),
        trial("a_suspended_slot_uses_no_cpu_and_goes_on", suspension),
        trial("a_suspended_slot_can_be_killed", killed_while_suspended),
        trial("a_killed_slot_loses_only_what_was_running", crash),
        trial("a_unit_over_its_cpu_time_loses_no_other", cpu_exceeded),
        trial("a_dropped_slot_takes_its_process_along", dropped),
        trial("slots_die_with_their_worker", worker_killed),
    ]
}

/// A line of /proc/PID/status.
fn status(process: u32, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(&format!("{key}:"))).unwrap();
    line.split_once(':').unwrap().1.trim().to_owned()
}

/// The state of a process as one letter, and its CPU time in ticks; none when it is gone.
fn state_and_cpu(process: u32) -> Option<(char, u64)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<u64>().unwrap();
    Some((fields[0].chars().next()?, ticks(11) + ticks(12)))
}

fn is_gone(process: u32) -> bool {
    matches!(state_and_cpu(process), None | Some(('Z' | 'X', _)))
}

async fn walls() {
    let path = shared().0.path().join("walls.csv");
    fs::write(&path, "a").unwrap();
    let files = vec![("a".to_owned(), path.clone())];
    let slot = shared().1.spawn(SlotSpec { files, ..spec(&task("")).await }).await.unwrap();
    outputs(slot.run(unit(0, &[b""])).await);
    let process = slot.process_id().unwrap();
    assert_eq!(status(process, "Seccomp"), "2");
    assert_eq!(status(process, "NoNewPrivs"), "1");
    assert_eq!(status(process, "Threads"), "1");
    assert_eq!(fs::read(format!("/proc/{process}/environ")).unwrap(), b"");
    let mut open: Vec<PathBuf> = fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .map(|entry| fs::read_link(entry.unwrap().path()).unwrap())
        .filter(|target| !target.to_string_lossy().starts_with("pipe:"))
        // Of its own pages, and only where the system tells which were written.
        .filter(|target| *target != Path::new(&format!("/proc/{process}/pagemap")))
        .collect();
    open.sort();
    assert_eq!(open.len(), 2, "the module and the shared file: {open:?}");
    assert!(open.contains(&path), "{open:?}");
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    for limit in ["Max open files", "Max processes", "Max file size", "Max core file size"] {
        let line = limits.lines().find(|line| line.starts_with(limit)).unwrap();
        assert_eq!(line[limit.len()..].split_whitespace().next(), Some("0"), "{line}");
    }
}

async fn suspension() {
    let slot = slot(&task(LONG), Limits::default()).await;
    let process = slot.process_id().unwrap();
    let running = slot.clone();
    let run = tokio::spawn(async move { running.run(unit(0, &[b""])).await });
    let (_, at_start) = state_and_cpu(process).unwrap();
    until("it computes", || state_and_cpu(process).unwrap().1 > at_start).await;
    slot.suspend();
    until("it is stopped", || state_and_cpu(process).unwrap().0 == 'T').await;
    let (_, stopped_at) = state_and_cpu(process).unwrap();
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(state_and_cpu(process).unwrap(), ('T', stopped_at));
    }
    assert!(!run.is_finished());
    slot.resume();
    assert_eq!(outputs(run.await.unwrap()), [b"hello"]);
    assert_eq!(slot.process_id(), Some(process));
}

async fn killed_while_suspended() {
    let slot = slot(&task(LOOP_WHEN_1), Limits::default()).await;
    let process = slot.process_id().unwrap();
    let running = slot.clone();
    // More than the pipe takes, so that the worker has bytes left for a process that reads none.
    let large = vec![1; 4_000_000];
    slot.suspend();
    let run = tokio::spawn(async move { running.run(unit(0, &[&large, &large])).await });
    tokio::task::yield_now().await;
    slot.kill().await;
    assert!(is_gone(process));
    assert!(matches!(run.await.unwrap().outcome, Outcome::SlotCrashed { .. }));
}

async fn crash() {
    let slot = slot(&task(LOOP_WHEN_1), Limits::default()).await;
    let process = slot.process_id().unwrap();
    let (_, at_start) = state_and_cpu(process).unwrap();
    let (first, second, third) = (unit(0, &[b"a"]), unit(1, &[b"\x01"]), unit(2, &[b"c"]));
    let (first, second, third, ()) =
        tokio::join!(slot.run(first), slot.run(second), slot.run(third), async {
            until("it computes", || state_and_cpu(process).unwrap().1 > at_start + 1).await;
            let killed = Command::new("kill").args(["-9", &process.to_string()]).status();
            assert!(killed.unwrap().success());
        });
    assert_eq!(outputs(first), [b"a"]);
    let words = second.outcome.to_string();
    assert!(words.contains("signal 9 (SIGKILL"), "{words}");
    assert_eq!(outputs(third), [b"c"]);
    assert_ne!(slot.process_id(), Some(process));
}

async fn cpu_exceeded() {
    let limits = Limits { cpu: Duration::from_millis(20), ..Limits::default() };
    let slot = slot(&task(LOOP_WHEN_1), limits).await;
    let (first, second, third, fourth) = tokio::join!(
        slot.run(unit(0, &[b"a"])),
        slot.run(unit(1, &[b"b", b"\x01"])),
        slot.run(unit(3, &[b"c"])),
        slot.run(unit(4, &[b"d"])),
    );
    assert_eq!(outputs(first), [b"a"]);
    assert_eq!(second.outcome, Outcome::CpuExceeded { limit_ms: 20 });
    assert!(second.cpu > limits.cpu);
    assert_eq!(outputs(third), [b"c"]);
    assert_eq!(outputs(fourth), [b"d"]);
}

async fn dropped() {
    let slot = slot(&task(""), Limits::default()).await;
    let process = slot.process_id().unwrap();
    drop(slot);
    until("the process is gone", || is_gone(process)).await;
}

/// A worker of two slots, one computing and one suspended, that says their numbers and waits.
pub fn stand_in(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let folder = PathBuf::from(arguments.next().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sandbox = Sandbox::new(config(&folder)).unwrap();
        let (blob, path) = write(&folder, &task(LOOP_WHEN_1));
        let module = sandbox.compile(blob, Floats::Plain, &path).await.unwrap();
        let spec = SlotSpec {
            module,
            entry: gleaner_sandbox::Entry::Task("run".to_owned()),
            parameters: vec![],
            files: vec![],
            limits: Limits::default(),
            on_failure: gleaner_protocol::OnFailure::Stop,
        };
        let running = sandbox.spawn(spec.clone()).await.unwrap();
        let suspended = sandbox.spawn(spec).await.unwrap();
        suspended.suspend();
        println!("{} {}", running.process_id().unwrap(), suspended.process_id().unwrap());
        running.run(unit(0, &[b"\x01"])).await;
    });
    ExitCode::SUCCESS
}

async fn worker_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = Command::new("/proc/self/exe")
        .arg("stand-in")
        .arg(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(worker.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let slots: Vec<u32> = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert_eq!(slots.len(), 2, "{line}");
    assert!(slots.iter().all(|slot| !is_gone(*slot)));
    worker.kill().unwrap();
    worker.wait().unwrap();
    until("both slots are gone", || slots.iter().all(|slot| is_gone(*slot))).await;
}
