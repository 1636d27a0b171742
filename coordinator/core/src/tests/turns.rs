//! Whose turn it is: submitters have their shares of the slots' time, whatever their units take.

use std::time::Duration;

use gleaner_protocol::{SubmitterId, SubmitterTerms};
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// How often a worker says what it holds and what of it runs.
const HEARTBEAT_EACH: Duration = Duration::from_secs(15);

/// More units than are computed.
const ITEMS: i64 = 10_000_000;

/// What any worker offers.
const LITTLE_MEMORY: u64 = 1 << 20;
/// What a worker offers of which nothing else is said.
const MUCH_MEMORY: u64 = 1 << 30;

/// Submitters with work that never ends, and workers of one slot each that run what they hold in
/// turn.
struct Market {
    lab: Lab,
    parties: Vec<Party>,
    jobs: BTreeMap<JobId, usize>,
    benches: BTreeMap<u8, Bench>,
    heartbeat_at: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Party {
    owner: Owner,
    weight: u32,
    /// How long a unit takes, about: up to twice as long, and half as long.
    unit: Duration,
    memory_bytes: u64,
    /// What its units had that have ended.
    had: Duration,
    /// The most that it ever had out at one time, by what it takes or was expected to take.
    out_max: Duration,
}

#[derive(Debug)]
struct Bench {
    /// How many leases it holds at most.
    depth: u32,
    slot_memory_bytes: u64,
    claims: Claims,
    running: Option<(AttemptId, Timestamp, Timestamp)>,
}

/// What a worker says that units took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claims {
    TheTruth,
    AnHour,
}

/// What happens while units run.
#[derive(Clone, Debug)]
enum Move {
    /// The next so many units end.
    Run {
        units: usize,
    },
    /// A worker comes back without its leases.
    Forget {
        worker: u8,
    },
    /// A worker is gone until it is back.
    Leave {
        worker: u8,
    },
    /// A submitter's jobs wait, or go on.
    Pause {
        party: usize,
    },
    Resume {
        party: usize,
    },
}

impl Market {
    fn new(parties: &[(u32, Duration)]) -> Self {
        let mut market = Self {
            lab: Lab::new(),
            parties: Vec::new(),
            jobs: BTreeMap::new(),
            benches: BTreeMap::new(),
            heartbeat_at: Timestamp::ZERO,
        };
        for (weight, unit) in parties {
            market.enter(*weight, *unit);
        }
        market
    }

    fn enter(&mut self, weight: u32, unit: Duration) {
        self.enter_needing(weight, unit, LITTLE_MEMORY);
    }

    fn enter_needing(&mut self, weight: u32, unit: Duration, memory_bytes: u64) {
        let submitter = SubmitterId([self.parties.len() as u8 + 1; 32]);
        let terms = SubmitterTerms {
            weight: NonZeroU32::new(weight).expect("a weight is at least one"),
            ..SubmitterTerms::default()
        };
        self.lab.feed(Event::SubmitterSet { submitter, terms });
        let owner = Owner::Submitter(submitter);
        let (had, out_max) = (Duration::ZERO, Duration::ZERO);
        self.parties.push(Party { owner, weight, unit, memory_bytes, had, out_max });
        self.add_job(self.parties.len() - 1, 0);
    }

    fn add_job(&mut self, party: usize, priority: i32) -> JobId {
        let Party { owner, memory_bytes, .. } = self.parties[party];
        let mut spec = JobSpec { priority, ..job_spec(ITEMS, 1, 1) };
        spec.stages[0].task.limits.memory_bytes = memory_bytes;
        let Reply::Submitted(job) = self.lab.submit_for(owner, spec) else {
            panic!("the job is not taken");
        };
        self.jobs.insert(job, party);
        self.begin();
        job
    }

    fn employ(&mut self, workers: std::ops::Range<u8>, depth: u32) {
        for worker in workers {
            self.employ_with(worker, depth, MUCH_MEMORY, Claims::TheTruth);
        }
    }

    fn employ_with(&mut self, worker: u8, depth: u32, slot_memory_bytes: u64, claims: Claims) {
        let bench = Bench { depth, slot_memory_bytes, claims, running: None };
        self.benches.insert(worker, bench);
        let id = self.lab.connect(worker, 0);
        self.lab.offer_with(id, depth, slot_memory_bytes);
        self.begin();
    }

    /// How long a unit takes on any worker.
    fn takes(&self, attempt: AttemptId) -> Duration {
        let unit = self.parties[self.jobs[&attempt.unit.job]].unit;
        let mixed = attempt.unit.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        unit / 2 + unit * mixed as u32 / 10
    }

