//! What runs and what waits with its worker: as it was heard last, and never more than that.

use std::time::Duration;

use super::recovery::restart;
use super::*;

impl Lab {
    /// A worker says that of what it holds these attempts run.
    fn runs(&mut self, worker: WorkerId, running: &[AttemptId]) {
        let attempts = self.held[&worker].iter().map(|grant| grant.claims.attempt).collect();
        self.feed(Event::Heartbeat { worker, attempts, running: running.to_vec() });
    }

    /// How many attempts of the job are leased, and how many of them run.
    fn out(&mut self, job: JobId) -> (u64, u64) {
        let stage = &self.job(job).stages[0];
        (stage.attempts_leased, stage.attempts_running)
    }
}

/// A job of ten units, three of which a worker has, and these.
fn lab() -> (Lab, JobId, WorkerId, Vec<AttemptId>) {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(10, 1, 1));
    let worker = lab.connect(1, 3);
    let attempts = lab.held[&worker].iter().map(|grant| grant.claims.attempt).collect();
    (lab, job, worker, attempts)
}

#[test]
fn what_is_leased_runs_once_its_worker_says_so_and_until_it_says_otherwise() {
    let (mut lab, job, worker, attempts) = lab();
    assert_eq!(lab.out(job), (3, 0));
    let before = lab.job(job).version;
    lab.runs(worker, &attempts[..2]);
    assert_eq!(lab.out(job), (3, 2));
    let after = lab.job(job).version;
    assert!(after > before, "who waits for a change is told of it");
    lab.runs(worker, &attempts[..2]);
    assert_eq!(lab.job(job).version, after, "and of nothing that is none");
    lab.runs(worker, &attempts[2..]);
    assert_eq!(lab.out(job), (3, 1));
    let grant = lab.held[&worker][2].clone();
    lab.answer(worker, &grant, right(&grant));
    assert_eq!(lab.out(job), (2, 0), "what has come back runs no more");
    lab.runs(worker, &[grant.claims.attempt]);
    assert_eq!(lab.out(job), (2, 0), "nor when an old word of it comes late");
}

#[test]
fn a_worker_speaks_for_its_own_leases_alone() {
    let (mut lab, job, _, attempts) = lab();
    let other = lab.connect(2, 1);
    lab.runs(other, &attempts);
    assert_eq!(lab.out(job), (4, 0));
}

#[test]
fn what_runs_on_a_worker_that_is_away_is_told_as_it_was_heard_last() {
    let (mut lab, job, worker, attempts) = lab();
    lab.runs(worker, &attempts[..1]);
    lab.feed(Event::WorkerDisconnected { worker });
    assert_eq!(lab.out(job), (3, 1));
    lab.connect(1, 0);
    assert_eq!(lab.out(job), (3, 0), "it may have been started anew");
    lab.runs(worker, &attempts[..1]);
    lab.feed(Event::WorkerDisconnected { worker });
    lab.advance(Duration::from_secs(61));
    assert_eq!(lab.out(job), (0, 0), "and its leases end");
}

#[test]
fn nothing_runs_after_a_restart_before_it_is_said_again() {
    let (mut lab, job, worker, attempts) = lab();
    lab.runs(worker, &attempts[..1]);
    let mut lab = restart(lab);
    assert_eq!(lab.out(job), (0, 0));
    lab.connect(1, 0);
    assert_eq!(lab.out(job), (3, 0));
    lab.runs(worker, &attempts[..1]);
    assert_eq!(lab.out(job), (3, 1));
}
