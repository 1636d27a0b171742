//! What users rely on, a scenario each.

use std::time::Duration;

use expect_test::expect;
use gleaner_protocol::{ItemRange, Obstacle, Outcome, RecordSource, ReleaseReason, TrapKind};

use super::*;
use crate::{Opening, StageOutput};

fn two_stages(items: i64) -> JobSpec {
    let mut spec = job_spec(items, 1, 1);
    let mut report = spec.stages[0].clone();
    report.name = "report".into();
    report.splitter = Splitter::After { stage: SEARCH, field: "search".into() };
    spec.stages.push(report);
    spec
}

/// The second stage's items are the lines of the first one's output.
fn two_stages_of_lines(items: i64) -> JobSpec {
    let mut spec = two_stages(items);
    let (field, file) = ("line".into(), "search/out.csv".into());
    let source = RecordSource::Stage(SEARCH);
    spec.stages[1].splitter = Splitter::Lines { field, source, file };
    spec.stages[1].unit_size = UnitSize::Fixed(NonZeroU32::new(4).expect("four is not zero"));
    spec
}

fn opening(items: u64) -> Opening {
    Opening { stage: StageIndex(1), items, unit_items_max: None, made: None }
}

fn output() -> Vec<StageOutput> {
    let blob = BlobRef { hash: BlobHash([1; 32]), bytes: 3 };
    vec![StageOutput { name: "out.csv".parse().expect("a plain name"), blob }]
}

