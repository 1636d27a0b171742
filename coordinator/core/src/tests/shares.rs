//! Whose turn it is, and what a submitter may not go over.

use gleaner_protocol::{SubmitterId, SubmitterTerms};

use super::*;
use crate::{OverQuota, StageOutput, Usage};

fn submitter(number: u8) -> Owner {
    Owner::Submitter(SubmitterId([number; 32]))
}

impl Lab {
    fn set(&mut self, owner: Owner, terms: SubmitterTerms) {
        let Owner::Submitter(submitter) = owner else { panic!("the operator has no terms") };
        self.feed(Event::SubmitterSet { submitter, terms });
    }

    fn set_weight(&mut self, owner: Owner, weight: u32) {
        let weight = NonZeroU32::new(weight).expect("a weight is at least one");
        self.set(owner, SubmitterTerms { weight, ..SubmitterTerms::default() });
    }

    fn take_job(&mut self, owner: Owner, spec: JobSpec) -> JobId {
        match self.submit_for(owner, spec) {
            Reply::Submitted(job) => job,
            other => panic!("the job is not taken: {other:?}"),
        }
    }

    fn usage(&mut self, owner: Owner) -> Usage {
        let request = self.request();
        self.feed(Event::Asked { request, question: Question::Usage(owner) });
        match self.replies.remove(&request.0) {
            Some(Reply::Usage(usage)) => usage,
            other => panic!("a question about usage is answered with {other:?}"),
        }
    }

    /// How many leases of each job the worker holds.
    fn leases_by_job(&self, worker: WorkerId) -> BTreeMap<JobId, usize> {
        let mut leases = BTreeMap::new();
        for grant in &self.held[&worker] {
            *leases.entry(grant.claims.attempt.unit.job).or_default() += 1;
        }
        leases
    }

    /// Lets one worker of one slot work off `units`, and counts whose they were.
    fn work_off(&mut self, worker: WorkerId, units: usize) -> BTreeMap<JobId, usize> {
        let mut done = BTreeMap::new();
        for _ in 0..units {
            self.offer(worker, 1);
            let grant = self.lease(worker);
            *done.entry(grant.claims.attempt.unit.job).or_default() += 1;
            self.answer(worker, &grant, right(&grant));
        }
        done
    }
}

#[test]
fn slots_are_shared_by_weight_and_then_between_a_submitters_jobs() {
    let (mut lab, ada, bob) = (Lab::new(), submitter(1), submitter(2));
    lab.set_weight(ada, 3);
    let adas = lab.take_job(ada, job_spec(100, 1, 1));
    let bobs = [0; 2].map(|_| lab.take_job(bob, job_spec(100, 1, 1)));
    let operators = lab.submit(job_spec(100, 1, 1));
    let worker = lab.connect(1, 20);
    let expected = [(adas, 12), (bobs[0], 2), (bobs[1], 2), (operators, 4)];
    assert_eq!(lab.leases_by_job(worker), BTreeMap::from(expected));
}

#[test]
fn more_jobs_make_no_larger_share() {
    let (mut lab, ada, bob) = (Lab::new(), submitter(1), submitter(2));
    for _ in 0..9 {
        lab.take_job(ada, job_spec(100, 1, 1));
    }
    let bobs = lab.take_job(bob, job_spec(100, 1, 1));
    let worker = lab.connect(1, 18);
    assert_eq!(lab.leases_by_job(worker)[&bobs], 9);
}

#[test]
fn one_slot_alone_is_shared_by_weight_over_time() {
    let (mut lab, ada, bob) = (Lab::new(), submitter(1), submitter(2));
    lab.set_weight(ada, 3);
    let (adas, bobs) =
        (lab.take_job(ada, job_spec(500, 1, 1)), lab.take_job(bob, job_spec(500, 1, 1)));
    let worker = lab.connect(1, 0);
    assert_eq!(lab.work_off(worker, 40), BTreeMap::from([(adas, 30), (bobs, 10)]));

    // A newcomer gets its share from now on, and nothing for the time before.
    let newcomer = submitter(3);
    let newcomers = lab.take_job(newcomer, job_spec(500, 1, 1));
    let expected = BTreeMap::from([(adas, 30), (bobs, 10), (newcomers, 10)]);
    assert_eq!(lab.work_off(worker, 50), expected);
}