    /// Slots without a unit begin the first that their worker holds.
    fn begin(&mut self) {
        let held = |worker: &u8| self.lab.held.get(&super::worker(*worker));
        let firsts = self
            .benches
            .keys()
            .copied()
            .filter_map(|worker| Some((worker, held(&worker)?.first()?.claims.attempt)));
        let firsts: Vec<_> = firsts.collect();
        for (worker, first) in firsts {
            let ends_at = self.lab.now + self.takes(first);
            let bench = self.benches.get_mut(&worker).expect("it is known");
            if bench.running.is_none_or(|(running, ..)| running != first) {
                bench.running = Some((first, self.lab.now, ends_at));
            }
        }
        self.note_out();
    }

    fn note_out(&mut self) {
        let mut out = vec![Duration::ZERO; self.parties.len()];
        for grant in self.lab.held.values().flatten() {
            let attempt = grant.claims.attempt;
            out[self.jobs[&attempt.unit.job]] += self.takes(attempt);
        }
        for (job, of) in &self.jobs {
            let job = &self.lab.core.jobs[job];
            let expected = job.stages.iter().map(|stage| stage.charged_out().duration());
            out[*of] = out[*of].max(expected.sum());
        }
        for (party, out) in self.parties.iter_mut().zip(out) {
            party.out_max = party.out_max.max(out);
        }
    }

    /// Lets the next unit end: whether one runs.
    fn run_one(&mut self) -> bool {
        let next = self.benches.iter().filter_map(|(worker, bench)| {
            let (attempt, _, ends_at) = bench.running?;
            Some((ends_at, *worker, attempt))
        });
        let Some((ends_at, worker, attempt)) = next.min() else { return false };
        self.run_until(ends_at);
        let bench = self.benches.get_mut(&worker).expect("it is known");
        let Bench { claims, depth, slot_memory_bytes, .. } = *bench;
        bench.running = None;
        let id = super::worker(worker);
        let held = self.lab.held[&id].iter();
        let grant = held.clone().find(|grant| grant.claims.attempt == attempt).cloned();
        let grant = grant.expect("what runs is held");
        let takes = self.takes(attempt);
        let cpu = match claims {
            Claims::TheTruth => takes,
            Claims::AnHour => 3600 * SECOND,
        };
        self.parties[self.jobs[&attempt.unit.job]].had += takes;
        let result = UnitResult { cpu, ..result(&grant, right(&grant)) };
        self.lab.feed(Event::ResultsReturned { worker: id, results: vec![result] });
        let held = self.lab.held[&id].len() as u32;
        self.lab.offer_with(id, depth.saturating_sub(held), slot_memory_bytes);
        self.begin();
        true
    }

    /// Lets time pass, in which workers speak for what they hold.
    fn run_until(&mut self, at: Timestamp) {
        while self.heartbeat_at < at {
            self.lab.now = self.lab.now.max(self.heartbeat_at);
            for (worker, bench) in &self.benches {
                let worker = super::worker(*worker);
                let held = self.lab.held.get(&worker).into_iter().flatten();
                let attempts: Vec<_> = held.map(|grant| grant.claims.attempt).collect();
                let running = bench.running.map(|(attempt, ..)| attempt);
                let running = running.filter(|running| attempts.contains(running));
                let running = running.into_iter().collect();
                self.lab
                    .core
                    .handle_event(self.lab.now, Event::Heartbeat { worker, attempts, running });
            }
            self.lab.advance(Duration::ZERO);
            self.heartbeat_at = self.lab.now + HEARTBEAT_EACH;
        }
        self.lab.now = at;
    }

    fn take(&mut self, step: &Move) {
        match *step {
            Move::Run { units } => {
                for _ in 0..units {
                    self.run_one();
                    self.check();
                }
            }
            Move::Forget { worker } => {
                let Some(bench) = self.benches.get_mut(&worker) else { return };
                bench.running = None;
                self.lab.held.remove(&super::worker(worker));
                self.lab.connect(worker, bench.depth);
                self.begin();
            }
            Move::Leave { worker } => {
                if self.benches.remove(&worker).is_some() {
                    self.lab.held.remove(&super::worker(worker));
                    self.lab.connect(worker, 0);
                } else {
                    self.employ(worker..worker + 1, 2);
                }
            }
            Move::Pause { party } => {
                for (job, _) in self.jobs.clone().iter().filter(|(_, of)| **of == party) {
                    self.lab.pause(*job);
                }
            }
            Move::Resume { party } => {
                for (job, _) in self.jobs.clone().iter().filter(|(_, of)| **of == party) {
                    self.lab.resume(*job);
                }
                self.begin();
            }
        }
    }

