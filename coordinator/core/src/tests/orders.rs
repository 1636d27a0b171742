//! Pause, resume and priority: what is handed out, and that a restart changes nothing of it.

use std::time::Duration;

use super::recovery::restart;
use super::*;

#[test]
fn a_paused_job_gets_nothing_and_what_runs_of_it_counts() {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(3, 1, 1));
    let worker = lab.connect(1, 1);
    lab.pause(job);
    let grant = lab.lease(worker);
    lab.answer(worker, &grant, right(&grant));
    lab.offer(worker, 2);
    assert!(lab.held[&worker].is_empty(), "nothing more is handed out");
    let snapshot = lab.job(job);
    assert_eq!((snapshot.stages[0].units_settled, snapshot.paused_at), (1, Some(lab.now)));
    lab.said();
    lab.pause(job);
    assert_eq!(lab.said().trim(), "reply", "a repeat changes nothing");
    lab.resume(job);
    assert_eq!(lab.held[&worker].len(), 2);
    lab.said();
    lab.resume(job);
    assert_eq!(lab.said().trim(), "reply");
}

#[test]
fn a_pause_and_a_priority_outlive_restarts() {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(3, 1, 1));
    lab.pause(job);
    lab.prioritise(job, -7);
    let paused_at = lab.job(job).paused_at;
    let mut lab = restart(lab);
    let worker = lab.connect(1, 1);
    lab.advance(Duration::from_secs(20));
    assert!(lab.held[&worker].is_empty(), "it is still paused");
    let snapshot = lab.job(job);
    assert_eq!((snapshot.paused_at, snapshot.priority), (paused_at, -7));
    lab.resume(job);
    let mut lab = restart(lab);
    lab.advance(Duration::from_secs(20));
    assert_eq!(lab.job(job).paused_at, None);
    let other = lab.connect(2, 1);
    assert_eq!(lab.held[&other].len(), 1);
}

#[test]
fn a_higher_priority_goes_first_and_equal_ones_share() {
    let mut lab = Lab::new();
    let jobs = [0, 0, 0].map(|_| lab.submit(job_spec(8, 1, 1)));
    lab.prioritise(jobs[2], 1);
    let worker = lab.connect(1, 12);
    let leased = |lab: &mut Lab| jobs.map(|job| lab.job(job).stages[0].attempts_leased);
    assert_eq!(leased(&mut lab), [2, 2, 8], "all of the first, then the others alike");
    lab.prioritise(jobs[0], 1);
    lab.offer(worker, 2);
    assert_eq!(leased(&mut lab), [4, 2, 8]);
    lab.said();
    lab.prioritise(jobs[0], 1);
    assert_eq!(lab.said().trim(), "reply", "a repeat changes nothing");
}

#[test]
fn an_ended_job_takes_no_orders() {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(1, 1, 1));
    lab.pause(job);
    let request = lab.request();
    lab.feed(Event::CancelRequested { request, job });
    assert_eq!(lab.job(job).paused_at, None, "what has ended is not paused");
    lab.said();
    lab.pause(job);
    lab.resume(job);
    lab.prioritise(job, 9);
    assert_eq!(lab.said(), "reply\nreply\nreply\n");
    let lab = restart(lab);
    lab.core.check_invariants();
}

#[test]
fn an_unknown_job_is_told_so() {
    let mut lab = Lab::new();
    lab.pause(JobId(9));
    lab.prioritise(JobId(9), 1);
    assert!(lab.replies.values().all(|reply| *reply == Reply::UnknownJob(JobId(9))));
    assert_eq!(lab.replies.len(), 2);
}
