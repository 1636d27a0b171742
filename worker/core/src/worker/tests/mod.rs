//! A worker driven by hand: events in, all actions out.

mod random;
mod scenarios;

use std::time::Duration;

use expect_test::Expect;
use gleaner_protocol::{
    AttemptId, BlobHash, Epoch, ItemRange, JobId, LeaseClaims, LeaseKey, ProjectId, StageIndex,
    Timestamp, UnitId, WorkerId,
};

use super::Worker;
use crate::event::{
    Action, AttemptKey, Event, GrantedLease, HeldLease, InputsPlace, RunId, SlotIndex, StageKey,
    Verdict,
};

const ALICE: ProjectId = ProjectId([0xa; 32]);
const BOB: ProjectId = ProjectId([0xb; 32]);

struct Bench {
    worker: Worker,
    now: Timestamp,
}

impl Bench {
    /// A worker whose slots may run, connected to nobody.
    fn new(slots: u32) -> Self {
        let mut bench = Self { worker: Worker::new(), now: Timestamp::from_millis(1_000_000) };
        bench.tell(Event::VerdictChanged(Verdict::Run { slots }));
        bench.quiet();
        bench
    }

    /// A worker connected to Alice's project, which has told of stage 1.0 and been asked for work.
    fn open(slots: u32) -> Self {
        let mut bench = Self::new(slots);
        bench.connect(ALICE);
        bench.tell(Event::TaskArrived { stage: stage(ALICE, 1) });
        bench.quiet();
        bench
    }

    fn connect(&mut self, project: ProjectId) {
        self.tell(Event::Connected { project });
        let heartbeat_interval = Duration::from_secs(15);
        self.tell(Event::Welcomed { project, heartbeat_interval });
    }

    fn tell(&mut self, event: Event) {
        self.worker.handle_event(self.now, event);
        self.worker.check_invariants();
    }

    fn lease(&mut self, units: std::ops::Range<u64>) {
        let leases = units.map(|unit| grant(1, unit, InputsPlace::Here)).collect();
        self.tell(Event::Leased { project: ALICE, leases });
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.worker.handle_timeout(self.now);
        self.worker.check_invariants();
        let next = self.worker.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "{next:?} was due at {}", self.now);
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.worker.poll_action()).collect()
    }

    /// Drops the actions that only led here.
    fn quiet(&mut self) {
        self.actions();
    }

    fn check(&mut self, expected: Expect) {
        let lines: Vec<_> = self.actions().iter().map(line).collect();
        expected.assert_eq(&lines.join("\n"));
    }

    /// The slot answers an attempt after `micros` of computing and the result reaches the disk.
    fn finish(&mut self, unit: u64, run: u64, micros: u64) {
        let elapsed = Duration::from_micros(micros);
        self.tell(Event::Finished { key: key(1, unit), run: RunId(run), elapsed });
        self.tell(Event::Kept { key: key(1, unit) });
    }
}

fn stage(project: ProjectId, job: u64) -> StageKey {
    StageKey { project, job: JobId(job), stage: StageIndex(0) }
}

fn attempt(job: u64, unit: u64) -> AttemptId {
    AttemptId { unit: UnitId { job: JobId(job), number: unit }, number: 1 }
}

fn key(job: u64, unit: u64) -> AttemptKey {
    AttemptKey { project: ALICE, attempt: attempt(job, unit) }
}

fn held(job: u64, unit: u64) -> HeldLease {
    let claims = LeaseClaims {
        worker: WorkerId([1; 32]),
        attempt: attempt(job, unit),
        stage: StageIndex(0),
        items: ItemRange { start: unit, end: unit + 1 },
        input: BlobHash([2; 32]),
        epoch: Epoch(1),
    };
    let token = LeaseKey::new([3; 32]).seal(&claims);
    HeldLease { claims, token }
}

fn grant(job: u64, unit: u64, inputs: InputsPlace) -> GrantedLease {
    GrantedLease { lease: held(job, unit), inputs }
}

/// An action in a few words.
fn line(action: &Action) -> String {
    let who = |project: &ProjectId| if *project == ALICE { "alice" } else { "bob" };
    let list = |attempts: &[AttemptId]| {
        let names: Vec<_> = attempts.iter().map(ToString::to_string).collect();
        names.join(" ")
    };
    let at = |slot: &SlotIndex| format!("slot-{}", slot.0);
    let stage = |stage: &StageKey| format!("{} {} {}", who(&stage.project), stage.job, stage.stage);
    match action {
        Action::Greet { project, held } => {
            let held: Vec<_> = held.iter().map(|lease| lease.claims.attempt).collect();
            format!("greet {} holding [{}]", who(project), list(&held))
        }
        Action::Disconnect { project } => format!("disconnect {}", who(project)),
        Action::Request { project, slots, units } => {
            format!("request {}: {slots} slots, {units} units", who(project))
        }
        Action::Heartbeat { project, attempts, running } => {
            format!("heartbeat {} [{}] running [{}]", who(project), list(attempts), list(running))
        }
        Action::SendResults { project, attempts } => {
            format!("send {} [{}]", who(project), list(attempts))
        }
        Action::Release { project, attempts, reason } => {
            format!("release {} [{}] {reason:?}", who(project), list(attempts))
        }
        Action::Prepare { stage: key } => format!("prepare {}", stage(key)),
        Action::Rest { stage: key } => format!("rest {}", stage(key)),
        Action::ForgetStage { stage: key } => format!("forget {}", stage(key)),
        Action::FetchInputs { key } => format!("fetch {}", key.attempt),
        Action::StartSlot { slot, life, stage: key } => {
            format!("start {} life {} for {}", at(slot), life.0, stage(key))
        }
        Action::Run { slot, key, run } => {
            format!("run {} in {} run {}", key.attempt, at(slot), run.0)
        }
        Action::SuspendSlot { slot } => format!("suspend {}", at(slot)),
        Action::ResumeSlot { slot } => format!("resume {}", at(slot)),
        Action::EndSlot { slot } => format!("end {}", at(slot)),
        Action::Keep { key, run } => format!("keep {} run {}", key.attempt, run.0),
        Action::AnswerRefused { key } => format!("answer refused {}", key.attempt),
        Action::Discard { key } => format!("discard {}", key.attempt),
        Action::Stopped => "stopped".to_owned(),
    }
}