    /// What a party's units had, with what those have had so far that run.
    fn had(&self, party: usize) -> Duration {
        let running = self.benches.values().filter_map(|bench| bench.running);
        let running = running.filter(|(attempt, ..)| self.jobs[&attempt.unit.job] == party);
        let running = running.map(|(_, since, _)| self.lab.now.saturating_since(since));
        self.parties[party].had + running.sum::<Duration>()
    }

    fn share(&self, party: usize) -> f64 {
        self.had(party).as_secs_f64() / f64::from(self.parties[party].weight)
    }

    /// The bound that the module states, between all that have something to be handed out.
    fn check(&self) {
        let open = |party: &usize| {
            let mut jobs = self.jobs.iter().filter(|(_, of)| *of == party);
            jobs.all(|(job, _)| self.lab.core.jobs[job].paused_at.is_none())
        };
        let open: Vec<usize> = (0..self.parties.len()).filter(open).collect();
        let bound = |party: usize| {
            let Party { out_max, weight, .. } = self.parties[party];
            out_max.as_secs_f64() / f64::from(weight)
        };
        for a in &open {
            for b in &open {
                let (share, other) = (self.share(*a), self.share(*b));
                let max = bound(*a) + bound(*b) + 0.01;
                assert!(share <= other + max, "{share} and {other}, not within {max}: {self:?}");
            }
        }
    }

    /// All begin anew, with what they hold now.
    fn forget_the_past(&mut self) {
        for party in &mut self.parties {
            (party.had, party.out_max) = (Duration::ZERO, Duration::ZERO);
        }
        for bench in self.benches.values_mut() {
            let now = self.lab.now;
            bench.running = bench.running.map(|(attempt, _, ends_at)| (attempt, now, ends_at));
        }
        self.note_out();
    }

    /// How many slots run units of each party.
    fn slots(&self) -> Vec<usize> {
        let mut slots = vec![0; self.parties.len()];
        for (attempt, ..) in self.benches.values().filter_map(|bench| bench.running) {
            slots[self.jobs[&attempt.unit.job]] += 1;
        }
        slots
    }
}

impl std::fmt::Debug for Market {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Market").field("now", &self.lab.now).field("of", &self.parties).finish()
    }
}

fn step() -> impl Strategy<Value = Move> {
    prop_oneof![
        12 => (1..40_usize).prop_map(|units| Move::Run { units }),
        1 => (1..12_u8).prop_map(|worker| Move::Forget { worker }),
        1 => (1..12_u8).prop_map(|worker| Move::Leave { worker }),
    ]
}

