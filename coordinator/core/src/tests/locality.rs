//! Workers are given more of what they have the files of, while its turn is near.

use std::collections::BTreeSet;

use gleaner_protocol::{FileRef, Obstacle, ReleaseReason, SubmitterId};

use super::*;
use crate::locality::AHEAD_MAX;

const SECOND: Duration = Duration::from_secs(1);

const LARGE: u64 = 1 << 30;

/// Workers of one slot, whose units take a second each.
struct Depot {
    lab: Lab,
    workers: Vec<WorkerId>,
    /// The jobs of which a worker was given units, and so fetched the files.
    fetched: BTreeMap<WorkerId, BTreeSet<JobId>>,
    /// Units that were done.
    done: BTreeMap<JobId, u64>,
    /// Whose units were handed out, in their order.
    order: Vec<JobId>,
}

impl Depot {
    fn new() -> Self {
        let (workers, fetched) = (Vec::new(), BTreeMap::new());
        Self { lab: Lab::new(), workers, fetched, done: BTreeMap::new(), order: Vec::new() }
    }

    fn submit(&mut self, owner: Owner, file: u8, bytes: u64, priority: i32) -> JobId {
        let mut spec = JobSpec { priority, ..job_spec(100_000, 1, 1) };
        let blob = BlobRef { hash: BlobHash([file; 32]), bytes };
        spec.stages[0].task.files = vec![FileRef { name: "data".into(), blob }];
        let Reply::Submitted(job) = self.lab.submit_for(owner, spec) else {
            panic!("the job is not taken");
        };
        self.done.insert(job, 0);
        job
    }

    fn employ(&mut self, workers: u8) {
        self.workers = (1..=workers).map(|number| self.lab.connect(number, 1)).collect();
    }

    fn run(&mut self, rounds: u32) {
        for _ in 0..rounds {
            self.lab.advance(SECOND);
            for worker in self.workers.clone() {
                let grant = self.lab.lease(worker);
                let job = grant.claims.attempt.unit.job;
                self.fetched.entry(worker).or_default().insert(job);
                self.order.push(job);
                *self.done.get_mut(&job).expect("it was submitted") += 1;
                let result = UnitResult { cpu: SECOND, ..result(&grant, right(&grant)) };
                self.lab.feed(Event::ResultsReturned { worker, results: vec![result] });
                self.lab.offer(worker, 1);
            }
        }
    }

    fn fetches(&self) -> usize {
        self.fetched.values().map(BTreeSet::len).sum()
    }

    /// How many units more one job has had than another, at the most.
    fn apart(&self) -> u64 {
        let done = self.done.values();
        done.clone().max().zip(done.min()).map_or(0, |(most, least)| most - least)
    }

    /// What all do while another job's turn waits, and what they have out.
    fn apart_max(&self) -> u64 {
        let workers = self.workers.len() as u64;
        workers * AHEAD_MAX.as_secs() + 2 * workers
    }
}

fn submitter(number: u8) -> Owner {
    Owner::Submitter(SubmitterId([number; 32]))
}

#[test]
fn jobs_keep_to_the_workers_that_have_their_files() {
    for owners in [[submitter(1), submitter(2)], [submitter(1); 2]] {
        let mut depot = Depot::new();
        for (file, owner) in (1..).zip(owners) {
            depot.submit(owner, file, LARGE, 0);
        }
        depot.employ(8);
        depot.run(400);
        assert_eq!(depot.fetches(), 8, "{:?}", depot.fetched);
        assert!(depot.apart() <= depot.apart_max(), "{:?}", depot.done);
    }
}

#[test]
fn shares_are_kept_where_workers_cannot_be_divided() {
    for owners in [[1, 2, 3], [1; 3]].map(|owners| owners.map(submitter)) {
        let mut depot = Depot::new();
        for (file, owner) in (1..).zip(owners) {
            depot.submit(owner, file, LARGE, 0);
        }
        depot.employ(5);
        depot.run(1_000);
        assert!(depot.fetches() < 5 * 3, "all fetched all: {:?}", depot.fetched);
        assert!(depot.apart() <= depot.apart_max(), "{owners:?}: {:?}", depot.done);
    }
}

#[test]
fn one_worker_serves_two_jobs_in_turns_that_are_bounded() {
    for owners in [[1, 2], [1; 2]].map(|owners| owners.map(submitter)) {
        let mut depot = Depot::new();
        for (file, owner) in (1..).zip(owners) {
            depot.submit(owner, file, LARGE, 0);
        }
        // Many others, which have no room for either, make nobody wait longer.
        for number in 100..200 {
            let other = depot.lab.connect(number, 0);
            depot.lab.offer_with(other, 1, 0);
        }
        depot.employ(1);
        depot.run(100);
        let first = depot.order.chunk_by(PartialEq::eq).next().map(<[JobId]>::len);
        let longest = AHEAD_MAX.as_secs() as usize + 2;
        assert!(first.is_some_and(|first| (2..=longest).contains(&first)), "{:?}", depot.order);
        assert!(depot.apart() <= depot.apart_max(), "{:?}", depot.done);
    }
}

#[test]
fn a_job_goes_ahead_of_its_own_owners_more_urgent_one_never() {
    let mut depot = Depot::new();
    let low = depot.submit(submitter(2), 2, LARGE, 0);
    depot.employ(2);
    depot.run(1);
    let high = depot.submit(submitter(2), 3, LARGE, 1);
    let other = depot.submit(submitter(1), 1, LARGE, 0);
    depot.run(40);
    assert_eq!(depot.done[&low], 2 + 2, "what runs is not ended, and no more of it begins");
    assert!(depot.done[&high] > 0 && depot.done[&other] > 0, "{:?}", depot.done);
}

#[test]
fn what_could_not_be_fetched_is_not_had() {
    let mut depot = Depot::new();
    let jobs: Vec<_> = (1..=2).map(|file| depot.submit(submitter(file), file, LARGE, 0)).collect();
    depot.employ(1);
    let worker = depot.workers[0];
    let grant = depot.lab.lease(worker);
    assert_eq!(grant.claims.attempt.unit.job, jobs[0]);
    let reason = ReleaseReason::Unable(Obstacle::FilesMissing);
    depot.lab.held.clear();
    depot.lab.feed(Event::Released { worker, attempts: vec![grant.claims.attempt], reason });
    depot.lab.offer(worker, 1);
    // After the pause it is the first one's turn, whose files it would have to fetch: of the other
    // one it is given more than turns alone would.
    depot.run(30);
    let first = depot.order.iter().position(|job| *job == jobs[0]);
    assert!(first.is_some_and(|first| first > 3), "{:?}", depot.order);
}

#[test]
fn more_urgent_jobs_come_first() {
    let mut depot = Depot::new();
    let low = depot.submit(submitter(1), 1, LARGE, 0);
    depot.employ(2);
    depot.run(3);
    let high = depot.submit(submitter(1), 2, LARGE, 1);
    depot.run(20);
    let done = (depot.done[&low], depot.done[&high]);
    assert_eq!(done, (2 * 3 + 2, 2 * 19), "what runs is not ended");
}

#[test]
fn small_files_count_for_nothing() {
    let mut depot = Depot::new();
    for file in 1..=2 {
        depot.submit(submitter(file), file, 1_000, 0);
    }
    depot.employ(1);
    depot.run(20);
    assert_eq!(depot.order.chunk_by(PartialEq::eq).count(), 20, "{:?}", depot.order);
}