#[test]
fn the_end_of_a_job_is_told_to_each_worker_at_once() {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(5, 1, 1));
    lab.connect(1, 2);
    lab.connect(2, 3);
    lab.said();
    let request = lab.request();
    lab.feed(Event::CancelRequested { request, job });
    let said = lab.said();
    let withdrawn: Vec<_> = said.lines().filter(|line| line.starts_with("withdraw")).collect();
    expect![[r#"
        withdraw w1: attempt-1.0.1, attempt-1.1.1 (JobEnded)
        withdraw w2: attempt-1.2.1, attempt-1.3.1, attempt-1.4.1 (JobEnded)"#]]
    .assert_eq(&withdrawn.join("\n"));
}

#[test]
fn the_results_of_one_message_are_one_batch_and_answered_at_once() {
    let mut lab = Lab::new();
    lab.submit(job_spec(5, 1, 1));
    let worker = lab.connect(1, 3);
    let results = lab.held[&worker].iter().map(|grant| result(grant, right(grant)));
    let mut results: Vec<_> = results.collect();
    results[1].claims.items.end += 1;
    lab.said();
    lab.feed(Event::ResultsReturned { worker, results });
    expect![[r#"
        persist result attempt-1.0.1, settled by attempt-1.0.1, result attempt-1.2.1, settled by attempt-1.2.1
        changed job-1
        withdraw w1: attempt-1.1.1 (UnknownLease)
        acknowledge w1: attempt-1.0.1, attempt-1.2.1
    "#]]
    .assert_eq(&lab.said());
}

#[test]
fn a_job_of_two_stages_runs_to_its_end() {
    let mut lab = Lab::new();
    let job = lab.submit(two_stages(3));
    let first = lab.connect(1, 2);
    let second = lab.connect(2, 2);
    assert_eq!((lab.held[&first].len(), lab.held[&second].len()), (2, 1));
    for worker in [first, second, first] {
        let grant = lab.lease(worker);
        lab.answer(worker, &grant, right(&grant));
    }
    assert_eq!(lab.reductions, [(job, SEARCH)]);
    assert_eq!(lab.job(job).stages[1].state, crate::StageState::Blocked);

    let (outputs, next, kept) = (output(), Ok(vec![opening(1)]), Vec::new());
    lab.feed(Event::StageReduced { job, stage: SEARCH, outputs, next, kept });
    let report = lab.lease(second);
    assert_eq!(report.claims.stage, StageIndex(1));
    lab.answer(second, &report, right(&report));
    let stage = StageIndex(1);
    let (outputs, next, kept) = (output(), Ok(Vec::new()), Vec::new());
    lab.feed(Event::StageReduced { job, stage, outputs, next, kept });
    assert_eq!(lab.end(job), Some(JobEnd::Done));
    let said = lab.said();
    assert!(said.contains("persist done stage-0, opened stage-1 (1 items)"), "{said}");
    assert!(said.contains("persist done stage-1, ended: Done"), "{said}");
}

#[test]
fn a_stage_of_lines_opens_with_as_many_items_as_the_output_has() {
    let mut lab = Lab::new();
    let job = lab.submit(two_stages_of_lines(1));
    let first = lab.connect(1, 2);
    let grant = lab.lease(first);
    lab.answer(first, &grant, right(&grant));
    lab.said();
    let opening = Opening { unit_items_max: NonZeroU32::new(2), ..opening(5) };
    let (outputs, next, kept) = (output(), Ok(vec![opening]), Vec::new());
    lab.feed(Event::StageReduced { job, stage: SEARCH, outputs, next, kept });
    let said = lab.said();
    let expected = "persist done stage-0, opened stage-1 (5 items), cut 3 units from 1\n";
    assert!(said.starts_with(expected), "{said}");
    assert_eq!(lab.lease(first).claims.items, ItemRange { start: 0, end: 2 });

    // A restart finds the stage open, and cuts it as before.
    let mut lab = super::recovery::restart(lab);
    assert_eq!(lab.job(job).stages[1].items, Some(5));
    for _ in 0..4 {
        lab.advance(Duration::from_secs(60));
        let worker = lab.connect(1, 4);
        for grant in lab.held[&worker].clone() {
            assert!(grant.claims.items.len() <= 2, "{:?}", grant.claims);
            lab.answer(worker, &grant, right(&grant));
        }
    }
    assert_eq!(lab.job(job).stages[1].items_settled, 5);
}

#[test]
fn an_output_that_cannot_be_cut_fails_its_job_and_stays() {
    let mut lab = Lab::new();
    let job = lab.submit(two_stages_of_lines(1));
    let worker = lab.connect(1, 1);
    let grant = lab.lease(worker);
    lab.answer(worker, &grant, right(&grant));
    lab.said();
    let reason = String::from("stage `report`: \"search/out.csv\", line 3: it is not UTF-8");
    let (outputs, kept) = (output(), Vec::new());
    let next = Err(crate::UnfitInput { reason: reason.clone() });
    lab.feed(Event::StageReduced { job, stage: SEARCH, outputs, next, kept });
    let said = lab.said();
    assert!(said.starts_with(&format!("persist done stage-0, failed: {reason}\n")), "{said}");
    let cause = crate::FailureCause::Stage;
    assert_eq!(lab.end(job), Some(JobEnd::Failed { reason, cause }));
    let stages = lab.job(job).stages;
    assert_eq!((stages[0].outputs.clone(), stages[1].items), (output(), None));
}

#[test]
fn a_stage_that_cannot_go_on_fails_its_job_in_the_words_of_whoever_found_out() {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(1, 1, 1));
    let reason = "stage `search`: \"words.txt\" has no record".to_owned();
    lab.feed(Event::StageFailed { job: JobId(9), stage: SEARCH, reason: reason.clone() });
    lab.feed(Event::StageFailed { job, stage: StageIndex(1), reason: reason.clone() });
    assert_eq!(lab.end(job), None, "there is no such stage");
    lab.feed(Event::StageFailed { job, stage: SEARCH, reason: reason.clone() });
    let cause = crate::FailureCause::Stage;
    assert_eq!(lab.end(job), Some(JobEnd::Failed { reason, cause }));
}

#[test]
fn nothing_is_said_before_its_records_are_durable() {
    let mut lab = Lab::new();
    lab.connect(1, 1);
    let request = lab.request();
    let spec = job_spec(1, 1, 1);
    let event = Event::JobSubmitted {
        request,
        submission: SubmissionId(9),
        owner: Owner::Operator,
        spec,
        retry_of: None,
        items: vec![Some(1)],
        kept: Vec::new(),
    };
    lab.core.handle_event(lab.now, event);
    lab.drain();
    assert!(lab.replies.is_empty() && lab.held[&worker(1)].is_empty());
    let (through, records) = lab.pending[0].clone();
    assert_eq!(records.len(), 3, "the job, its open stage and its first block, all in one batch");
    lab.commit(through);
    assert!(matches!(lab.replies[&request.0], Reply::Submitted(JobId(1))));
    assert_eq!(lab.held[&worker(1)].len(), 1);
}

#[test]
fn a_repeated_submission_is_the_same_job() {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(1, 1, 1));
    let request = lab.request();
    let submission = SubmissionId(1);
    let spec = job_spec(1, 1, 1);
    let (owner, items, kept) = (Owner::Operator, vec![Some(1)], Vec::new());
    lab.feed(Event::JobSubmitted { request, submission, owner, spec, retry_of: None, items, kept });
    assert_eq!(lab.replies[&request.0], Reply::Submitted(job));
    let request = lab.request();
    let (spec, items, kept) = (job_spec(7, 1, 1), vec![Some(7)], Vec::new());
    lab.feed(Event::JobSubmitted { request, submission, owner, spec, retry_of: None, items, kept });
    assert_eq!(lab.replies[&request.0], Reply::SubmittedOther(job), "but it is another job's name");
    assert_eq!(lab.core.jobs.len(), 1);
}

#[test]
fn an_expired_unit_goes_to_another_worker_and_the_first_answer_counts() {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(1, 1, 1));
    let slow = lab.connect(1, 1);
    let late = lab.lease(slow);
    let quick = lab.connect(2, 1);
    assert!(lab.held[&quick].is_empty());
    lab.advance(Duration::from_secs(30));
    let attempts = vec![late.claims.attempt];
    lab.feed(Event::Heartbeat { worker: slow, running: attempts.clone(), attempts });
    lab.advance(Duration::from_secs(31));
    assert!(lab.held[&quick].is_empty(), "a heartbeat extends the lease");
    lab.advance(Duration::from_secs(30));
    let second = lab.lease(quick);
    assert_eq!(second.claims.attempt.number, 2);
    lab.answer(slow, &late, right(&late));
    assert_eq!(lab.job(job).stages[0].units_settled, 1, "a late answer is still an answer");
    assert!(lab.held[&quick].is_empty(), "and the other attempt is withdrawn");
    lab.answer(quick, &second, wrong(&second));
    assert_eq!(lab.job(job).stages[0].units_settled, 1);
}