fn party() -> impl Strategy<Value = (u32, Duration)> {
    let unit = prop::sample::select(vec![10, 100, 1_000, 7_000, 100_000]);
    (1_u32..5, unit).prop_map(|(weight, ms)| (weight, Duration::from_millis(ms)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn shares_of_slot_time_are_within_what_is_out_at_one_time(
        parties in prop::collection::vec(party(), 2..5),
        workers in 1_u8..12,
        depth in 1_u32..4,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut market = Market::new(&parties);
        market.employ(1..workers + 1, depth);
        for step in steps {
            market.take(&step);
        }
    }
}

#[test]
fn on_one_slot_units_of_100_s_and_of_1_s_share_it_alike() {
    let mut market = Market::new(&[(1, 100 * SECOND), (1, SECOND)]);
    market.employ(1..2, 2);
    market.take(&Move::Run { units: 3_000 });
    let shares = [market.share(0), market.share(1)];
    assert!(shares[1] > 3_000.0 && (shares[0] - shares[1]).abs() < 300.0, "{shares:?}");
}

#[test]
fn many_slots_with_long_units_are_divided_by_weight_at_any_time() {
    let mut market = Market::new(&[(1, 100 * SECOND), (3, 300 * SECOND)]);
    market.employ(1..101, 2);
    market.take(&Move::Run { units: 1_000 });
    let slots = market.slots();
    assert!((19..=31).contains(&slots[0]) && slots[0] + slots[1] == 100, "{slots:?}");
}

#[test]
fn a_newcomer_has_its_share_from_then_on_and_nothing_for_the_time_before() {
    let mut market = Market::new(&[(1, 10 * SECOND)]);
    market.employ(1..21, 2);
    market.take(&Move::Run { units: 500 });
    market.enter(1, SECOND);
    market.forget_the_past();
    market.take(&Move::Run { units: 2_000 });
    let shares = [market.share(0), market.share(1)];
    assert!(shares[1] > 1_000.0 && (shares[0] - shares[1]).abs() < 300.0, "{shares:?}");
}

#[test]
fn who_returns_from_idleness_saved_nothing_up() {
    let mut market = Market::new(&[(2, SECOND), (1, 5 * SECOND)]);
    market.employ(1..5, 2);
    market.take(&Move::Run { units: 100 });
    market.take(&Move::Pause { party: 1 });
    for _ in 0..500 {
        market.run_one();
    }
    market.take(&Move::Resume { party: 1 });
    market.forget_the_past();
    market.take(&Move::Run { units: 500 });
    assert!(market.share(0) > 100.0 && market.share(1) > 100.0, "{market:?}");
}

#[test]
fn a_submitters_jobs_of_one_priority_share_its_slots_time() {
    let mut market = Market::new(&[(1, SECOND)]);
    let job = market.add_job(0, 0);
    market.add_job(0, -1);
    market.employ(1..4, 2);
    let had = |market: &Market| -> Vec<f64> {
        let jobs = market.lab.core.jobs.values();
        jobs.map(|job| job.stages[0].charged_had().duration().as_secs_f64()).collect()
    };
    let run_100 = |market: &mut Market| {
        let before = had(market);
        for _ in 0..100 {
            market.run_one();
        }
        let after = had(market);
        after.iter().zip(before).map(|(is, was)| is - was).collect::<Vec<f64>>()
    };
    let first = run_100(&mut market);
    assert!(first[0] > 40.0 && (first[0] - first[1]).abs() < 12.0 && first[2] == 0.0, "{first:?}");
    market.lab.pause(job);
    run_100(&mut market);
    market.lab.resume(job);
    let then = run_100(&mut market);
    assert!(then[0] > 40.0 && (then[0] - then[1]).abs() < 12.0 && then[2] == 0.0, "{then:?}");
}

/// Two submitters with units of a second, of which only the first one's fit a worker that claims
/// hours; it is there alone for so many units.
fn beside_a_liar(units_before: usize) -> Market {
    let mut market = Market::new(&[(1, SECOND)]);
    market.enter_needing(1, SECOND, MUCH_MEMORY);
    if units_before == 0 {
        market.employ(2..5, 2);
        market.take(&Move::Run { units: 40 });
    }
    market.employ_with(1, 2, LITTLE_MEMORY, Claims::AnHour);
    for _ in 0..units_before {
        market.run_one();
    }
    if units_before > 0 {
        market.employ(2..5, 2);
    }
    market.forget_the_past();
    market
}

#[test]
fn a_worker_that_claims_hours_costs_a_submitter_no_more_than_its_slot_had() {
    for units_before in [0, 1, 5] {
        let mut market = beside_a_liar(units_before);
        for _ in 0..40 {
            market.take(&Move::Run { units: 100 });
            let shares = [market.share(0), market.share(1)];
            let apart = (shares[0] - shares[1]).abs();
            assert!(apart < 20.0, "{shares:?} after {units_before} units: {market:?}");
        }
        assert!(market.share(1) > 1_000.0, "{market:?}");
    }
}

#[test]
fn units_that_take_no_time_keep_nobody_from_being_served() {
    let mut market = Market::new(&[(1, Duration::ZERO), (1, SECOND)]);
    market.employ(1..2, 2);
    for _ in 0..100_000 {
        market.run_one();
        if market.had(1) > 3 * SECOND {
            return;
        }
    }
    panic!("the other one waits: {market:?}");
}

#[test]
fn workers_that_cannot_serve_a_submitter_take_nothing_from_it_elsewhere() {
    let mut market = Market::new(&[(1, 1_000 * SECOND)]);
    market.enter_needing(1, SECOND, MUCH_MEMORY);
    for worker in 1..5 {
        market.employ_with(worker, 2, LITTLE_MEMORY, Claims::TheTruth);
    }
    market.employ(5..11, 2);
    // What units take is known from here on.
    while market.share(0) < 20_000.0 {
        market.run_one();
    }
    market.forget_the_past();
    while market.share(0) < 100_000.0 {
        market.run_one();
    }
    let shares = [market.share(0), market.share(1)];
    assert!((shares[0] - shares[1]).abs() < 10_000.0, "{shares:?}");
}
