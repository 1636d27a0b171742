//! Jobs that have ended and are taken up again by others.

use super::recovery::restart;
use super::*;
use crate::Subject;

fn cancel(lab: &mut Lab, job: JobId) {
    let request = lab.request();
    lab.feed(Event::CancelRequested { request, job });
}

/// A job of four items that was cancelled, and took over the first two from another.
fn cancelled(lab: &mut Lab) -> (JobId, KeptRun) {
    let source = lab.submit(job_spec(4, 1, 1));
    cancel(lab, source);
    let run = KeptRun {
        stage: SEARCH,
        items: ItemRange { start: 0, end: 2 },
        source,
        source_stage: SEARCH,
        cut: CutKind::First,
        first_unit: 0,
        end_unit: 2,
    };
    let job = lab.submit_with(job_spec(4, 1, 1), vec![run]);
    cancel(lab, job);
    (job, run)
}

fn retried(lab: &mut Lab, job: JobId, kept: Vec<KeptRun>) -> JobId {
    match lab.retry(job, job_spec(4, 1, 1), kept) {
        Reply::Submitted(job) => job,
        other => panic!("a retry is answered with its job, not {other:?}"),
    }
}

#[test]
fn only_what_is_there_and_has_ended_is_taken_up_again() {
    let mut lab = Lab::new();
    let spec = job_spec(4, 1, 1);
    assert_eq!(lab.retry(JobId(9), spec.clone(), Vec::new()), Reply::UnknownJob(JobId(9)));
    let job = lab.submit(spec.clone());
    let running = lab.retry(job, spec.clone(), Vec::new());
    assert!(matches!(&running, Reply::Job(told) if told.end.is_none()), "{running:?}");
    cancel(&mut lab, job);
    lab.remove(job);
    let gone = Reply::WasRemoved { job, owner: Owner::Operator };
    assert_eq!(lab.retry(job, spec, Vec::new()), gone);
    assert_eq!(lab.core.jobs.len(), 0);
}

#[test]
fn the_old_job_stays_as_it_was_and_the_new_one_says_whose_retry_it_is() {
    let mut lab = Lab::new();
    let (job, run) = cancelled(&mut lab);
    let before = lab.job(job);
    let retry = retried(&mut lab, job, vec![run]);
    let after = lab.job(job);
    let version = after.version;
    assert_eq!(after, JobSnapshot { retried_by: Some(retry), version, ..before.clone() });
    let mut lab = restart(lab);
    assert_eq!(lab.job(job).end, before.end);
    let told = lab.job(retry);
    assert_eq!((told.retry_of, told.stages[0].items_kept), (Some(job), 2));
    assert_eq!(lab.job(job).retried_by, Some(retry));
    let worker = lab.connect(1, 9);
    let granted = lab.held[&worker].iter().map(|grant| grant.claims.items.start);
    assert_eq!(granted.collect::<Vec<_>>(), [2, 3], "only what is missing is handed out");
}

#[test]
fn a_job_and_its_retry_are_named_when_somebody_asks_why() {
    let mut lab = Lab::new();
    let (job, run) = cancelled(&mut lab);
    let retry = retried(&mut lab, job, vec![run]);
    let mut last = |job| {
        let (request, question) = (lab.request(), Question::Why(Subject::Job(job)));
        lab.feed(Event::Asked { request, question });
        match lab.replies.remove(&request.0) {
            Some(Reply::Why(mut sentences)) => sentences.pop(),
            other => panic!("why is answered with sentences, not {other:?}"),
        }
    };
    for asked in [job, retry] {
        assert_eq!(last(asked).as_deref(), Some("job-3 retries job-2"), "{asked}");
    }
}

#[test]
fn one_job_at_a_time_retries_another_over_restarts_and_quotas_too() {
    let mut lab = Lab::new();
    let (job, run) = cancelled(&mut lab);
    let first = retried(&mut lab, job, vec![run]);
    lab.said();
    assert_eq!(retried(&mut lab, job, vec![run]), first, "a repeat is the same job");
    assert_eq!(lab.said(), "reply submitted job-3\n", "nothing is recorded for it");
    cancel(&mut lab, first);
    let mut lab = restart(lab);
    assert_eq!(retried(&mut lab, job, vec![run]), first, "one that has ended is still the same");
    lab.remove(first);
    assert_eq!(lab.job(job).retried_by, None);
    let mut lab = restart(lab);
    let second = retried(&mut lab, job, vec![run]);
    assert_eq!(second, JobId(4), "a removed one leaves room for another, under an id of its own");
    assert_eq!(lab.job(second).stages[0].items_kept, 2);
    assert_eq!(retried(&mut lab, job, vec![run]), second);
}

#[test]
fn a_retry_has_the_priority_that_the_old_job_had_last() {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(4, 1, 1));
    lab.prioritise(job, -7);
    cancel(&mut lab, job);
    let mut lab = restart(lab);
    let retry = retried(&mut lab, job, Vec::new());
    assert_eq!(lab.job(retry).priority, -7);
    let mut lab = restart(lab);
    assert_eq!(lab.job(retry).priority, -7, "it is recorded");
}

#[test]
fn answers_of_a_removed_job_go_on_from_one_retry_to_the_next() {
    let mut lab = Lab::new();
    let (job, run) = cancelled(&mut lab);
    assert_eq!(lab.remove(run.source), Reply::Removed(run.source));
    let longer = KeptRun { items: ItemRange { start: 0, end: 3 }, end_unit: 3, ..run };
    let first = retried(&mut lab, job, vec![longer]);
    assert_eq!(lab.job(first).stages[0].items_kept, 0, "the old job never had these");
    cancel(&mut lab, first);
    let second = retried(&mut lab, first, vec![run]);
    assert_eq!(lab.job(second).stages[0].items_kept, 2, "the job before the last one keeps them");
    cancel(&mut lab, second);
    lab.remove(job);
    let third = retried(&mut lab, second, vec![run]);
    assert_eq!(lab.job(third).stages[0].items_kept, 2, "the last one keeps them by itself");
    let other = lab.submit_with(job_spec(4, 1, 1), vec![run]);
    assert_eq!(lab.job(other).stages[0].items_kept, 0, "they serve no other job");
}

#[test]
fn a_retry_is_over_the_quota_of_running_jobs_as_a_submission_is() {
    let mut lab = Lab::new();
    let ada = Owner::Submitter(gleaner_protocol::SubmitterId([1; 32]));
    let terms = gleaner_protocol::SubmitterTerms { jobs_max: Some(1), ..Default::default() };
    lab.feed(Event::SubmitterSet { submitter: gleaner_protocol::SubmitterId([1; 32]), terms });
    let spec = job_spec(1, 1, 1);
    let Reply::Submitted(job) = lab.submit_for(ada, spec.clone()) else { panic!("it is taken") };
    cancel(&mut lab, job);
    lab.submit_for(ada, spec.clone());
    let over = lab.put(ada, spec, Some(job), Vec::new());
    assert!(matches!(over, Reply::OverQuota(_)), "{over:?}");
}