#[test]
fn a_quorum_of_two_needs_two_workers_that_agree() {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(1, 1, 2));
    let workers = [lab.connect(1, 4), lab.connect(2, 4), lab.connect(3, 4)];
    assert!(lab.held[&workers[2]].is_empty(), "two attempts are enough at first");
    let first = lab.lease(workers[0]);
    lab.answer(workers[0], &first, right(&first));
    let second = lab.lease(workers[1]);
    lab.answer(workers[1], &second, wrong(&second));
    let third = lab.lease(workers[2]);
    assert_eq!(third.claims.attempt.number, 3);
    assert_eq!(lab.job(job).stages[0].units_settled, 0);
    lab.answer(workers[2], &third, right(&third));
    assert_eq!(lab.job(job).stages[0].units_settled, 1);
    let settled = lab.durable.iter().find_map(|record| match record {
        Record::UnitSettled { attempt, .. } => Some(attempt.number),
        _ => None,
    });
    assert_eq!(settled, Some(3), "the reducer reads an attempt that agrees");
}

#[test]
fn a_trap_that_settles_fails_the_job_in_words() {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(4, 2, 1));
    let worker = lab.connect(1, 2);
    let grant = lab.lease(worker);
    let kind = TrapKind::Arithmetic;
    lab.answer(worker, &grant, Outcome::Trapped { item: 1, kind, message: String::new() });
    let Some(JobEnd::Failed { reason, .. }) = lab.end(job) else { panic!("the job failed") };
    assert_eq!(
        reason,
        "unit-1.0 (items 0..2): item 1 trapped: it divided by zero or converted a float that fits \
         no integer"
    );
    assert!(lab.held[&worker].is_empty(), "what ran is withdrawn");
}

