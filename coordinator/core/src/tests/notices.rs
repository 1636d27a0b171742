//! Who is told what, and when: each end once, each standstill once until something moves.

use std::time::Duration;

use expect_test::expect;
use gleaner_protocol::{NotifyTarget, Outcome, TrapKind};

use super::recovery::restart;
use super::*;
use crate::{Notice, Occasion};

const MINUTE: Duration = Duration::from_secs(60);

/// A job of four units that tells of its end, and of a minute without a settled unit.
fn telling() -> JobSpec {
    let target = |word: &str| Some(NotifyTarget::Command(vec![word.into()]));
    let mut spec = job_spec(4, 1, 1);
    spec.notify.on_done = target("done");
    spec.notify.on_stall = target("stall");
    spec.notify.stall_after = MINUTE;
    spec
}

impl Lab {
    fn notices(&self) -> Vec<Notice> {
        let notice = |record: &Record| match record {
            Record::NoticeDue { notice, .. } => Some(notice.clone()),
            _ => None,
        };
        self.durable.iter().filter_map(notice).collect()
    }

    fn occasions(&self) -> Vec<Occasion> {
        self.notices().into_iter().map(|notice| notice.occasion).collect()
    }

    fn settle_one(&mut self, number: u8) {
        let worker = self.connect(number, 1);
        let grant = self.lease(worker);
        self.answer(worker, &grant, right(&grant));
    }
}

#[test]
fn a_standstill_is_told_once_until_something_settles() {
    let mut lab = Lab::new();
    lab.submit(telling());
    assert_eq!(lab.core.poll_timeout(), Some(lab.now + MINUTE));
    lab.advance(MINUTE - Duration::from_millis(1));
    assert_eq!(lab.occasions(), []);
    lab.advance(Duration::from_millis(1));
    lab.advance(MINUTE * 9);
    let [told] = &lab.notices()[..] else { panic!("told once: {:?}", lab.notices()) };
    assert_eq!((told.occasion, told.items), (Occasion::Stalled, 0));
    assert_eq!(told.target, NotifyTarget::Command(vec!["stall".into()]));
    expect![[r#"
        job-1 (test): nothing was settled for 1 min 0 s
        stage `search`: 0 of 4 items are settled; 4 items wait
        no worker is connected"#]]
    .assert_eq(&told.text);

    lab.settle_one(1);
    lab.advance(MINUTE);
    assert_eq!(lab.occasions(), [Occasion::Stalled; 2], "it stands still once more");
}

#[test]
fn what_is_paused_or_put_together_or_unasked_does_not_stall() {
    let mut lab = Lab::new();
    let job = lab.submit(telling());
    lab.pause(job);
    lab.advance(MINUTE * 2);
    lab.resume(job);
    lab.advance(MINUTE - Duration::from_secs(1));
    assert_eq!(lab.occasions(), [], "its time begins when it goes on");
    for number in 1..5 {
        lab.settle_one(number);
    }
    assert_eq!(lab.reductions, [(job, SEARCH)]);
    lab.submit(job_spec(1, 1, 1));
    lab.advance(MINUTE * 9);
    assert_eq!(lab.occasions(), []);
}

/// A job as above that tells of two hours, in a lab that is restarted every half an hour.
fn restarted_for(mut lab: Lab, half_hours: u32) -> Lab {
    for _ in 0..half_hours {
        lab.advance(MINUTE * 15);
        lab.advance(MINUTE * 15);
        lab = restart(lab);
    }
    lab
}

#[test]
fn a_standstill_is_told_once_over_any_number_of_restarts() {
    let mut lab = Lab::new();
    let mut spec = telling();
    spec.notify.stall_after = MINUTE * 120;
    lab.submit(spec);
    let lab = restarted_for(lab, 4);
    assert_eq!(lab.occasions(), [], "an eighth may be told late, and none early");
    let mut lab = restarted_for(lab, 9);
    assert_eq!(lab.occasions(), [Occasion::Stalled]);
    lab.settle_one(1);
    let lab = restarted_for(lab, 3);
    assert_eq!(lab.occasions(), [Occasion::Stalled]);
    let lab = restarted_for(lab, 3);
    assert_eq!(lab.occasions(), [Occasion::Stalled; 2], "it stands still once more");
}

#[test]
fn time_without_a_coordinator_tells_of_no_standstill_before_workers_come_back() {
    let mut lab = Lab::new();
    let mut spec = telling();
    spec.notify.stall_after = MINUTE * 120;
    lab.submit(spec);
    lab.now = lab.now + MINUTE * 5000;
    let mut lab = restart(lab);
    lab.advance(MINUTE * 9);
    assert_eq!(lab.occasions(), []);
    lab.advance(MINUTE);
    assert_eq!(lab.occasions(), [Occasion::Stalled]);
}

#[test]
fn of_many_movements_few_are_recorded() {
    let mut lab = Lab::new();
    lab.submit(JobSpec { stages: job_spec(200, 1, 1).stages, ..telling() });
    for _ in 0..100 {
        lab.settle_one(1);
        lab.advance(Duration::from_secs(1));
    }
    let moved = lab.durable.iter().filter(|record| matches!(record, Record::JobMoved { .. }));
    let moved = moved.count();
    assert!((11..=14).contains(&moved), "a minute has eight parts: {moved}");
    assert_eq!(lab.occasions(), []);
}

#[test]
fn every_end_is_told_in_the_batch_that_makes_it_one() {
    let mut lab = Lab::new();
    let failing = lab.submit(telling());
    let worker = lab.connect(1, 1);
    let grant = lab.lease(worker);
    lab.said();
    let (item, kind) = (grant.claims.items.start, TrapKind::Unreachable);
    lab.answer(worker, &grant, Outcome::Trapped { item, kind, message: "no".into() });
    let said = lab.said();
    assert!(said.contains(", notice Failed\n") && said.contains("\nnotify\n"), "{said}");
    assert!(matches!(lab.end(failing), Some(JobEnd::Failed { .. })));

    let cancelled = lab.submit(telling());
    let request = lab.request();
    lab.feed(Event::CancelRequested { request, job: cancelled });
    let done = lab.submit(telling());
    for number in 2..6 {
        lab.settle_one(number);
    }
    let (outputs, kept) = (Vec::new(), Vec::new());
    lab.feed(Event::StageReduced { job: done, stage: SEARCH, outputs, next: Ok(Vec::new()), kept });
    let told: Vec<_> = lab.notices().iter().map(|notice| notice.text.clone()).collect();
    expect![[r#"
        job-1 (test) failed: unit-1.0 (items 0..1): item 0 trapped: it reached unreachable code (a panic or a failed assertion): no
        job-2 (test) was cancelled
        job-3 (test) is done: 4 items"#]]
    .assert_eq(&told.join("\n"));
    assert_eq!(lab.occasions(), [Occasion::Failed, Occasion::Cancelled, Occasion::Done]);
}
