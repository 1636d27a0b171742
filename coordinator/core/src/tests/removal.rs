//! Jobs that are removed: when they may be, and what is remembered of them.

use super::recovery::restart;
use super::*;

/// A job of one item that was cancelled.
fn cancelled(lab: &mut Lab) -> JobId {
    let job = lab.submit(job_spec(1, 1, 1));
    let request = lab.request();
    lab.feed(Event::CancelRequested { request, job });
    job
}

fn asked(lab: &mut Lab, question: Question) -> Reply {
    let request = lab.request();
    lab.feed(Event::Asked { request, question });
    lab.replies.remove(&request.0).expect("a question is answered")
}

/// Submits `spec` under a submission of the test's own choice.
fn submitted_as(lab: &mut Lab, submission: u128, spec: JobSpec) -> Reply {
    let (request, submission) = (lab.request(), SubmissionId(submission));
    let (owner, items, kept) = (Owner::Operator, vec![Some(1)], Vec::new());
    lab.feed(Event::JobSubmitted { request, submission, owner, spec, retry_of: None, items, kept });
    lab.replies.remove(&request.0).expect("a submission is answered")
}

#[test]
fn what_runs_is_not_removed() {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(1, 1, 1));
    assert!(matches!(lab.remove(job), Reply::Job(told) if told.end.is_none()));
    lab.pause(job);
    assert!(matches!(lab.remove(job), Reply::Job(told) if told.end.is_none()));
    assert_eq!(lab.remove(JobId(9)), Reply::UnknownJob(JobId(9)));
    assert!(lab.end(job).is_none());
}

#[test]
fn a_removed_job_is_in_no_answer_and_said_only_once_durable() {
    let mut lab = Lab::new();
    let job = cancelled(&mut lab);
    let request = lab.request();
    lab.core.handle_event(lab.now, Event::RemoveRequested { request, job });
    lab.said();
    lab.drain();
    assert_eq!(lab.said(), "persist removed job-1\n");
    assert!(!lab.replies.contains_key(&request.0), "nothing is said before it is durable");
    lab.commit(Sequence(3));
    assert_eq!(lab.replies.remove(&request.0), Some(Reply::Removed(job)));
    let gone = Reply::WasRemoved { job, owner: Owner::Operator };
    assert_eq!(lab.remove(job), gone, "a repeat is told apart");
    for question in [
        Question::Job(job),
        Question::Why(crate::Subject::Job(job)),
        Question::Leases { job, from: 0 },
    ] {
        assert_eq!(asked(&mut lab, question), gone, "{question:?}");
    }
    assert_eq!(asked(&mut lab, Question::Jobs), Reply::Jobs(Vec::new()));
    let Reply::Usage(usage) = asked(&mut lab, Question::Usage(Owner::Operator)) else {
        panic!("a question about usage is answered with it");
    };
    assert_eq!(usage.storage_bytes, 0, "its blobs count no more");
}

#[test]
fn neither_id_nor_submission_recurs_even_after_a_restart() {
    let mut lab = Lab::new();
    assert_eq!(submitted_as(&mut lab, 77, job_spec(1, 1, 1)), Reply::Submitted(JobId(1)));
    let request = lab.request();
    lab.feed(Event::CancelRequested { request, job: JobId(1) });
    assert_eq!(lab.remove(JobId(1)), Reply::Removed(JobId(1)));
    let gone = Reply::WasRemoved { job: JobId(1), owner: Owner::Operator };
    assert_eq!(submitted_as(&mut lab, 77, job_spec(1, 1, 1)), gone);
    let mut lab = restart(lab);
    assert_eq!(submitted_as(&mut lab, 77, job_spec(1, 1, 1)), gone);
    assert_eq!(lab.submit(job_spec(1, 1, 1)), JobId(2));
}

#[test]
fn a_late_result_of_a_removed_job_is_acknowledged_and_nothing_more() {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(2, 1, 1));
    let worker = lab.connect(1, 1);
    let grant = lab.lease(worker);
    let request = lab.request();
    lab.feed(Event::CancelRequested { request, job });
    lab.remove(job);
    lab.said();
    lab.answer(worker, &grant, right(&grant));
    assert_eq!(lab.said(), "acknowledge w1: attempt-1.0.1\n");
    let held = vec![(grant.claims.clone(), grant.token)];
    lab.feed(Event::WorkerConnected { worker, held });
    assert!(!lab.said().contains("grant"), "nothing of it is handed out");
}

#[test]
fn answers_taken_over_stay_taken_over_and_no_more_are() {
    let mut lab = Lab::new();
    let source = cancelled(&mut lab);
    let run = KeptRun {
        stage: SEARCH,
        items: ItemRange { start: 0, end: 2 },
        source,
        source_stage: SEARCH,
        cut: CutKind::First,
        first_unit: 0,
        end_unit: 1,
    };
    let taker = lab.submit_with(job_spec(4, 1, 1), vec![run]);
    assert_eq!(lab.remove(source), Reply::Removed(source));
    assert_eq!(lab.job(taker).stages[0].items_kept, 2);
    let late = lab.submit_with(job_spec(4, 1, 1), vec![run]);
    assert_eq!(lab.job(late).stages[0].items_kept, 0);
}

#[test]
fn a_job_is_kept_for_as_long_as_it_says_over_a_restart_too() {
    let mut lab = Lab::new();
    let keep = Duration::from_secs(3600);
    let spec = JobSpec { keep: Some(keep), ..job_spec(1, 1, 1) };
    let (first, second) = (lab.submit(spec.clone()), lab.submit(spec));
    assert_eq!(lab.job(first).kept_until, None, "the time begins when it ends");
    let ended_at = lab.now;
    for job in [first, second] {
        let request = lab.request();
        lab.feed(Event::CancelRequested { request, job });
    }
    assert_eq!(lab.job(first).kept_until, Some(ended_at + keep));
    assert_eq!(lab.core.poll_timeout(), Some(ended_at + keep));
    lab.remove(second);
    lab.advance(keep - Duration::from_secs(10));
    let mut lab = restart(lab);
    assert_eq!(lab.job(first).kept_until, Some(ended_at + keep));
    lab.said();
    lab.advance(Duration::from_secs(9));
    let gone = Reply::WasRemoved { job: first, owner: Owner::Operator };
    assert_eq!(asked(&mut lab, Question::Job(first)), gone);
    assert!(lab.said().contains("persist removed job-1\n"));
    assert_eq!(lab.core.poll_timeout(), None);
}