#[test]
fn an_inconclusive_attempt_is_tried_elsewhere_and_then_given_up() {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(1, 1, 1));
    let first = lab.connect(1, 1);
    let second = lab.connect(2, 1);
    let grant = lab.lease(first);
    lab.offer(first, 1);
    lab.answer(first, &grant, Outcome::HostMemory);
    assert!(lab.held[&first].is_empty(), "not the same worker again while another is there");
    let retry = lab.lease(second);
    lab.answer(second, &retry, Outcome::HostMemory);
    let Some(JobEnd::Failed { reason, .. }) = lab.end(job) else { panic!("the job failed") };
    assert!(reason.contains("2 attempts ended without an answer"), "{reason}");
}

#[test]
fn items_that_fail_are_counted_and_their_job_goes_on() {
    let mut lab = Lab::new();
    let job = lab.submit(going_on(4, 2, 1));
    let worker = lab.connect(1, 2);
    lab.said();
    for grant in lab.held[&worker].clone() {
        lab.answer(worker, &grant, right_but_for_thirds(&grant));
    }
    let said = lab.said();
    let said: Vec<_> = said.lines().filter(|line| line.starts_with("persist")).collect();
    assert_eq!(
        said,
        [
            "persist result attempt-1.0.1, failed unit-1.0 (0..1), settled by attempt-1.0.1",
            "persist result attempt-1.1.1, failed unit-1.1 (3..4), settled by attempt-1.1.1",
        ]
    );
    assert_eq!(lab.job(job).stages[0].items_failed, 2);
    let (outputs, kept) = (Vec::new(), Vec::new());
    lab.feed(Event::StageReduced { job, stage: SEARCH, outputs, next: Ok(Vec::new()), kept });
    assert_eq!(lab.end(job), Some(JobEnd::Done));
}

#[test]
fn failed_items_are_part_of_what_workers_must_agree_on() {
    let mut lab = Lab::new();
    let job = lab.submit(going_on(1, 1, 2));
    let workers = [1, 2, 3].map(|number| lab.connect(number, 1));
    let grants = [lab.lease(workers[0]), lab.lease(workers[1])];
    lab.answer(workers[0], &grants[0], right_but_for_thirds(&grants[0]));
    lab.answer(workers[1], &grants[1], right(&grants[1]));
    assert_eq!(lab.job(job).stages[0].units_settled, 0);
    let third = lab.lease(workers[2]);
    lab.answer(workers[2], &third, right_but_for_thirds(&third));
    assert_eq!(lab.job(job).stages[0].items_failed, 1);
}

