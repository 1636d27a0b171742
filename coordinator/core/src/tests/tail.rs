//! One more attempt of what is late at the end of a stage.

use std::time::Duration;

use expect_test::expect;

use super::*;
use crate::pace::Pace;

const SECOND: Duration = Duration::from_secs(1);

/// How long a unit takes of which nothing else is said.
const TAKES: Duration = Duration::from_millis(100);

/// A job of which the first worker holds two units, and the second one has answered the third.
fn all_out(lab: &mut Lab) -> (JobId, WorkerId, WorkerId) {
    let job = lab.submit(job_spec(3, 1, 1));
    let slow = lab.connect(1, 2);
    let fast = lab.connect(2, 2);
    let grant = lab.lease(fast);
    lab.advance(TAKES);
    lab.answer(fast, &grant, right(&grant));
    lab.said();
    (job, slow, fast)
}

#[test]
fn a_slot_without_work_makes_one_more_attempt_of_a_unit_that_is_late() {
    let mut lab = Lab::new();
    let (_, slow, fast) = all_out(&mut lab);
    let allowed = SECOND / 2;
    let late_at = lab.now + allowed;
    assert_eq!(lab.core.poll_timeout(), Some(late_at));
    lab.advance(allowed - Duration::from_millis(1));
    assert_eq!(lab.said(), "");
    lab.advance(Duration::from_millis(1));
    let second = lab.lease(fast);
    lab.answer(fast, &second, right(&second));
    expect![[r#"
        persist opened attempt-1.0.2
        grant w2: attempt-1.0.2 items 0..1
        persist result attempt-1.0.2, settled by attempt-1.0.2
        withdraw w1: attempt-1.0.1 (Settled)
        changed job-1
        acknowledge w2: attempt-1.0.2
    "#]]
    .assert_eq(&lab.said());
    assert_eq!(lab.held[&slow].len(), 1);
}

#[test]
fn a_unit_has_few_attempts_more_than_it_needs_and_one_on_each_worker() {
    let mut lab = Lab::new();
    let (_, _, fast) = all_out(&mut lab);
    for other in 3..=14 {
        lab.connect(other, 1);
    }
    lab.offer(fast, 1);
    for _ in 0..20 {
        lab.advance(SECOND);
    }
    let held = lab.held.values().flatten().map(|grant| grant.claims.attempt.unit.number);
    let mut units: Vec<u64> = held.collect();
    units.sort_unstable();
    assert_eq!(units, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
    assert!(lab.held.values().all(|held| held.len() <= 2), "{:?}", lab.held);
}

#[test]
fn no_unit_is_late_while_nobody_knows_what_one_takes() {
    let mut lab = Lab::new();
    lab.submit(job_spec(2, 1, 1));
    lab.connect(1, 2);
    lab.connect(2, 2);
    lab.said();
    lab.advance(30 * SECOND);
    assert_eq!(lab.said(), "");
}

#[test]
fn what_waits_comes_before_what_is_late() {
    let mut lab = Lab::new();
    let (_, _, fast) = all_out(&mut lab);
    lab.advance(SECOND / 4);
    let other = lab.submit(job_spec(1, 1, 1));
    assert_eq!(lab.lease(fast).claims.attempt.unit.job, other);
    lab.said();
    lab.advance(10 * SECOND);
    assert_eq!(lab.said(), "", "its slot is taken");
}

#[test]
fn a_paused_job_has_no_late_units() {
    let mut lab = Lab::new();
    let (job, ..) = all_out(&mut lab);
    lab.pause(job);
    lab.said();
    lab.advance(10 * SECOND);
    assert_eq!(lab.said(), "");
    lab.resume(job);
    assert!(lab.said().contains("grant w2: attempt-1.0.2"));
}

/// A job of six units: a fast worker takes a second for one, and a slow one 16.
fn slow_and_fast(lab: &mut Lab) -> (WorkerId, WorkerId) {
    lab.submit(job_spec(6, 1, 1));
    let (slow, fast) = (lab.connect(1, 1), lab.connect(2, 1));
    lab.advance(SECOND);
    answer_in(lab, fast, SECOND);
    lab.advance(15 * SECOND);
    answer_in(lab, slow, 16 * SECOND);
    lab.said();
    (slow, fast)
}

fn answer_in(lab: &mut Lab, worker: WorkerId, cpu: Duration) {
    let grant = lab.lease(worker);
    let result = UnitResult { cpu, ..result(&grant, right(&grant)) };
    lab.feed(Event::ResultsReturned { worker, results: vec![result] });
}

#[test]
fn a_slow_worker_is_given_its_unit_like_any_other() {
    let mut lab = Lab::new();
    let (slow, fast) = slow_and_fast(&mut lab);
    lab.offer(slow, 1);
    expect!["grant w1: attempt-1.2.1 items 2..3\n"].assert_eq(&lab.said());
    lab.offer(fast, 1);
    expect!["grant w2: attempt-1.3.1 items 3..4\n"].assert_eq(&lab.said());
}

#[test]
fn a_fast_worker_without_work_takes_over_what_a_slow_one_would_settle_later() {
    let mut lab = Lab::new();
    let (slow, fast) = slow_and_fast(&mut lab);
    lab.offer(slow, 1);
    assert_eq!(lab.lease(slow).claims.attempt.unit.number, 2);
    for _ in 3..6 {
        lab.offer(fast, 1);
        lab.advance(SECOND);
        answer_in(&mut lab, fast, SECOND);
    }
    lab.said();
    lab.offer(fast, 1);
    expect![[r#"
        persist opened attempt-1.2.2
        grant w2: attempt-1.2.2 items 2..3
    "#]]
    .assert_eq(&lab.said());
    lab.offer(slow, 1);
    lab.advance(SECOND);
    assert_eq!(lab.said(), "", "one more attempt is enough");
}

#[test]
fn a_worker_whose_first_unit_does_not_end_is_known_to_be_slow() {
    let mut lab = Lab::new();
    lab.submit(job_spec(9, 1, 1));
    let (silent, fast) = (lab.connect(1, 2), lab.connect(2, 1));
    lab.advance(SECOND);
    answer_in(&mut lab, fast, SECOND);
    let held: Vec<_> = lab.held[&silent].iter().map(|grant| grant.claims.attempt).collect();
    for _ in 0..=2 {
        lab.feed(Event::Heartbeat {
            worker: silent,
            attempts: held.clone(),
            running: vec![held[0]],
        });
        lab.advance(10 * SECOND);
    }
    let pace = |lab: &Lab, worker| lab.core.roster.pace(worker).of(SECOND);
    assert_eq!((pace(&lab, silent), pace(&lab, fast)), (20 * SECOND, SECOND));
    let due = |attempt: AttemptId| {
        let unit = lab.core.jobs[&attempt.unit.job].stages[0].unit(attempt.unit.number);
        unit.and_then(|unit| unit.leases()[0].due_at).expect("it is known what units take")
    };
    assert!(due(held[1]) >= due(held[0]) + 20 * SECOND, "what waits comes after what runs");
}

#[test]
fn a_result_that_claims_more_than_its_lease_stood_tells_nothing_of_stage_and_worker() {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(9, 1, 1));
    let (liar, honest) = (lab.connect(1, 1), lab.connect(2, 1));
    let usual = |lab: &Lab| lab.core.jobs[&job].stages[0].usual(1);
    lab.advance(SECOND);
    answer_in(&mut lab, liar, 3600 * SECOND);
    assert_eq!((usual(&lab), lab.core.roster.pace(liar)), (None, Pace::default()));
    answer_in(&mut lab, honest, SECOND);
    assert_eq!(usual(&lab), Some(SECOND));
    lab.offer(liar, 1);
    lab.advance(SECOND);
    answer_in(&mut lab, liar, 3600 * SECOND);
    assert_eq!((usual(&lab), lab.core.roster.pace(liar)), (Some(SECOND), Pace::default()));
    assert_eq!(lab.job(job).stages[0].cpu, 7201 * SECOND, "what is told is what was claimed");
}

#[test]
fn what_was_computed_before_a_restart_is_not_taken_for_short() {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(2, 1, 1));
    let worker = lab.connect(1, 1);
    lab.advance(60 * SECOND);
    let grant = lab.lease(worker);
    lab.feed(Event::WorkerConnected { worker, held: Vec::new() });
    lab.connect(1, 0);
    let result = UnitResult { cpu: 60 * SECOND, ..result(&grant, right(&grant)) };
    lab.feed(Event::ResultsReturned { worker, results: vec![result] });
    assert_eq!(lab.core.jobs[&job].stages[0].usual(1), None);
    assert_eq!(lab.core.roster.pace(worker), Pace::default());
}
