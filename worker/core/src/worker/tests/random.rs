//! Random events, sensible and stale ones alike: nothing breaks, nothing is lost.

use std::collections::{BTreeMap, BTreeSet};

use gleaner_protocol::{Obstacle, WithdrawReason};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::limits::RESULTS_BATCH;

/// A driver that answers actions when told to, in any order, and sometimes talks nonsense.
struct Driver {
    bench: Bench,
    /// Answers that the actions so far may lead to.
    possible: Vec<Event>,
    /// Results kept and not discarded.
    results: BTreeSet<AttemptKey>,
    /// What runs as far as a coordinator knows.
    said_to_run: BTreeMap<ProjectId, BTreeSet<AttemptId>>,
}

impl Driver {
    fn tell(&mut self, event: Event) {
        self.bench.tell(event);
        self.collect();
    }

    fn wait(&mut self, time: Duration) {
        self.bench.wait(time);
        self.collect();
    }

    fn collect(&mut self) {
        for action in self.bench.actions() {
            self.possible.extend(answers(&action));
            match action {
                Action::Keep { key, .. } | Action::AnswerRefused { key } => {
                    assert!(self.results.insert(key), "{key:?} is answered once");
                    self.runs_no_more(key);
                }
                Action::Discard { key } => {
                    self.results.remove(&key);
                    self.runs_no_more(key);
                }
                Action::Greet { project, .. } => {
                    self.said_to_run.remove(&project);
                }
                Action::Heartbeat { project, attempts, running } => {
                    let running = BTreeSet::from_iter(running);
                    assert!(running.iter().all(|attempt| attempts.contains(attempt)));
                    self.said_to_run.insert(project, running);
                }
                Action::SendResults { project, attempts } => {
                    assert!(attempts.len() <= RESULTS_BATCH);
                    for attempt in attempts {
                        assert!(self.results.contains(&AttemptKey { project, attempt }));
                    }
                }
                _ => {}
            }
        }
        self.check_said_to_run();
    }

    /// A coordinator learns it from what becomes of the attempt.
    fn runs_no_more(&mut self, key: AttemptKey) {
        if let Some(running) = self.said_to_run.get_mut(&key.project) {
            running.remove(&key.attempt);
        }
    }

    /// Coordinators know what runs, or it is going to be said.
    fn check_said_to_run(&self) {
        for (project, session) in self.bench.worker.sessions.iter() {
            if session.is_open() && session.running_due().is_none() {
                let running = BTreeSet::from_iter(self.bench.worker.running_of(*project));
                let said = self.said_to_run.get(project).cloned().unwrap_or_default();
                assert_eq!(running, said, "{project} is told what runs");
            }
        }
    }
}

