//! Why things wait, as it is told: a table of situations and their sentences.

use std::time::Duration;

use expect_test::{Expect, expect};
use gleaner_protocol::{Obstacle, Outcome, ReleaseReason};

use super::recovery::restart;
use super::*;
use crate::Subject;

const GIB: u64 = 1 << 30;

impl Lab {
    fn why(&mut self, subject: Subject) -> String {
        let request = self.request();
        self.feed(Event::Asked { request, question: Question::Why(subject) });
        match self.replies.remove(&request.0) {
            Some(Reply::Why(sentences)) => sentences.join("\n"),
            other => panic!("why is answered with sentences, not {other:?}"),
        }
    }

    fn why_job(&mut self) -> String {
        self.why(Subject::Job(JobId(1)))
    }

    fn why_unit(&mut self, number: u64) -> String {
        self.why(Subject::Unit(gleaner_protocol::UnitId { job: JobId(1), number }))
    }

    fn connect_small(&mut self, number: u8, slot_memory_bytes: u64) {
        let worker = worker(number);
        self.feed(Event::WorkerConnected { worker, held: Vec::new() });
        let capacity = Capacity { slots: 2, units: 3, slot_memory_bytes };
        self.feed(Event::CapacityOffered { worker, capacity });
    }
}

/// A lab with a job of four units, and twelve seconds after what `prepare` does.
fn lab(quorum: u32, prepare: impl FnOnce(&mut Lab)) -> Lab {
    let mut lab = Lab::new();
    let mut spec = job_spec(4, 1, quorum);
    spec.stages[0].task.limits.memory_bytes = 4 * GIB;
    lab.submit(spec);
    prepare(&mut lab);
    lab.advance(Duration::from_secs(12));
    lab
}

