//! One snapshot of every state of a unit × every event that can meet it.

use std::time::Duration;

use expect_test::expect;
use gleaner_protocol::{JobId, LeaseClaims, Outcome, ReleaseReason, TrapKind, WorkerId};

use super::*;

/// Where the one unit stands when the event arrives. Worker 1 is the one whose attempt the event
/// is about; worker 2 asks for work.
const STATES: [&str; 6] =
    ["leased", "accepted (1 of 2)", "waiting", "settled", "leased, paused", "waiting, paused"];

fn lab_in(state: &str) -> (Lab, JobId, WorkerId, Grant) {
    let quorum = if state == "accepted (1 of 2)" { 2 } else { 1 };
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(1, 1, quorum));
    let first = lab.connect(1, 1);
    let grant = lab.lease(first);
    match state {
        "leased" => {}
        "leased, paused" => lab.pause(job),
        "accepted (1 of 2)" | "settled" => {
            lab.answer(first, &grant, right(&grant));
        }
        "waiting" => {
            let attempts = vec![grant.claims.attempt];
            let reason = ReleaseReason::Owner;
            lab.feed(Event::Released { worker: first, attempts, reason });
        }
        "waiting, paused" => {
            let attempts = vec![grant.claims.attempt];
            lab.pause(job);
            let reason = ReleaseReason::Owner;
            lab.feed(Event::Released { worker: first, attempts, reason });
        }
        other => panic!("no such state: {other}"),
    }
    lab.said();
    (lab, job, first, grant)
}

type Feed = Box<dyn FnOnce(&mut Lab)>;

fn events(worker: WorkerId, grant: &Grant) -> Vec<(&'static str, Feed)> {
    let returned = |outcome: Outcome| -> Feed {
        let grant = grant.clone();
        Box::new(move |lab| lab.answer(worker, &grant, outcome))
    };
    let trapped = Outcome::Trapped { item: 0, kind: TrapKind::Unreachable, message: String::new() };
    let attempts = vec![grant.claims.attempt];
    let (released, beats, held) = (attempts.clone(), attempts, grant.clone());
    let forged = Grant {
        claims: LeaseClaims { items: ItemRange { start: 0, end: 9 }, ..grant.claims.clone() },
        ..grant.clone()
    };
    let forged_outcome = right(&forged);
    vec![
        ("right result", returned(right(grant))),
        ("other result", returned(wrong(grant))),
        ("trap", returned(trapped)),
        ("inconclusive", returned(Outcome::StackOverflow { item: 0 })),
        ("forged result", Box::new(move |lab| lab.answer(worker, &forged, forged_outcome))),
        (
            "release",
            Box::new(move |lab| {
                let reason = ReleaseReason::Owner;
                lab.feed(Event::Released { worker, attempts: released, reason });
            }),
        ),
        (
            "heartbeat",
            Box::new(move |lab| {
                lab.feed(Event::Heartbeat { worker, attempts: beats, running: Vec::new() });
            }),
        ),
        ("expiry", Box::new(|lab| lab.advance(Duration::from_secs(61)))),
        (
            "lost on reconnection",
            Box::new(move |lab| {
                lab.feed(Event::WorkerConnected { worker, held: Vec::new() });
            }),
        ),
        (
            "held on reconnection",
            Box::new(move |lab| {
                let held = vec![(held.claims, held.token)];
                lab.feed(Event::WorkerConnected { worker, held });
            }),
        ),
        (
            "another worker asks",
            Box::new(|lab| {
                lab.connect(2, 1);
            }),
        ),
        ("pause", Box::new(|lab| lab.pause(JobId(1)))),
        ("resume", Box::new(|lab| lab.resume(JobId(1)))),
        ("remove", Box::new(|lab| drop(lab.remove(JobId(1))))),
        ("priority", Box::new(|lab| lab.prioritise(JobId(1), 5))),
        (
            "cancel",
            Box::new(|lab| {
                let request = lab.request();
                lab.feed(Event::CancelRequested { request, job: JobId(1) });
            }),
        ),
    ]
}

