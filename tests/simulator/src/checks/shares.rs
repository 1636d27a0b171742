//! Submitters have their shares: between two that both have something to be handed out, slot time over
//! weight stays within what the two have with workers at one time.
//!
//! Slot time is what results say, as they arrive: nobody lies here. What is with workers counts as what
//! it takes there. It begins anew whenever one of the two has nothing more, or its units come back from
//! a worker that could not run them, and with each start of the coordinator.

use std::collections::{BTreeMap, BTreeSet};

use gleaner_coordinator_core::{Action, Block, Grant, Owner, Record};
use gleaner_protocol::{
    AttemptId, ItemRange, JobId, LeaseClaims, StageIndex, UnitId, UnitResult, WorkerId,
};

use crate::host::host_of;
use crate::nature::HostIndex;
use crate::store::{Store, StoredJob};
use crate::workload::{Work, submitters};

/// What counts for each lease beside what it takes: its cost may not be known, and is taken for this.
const UNKNOWN_US: u64 = 1_000_000;

/// So many times what is with workers two may be apart: what is expected of it is half of that where
/// the paces of machines have just become known.
const APART_MAX: u64 = 2;

/// How long nothing is compared after a worker could not run a submitter's units: it is given none of
/// their stage meanwhile.
const UNABLE_US: u64 = 5_000_000;

/// What submitters have had and have out.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// How many times longer than an ordinary machine each takes.
    slowness: Vec<u64>,
    parties: BTreeMap<Owner, Party>,
    /// Since when both have something to be handed out.
    contests: BTreeMap<(Owner, Owner), Contest>,
    owners: BTreeMap<JobId, Owner>,
    stages: BTreeMap<(JobId, StageIndex), Ahead>,
    paused: BTreeSet<JobId>,
    /// What is with workers.
    out: BTreeMap<(WorkerId, AttemptId), Lease>,
    /// The most that two were apart, in parts of a hundred of what they may be.
    pub(super) apart_most: u64,
}

#[derive(Clone, Copy, Debug)]
struct Party {
    weight: u64,
    had_us: u64,
    out_us: u64,
    quiet_until_us: u64,
}

#[derive(Clone, Copy, Debug)]
struct Contest {
    had_before_us: [u64; 2],
    /// The most that each had out at one time since it began, what was out then too.
    out_max_us: [u64; 2],
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    /// What it takes there.
    takes_us: u64,
    since_us: u64,
}

/// What of a stage was never handed out.
#[derive(Debug)]
struct Ahead {
    items: ItemRange,
    /// Answers that were taken over, in the order of their items.
    kept: Vec<ItemRange>,
}

impl Shares {
    /// Machines take so many times longer than an ordinary one.
    pub(super) fn on(slowness: Vec<u64>) -> Self {
        let party = |weight| Party { weight, had_us: 0, out_us: 0, quiet_until_us: 0 };
        let known = submitters().into_iter();
        let known =
            known.map(|(id, terms)| (Owner::Submitter(id), party(terms.weight.get().into())));
        let parties = known.chain([(Owner::Operator, party(1))]).collect();
        Self { slowness, parties, ..Self::default() }
    }

    /// The coordinator starts with what is durable: all that was cut may be with workers.
    pub(super) fn begin_anew(&mut self, store: &Store) {
        self.contests.clear();
        self.out.clear();
        for party in self.parties.values_mut() {
            (party.out_us, party.quiet_until_us) = (0, 0);
        }
        for ((job, stage), ahead) in &mut self.stages {
            let blocks = store.job(*job).into_iter().flat_map(|job| job.stage(*stage).blocks());
            let cut = blocks.map(|block: &Block| block.items.end).max();
            ahead.items.start = ahead.items.start.max(cut.unwrap_or(0));
        }
    }

    pub(super) fn on_action(&mut self, now_us: u64, action: &Action, store: &Store) {
        match action {
            Action::Persist { records, .. } => {
                records.iter().for_each(|record| self.on_decided(record));
                self.compete(now_us);
            }
            Action::Grant { grants, .. } => {
                for Grant { claims, .. } in grants {
                    self.put_out(now_us, claims, store);
                    let stage = (claims.attempt.unit.job, claims.stage);
                    if let Some(ahead) = self.stages.get_mut(&stage) {
                        ahead.items.start = ahead.items.start.max(claims.items.end);
                    }
                }
                self.compete(now_us);
            }
            Action::Withdraw { worker, attempts, .. } => {
                attempts.iter().for_each(|attempt| self.end(*worker, *attempt));
            }
            _ => {}
        }
    }

    /// What ends a contest counts from when it is decided, what begins one from when it is durable.
    fn on_decided(&mut self, record: &Record) {
        match record {
            Record::JobPaused { job, .. } => drop(self.paused.insert(*job)),
            Record::JobEnded { job, .. } => self.stages.retain(|(of, _), _| of != job),
            _ => {}
        }
    }

