//! How many leases and results the coordinator's core alone takes in a second, and what a settled
//! unit leaves in memory: `cargo bench -p gleaner-simulator --bench core -- UNITS`.
//!
//! No input, no output: records count as durable at once. Beside it, the least that any books of
//! these attempts cost: a `BTreeMap` into which they are put and out of which they are taken, as
//! many at a time. Prints JSON.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use gleaner_coordinator_core::{Action, Config, Core, Event, Grant, Owner, Recovered, RequestId};
use gleaner_protocol::{
    Answers, BlobHash, BlobRef, Capacity, Epoch, Floats, JobSpec, LeaseKey, Limits, Notify,
    OnFailure, Outcome, Payload, Reducer, Splitter, StageSpec, StageTask, SubmissionId, Timestamp,
    UnitResult, UnitSize, ValueMap, WorkerId,
};

const WORKERS: u16 = 1_000;

/// Leases that a worker asks for at a time, and returns.
const LEASES: u32 = 64;

const UNITS: u64 = 500_000;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if !words.iter().any(|word| word == "--bench") {
        return ExitCode::SUCCESS;
    }
    let units = words.iter().find_map(|word| word.parse().ok()).unwrap_or(UNITS);
    let mut lab = Lab::new(units);
    let before = memory_bytes();
    let start = Instant::now();
    let done = lab.run(units);
    let seconds = start.elapsed().as_secs_f64();
    let left = memory_bytes().zip(before).map(|(after, before)| after.saturating_sub(before));
    let bytes_a_unit =
        left.map_or("null".to_owned(), |bytes| format!("{:?}", bytes as f64 / done as f64));
    println!(
        "{{\"events_per_second\":{:?},\"map_per_second\":{:?},\"bytes_a_unit\":{bytes_a_unit}}}",
        2.0 * done as f64 / seconds,
        map_changes_per_second(done),
    );
    ExitCode::SUCCESS
}

/// A core with one job that has more units than are asked for, and workers of one slot.
struct Lab {
    core: Core,
    now: Timestamp,
    grants: Vec<Grant>,
}

impl Lab {
    fn new(units: u64) -> Self {
        let (config, key) = (Config::default(), LeaseKey::new([7; 32]));
        let now = Timestamp::from_millis(1);
        let core = Core::recover(config, key, Epoch(1), Recovered::default(), now);
        let mut lab = Self { core, now, grants: Vec::new() };
        let items = units + u64::from(WORKERS) * u64::from(LEASES);
        lab.feed(Event::JobSubmitted {
            request: RequestId(1),
            submission: SubmissionId(1),
            owner: Owner::Operator,
            spec: job_spec(items),
            retry_of: None,
            items: vec![Some(items)],
            kept: Vec::new(),
        });
        for number in 0..WORKERS {
            lab.feed(Event::WorkerConnected { worker: worker(number), held: Vec::new() });
        }
        lab
    }

    /// Lets workers lease and return units, one worker after the other: how many.
    fn run(&mut self, units: u64) -> u64 {
        let mut done = 0;
        for number in (0..WORKERS).cycle() {
            if done >= units {
                break;
            }
            let capacity = Capacity { slots: 1, units: LEASES, slot_memory_bytes: u64::MAX };
            self.feed(Event::CapacityOffered { worker: worker(number), capacity });
            let results: Vec<_> =
                std::mem::take(&mut self.grants).into_iter().map(result).collect();
            done += results.len() as u64;
            self.feed(Event::ResultsReturned { worker: worker(number), results });
        }
        done
    }

    /// Feeds an event; what it asks to be kept is.
    fn feed(&mut self, event: Event) {
        self.core.handle_event(self.now, event);
        while let Some(action) = self.core.poll_action() {
            match action {
                Action::Persist { sequence: through, .. } => {
                    self.core.handle_event(self.now, Event::Persisted { through });
                }
                Action::Grant { grants, .. } => self.grants = grants,
                _ => {}
            }
        }
    }
}

fn worker(number: u16) -> WorkerId {
    let mut key = [1; 32];
    key[..2].copy_from_slice(&number.to_be_bytes());
    WorkerId(key)
}

fn result(grant: Grant) -> UnitResult {
    let Grant { claims, token, .. } = grant;
    let outputs = Payload::Inline(vec![vec![7; 8].into()]);
    let outcome = Outcome::Completed { outputs, failures: Vec::new() };
    UnitResult { claims, token, outcome, cpu: Duration::from_millis(1), log: String::new() }
}

fn job_spec(items: u64) -> JobSpec {
    let one = NonZeroU32::MIN;
    let task = StageTask {
        module: BlobRef { hash: BlobHash([1; 32]), bytes: 1 },
        function: "run".into(),
        parameters: ValueMap::new(),
        files: Vec::new(),
        limits: Limits::default(),
        seed: 0,
        floats: Floats::Plain,
        on_failure: OnFailure::Stop,
    };
    let end = i64::try_from(items).expect("fewer items than an i64 holds");
    let stage = StageSpec {
        name: "search".into(),
        task,
        splitter: Splitter::Range { field: "index".into(), start: 0, end },
        unit_size: UnitSize::Fixed(one),
        unit_items_max: None,
        reducer: Reducer::Files,
    };
    JobSpec {
        name: "bench".into(),
        seed: 0,
        priority: 0,
        quorum: one,
        max_attempts: one,
        answers: Answers::Fresh,
        keep: None,
        notify: Notify::default(),
        stages: vec![stage],
    }
}

/// Puts numbers into a map and takes them out, as many at a time as a worker holds leases.
fn map_changes_per_second(units: u64) -> f64 {
    let start = Instant::now();
    let mut map = BTreeMap::new();
    for first in (0..units).step_by(LEASES as usize) {
        let leased = first..(first + u64::from(LEASES)).min(units);
        map.extend(leased.clone().map(|unit| (unit, unit)));
        for unit in leased {
            map.remove(&unit);
        }
    }
    assert!(std::hint::black_box(&map).is_empty(), "all were taken out");
    2.0 * units as f64 / start.elapsed().as_secs_f64()
}

/// The memory that this process has now, where the system tells.
fn memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}
