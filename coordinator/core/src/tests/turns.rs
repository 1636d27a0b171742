//! Nobody starves: who holds no lease and has something to be handed out is served soon.

use gleaner_protocol::{SubmitterId, SubmitterTerms};
use proptest::prelude::*;

use super::*;

/// How many turns another submitter has, for its weight, before one that holds nothing.
const TURNS_BEFORE: u64 = 18;

/// What happens to a worker.
#[derive(Clone, Debug)]
enum Move {
    /// It answers one of its leases and asks for one more.
    Answer { worker: u8, nth: usize },
    /// It asks for more and keeps what it has.
    Ask { worker: u8, units: u32 },
    /// It comes back without its leases.
    Forget { worker: u8 },
}

/// Submitters with work that never ends, and who was served while another one held nothing.
struct Contest {
    lab: Lab,
    weights: BTreeMap<Owner, u64>,
    jobs: BTreeMap<JobId, Owner>,
    /// The turns that the second had since the first held a lease last.
    turns: BTreeMap<(Owner, Owner), u64>,
}

impl Contest {
    fn new(submitters: &[(u32, Vec<i32>)]) -> Self {
        let (weights, jobs, turns) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut contest = Self { lab: Lab::new(), weights, jobs, turns };
        for (number, (weight, priorities)) in (1..).zip(submitters) {
            contest.enter(SubmitterId([number; 32]), *weight, priorities);
        }
        contest
    }

    fn enter(&mut self, submitter: SubmitterId, weight: u32, priorities: &[i32]) {
        let owner = Owner::Submitter(submitter);
        self.weights.insert(owner, weight.into());
        let weight = NonZeroU32::new(weight).expect("a weight is at least one");
        let terms = SubmitterTerms { weight, ..SubmitterTerms::default() };
        self.lab.feed(Event::SubmitterSet { submitter, terms });
        for priority in priorities {
            let spec = JobSpec { priority: *priority, ..job_spec(100_000, 1, 1) };
            let Reply::Submitted(job) = self.lab.submit_for(owner, spec) else {
                panic!("the job is not taken");
            };
            self.jobs.insert(job, owner);
        }
    }

    fn take(&mut self, step: &Move) {
        let before = self.held();
        match *step {
            Move::Answer { worker, nth } => {
                let id = super::worker(worker);
                let held = self.lab.held.get(&id).cloned().unwrap_or_default();
                if let Some(grant) = held.get(nth.checked_rem(held.len()).unwrap_or(0)) {
                    self.lab.answer(id, grant, right(grant));
                }
                self.lab.connect(worker, 1);
            }
            Move::Ask { worker, units } => drop(self.lab.connect(worker, units)),
            Move::Forget { worker } => {
                self.lab.held.remove(&super::worker(worker));
                self.lab.connect(worker, 1);
            }
        }
        let after = self.held();
        let new = after.iter().filter(|attempt| !before.contains(*attempt));
        let served: Vec<Owner> = new.map(|attempt| self.jobs[&attempt.unit.job]).collect();
        self.count(&served);
    }

    fn count(&mut self, served: &[Owner]) {
        for owner in self.weights.keys() {
            let holds = self
                .lab
                .core
                .jobs
                .values()
                .any(|job| job.owner == *owner && job.attempts_leased() > 0);
            if holds || served.contains(owner) {
                self.turns.retain(|(waiting, _), _| waiting != owner);
                continue;
            }
            for other in served {
                let turns = self.turns.entry((*owner, *other)).or_default();
                *turns += 1;
                let max = TURNS_BEFORE * self.weights[other];
                assert!(*turns <= max, "{owner:?} waits while {other:?} had {turns} turns");
            }
        }
    }

    fn held(&self) -> Vec<AttemptId> {
        let grants = self.lab.held.values().flatten();
        grants.map(|grant| grant.claims.attempt).collect()
    }
}

fn step() -> impl Strategy<Value = Move> {
    let worker = 1_u8..4;
    prop_oneof![
        8 => (worker.clone(), 0..8_usize).prop_map(|(worker, nth)| Move::Answer { worker, nth }),
        1 => (worker.clone(), 0..4_u32).prop_map(|(worker, units)| Move::Ask { worker, units }),
        1 => worker.prop_map(|worker| Move::Forget { worker }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn who_holds_nothing_is_served_before_others_have_had_many_turns(
        submitters in prop::collection::vec(
            (1_u32..5, prop::collection::vec(-1..2, 1..3)), 2..5),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut contest = Contest::new(&submitters);
        for step in steps {
            contest.take(&step);
        }
    }
}

#[test]
fn who_held_one_lease_for_long_saved_up_no_turns() {
    let mut contest = Contest::new(&[(1, vec![0]), (1, vec![0])]);
    let answer = |worker| Move::Answer { worker, nth: 0 };
    // The first keeps what it was given at first; the second works off many.
    contest.take(&Move::Ask { worker: 1, units: 1 });
    for _ in 0..500 {
        contest.take(&answer(2));
    }
    // From now on one slot is there for both, and nobody holds anything else.
    contest.lab.held.remove(&worker(2));
    contest.lab.connect(2, 0);
    for _ in 0..100 {
        contest.take(&answer(1));
    }
    let ends: Vec<u64> =
        contest.jobs.keys().map(|job| contest.lab.core.jobs[job].items_settled().0).collect();
    assert!(ends[0] > 40 && ends[1] > 500 + 30, "both are served: {ends:?}");
}

#[test]
fn who_had_nothing_to_hand_out_begins_where_the_others_are() {
    let mut contest = Contest::new(&[(1, vec![0]), (1, vec![0])]);
    let paused = *contest.jobs.keys().next().expect("there are two jobs");
    contest.lab.pause(paused);
    let answer = Move::Answer { worker: 1, nth: 0 };
    let waiting = std::mem::take(&mut contest.weights);
    for _ in 0..500 {
        contest.take(&answer);
    }
    contest.weights = waiting;
    contest.lab.resume(paused);
    for _ in 0..100 {
        contest.take(&answer);
    }
    let settled = contest.lab.core.jobs[&paused].items_settled().0;
    assert!((45..=55).contains(&settled), "of 100 units it had {settled}");
}