#[test]
fn a_unit_without_an_answer_is_cut_into_its_items_where_the_job_goes_on() {
    let mut lab = Lab::new();
    let job = lab.submit(going_on(6, 3, 1));
    let only = lab.connect(1, 1);
    let grant = lab.lease(only);
    lab.answer(only, &grant, Outcome::StackOverflow { item: 1 });
    lab.offer(only, 1);
    let grant = lab.lease(only);
    assert_eq!(grant.claims.attempt.number, 2);
    lab.said();
    lab.answer(only, &grant, Outcome::StackOverflow { item: 1 });
    let said = lab.said();
    assert!(
        said.contains("inconclusive attempt-1.0.2, replaced unit-1.0, cut 3 units from"),
        "{said}"
    );
    let mut alone = Vec::new();
    lab.offer(only, 9);
    while let Some(grant) = lab.held[&only].first().cloned() {
        let items = grant.claims.items;
        alone.push((items.start, items.len()));
        let outcome = match (items.start, items.len()) {
            (1, 1) => Outcome::StackOverflow { item: 1 },
            _ => right(&grant),
        };
        lab.answer(only, &grant, outcome);
        lab.offer(only, 9);
    }
    alone.sort_unstable();
    assert_eq!(alone, [(0, 1), (1, 1), (1, 1), (2, 1), (3, 3)]);
    let stage = lab.job(job).stages.remove(0);
    assert_eq!((stage.items_settled, stage.items_failed), (6, 1));
    assert_eq!(lab.reductions, [(job, SEARCH)]);
}

#[test]
fn a_late_result_of_a_replaced_unit_changes_nothing() {
    let mut lab = Lab::new();
    let job = lab.submit(going_on(2, 2, 1));
    let only = lab.connect(1, 1);
    let first = lab.lease(only);
    for _ in 0..2 {
        let grant = lab.lease(only);
        lab.answer(only, &grant, Outcome::HostMemory);
        lab.offer(only, 1);
    }
    lab.said();
    lab.answer(only, &first, right(&first));
    assert!(!lab.said().contains("result"), "it is of no use any more");
    assert_eq!(lab.job(job).stages[0].items_settled, 0);
}

#[test]
fn an_inconclusive_attempt_is_tried_again_by_a_worker_alone() {
    let mut lab = Lab::new();
    lab.submit(job_spec(1, 1, 1));
    let only = lab.connect(1, 2);
    let grant = lab.lease(only);
    lab.answer(only, &grant, Outcome::HostMemory);
    assert_eq!(lab.lease(only).claims.attempt.number, 2);
}

/// A worker gives its first lease back, which it forgets.
fn gives_back(lab: &mut Lab, worker: WorkerId, obstacle: Obstacle) -> AttemptId {
    let attempt = lab.held.get_mut(&worker).expect("it was given some").remove(0).claims.attempt;
    let reason = ReleaseReason::Unable(obstacle);
    lab.feed(Event::Released { worker, attempts: vec![attempt], reason });
    attempt
}

#[test]
fn a_worker_is_given_nothing_of_a_stage_that_it_cannot_run_for_longer_each_time() {
    let mut lab = Lab::new();
    let full = lab.submit(job_spec(1, 1, 1));
    let worker = lab.connect(1, 50);
    for pause in [1, 2, 4, 8, 16, 32, 64, 120, 120] {
        assert_eq!(gives_back(&mut lab, worker, Obstacle::DiskFull).unit.job, full);
        lab.advance(Duration::from_secs(pause) - Duration::from_millis(1));
        assert!(lab.held[&worker].is_empty(), "it is not asked again within {pause} s");
        lab.advance(Duration::from_millis(1));
        assert_eq!(lab.held[&worker].len(), 1, "it is asked again after {pause} s");
    }
    gives_back(&mut lab, worker, Obstacle::DiskFull);
    let other = lab.submit(job_spec(1, 1, 1));
    lab.advance(Duration::from_secs(1));
    assert_eq!(lab.lease(worker).claims.attempt.unit.job, other, "other stages go on");
}