    pub(super) fn after_written(&mut self, now_us: u64, record: &Record) {
        match record {
            Record::JobAccepted { job, owner, .. } => drop(self.owners.insert(*job, *owner)),
            Record::StageOpened { job, opening, .. } => {
                let items = ItemRange { start: 0, end: opening.items };
                self.stages.insert((*job, opening.stage), Ahead { items, kept: Vec::new() });
            }
            Record::AnswersKept { job, run } => {
                if let Some(ahead) = self.stages.get_mut(&(*job, run.stage)) {
                    ahead.kept.push(run.items);
                }
            }
            Record::JobResumed { job } => drop(self.paused.remove(job)),
            _ => return,
        }
        self.compete(now_us);
    }

    /// A worker comes back with what it holds.
    pub(super) fn on_hello<'a>(
        &mut self,
        now_us: u64,
        worker: WorkerId,
        held: impl Iterator<Item = &'a LeaseClaims>,
        store: &Store,
    ) {
        let held: BTreeMap<_, _> = held.map(|claims| (claims.attempt, claims)).collect();
        let first = AttemptId { unit: UnitId { job: JobId(0), number: 0 }, number: 0 };
        let known = self.out.range((worker, first)..).map(|(key, _)| *key);
        let known: BTreeSet<_> = known.take_while(|(of, _)| *of == worker).collect();
        for (_, lost) in known.iter().filter(|(_, attempt)| !held.contains_key(attempt)) {
            self.end(worker, *lost);
        }
        for claims in held.values().filter(|claims| !known.contains(&(worker, claims.attempt))) {
            self.put_out(now_us, claims, store);
        }
    }

    fn put_out(&mut self, now_us: u64, claims: &LeaseClaims, store: &Store) {
        let LeaseClaims { worker, attempt, stage, items, .. } = *claims;
        let job = store.job(attempt.unit.job);
        let takes_us = self.takes_us(host_of(worker), job, stage, items).max(UNKNOWN_US);
        self.out.insert((worker, attempt), Lease { takes_us, since_us: now_us });
        let owner = self.owners.get(&attempt.unit.job);
        let Some(owner) = owner else { return };
        let party = self.parties.get_mut(owner).expect("every owner is a party");
        party.out_us += takes_us;
        for ((one, other), contest) in &mut self.contests {
            for (of, out_max_us) in [one, other].into_iter().zip(&mut contest.out_max_us) {
                if of == owner {
                    *out_max_us = party.out_us.max(*out_max_us);
                }
            }
        }
    }

    fn takes_us(
        &self,
        host: HostIndex,
        job: Option<&StoredJob>,
        stage: StageIndex,
        items: ItemRange,
    ) -> u64 {
        let job = job.expect("a lease is of a durable job");
        let item_us = Work::of(&job.row().spec.stages[stage.0 as usize].task).item_us();
        items.len() * item_us * self.slowness.get(host.0 as usize).copied().unwrap_or(1)
    }

    pub(super) fn on_results(&mut self, now_us: u64, worker: WorkerId, results: &[UnitResult]) {
        for result in results {
            let attempt = result.claims.attempt;
            let Some(lease) = self.out.get(&(worker, attempt)) else { continue };
            let cpu_us = u64::try_from(result.cpu.as_micros()).expect("a run is short");
            let had_us = cpu_us.min(now_us - lease.since_us);
            let owner = self.owners[&attempt.unit.job];
            self.parties.get_mut(&owner).expect("every owner is a party").had_us += had_us;
            self.end(worker, attempt);
        }
        self.compete(now_us);
        self.compare();
    }

    /// A worker gives leases back, of a stage that it cannot run for now.
    pub(super) fn on_unable(&mut self, now_us: u64, attempts: &[AttemptId]) {
        for attempt in attempts {
            let owner = self.owners.get(&attempt.unit.job);
            if let Some(party) = owner.and_then(|owner| self.parties.get_mut(owner)) {
                party.quiet_until_us = now_us + UNABLE_US;
            }
        }
        self.compete(now_us);
    }

    pub(super) fn on_released(&mut self, worker: WorkerId, attempts: &[AttemptId]) {
        attempts.iter().for_each(|attempt| self.end(worker, *attempt));
    }

    fn end(&mut self, worker: WorkerId, attempt: AttemptId) {
        let Some(lease) = self.out.remove(&(worker, attempt)) else { return };
        if let Some(owner) = self.owners.get(&attempt.unit.job)
            && let Some(party) = self.parties.get_mut(owner)
        {
            party.out_us -= lease.takes_us;
        }
    }

    /// Begins and ends contests.
    fn compete(&mut self, now_us: u64) {
        let ready: BTreeSet<Owner> = self
            .stages
            .iter()
            .filter_map(|((job, _), ahead)| {
                let owner = self.owners.get(job)?;
                let counts = !self.paused.contains(job)
                    && self.parties[owner].quiet_until_us <= now_us
                    && ahead.has_more();
                counts.then_some(*owner)
            })
            .collect();
        self.contests.retain(|(one, other), _| ready.contains(one) && ready.contains(other));
        for one in &ready {
            for other in ready.range(one..).skip(1) {
                let parties = [self.parties[one], self.parties[other]];
                self.contests.entry((*one, *other)).or_insert_with(|| Contest {
                    had_before_us: parties.map(|party| party.had_us),
                    out_max_us: parties.map(|party| party.out_us),
                });
            }
        }
    }

    fn compare(&mut self) {
        for ((one, other), contest) in &self.contests {
            let parties = [self.parties[one], self.parties[other]];
            let share = |at: usize, us: u64| us * parties[1 - at].weight;
            let had = [0, 1].map(|at| share(at, parties[at].had_us - contest.had_before_us[at]));
            let apart = had[0].abs_diff(had[1]);
            let out = [0, 1].map(|at| share(at, contest.out_max_us[at]));
            let max = APART_MAX * (out[0] + out[1]);
            self.apart_most = self.apart_most.max(100 * apart / max.max(1));
            assert!(
                apart <= max,
                "{one:?} and {other:?} had {had:?}, each times the other's weight: {apart} apart, not \
                 {max}: {contest:?}, {parties:?}"
            );
        }
    }
}