#[test]
fn every_state_meets_every_event() {
    let mut table = String::new();
    for state in STATES {
        let (_, _, worker, grant) = lab_in(state);
        for (name, _) in events(worker, &grant) {
            let (mut lab, _, worker, grant) = lab_in(state);
            let (_, feed) = events(worker, &grant)
                .into_iter()
                .find(|(other, _)| *other == name)
                .expect("the events have the same names each time");
            feed(&mut lab);
            table.push_str(&format!("{state} + {name}:\n"));
            for line in lab.said().lines() {
                table.push_str(&format!("    {line}\n"));
            }
            table.push_str(&format!("    → {}\n", unit_state(&lab)));
        }
    }
    expect![[r#"
        leased + right result:
            persist result attempt-1.0.1, settled by attempt-1.0.1
            reduce job-1 stage-0
            changed job-1
            acknowledge w1: attempt-1.0.1
            → settled
        leased + other result:
            persist result attempt-1.0.1, settled by attempt-1.0.1
            reduce job-1 stage-0
            changed job-1
            acknowledge w1: attempt-1.0.1
            → settled
        leased + trap:
            persist result attempt-1.0.1, failed unit-1.0 (0..1), settled by attempt-1.0.1, failed: unit-1.0 (items 0..1): item 0 trapped: it reached unreachable code (a panic or a failed assertion)
            changed job-1
            changed job-1
            acknowledge w1: attempt-1.0.1
            → job ended
        leased + inconclusive:
            persist inconclusive attempt-1.0.1
            changed job-1
            acknowledge w1: attempt-1.0.1
            → leased to [], 0 opinions, 1 attempts wanted
        leased + forged result:
            withdraw w1: attempt-1.0.1 (UnknownLease)
            → leased to [w1], 0 opinions, 0 attempts wanted
        leased + release:
            → leased to [], 0 opinions, 1 attempts wanted
        leased + heartbeat:
            → leased to [w1], 0 opinions, 0 attempts wanted
        leased + expiry:
            → leased to [], 0 opinions, 1 attempts wanted
        leased + lost on reconnection:
            → leased to [], 0 opinions, 1 attempts wanted
        leased + held on reconnection:
            → leased to [w1], 0 opinions, 0 attempts wanted
        leased + another worker asks:
            → leased to [w1], 0 opinions, 0 attempts wanted
        leased + pause:
            persist paused job-1
            changed job-1
            reply
            → leased to [w1], 0 opinions, 0 attempts wanted
        leased + resume:
            reply
            → leased to [w1], 0 opinions, 0 attempts wanted
        leased + remove:
            reply
            → leased to [w1], 0 opinions, 0 attempts wanted
        leased + priority:
            persist priority 5 of job-1
            changed job-1
            reply
            → leased to [w1], 0 opinions, 0 attempts wanted
        leased + cancel:
            persist ended: Cancelled
            withdraw w1: attempt-1.0.1 (JobEnded)
            changed job-1
            reply
            → job ended
        accepted (1 of 2) + right result:
            acknowledge w1: attempt-1.0.1
            → leased to [], 1 opinions, 1 attempts wanted
        accepted (1 of 2) + other result:
            acknowledge w1: attempt-1.0.1
            → leased to [], 1 opinions, 1 attempts wanted
        accepted (1 of 2) + trap:
            acknowledge w1: attempt-1.0.1
            → leased to [], 1 opinions, 1 attempts wanted
        accepted (1 of 2) + inconclusive:
            acknowledge w1: attempt-1.0.1
            → leased to [], 1 opinions, 1 attempts wanted
        accepted (1 of 2) + forged result:
            withdraw w1: attempt-1.0.1 (UnknownLease)
            → leased to [], 1 opinions, 1 attempts wanted
        accepted (1 of 2) + release:
            → leased to [], 1 opinions, 1 attempts wanted
        accepted (1 of 2) + heartbeat:
            → leased to [], 1 opinions, 1 attempts wanted
        accepted (1 of 2) + expiry:
            → leased to [], 1 opinions, 1 attempts wanted
        accepted (1 of 2) + lost on reconnection:
            → leased to [], 1 opinions, 1 attempts wanted
        accepted (1 of 2) + held on reconnection:
            withdraw w1: attempt-1.0.1 (Settled)
            → leased to [], 1 opinions, 1 attempts wanted
        accepted (1 of 2) + another worker asks:
            grant w2: attempt-1.0.2 items 0..1
            → leased to [w2], 1 opinions, 0 attempts wanted
        accepted (1 of 2) + pause:
            persist paused job-1
            changed job-1
            reply
            → leased to [], 1 opinions, 1 attempts wanted
        accepted (1 of 2) + resume:
            reply
            → leased to [], 1 opinions, 1 attempts wanted
        accepted (1 of 2) + remove:
            reply
            → leased to [], 1 opinions, 1 attempts wanted
        accepted (1 of 2) + priority:
            persist priority 5 of job-1
            changed job-1
            reply
            → leased to [], 1 opinions, 1 attempts wanted
        accepted (1 of 2) + cancel:
            persist ended: Cancelled
            changed job-1
            reply
            → job ended
        waiting + right result:
            persist result attempt-1.0.1, settled by attempt-1.0.1
            reduce job-1 stage-0
            changed job-1
            acknowledge w1: attempt-1.0.1
            → settled
        waiting + other result:
            persist result attempt-1.0.1, settled by attempt-1.0.1
            reduce job-1 stage-0
            changed job-1
            acknowledge w1: attempt-1.0.1
            → settled
        waiting + trap:
            persist result attempt-1.0.1, failed unit-1.0 (0..1), settled by attempt-1.0.1, failed: unit-1.0 (items 0..1): item 0 trapped: it reached unreachable code (a panic or a failed assertion)
            changed job-1
            changed job-1
            acknowledge w1: attempt-1.0.1
            → job ended
        waiting + inconclusive:
            persist inconclusive attempt-1.0.1
            changed job-1
            acknowledge w1: attempt-1.0.1
            → leased to [], 0 opinions, 1 attempts wanted
        waiting + forged result:
            withdraw w1: attempt-1.0.1 (UnknownLease)
            → leased to [], 0 opinions, 1 attempts wanted
        waiting + release:
            → leased to [], 0 opinions, 1 attempts wanted
        waiting + heartbeat:
            → leased to [], 0 opinions, 1 attempts wanted
        waiting + expiry:
            → leased to [], 0 opinions, 1 attempts wanted
        waiting + lost on reconnection:
            → leased to [], 0 opinions, 1 attempts wanted
        waiting + held on reconnection:
            → leased to [w1], 0 opinions, 0 attempts wanted
        waiting + another worker asks:
            persist opened attempt-1.0.2
            grant w2: attempt-1.0.2 items 0..1
            → leased to [w2], 0 opinions, 0 attempts wanted
        waiting + pause:
            persist paused job-1
            changed job-1
            reply
            → leased to [], 0 opinions, 1 attempts wanted
        waiting + resume:
            reply
            → leased to [], 0 opinions, 1 attempts wanted
        waiting + remove:
            reply
            → leased to [], 0 opinions, 1 attempts wanted
        waiting + priority:
            persist priority 5 of job-1
            changed job-1
            reply
            → leased to [], 0 opinions, 1 attempts wanted
        waiting + cancel:
            persist ended: Cancelled
            changed job-1
            reply
            → job ended
        settled + right result:
            acknowledge w1: attempt-1.0.1
            → settled
        settled + other result:
            acknowledge w1: attempt-1.0.1
            → settled
        settled + trap:
            acknowledge w1: attempt-1.0.1
            → settled
        settled + inconclusive:
            acknowledge w1: attempt-1.0.1
            → settled
        settled + forged result:
            withdraw w1: attempt-1.0.1 (UnknownLease)
            → settled
        settled + release:
            → settled
        settled + heartbeat:
            → settled
        settled + expiry:
            → settled
        settled + lost on reconnection:
            → settled
        settled + held on reconnection:
            withdraw w1: attempt-1.0.1 (Settled)
            → settled
        settled + another worker asks:
            → settled
        settled + pause:
            persist paused job-1
            changed job-1
            reply
            → settled
        settled + resume:
            reply
            → settled
        settled + remove:
            reply
            → settled
        settled + priority:
            persist priority 5 of job-1
            changed job-1
            reply
            → settled
        settled + cancel:
            persist ended: Cancelled
            changed job-1
            reply
            → job ended
        leased, paused + right result:
            persist result attempt-1.0.1, settled by attempt-1.0.1
            reduce job-1 stage-0
            changed job-1
            acknowledge w1: attempt-1.0.1
            → settled
        leased, paused + other result:
            persist result attempt-1.0.1, settled by attempt-1.0.1
            reduce job-1 stage-0
            changed job-1
            acknowledge w1: attempt-1.0.1
            → settled
        leased, paused + trap:
            persist result attempt-1.0.1, failed unit-1.0 (0..1), settled by attempt-1.0.1, failed: unit-1.0 (items 0..1): item 0 trapped: it reached unreachable code (a panic or a failed assertion)
            changed job-1
            changed job-1
            acknowledge w1: attempt-1.0.1
            → job ended
        leased, paused + inconclusive:
            persist inconclusive attempt-1.0.1
            changed job-1
            acknowledge w1: attempt-1.0.1
            → leased to [], 0 opinions, 1 attempts wanted
        leased, paused + forged result:
            withdraw w1: attempt-1.0.1 (UnknownLease)
            → leased to [w1], 0 opinions, 0 attempts wanted
        leased, paused + release:
            → leased to [], 0 opinions, 1 attempts wanted
        leased, paused + heartbeat:
            → leased to [w1], 0 opinions, 0 attempts wanted
        leased, paused + expiry:
            → leased to [], 0 opinions, 1 attempts wanted
        leased, paused + lost on reconnection:
            → leased to [], 0 opinions, 1 attempts wanted
        leased, paused + held on reconnection:
            → leased to [w1], 0 opinions, 0 attempts wanted
        leased, paused + another worker asks:
            → leased to [w1], 0 opinions, 0 attempts wanted
        leased, paused + pause:
            reply
            → leased to [w1], 0 opinions, 0 attempts wanted
        leased, paused + resume:
            persist resumed job-1
            changed job-1
            reply
            → leased to [w1], 0 opinions, 0 attempts wanted
        leased, paused + remove:
            reply
            → leased to [w1], 0 opinions, 0 attempts wanted
        leased, paused + priority:
            persist priority 5 of job-1
            changed job-1
            reply
            → leased to [w1], 0 opinions, 0 attempts wanted
        leased, paused + cancel:
            persist ended: Cancelled
            withdraw w1: attempt-1.0.1 (JobEnded)
            changed job-1
            reply
            → job ended
        waiting, paused + right result:
            persist result attempt-1.0.1, settled by attempt-1.0.1
            reduce job-1 stage-0
            changed job-1
            acknowledge w1: attempt-1.0.1
            → settled
        waiting, paused + other result:
            persist result attempt-1.0.1, settled by attempt-1.0.1
            reduce job-1 stage-0
            changed job-1
            acknowledge w1: attempt-1.0.1
            → settled
        waiting, paused + trap:
            persist result attempt-1.0.1, failed unit-1.0 (0..1), settled by attempt-1.0.1, failed: unit-1.0 (items 0..1): item 0 trapped: it reached unreachable code (a panic or a failed assertion)
            changed job-1
            changed job-1
            acknowledge w1: attempt-1.0.1
            → job ended
        waiting, paused + inconclusive:
            persist inconclusive attempt-1.0.1
            changed job-1
            acknowledge w1: attempt-1.0.1
            → leased to [], 0 opinions, 1 attempts wanted
        waiting, paused + forged result:
            withdraw w1: attempt-1.0.1 (UnknownLease)
            → leased to [], 0 opinions, 1 attempts wanted
        waiting, paused + release:
            → leased to [], 0 opinions, 1 attempts wanted
        waiting, paused + heartbeat:
            → leased to [], 0 opinions, 1 attempts wanted
        waiting, paused + expiry:
            → leased to [], 0 opinions, 1 attempts wanted
        waiting, paused + lost on reconnection:
            → leased to [], 0 opinions, 1 attempts wanted
        waiting, paused + held on reconnection:
            → leased to [w1], 0 opinions, 0 attempts wanted
        waiting, paused + another worker asks:
            → leased to [], 0 opinions, 1 attempts wanted
        waiting, paused + pause:
            reply
            → leased to [], 0 opinions, 1 attempts wanted
        waiting, paused + resume:
            persist resumed job-1
            changed job-1
            reply
            → leased to [], 0 opinions, 1 attempts wanted
        waiting, paused + remove:
            reply
            → leased to [], 0 opinions, 1 attempts wanted
        waiting, paused + priority:
            persist priority 5 of job-1
            changed job-1
            reply
            → leased to [], 0 opinions, 1 attempts wanted
        waiting, paused + cancel:
            persist ended: Cancelled
            changed job-1
            reply
            → job ended
    "#]].assert_eq(&table);
}

/// Where the one unit stands, with its leases and opinions.
fn unit_state(lab: &Lab) -> String {
    let job = &lab.core.jobs[&JobId(1)];
    if !job.is_running() {
        return "job ended".into();
    }
    let Some(unit) = job.stages[0].unit(0) else { return "settled".into() };
    let leases = unit.leases().iter().map(|lease| format!("w{}", lease.worker.0[0]));
    let leases = leases.collect::<Vec<_>>().join(", ");
    let (wanted, opinions) = (unit.attempts_wanted(job.quorum), unit.opinions().len());
    format!("leased to [{leases}], {opinions} opinions, {wanted} attempts wanted")
}