/// Keys are told by their first letters: all of them are of one byte.
fn check(said: String, expected: Expect) {
    let short = |word: &str| match word.strip_prefix("worker-") {
        Some(key) if key.len() > 20 => format!("worker-{}{}", &key[..2], &key[52..]),
        _ => word.to_owned(),
    };
    let lines = said.lines().map(|line| line.split(' ').map(short).collect::<Vec<_>>().join(" "));
    expected.assert_eq(&lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_job_says_what_it_waits_for() {
    check(
        lab(1, |_| {}).why_job(),
        expect![[r#"
        stage `search`: 0 of 4 items are settled; 4 items wait
        no worker is connected"#]],
    );
    check(
        lab(1, |lab| {
            let worker = worker(1);
            lab.feed(Event::WorkerConnected { worker, held: Vec::new() });
        })
        .why_job(),
        expect![[r#"
            stage `search`: 0 of 4 items are settled; 4 items wait
            1 worker is connected, and none has asked for units yet"#]],
    );
    check(
        lab(1, |lab| lab.connect_small(1, GIB)).why_job(),
        expect![[r#"
        stage `search`: 0 of 4 items are settled; 4 items wait
        an item may take 4 GiB, and the largest slot offered has 1 GiB (1 worker is connected)"#]],
    );
    check(
        lab(1, |lab| {
            lab.connect(1, 1);
        })
        .why_job(),
        expect![[r#"
            stage `search`: 0 of 4 items are settled; 1 attempt has been assigned to a worker for 12 s; 3 units wait
            every worker that could take it has all the units it asked for: 1 attempt of job-1 and 0 of other jobs are with workers"#]],
    );
    check(
        lab(2, |lab| {
            let worker = lab.connect(1, 9);
            let grant = lab.lease(worker);
            lab.answer(worker, &grant, right(&grant));
        })
        .why_job(),
        expect![[r#"
            stage `search`: 0 of 4 items are settled; 3 attempts are assigned to workers, the first for 12 s; 4 units wait
            2 workers must give the same answer to a unit, and 1 worker is connected
            1 worker asks for more, but what waits has its answer already, or is to be tried by others"#]],
    );
    check(
        lab(1, |lab| {
            lab.connect(1, 1);
            lab.pause(JobId(1));
        })
        .why_job(),
        expect![[r#"
            stage `search`: 0 of 4 items are settled; 1 attempt has been assigned to a worker for 12 s; 3 units wait
            job-1 has been paused for 12 s: nothing of it is handed out, and what runs may finish"#]],
    );
    check(
        lab(1, |lab| {
            let other = lab.submit(job_spec(9, 1, 1));
            lab.prioritise(other, 1);
            lab.connect(1, 2);
        })
        .why_job(),
        expect![[r#"
            stage `search`: 0 of 4 items are settled; 4 items wait
            every worker that could take it has all the units it asked for: 0 attempts of job-1 and 2 of other jobs are with workers; 1 job of a higher priority goes first"#]],
    );
}

#[test]
fn a_job_says_how_it_ended() {
    let mut cancelled = lab(1, |lab| {
        let request = lab.request();
        lab.feed(Event::CancelRequested { request, job: JobId(1) });
    });
    check(cancelled.why_job(), expect!["job-1 was cancelled 12 s ago: nothing of it is worked on"]);
    check(
        cancelled.why_unit(0),
        expect!["job-1 was cancelled 12 s ago: nothing of it is worked on"],
    );
    let mut failed = lab(1, |lab| {
        let worker = lab.connect(1, 1);
        let grant = lab.lease(worker);
        lab.answer(worker, &grant, Outcome::Failed { item: 0, message: "no star".into() });
    });
    check(
        failed.why_job(),
        expect!["job-1 failed 12 s ago: unit-1.0 (items 0..1): item 0 failed: no star"],
    );
}

#[test]
fn units_wait_for_their_holders_after_a_restart() {
    let before = lab(1, |lab| {
        lab.connect(1, 4);
    });
    let mut lab = restart(before);
    lab.connect(2, 1);
    lab.advance(Duration::from_secs(5));
    check(
        lab.why_job(),
        expect![[r#"
        stage `search`: 0 of 4 items are settled
        4 units may be with workers since before the coordinator was restarted, and wait for them to come back; in 10 s they go to others"#]],
    );
    check(
        lab.why_unit(2),
        expect![
            "unit-1.2 of stage `search` may be with a worker since before the coordinator was restarted, and waits for it to come back; in 10 s it goes to others"
        ],
    );
    check(
        lab.why(Subject::Worker(worker(2))),
        expect![[r#"
        worker-ai has been connected for 5 s, offers 1 slot of 17179869184.0 GiB each and holds 0 leases
        it asks for 1 unit more
        4 units of job-1 wait for the workers that had them"#]],
    );
}

#[test]
fn a_unit_says_what_it_does_not_fit_into_and_who_tried_it() {
    // Another stage of the job would fit: the unit's own limit counts.
    let mut large = lab(1, |lab| {
        let mut spec = job_spec(1, 1, 1);
        spec.stages[0].task.limits.memory_bytes = 6 * GIB;
        spec.stages.push(StageSpec { name: "small".into(), ..job_spec(1, 1, 1).stages.remove(0) });
        lab.submit(spec);
        let worker = lab.connect(1, 5);
        let held: Vec<_> = lab.held[&worker].iter().map(|grant| grant.claims.attempt).collect();
        lab.feed(Event::Released { worker, attempts: held, reason: ReleaseReason::Owner });
        lab.feed(Event::WorkerDisconnected { worker });
        lab.connect_small(2, 3 * GIB);
    });
    let unit = gleaner_protocol::UnitId { job: JobId(2), number: 0 };
    check(
        large.why(Subject::Unit(unit)),
        expect![[r#"
        unit-2.0 of stage `search` waits for a worker
        an item may take 6 GiB, and the largest slot offered has 3 GiB (1 worker is connected)"#]],
    );
    let mut tried = Lab::new();
    let max_attempts = NonZeroU32::new(9).expect("nine is not zero");
    tried.submit(JobSpec { max_attempts, ..job_spec(4, 1, 1) });
    tried.connect(4, 0);
    for number in 1..=3 {
        let worker = tried.connect(number, 1);
        let grant = tried.lease(worker);
        tried.answer(worker, &grant, Outcome::HostMemory);
        tried.feed(Event::WorkerDisconnected { worker });
    }
    check(
        tried.why_unit(0),
        expect![[r#"
        3 attempts of unit-1.0 ended without an answer, on 3 workers; 1 worker that has not tried it is asked first; at 9 its job is given up
        unit-1.0 of stage `search` waits for a worker
        every worker that could take it has all the units it asked for: 0 attempts of job-1 and 0 of other jobs are with workers"#]],
    );
    tried.feed(Event::WorkerDisconnected { worker: worker(4) });
    tried.connect(1, 0);
    check(
        tried.why_unit(0),
        expect![[r#"
        3 attempts of unit-1.0 ended without an answer, on 3 workers; no other worker is there that could take it, so that each may try again; at 9 its job is given up
        unit-1.0 of stage `search` waits for a worker
        every worker that could take it has all the units it asked for: 0 attempts of job-1 and 0 of other jobs are with workers"#]],
    );
    // One that cannot run the stage for now keeps nobody from trying it again.
    let other = tried.connect(5, 1);
    let attempts = vec![tried.lease(other).claims.attempt];
    let reason = ReleaseReason::Unable(Obstacle::DiskFull);
    tried.feed(Event::Released { worker: other, attempts, reason });
    check(
        tried.why_unit(0),
        expect![[r#"
        3 attempts of unit-1.0 ended without an answer, on 3 workers; no other worker is there that could take it, so that each may try again; at 9 its job is given up
        unit-1.0 of stage `search` waits for a worker
        1 worker cannot run it: its disk is full; it is asked again in 1 s
        every worker that could take it has all the units it asked for: 0 attempts of job-1 and 0 of other jobs are with workers"#]],
    );
}

#[test]
fn a_unit_says_where_it_is() {
    let mut ours = lab(2, |lab| {
        let first = lab.connect(1, 2);
        let grant = lab.lease(first);
        lab.answer(first, &grant, right(&grant));
        lab.feed(Event::WorkerDisconnected { worker: first });
    });
    check(
        ours.why_unit(0),
        expect![[r#"
        1 answer is here, and 2 must agree
        unit-1.0 of stage `search` waits for a worker
        no worker is connected"#]],
    );
    check(
        ours.why_unit(1),
        expect![[r#"
            attempt-1.1.1 has been assigned to worker-ae for 12 s, which runs 0 of the 1 it holds; the worker is not connected now; its lease ends in 48 s unless the worker speaks for it
            unit-1.1 of stage `search` waits for a worker
            no worker is connected"#]],
    );
    check(
        ours.why_unit(3),
        expect![[r#"
        unit-1.3 of stage `search` waits for its first attempt; 3 units go before it
        no worker is connected"#]],
    );
    let mut running = lab(1, |lab| {
        let first = lab.connect(1, 3);
        let attempts = vec![lab.lease(first).claims.attempt];
        lab.feed(Event::Heartbeat { worker: first, running: attempts.clone(), attempts });
    });
    check(
        running.why_unit(0),
        expect![
            "attempt-1.0.1 has been running on worker-ae for 12 s; its lease ends in 48 s unless the worker speaks for it"
        ],
    );
    check(
        running.why_unit(1),
        expect![
            "attempt-1.1.1 has been assigned to worker-ae for 12 s, which runs 1 of the 3 it holds; its lease ends in 48 s unless the worker speaks for it"
        ],
    );
    check(
        running.why_job(),
        expect![[r#"
        stage `search`: 0 of 4 items are settled; 1 running and 2 more assigned to workers, the first 12 s ago; 1 unit waits
        every worker that could take it has all the units it asked for: 3 attempts of job-1 and 0 of other jobs are with workers"#]],
    );
    check(
        running.why(Subject::Worker(worker(1))),
        expect![[r#"
        worker-ae has been connected for 12 s, offers 1 slot of 17179869184.0 GiB each and holds 3 leases, 1 running
        it has all the units it asked for"#]],
    );
    running.feed(Event::WorkerDisconnected { worker: worker(1) });
    check(
        running.why_unit(0),
        expect![
            "attempt-1.0.1 has been with worker-ae for 12 s, running when that was heard last; the worker is not connected now; its lease ends in 48 s unless the worker speaks for it"
        ],
    );
    let mut settled = lab(1, |lab| {
        let first = lab.connect(1, 1);
        let grant = lab.lease(first);
        lab.answer(first, &grant, right(&grant));
    });
    check(settled.why_unit(0), expect!["unit-1.0 is settled: its result is final"]);
    let mut tried = lab(1, |lab| {
        let first = lab.connect(1, 1);
        let grant = lab.lease(first);
        lab.answer(first, &grant, Outcome::HostMemory);
    });
    check(
        tried.why_unit(0),
        expect![[r#"
            1 attempt of unit-1.0 ended without an answer, on 1 worker; no other worker is there that could take it, so that each may try again; at 2 its job is given up
            unit-1.0 of stage `search` waits for a worker
            every worker that could take it has all the units it asked for: 0 attempts of job-1 and 0 of other jobs are with workers"#]],
    );
}

#[test]
fn a_worker_says_why_it_is_given_nothing() {
    let one = Subject::Worker(worker(1));
    check(lab(1, |_| {}).why(one), expect!["worker-ae is not connected and holds no lease"]);
    check(
        lab(1, |lab| lab.connect_small(1, GIB)).why(one),
        expect![[r#"
        worker-ae has been connected for 12 s, offers 2 slots of 1 GiB each and holds 0 leases
        it asks for 3 units more
        an item of job-1 may take 4 GiB, and its slots have 1 GiB"#]],
    );
    check(
        lab(1, |lab| {
            let worker = lab.connect(1, 1);
            let grant = lab.lease(worker);
            lab.answer(worker, &grant, right(&grant));
            lab.offer(worker, 1);
        })
        .why(one),
        expect![[r#"
            worker-ae has been connected for 12 s, offers 1 slot of 17179869184.0 GiB each and holds 1 lease
            it last returned attempt-1.0.1 with its outputs, 12 s ago
            it has all the units it asked for"#]],
    );
    check(
        lab(1, |lab| {
            let worker = lab.connect(1, 2);
            lab.pause(JobId(1));
            lab.offer(worker, 5);
        })
        .why(one),
        expect![[r#"
            worker-ae has been connected for 12 s, offers 1 slot of 17179869184.0 GiB each and holds 2 leases
            it asks for 5 units more
            job-1 is paused"#]],
    );
    let mut resting = lab(1, |lab| {
        lab.connect(1, 9);
    });
    let attempts = vec![resting.lease(worker(1)).claims.attempt];
    let reason = ReleaseReason::Unable(Obstacle::DiskFull);
    resting.feed(Event::Released { worker: worker(1), attempts, reason });
    check(
        resting.why(one),
        expect![[r#"
            worker-ae has been connected for 12 s, offers 1 slot of 17179869184.0 GiB each and holds 3 leases
            its disk is full: it is given nothing of stage `search` of job-1 for 1 s
            it asks for 5 units more
            what waits of job-1 it cannot run for now"#]],
    );
    check(
        resting.why_job(),
        expect![[r#"
            stage `search`: 0 of 4 items are settled; 3 attempts are assigned to workers, the first for 12 s; 1 unit waits
            1 worker cannot run it: its disk is full; it is asked again in 1 s"#]],
    );
    check(
        resting.why_unit(0),
        expect![[r#"
        unit-1.0 of stage `search` waits for a worker
        1 worker cannot run it: its disk is full; it is asked again in 1 s"#]],
    );
    let mut away = lab(1, |lab| {
        let worker = lab.connect(1, 2);
        lab.feed(Event::WorkerDisconnected { worker });
    });
    check(
        away.why(one),
        expect!["worker-ae is not connected; it holds 2 leases until they expire or it comes back"],
    );
}