fn answers(action: &Action) -> Vec<Event> {
    let (elapsed, obstacle) = (Duration::from_micros(300), Obstacle::DiskFull);
    match action.clone() {
        Action::Prepare { stage } => vec![
            Event::StageReady { stage },
            Event::StageReady { stage },
            Event::StageRefused { stage },
            Event::StageUnavailable { stage, obstacle },
        ],
        Action::FetchInputs { key } => {
            vec![Event::InputsHad { key }, Event::InputsUnavailable { key, obstacle }]
        }
        Action::StartSlot { slot, life, stage } => {
            vec![Event::SlotFailed { slot, life, obstacle }, Event::StageRefused { stage }]
        }
        Action::Run { key, run, .. } => vec![
            Event::Finished { key, run, elapsed },
            Event::Finished { key, run, elapsed },
            Event::InputsUnavailable { key, obstacle },
        ],
        Action::Keep { key, .. } | Action::AnswerRefused { key } => vec![Event::Kept { key }],
        Action::SendResults { project, attempts } => {
            vec![Event::Acknowledged { project, attempts }]
        }
        _ => Vec::new(),
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// One of the answers that are possible, which stay possible: repeats happen.
    Answer(prop::sample::Index),
    Other(Event),
    Wait(u64),
}

fn project() -> impl Strategy<Value = ProjectId> {
    prop_oneof![Just(ALICE), Just(BOB)]
}

fn attempts() -> impl Strategy<Value = Vec<AttemptId>> {
    prop::collection::vec((1..3_u64, 0..12_u64).prop_map(|(job, unit)| attempt(job, unit)), 1..5)
}

fn leases() -> impl Strategy<Value = Vec<GrantedLease>> {
    let place = prop_oneof![3 => Just(InputsPlace::Here), 1 => Just(InputsPlace::Blob)];
    let lease = (1..3_u64, 0..12_u64, place).prop_map(|(job, unit, place)| grant(job, unit, place));
    prop::collection::vec(lease, 1..6)
}

fn event() -> impl Strategy<Value = Event> {
    let reason = prop_oneof![Just(WithdrawReason::Settled), Just(WithdrawReason::JobEnded)];
    let heartbeat_interval = Duration::from_secs(15);
    prop_oneof![
        4 => project().prop_map(|project| Event::Connected { project }),
        4 => project().prop_map(move |project| Event::Welcomed { project, heartbeat_interval }),
        1 => project().prop_map(|project| Event::Refused { project }),
        1 => project().prop_map(|project| Event::Disconnected { project }),
        4 => (project(), 1..3_u64).prop_map(|(p, job)| Event::TaskArrived { stage: stage(p, job) }),
        8 => (project(), leases()).prop_map(|(project, leases)| Event::Leased { project, leases }),
        1 => (project(), attempts())
            .prop_map(|(project, attempts)| Event::Acknowledged { project, attempts }),
        2 => (project(), attempts(), reason).prop_map(|(project, attempts, reason)| {
            Event::Withdrawn { project, attempts, reason }
        }),
        3 => (0..4_u32).prop_map(|slots| Event::VerdictChanged(Verdict::Run { slots })),
        3 => Just(Event::VerdictChanged(Verdict::Suspend { reasons: Vec::new() })),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any::<prop::sample::Index>().prop_map(Step::Answer),
        6 => event().prop_map(Step::Other),
        2 => prop_oneof![Just(1), Just(2), Just(999), Just(15_000), 0..100_000_u64]
            .prop_map(Step::Wait),
    ]
}

fn run(steps: Vec<Step>) -> Driver {
    let bench = Bench::new(2);
    let mut driver = Driver {
        bench,
        possible: Vec::new(),
        results: BTreeSet::new(),
        said_to_run: BTreeMap::new(),
    };
    for project in [ALICE, BOB] {
        driver.tell(Event::Connected { project });
        let heartbeat_interval = Duration::from_secs(15);
        driver.tell(Event::Welcomed { project, heartbeat_interval });
        driver.tell(Event::TaskArrived { stage: stage(project, 1) });
    }
    for step in steps {
        match step {
            Step::Answer(_) if driver.possible.is_empty() => {}
            Step::Answer(index) => driver.tell(index.get(&driver.possible).clone()),
            Step::Other(event) => driver.tell(event),
            Step::Wait(millis) => driver.wait(Duration::from_millis(millis)),
        }
    }
    driver
}

/// Once nothing fails any more, every lease is answered and every result acknowledged.
fn settle(driver: &mut Driver) {
    driver.tell(Event::VerdictChanged(Verdict::Run { slots: 2 }));
    for project in [ALICE, BOB] {
        driver.tell(Event::Disconnected { project });
        driver.tell(Event::Connected { project });
        let heartbeat_interval = Duration::from_secs(15);
        driver.tell(Event::Welcomed { project, heartbeat_interval });
    }
    for _ in 0..200 {
        if driver.bench.worker.attempts.is_empty() {
            break;
        }
        let possible = std::mem::take(&mut driver.possible);
        let fails = |event: &Event| {
            matches!(
                event,
                Event::StageUnavailable { .. }
                    | Event::InputsUnavailable { .. }
                    | Event::SlotFailed { .. }
            )
        };
        for event in possible.into_iter().filter(|event| !fails(event)) {
            driver.tell(event);
        }
        driver.wait(Duration::from_secs(61));
    }
}

proptest! {
    #[test]
    fn invariants_hold_and_nothing_is_lost(steps in prop::collection::vec(step(), 1..200)) {
        let mut driver = run(steps);
        settle(&mut driver);
        prop_assert_eq!(driver.bench.worker.attempts.len(), 0);
        prop_assert_eq!(driver.results.len(), 0);
    }

    #[test]
    fn stopping_always_ends(steps in prop::collection::vec(step(), 1..100)) {
        let mut driver = run(steps);
        driver.bench.worker.handle_event(driver.bench.now, Event::Stop);
        let mut stopped = false;
        for _ in 0..10 {
            driver.bench.worker.check_invariants();
            let actions = driver.bench.actions();
            stopped |= actions.contains(&Action::Stopped);
            driver.possible.extend(actions.iter().flat_map(answers));
            let kept = |event: &Event| matches!(event, Event::Kept { .. });
            for event in std::mem::take(&mut driver.possible).into_iter().filter(kept) {
                driver.bench.worker.handle_event(driver.bench.now, event);
            }
        }
        prop_assert!(stopped);
    }
}

/// The random steps are worth something only if they reach every state.
#[test]
fn random_steps_reach_every_state() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..64 {
        let steps = prop::collection::vec(step(), 200).new_tree(&mut runner).unwrap().current();
        for (count, _) in steps.iter().enumerate().step_by(20) {
            let driver = run(steps[..count].to_vec());
            let states = driver.bench.worker.attempts.values().map(|attempt| attempt.state);
            seen.extend(states.map(|s| format!("{s:?}").split(' ').next().unwrap().to_owned()));
        }
    }
    let seen: Vec<_> = seen.into_iter().collect();
    let all = ["Answered", "Fetching", "Kept", "Queued", "Running", "Sent", "Suspended", "Waiting"];
    assert_eq!(seen, all);
}