impl Ahead {
    fn has_more(&self) -> bool {
        let mut end = self.items.end;
        for kept in self.kept.iter().rev().take_while(|kept| kept.end >= self.items.start) {
            if kept.end == end {
                end = kept.start;
            }
        }
        self.items.start < end
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gleaner_coordinator_core::Opening;
    use gleaner_protocol::{BlobHash, Epoch, LeaseKey, Outcome, Timestamp};

    use super::*;
    use crate::random::Random;
    use crate::workload::plans;

    const SECOND_US: u64 = 1_000_000;
    const JOBS: [JobId; 2] = [JobId(1), JobId(2)];
    const ITEMS: u64 = 1_000;

    /// The operator and a submitter of the same weight, one job each, and a machine that computes one
    /// unit at a time.
    struct Stand {
        shares: Shares,
        store: Store,
        now_us: u64,
        units: [u64; 2],
    }

    impl Stand {
        fn new() -> Self {
            let shares = Shares::on(vec![1]);
            Self { shares, store: Store::default(), now_us: 0, units: [0; 2] }
        }

        fn enter(&mut self, at: usize) {
            let (submitter, _) = submitters()[0];
            let owner = [Owner::Operator, Owner::Submitter(submitter)][at];
            let plan = plans(&mut Random::of_seed(1), 1, 1, 1).remove(0);
            let (submission, spec, job) = (plan.submission, plan.spec, JOBS[at]);
            let stage = StageIndex(0);
            let opening = Opening { stage, items: ITEMS, unit_items_max: None, made: None };
            let answers = BlobHash([0; 32]);
            let at = Timestamp::ZERO;
            for record in [
                Record::JobAccepted { job, submission, owner, spec, retry_of: None, at },
                Record::StageOpened { job, opening, answers, quorum: 1 },
            ] {
                self.store.write(&record);
                self.shares.after_written(self.now_us, &record);
            }
        }

        /// Hands out that many units of one, and lets each take a second, one after the other.
        fn serve(&mut self, at: usize, units: u64) {
            let grants: Vec<_> = (0..units).map(|_| self.next_unit(at)).collect();
            let worker = WorkerId([0; 32]);
            let granted = Action::Grant { worker, grants: grants.clone() };
            self.shares.on_action(self.now_us, &granted, &self.store);
            for Grant { claims, token, .. } in grants {
                self.now_us += SECOND_US;
                let (cpu, log) = (Duration::from_micros(SECOND_US), String::new());
                let result = UnitResult { claims, token, outcome: Outcome::HostMemory, cpu, log };
                self.shares.on_results(self.now_us, worker, &[result]);
            }
        }

        fn next_unit(&mut self, at: usize) -> Grant {
            let number = self.units[at];
            self.units[at] += 1;
            let unit = UnitId { job: JOBS[at], number };
            let claims = LeaseClaims {
                worker: WorkerId([0; 32]),
                attempt: AttemptId { unit, number: 1 },
                stage: StageIndex(0),
                items: ItemRange { start: number, end: number + 1 },
                input: BlobHash([0; 32]),
                epoch: Epoch(1),
            };
            let token = LeaseKey::new([0; 32]).seal(&claims);
            Grant { claims, token, duration: Duration::from_secs(60) }
        }
    }

    #[test]
    fn units_in_turn_are_shared_fairly() {
        let mut stand = Stand::new();
        (0..2).for_each(|at| stand.enter(at));
        for _ in 0..100 {
            (0..2).for_each(|at| stand.serve(at, 1));
        }
        assert!(stand.shares.apart_most > 0, "nothing was compared");
    }

    #[test]
    #[should_panic(expected = "each times the other's weight")]
    fn two_units_for_each_of_the_others_are_too_many() {
        let mut stand = Stand::new();
        (0..2).for_each(|at| stand.enter(at));
        for _ in 0..100 {
            stand.serve(0, 2);
            stand.serve(1, 1);
        }
    }

    #[test]
    #[should_panic(expected = "each times the other's weight")]
    fn what_was_out_before_two_compete_excuses_nothing() {
        let mut stand = Stand::new();
        stand.enter(0);
        stand.serve(0, 500);
        stand.enter(1);
        for _ in 0..100 {
            stand.serve(0, 2);
            stand.serve(1, 1);
        }
    }
}