#[test]
fn a_result_or_a_new_stream_ends_a_pause_and_its_growth() {
    let mut lab = Lab::new();
    lab.submit(job_spec(3, 1, 1));
    let worker = lab.connect(1, 50);
    lab.held.get_mut(&worker).expect("it has three").truncate(2);
    gives_back(&mut lab, worker, Obstacle::Slot);
    lab.advance(Duration::from_secs(1));
    gives_back(&mut lab, worker, Obstacle::Slot);
    let grant = lab.lease(worker);
    lab.answer(worker, &grant, right(&grant));
    lab.advance(Duration::from_secs(1));
    assert!(!lab.held[&worker].is_empty(), "it can run the stage after all");
    gives_back(&mut lab, worker, Obstacle::Slot);
    lab.connect(1, 50);
    assert!(!lab.held[&worker].is_empty(), "it may have been mended");
}

#[test]
fn a_unit_does_not_wait_for_a_worker_that_cannot_run_it() {
    let mut lab = Lab::new();
    lab.submit(job_spec(1, 1, 1));
    let (tried, full) = (worker(1), worker(2));
    lab.connect(2, 5);
    gives_back(&mut lab, full, Obstacle::DiskFull);
    lab.connect(1, 5);
    let grant = lab.lease(tried);
    lab.answer(tried, &grant, Outcome::HostMemory);
    assert_eq!(lab.lease(tried).claims.attempt.number, 3, "nobody else can try it now");
}

#[test]
fn units_of_automatic_size_grow_with_what_is_learned_and_shrink_at_the_end() {
    let mut lab = Lab::new();
    lab.submit(job_spec(400, 0, 1));
    let worker = lab.connect(1, 1);
    let mut sizes = Vec::new();
    while let Some(grant) = lab.held[&worker].first().cloned() {
        sizes.push(grant.claims.items.len());
        lab.answer(worker, &grant, right(&grant));
        lab.offer(worker, 1);
    }
    assert_eq!(sizes[0], 1, "nothing is known at first");
    assert_eq!(sizes.iter().max(), Some(&10), "ten items of 100 ms take the second aimed at");
    assert_eq!(sizes.last(), Some(&1), "the last units are small");
    assert_eq!(sizes.iter().sum::<u64>(), 400);
}

#[test]
fn a_stage_that_needs_more_memory_than_is_offered_waits() {
    let mut lab = Lab::new();
    lab.submit(job_spec(1, 1, 1));
    let worker = worker(1);
    lab.feed(Event::WorkerConnected { worker, held: Vec::new() });
    let capacity = Capacity { slots: 1, units: 1, slot_memory_bytes: 1024 };
    lab.feed(Event::CapacityOffered { worker, capacity });
    assert!(!lab.said().contains("grant"));
}

#[test]
fn a_repeated_inconclusive_result_counts_once_also_after_a_restart() {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(1, 1, 1));
    let only = lab.connect(1, 1);
    let grant = lab.lease(only);
    lab.answer(only, &grant, Outcome::HostMemory);
    lab.answer(only, &grant, Outcome::HostMemory);
    assert_eq!(lab.job(job).stages[0].attempts_inconclusive, 1);

    let mut lab = super::recovery::restart(lab);
    lab.connect(1, 0);
    lab.said();
    lab.answer(only, &grant, Outcome::HostMemory);
    assert_eq!(lab.said().trim(), "acknowledge w1: attempt-1.0.1");
    assert_eq!(lab.job(job).stages[0].attempts_inconclusive, 1);
}

#[test]
fn a_peer_cannot_make_the_books_grow_by_what_it_claims_to_offer() {
    let mut lab = Lab::new();
    lab.submit(job_spec(i64::MAX, 0, 1));
    let worker = worker(1);
    lab.feed(Event::WorkerConnected { worker, held: Vec::new() });
    let slot_memory_bytes = u64::MAX;
    let capacity = Capacity { slots: u32::MAX, units: u32::MAX, slot_memory_bytes };
    lab.feed(Event::CapacityOffered { worker, capacity });
    assert_eq!(lab.held[&worker].len(), gleaner_protocol::limits::LEASES_HELD_MAX);
}

