//! One test for each promise, all actions told.

use expect_test::expect;
use gleaner_protocol::{Obstacle, WithdrawReason};

use super::*;

#[test]
fn a_lease_becomes_an_acknowledged_result() {
    let mut bench = Bench::new(1);
    bench.connect(ALICE);
    bench.check(expect![[r#"
        greet alice holding []
        request alice: 1 slots, 2 units"#]]);
    bench.tell(Event::TaskArrived { stage: stage(ALICE, 1) });
    bench.lease(0..2);
    bench.check(expect!["prepare alice job-1 stage-0"]);
    bench.tell(Event::StageReady { stage: stage(ALICE, 1) });
    bench.check(expect![[r#"
        start slot-0 life 1 for alice job-1 stage-0
        run attempt-1.0.1 in slot-0 run 2"#]]);
    bench.finish(0, 2, 60_000_000);
    bench.check(expect![[r#"
        keep attempt-1.0.1 run 2
        run attempt-1.1.1 in slot-0 run 3
        request alice: 1 slots, 1 units"#]]);
    bench.wait(Duration::from_millis(2));
    bench.check(expect![[r#"
        send alice [attempt-1.0.1]
        heartbeat alice [attempt-1.1.1] running [attempt-1.1.1]"#]]);
    bench.tell(Event::Acknowledged { project: ALICE, attempts: vec![attempt(1, 0)] });
    bench.check(expect!["discard attempt-1.0.1"]);
}

#[test]
fn inputs_in_a_blob_are_fetched_before_a_unit_is_queued() {
    let mut bench = Bench::open(1);
    let leases = vec![grant(1, 0, InputsPlace::Blob)];
    bench.tell(Event::Leased { project: ALICE, leases });
    bench.tell(Event::StageReady { stage: stage(ALICE, 1) });
    bench.check(expect![[r#"
        prepare alice job-1 stage-0
        fetch attempt-1.0.1"#]]);
    bench.tell(Event::InputsHad { key: key(1, 0) });
    bench.check(expect![[r#"
        start slot-0 life 1 for alice job-1 stage-0
        run attempt-1.0.1 in slot-0 run 2"#]]);
}

#[test]
fn what_cannot_be_had_is_released_with_the_reason() {
    let mut bench = Bench::open(1);
    bench.lease(0..2);
    bench.quiet();
    let obstacle = Obstacle::DiskFull;
    bench.tell(Event::StageUnavailable { stage: stage(ALICE, 1), obstacle });
    bench.check(expect![[r#"
        discard attempt-1.0.1
        discard attempt-1.1.1
        release alice [attempt-1.0.1 attempt-1.1.1] Unable(DiskFull)
        request alice: 1 slots, 2 units"#]]);
}

#[test]
fn what_cannot_be_had_without_a_stream_is_fetched_after_reconnection() {
    let mut bench = Bench::open(1);
    let leases = vec![grant(1, 0, InputsPlace::Blob), grant(1, 1, InputsPlace::Here)];
    bench.tell(Event::Leased { project: ALICE, leases });
    bench.tell(Event::Disconnected { project: ALICE });
    bench.quiet();
    let obstacle = Obstacle::DiskFull;
    bench.tell(Event::StageUnavailable { stage: stage(ALICE, 1), obstacle });
    bench.tell(Event::InputsUnavailable { key: key(1, 0), obstacle });
    bench.check(expect![[""]]);
    bench.connect(ALICE);
    bench.check(expect![[r#"
        greet alice holding [attempt-1.0.1 attempt-1.1.1]
        prepare alice job-1 stage-0
        fetch attempt-1.0.1"#]]);
}

#[test]
fn a_refused_module_is_the_answer_of_every_unit() {
    let mut bench = Bench::open(1);
    bench.lease(0..2);
    bench.quiet();
    bench.tell(Event::StageRefused { stage: stage(ALICE, 1) });
    bench.check(expect![[r#"
        answer refused attempt-1.0.1
        answer refused attempt-1.1.1
        request alice: 1 slots, 2 units"#]]);
}

#[test]
fn a_lost_stream_stops_nothing_and_the_next_one_hears_of_everything() {
    let mut bench = Bench::open(1);
    bench.lease(0..3);
    bench.tell(Event::StageReady { stage: stage(ALICE, 1) });
    bench.finish(0, 2, 60_000_000);
    bench.wait(Duration::from_millis(2));
    bench.quiet();
    bench.tell(Event::Disconnected { project: ALICE });
    bench.finish(1, 3, 60_000_000);
    bench.check(expect![[r#"
        keep attempt-1.1.1 run 3
        run attempt-1.2.1 in slot-0 run 4"#]]);
    bench.wait(Duration::from_secs(3600));
    bench.connect(ALICE);
    bench.check(expect![[r#"
        greet alice holding [attempt-1.0.1 attempt-1.1.1 attempt-1.2.1]
        heartbeat alice [attempt-1.2.1] running [attempt-1.2.1]
        send alice [attempt-1.0.1 attempt-1.1.1]
        request alice: 1 slots, 1 units"#]]);
}

#[test]
fn results_found_on_disk_are_named_and_sent() {
    let mut bench = Bench::new(1);
    bench.tell(Event::Restored { project: ALICE, leases: vec![held(1, 0), held(2, 5)] });
    bench.connect(ALICE);
    bench.check(expect![[r#"
        greet alice holding [attempt-1.0.1 attempt-2.5.1]
        send alice [attempt-1.0.1 attempt-2.5.1]
        request alice: 1 slots, 2 units"#]]);
}

#[test]
fn a_result_that_is_not_acknowledged_is_sent_again() {
    let mut bench = Bench::open(1);
    bench.lease(0..1);
    bench.tell(Event::StageReady { stage: stage(ALICE, 1) });
    bench.finish(0, 2, 60_000_000);
    bench.wait(Duration::from_millis(2));
    bench.quiet();
    bench.wait(Duration::from_secs(60));
    bench.wait(Duration::from_millis(2));
    bench.check(expect![[r#"
        heartbeat alice [attempt-1.0.1] running []
        end slot-0
        rest alice job-1 stage-0
        send alice [attempt-1.0.1]"#]]);
}

#[test]
fn a_withdrawn_unit_ends_its_slot_and_its_neighbours_run_again() {
    let mut bench = Bench::open(1);
    bench.lease(0..1);
    bench.tell(Event::StageReady { stage: stage(ALICE, 1) });
    bench.finish(0, 2, 100);
    bench.lease(1..4);
    bench.quiet();
    let attempts = vec![attempt(1, 2)];
    bench.tell(Event::Withdrawn { project: ALICE, attempts, reason: WithdrawReason::Settled });
    bench.check(expect![[r#"
        discard attempt-1.2.1
        end slot-0
        start slot-0 life 6 for alice job-1 stage-0
        run attempt-1.1.1 in slot-0 run 7
        run attempt-1.3.1 in slot-0 run 8"#]]);
    // The old slot's last words come late.
    bench.tell(Event::Finished { key: key(1, 1), run: RunId(3), elapsed: Duration::ZERO });
    bench.check(expect![[""]]);
}

#[test]
fn an_ended_job_leaves_nothing_behind() {
    let mut bench = Bench::open(1);
    bench.lease(0..3);
    bench.tell(Event::StageReady { stage: stage(ALICE, 1) });
    bench.finish(0, 2, 60_000_000);
    bench.quiet();
    let attempts = vec![attempt(1, 0), attempt(1, 1), attempt(1, 2)];
    bench.tell(Event::Withdrawn { project: ALICE, attempts, reason: WithdrawReason::JobEnded });
    bench.check(expect![[r#"
        discard attempt-1.0.1
        discard attempt-1.1.1
        discard attempt-1.2.1
        end slot-0
        rest alice job-1 stage-0
        forget alice job-1 stage-0
        request alice: 1 slots, 2 units"#]]);
}

#[test]
fn what_runs_is_said_soon_but_once_a_second() {
    let mut bench = Bench::open(2);
    bench.lease(0..5);
    bench.tell(Event::StageReady { stage: stage(ALICE, 1) });
    bench.quiet();
    bench.wait(Duration::from_millis(999));
    bench.check(expect![[""]]);
    bench.wait(Duration::from_millis(1));
    bench.check(expect![
        "heartbeat alice [attempt-1.0.1 attempt-1.1.1] running [attempt-1.0.1 attempt-1.1.1]"
    ]);
    // With the results where there are some, as then it has just changed.
    bench.wait(Duration::from_secs(1));
    bench.finish(0, 2, 2_000_000);
    bench.quiet();
    bench.wait(Duration::from_millis(2));
    bench.check(expect![[r#"
        send alice [attempt-1.0.1]
        heartbeat alice [attempt-1.2.1 attempt-1.1.1] running [attempt-1.2.1 attempt-1.1.1]"#]]);
    bench.finish(1, 4, 2_000_000);
    bench.quiet();
    bench.wait(Duration::from_millis(2));
    bench.check(expect!["send alice [attempt-1.1.1]"]);
    bench.wait(Duration::from_secs(1));
    bench.check(expect![
        "heartbeat alice [attempt-1.2.1 attempt-1.3.1] running [attempt-1.2.1 attempt-1.3.1]"
    ]);
    // A new stream begins with it.
    bench.tell(Event::Disconnected { project: ALICE });
    bench.quiet();
    bench.connect(ALICE);
    bench.check(expect![[r#"
        greet alice holding [attempt-1.0.1 attempt-1.1.1 attempt-1.2.1 attempt-1.3.1 attempt-1.4.1]
        heartbeat alice [attempt-1.2.1 attempt-1.3.1] running [attempt-1.2.1 attempt-1.3.1]
        send alice [attempt-1.0.1 attempt-1.1.1]
        request alice: 2 slots, 1 units"#]]);
}

#[test]
fn suspension_stops_slots_and_requests_but_not_heartbeats() {
    let mut bench = Bench::open(2);
    bench.lease(0..4);
    bench.tell(Event::StageReady { stage: stage(ALICE, 1) });
    bench.quiet();
    bench.tell(Event::VerdictChanged(Verdict::Suspend {
        reasons: vec![crate::event::SuspendReason::Asked],
    }));
    bench.check(expect![[r#"
        suspend slot-1
        suspend slot-0
        request alice: 0 slots, 0 units"#]]);
    // An answer that was in the pipe already counts, and the slot stays without a new unit.
    bench.finish(0, 2, 1_000);
    bench.check(expect!["keep attempt-1.0.1 run 2"]);
    bench.wait(Duration::from_secs(15));
    bench.check(expect![[r#"
        heartbeat alice [attempt-1.0.1 attempt-1.1.1 attempt-1.2.1 attempt-1.3.1] running []
        end slot-0
        send alice [attempt-1.0.1]"#]]);
    bench.tell(Event::VerdictChanged(Verdict::Run { slots: 1 }));
    bench.check(expect![[r#"
        resume slot-1
        request alice: 1 slots, 0 units"#]]);
    bench.tell(Event::VerdictChanged(Verdict::Run { slots: 2 }));
    bench.check(expect![[r#"
        start slot-0 life 5 for alice job-1 stage-0
        run attempt-1.2.1 in slot-0 run 6
        request alice: 2 slots, 1 units"#]]);
}

#[test]
fn short_units_fill_pipes_and_long_ones_do_not() {
    let mut bench = Bench::open(2);
    bench.lease(0..6);
    bench.tell(Event::StageReady { stage: stage(ALICE, 1) });
    bench.quiet();
    bench.finish(0, 2, 4_000);
    bench.check(expect![[r#"
        keep attempt-1.0.1 run 2
        run attempt-1.2.1 in slot-0 run 5
        run attempt-1.3.1 in slot-0 run 6
        run attempt-1.4.1 in slot-1 run 7
        request alice: 2 slots, 745 units"#]]);
}

#[test]
fn a_slot_keeps_its_stage_until_another_is_neglected() {
    let mut bench = Bench::open(1);
    bench.tell(Event::TaskArrived { stage: stage(ALICE, 2) });
    bench.lease(0..4);
    let leases = vec![grant(2, 0, InputsPlace::Here)];
    bench.tell(Event::Leased { project: ALICE, leases });
    bench.tell(Event::StageReady { stage: stage(ALICE, 1) });
    bench.tell(Event::StageReady { stage: stage(ALICE, 2) });
    bench.quiet();
    bench.finish(0, 2, 1_000_000);
    bench.check(expect![[r#"
        keep attempt-1.0.1 run 2
        run attempt-1.1.1 in slot-0 run 3"#]]);
    bench.wait(Duration::from_secs(5));
    bench.finish(1, 3, 5_000_000);
    bench.check(expect![[r#"
        heartbeat alice [attempt-1.1.1] running [attempt-1.1.1]
        send alice [attempt-1.0.1]
        keep attempt-1.1.1 run 3
        end slot-0
        start slot-0 life 4 for alice job-2 stage-0
        run attempt-2.0.1 in slot-0 run 5"#]]);
}

#[test]
fn an_idle_slot_ends_and_its_stage_rests() {
    let mut bench = Bench::open(1);
    bench.lease(0..1);
    bench.tell(Event::StageReady { stage: stage(ALICE, 1) });
    bench.finish(0, 2, 1_000_000);
    bench.quiet();
    bench.wait(Duration::from_secs(10));
    bench.check(expect![[r#"
        heartbeat alice [] running []
        end slot-0
        rest alice job-1 stage-0
        send alice [attempt-1.0.1]"#]]);
}

#[test]
fn a_slot_that_cannot_be_started_pauses_the_worker() {
    let mut bench = Bench::open(1);
    bench.lease(0..2);
    bench.tell(Event::StageReady { stage: stage(ALICE, 1) });
    bench.quiet();
    bench.tell(Event::SlotFailed { slot: SlotIndex(0), life: RunId(1), obstacle: Obstacle::Slot });
    bench.check(expect![[r#"
        discard attempt-1.0.1
        discard attempt-1.1.1
        end slot-0
        rest alice job-1 stage-0
        release alice [attempt-1.0.1 attempt-1.1.1] Unable(Slot)
        request alice: 0 slots, 0 units"#]]);
    bench.wait(Duration::from_secs(1));
    bench.check(expect!["request alice: 1 slots, 2 units"]);
}

#[test]
fn a_module_refused_when_a_slot_starts_is_the_answer_too() {
    let mut bench = Bench::open(1);
    bench.lease(0..2);
    bench.tell(Event::StageReady { stage: stage(ALICE, 1) });
    bench.quiet();
    bench.tell(Event::StageRefused { stage: stage(ALICE, 1) });
    bench.check(expect![[r#"
        answer refused attempt-1.0.1
        answer refused attempt-1.1.1
        end slot-0
        rest alice job-1 stage-0
        request alice: 1 slots, 2 units"#]]);
}

#[test]
fn stopping_gives_back_what_is_unfinished_and_sends_the_rest() {
    let mut bench = Bench::open(1);
    bench.lease(0..3);
    bench.tell(Event::StageReady { stage: stage(ALICE, 1) });
    let elapsed = Duration::from_secs(60);
    bench.tell(Event::Finished { key: key(1, 0), run: RunId(2), elapsed });
    bench.quiet();
    bench.tell(Event::Stop);
    bench.check(expect![[r#"
        discard attempt-1.1.1
        discard attempt-1.2.1
        end slot-0
        rest alice job-1 stage-0
        release alice [attempt-1.1.1 attempt-1.2.1] Stopping
        request alice: 0 slots, 0 units"#]]);
    bench.tell(Event::Kept { key: key(1, 0) });
    bench.check(expect![[r#"
        send alice [attempt-1.0.1]
        heartbeat alice [] running []
        stopped"#]]);
    bench.lease(7..8);
    bench.check(expect![[r#"
        discard attempt-1.7.1
        release alice [attempt-1.7.1] Stopping"#]]);
}

#[test]
fn a_coordinator_that_does_not_answer_is_left() {
    let mut bench = Bench::new(1);
    bench.tell(Event::Connected { project: BOB });
    bench.quiet();
    bench.wait(Duration::from_secs(20));
    bench.check(expect!["disconnect bob"]);
    bench.tell(Event::Welcomed { project: BOB, heartbeat_interval: Duration::from_secs(1) });
    bench.check(expect![[""]]);
}

#[test]
fn leases_that_were_not_asked_for_are_given_back() {
    let mut bench = Bench::open(1);
    bench.lease(0..1);
    bench.lease(0..1);
    bench.tell(Event::Leased { project: ALICE, leases: vec![grant(9, 0, InputsPlace::Here)] });
    bench.check(expect![[r#"
        prepare alice job-1 stage-0
        request alice: 1 slots, 1 units
        discard attempt-9.0.1
        release alice [attempt-9.0.1] Unable(Unasked)
        request alice: 1 slots, 1 units"#]]);
    let many = gleaner_protocol::limits::LEASES_HELD_MAX as u64;
    bench.lease(1..many + 1);
    let last = bench.actions().iter().rev().find(|a| matches!(a, Action::Release { .. })).map(line);
    expect!["release alice [attempt-1.4096.1] Unable(Unasked)"]
        .assert_eq(&last.expect("one lease too many"));
}

/// Two slots whose units took a millisecond are given sixty of a stage whose units take seconds.
#[test]
fn units_that_turn_out_long_go_to_others_but_for_a_few() {
    let mut bench = Bench::open(2);
    bench.lease(0..8);
    bench.tell(Event::StageReady { stage: stage(ALICE, 1) });
    let mut asked = None;
    while bench.worker.stages.busy().next().is_some() {
        for action in bench.actions() {
            match action {
                Action::Run { key, run, .. } => bench.finish(key.attempt.unit.number, run.0, 1_000),
                Action::Request { units, .. } => asked = Some(units),
                _ => {}
            }
        }
    }
    assert!(asked > Some(1000), "{asked:?} units of a millisecond");
    bench.tell(Event::TaskArrived { stage: stage(ALICE, 2) });
    let leases = (0..60).map(|unit| grant(2, unit, InputsPlace::Here)).collect();
    bench.tell(Event::Leased { project: ALICE, leases });
    bench.tell(Event::StageReady { stage: stage(ALICE, 2) });
    bench.quiet();
    let held = |bench: &Bench| {
        bench.worker.attempts.keys().filter(|key| key.attempt.unit.job == JobId(2)).count()
    };
    let mut left = vec![held(&bench)];
    for _ in 0..1000 {
        bench.wait(Duration::from_millis(5));
        for action in bench.actions() {
            match action {
                Action::Request { units, .. } => asked = Some(units),
                Action::Release { reason, attempts, .. } => {
                    assert_eq!(reason, gleaner_protocol::ReleaseReason::Surplus);
                    assert_eq!(asked, Some(0), "what is given back is not asked for again");
                    assert!(
                        attempts.iter().all(|attempt| attempt.unit.number > 5),
                        "the last ones"
                    );
                    left.push(held(&bench));
                }
                _ => {}
            }
        }
    }
    assert_eq!(left, [60, 14, 7, 6], "two run and four wait");
}