#[test]
fn a_share_nobody_uses_goes_to_the_others() {
    let (mut lab, ada, bob) = (Lab::new(), submitter(1), submitter(2));
    lab.set_weight(ada, 3);
    let adas = lab.take_job(ada, job_spec(2, 1, 1));
    let bobs = lab.take_job(bob, job_spec(100, 1, 1));
    let worker = lab.connect(1, 8);
    assert_eq!(lab.leases_by_job(worker), BTreeMap::from([(adas, 2), (bobs, 6)]));
}

#[test]
fn running_jobs_have_a_quota_that_ended_ones_leave() {
    let (mut lab, ada) = (Lab::new(), submitter(1));
    lab.set(ada, SubmitterTerms { jobs_max: Some(2), ..SubmitterTerms::default() });
    let first = lab.take_job(ada, job_spec(1, 1, 1));
    lab.take_job(ada, job_spec(1, 1, 1));
    let refused = Reply::OverQuota(OverQuota::Jobs { running: 2, max: 2 });
    lab.said();
    assert_eq!(lab.submit_for(ada, job_spec(1, 1, 1)), refused);
    assert_eq!(lab.said(), "reply\n", "nothing is kept of it");
    lab.submit(job_spec(1, 1, 1));
    lab.take_job(submitter(2), job_spec(1, 1, 1));

    let request = lab.request();
    lab.feed(Event::CancelRequested { request, job: first });
    lab.take_job(ada, job_spec(1, 1, 1));
    assert_eq!(lab.usage(ada).jobs_running, 2);
}

#[test]
fn a_repeat_of_a_submission_is_over_no_quota() {
    let (mut lab, ada) = (Lab::new(), submitter(1));
    lab.set(ada, SubmitterTerms { jobs_max: Some(1), ..SubmitterTerms::default() });
    let spec = job_spec(1, 1, 1);
    for _ in 0..2 {
        let request = lab.request();
        let submission = SubmissionId(77);
        let (spec, items) = (spec.clone(), vec![Some(1)]);
        lab.feed(Event::JobSubmitted {
            request,
            submission,
            owner: ada,
            spec,
            retry_of: None,
            items,
            kept: Vec::new(),
        });
        assert_eq!(lab.replies[&request.0], Reply::Submitted(JobId(1)));
    }
}

#[test]
fn storage_counts_each_blob_once_and_outputs_too() {
    let (mut lab, ada) = (Lab::new(), submitter(1));
    let module = |number: u8, bytes| {
        let mut spec = job_spec(1, 1, 1);
        spec.stages[0].task.module = BlobRef { hash: BlobHash([number; 32]), bytes };
        spec
    };
    lab.set(ada, SubmitterTerms { storage_bytes_max: Some(100), ..SubmitterTerms::default() });
    let job = lab.take_job(ada, module(1, 60));
    lab.take_job(ada, module(1, 60));
    assert_eq!(lab.usage(ada).storage_bytes, 60);
    let refused = Reply::OverQuota(OverQuota::Storage { used: 60, wanted: 41, max: 100 });
    assert_eq!(lab.submit_for(ada, module(2, 41)), refused);
    lab.take_job(ada, module(2, 30));

    let worker = lab.connect(1, 1);
    let grant = lab.lease(worker);
    assert_eq!(grant.claims.attempt.unit.job, job);
    lab.answer(worker, &grant, right(&grant));
    let blob = BlobRef { hash: BlobHash([9; 32]), bytes: 7 };
    let outputs = vec![StageOutput { name: "out".parse().expect("a name"), blob }];
    lab.feed(Event::StageReduced {
        job,
        stage: SEARCH,
        outputs,
        next: Ok(Vec::new()),
        kept: Vec::new(),
    });
    assert_eq!(lab.usage(ada).storage_bytes, 97);
    let refused = Reply::OverQuota(OverQuota::Storage { used: 97, wanted: 4, max: 100 });
    assert_eq!(lab.submit_for(ada, module(3, 4)), refused);
}

#[test]
fn terms_and_owners_outlive_a_restart() {
    let (mut lab, ada) = (Lab::new(), submitter(1));
    let job = lab.take_job(ada, job_spec(1, 1, 1));
    let mut recovered = super::recovery::recover(&lab.durable);
    let terms = SubmitterTerms { jobs_max: Some(1), ..SubmitterTerms::default() };
    recovered.submitters.push((SubmitterId([1; 32]), terms));
    let mut lab = Lab::recovered(recovered, Epoch(2), lab.now);
    assert_eq!(lab.job(job).owner, ada);
    let refused = Reply::OverQuota(OverQuota::Jobs { running: 1, max: 1 });
    assert_eq!(lab.submit_for(ada, job_spec(1, 1, 1)), refused);
}