fn kept(start: u64, end: u64, source: JobId) -> KeptRun {
    let items = ItemRange { start, end };
    let (source_stage, cut, first_unit, end_unit) = (SEARCH, CutKind::First, start, end);
    KeptRun { stage: SEARCH, items, source, source_stage, cut, first_unit, end_unit }
}

#[test]
fn a_stage_whose_answers_are_all_known_is_reduced_at_once() {
    let mut lab = Lab::new();
    let first = lab.submit(job_spec(4, 1, 1));
    lab.said();
    let second = lab.submit_with(job_spec(4, 1, 1), vec![kept(0, 4, first)]);
    assert_eq!(lab.reductions, [(second, SEARCH)]);
    let stage = &lab.job(second).stages[0];
    assert_eq!((stage.items_settled, stage.items_kept, stage.units_settled), (4, 4, 0));
    let said = lab.said();
    let records = "persist accepted job-2, opened stage-0 (4 items), kept items 0..4 of job-1";
    assert!(said.contains(records), "{said}");
}

#[test]
fn only_what_is_not_known_is_handed_out() {
    let mut lab = Lab::new();
    let first = lab.submit(job_spec(9, 9, 1));
    let earlier = lab.connect(1, 1);
    let runs = vec![kept(0, 2, first), kept(5, 6, first), kept(8, 9, first)];
    let second = lab.submit_with(job_spec(9, 2, 1), runs);
    let worker = lab.connect(2, 9);
    let granted: Vec<_> =
        lab.held[&worker].iter().map(|grant| grant.claims.items.to_string()).collect();
    assert_eq!(granted, ["2..4", "4..5", "6..8"]);
    assert_eq!(lab.held[&earlier].len(), 1);
    while let Some(grant) = lab.held[&worker].first().cloned() {
        lab.answer(worker, &grant, right(&grant));
    }
    assert_eq!(lab.reductions, [(second, SEARCH)]);
}

#[test]
fn answers_that_do_not_fit_are_computed() {
    let mut lab = Lab::new();
    let first = lab.submit(job_spec(3, 3, 1));
    let unknown = JobId(9);
    let runs = vec![kept(0, 2, unknown), kept(1, 3, first), kept(2, 4, first), kept(4, 9, first)];
    let second = lab.submit_with(job_spec(5, 5, 1), runs);
    assert_eq!(lab.job(second).stages[0].items_kept, 2);
}

#[test]
fn a_lease_not_sent_when_its_stream_ended_is_not_sent_on_the_next() {
    let mut lab = Lab::new();
    lab.submit(job_spec(1, 1, 1));
    lab.said();
    let worker = worker(1);
    let capacity = Capacity { slots: 1, units: 1, slot_memory_bytes: u64::MAX };
    // The store takes its time: the worker comes back before the first lease may be spoken of.
    for _ in 0..2 {
        lab.core.handle_event(lab.now, Event::WorkerConnected { worker, held: Vec::new() });
        lab.core.handle_event(lab.now, Event::CapacityOffered { worker, capacity });
    }
    lab.drain();
    lab.commit(Sequence(u64::MAX));
    lab.core.check_invariants();
    expect![[r#"
        persist cut 1 units from 0
        persist opened attempt-1.0.2
        grant w1: attempt-1.0.2 items 0..1
    "#]]
    .assert_eq(&lab.said());
}

#[test]
fn time_that_gave_no_answer_is_counted_over_a_restart_too() {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(1, 1, 1));
    for worker in [1, 2] {
        let worker = lab.connect(worker, 1);
        let grant = lab.lease(worker);
        let outcome = if worker.0[0] == 1 { Outcome::HostMemory } else { right(&grant) };
        lab.answer(worker, &grant, outcome);
    }
    let mut lab = super::recovery::restart(lab);
    let stage = &lab.job(job).stages[0];
    let each = Duration::from_millis(100);
    assert_eq!((stage.cpu, stage.cpu_unanswered, stage.cpu_in_all()), (each, each, 2 * each));
}
