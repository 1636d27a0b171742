//! Whose turn it is to have a unit handed out.
//!
//! A submitter's share of the slots goes by its weight: the one with the fewest leases for its
//! weight is served first. When slots are so few that this ties again and again, the one served
//! least for its weight goes first (stride scheduling: Waldspurger & Weihl 1995, MIT/LCS/TM-528).
//! Nobody saves up turns: who had nothing to be handed out begins where the others are, and who
//! falls behind because its leases last long catches up without being served. Of a submitter's jobs
//! those of higher priority go first, of equal ones the one with the fewest leases, then the oldest.
//!
//! Invariant: a submitter that has something to be handed out to a worker that wants it, and holds
//! no lease, is served before any other one has had `18 × weight` turns.
//!
//! A job is filed anew with every change of its books, so that no turn looks at all of them.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

use gleaner_protocol::{JobId, SubmitterId, SubmitterTerms, Timestamp};

use crate::Owner;
use crate::core::Core;
use crate::filing::refile;
use crate::job::Job;
use crate::stage::Stage;

/// How far one turn takes a submitter of weight 1.
const STRIDE: u64 = 1 << 20;

/// How far one may fall behind: so many turns of a submitter of weight 1.
const BEHIND_MAX: u64 = 16 * STRIDE;

/// The accounts of all owners, and the order of those who have something to be handed out. An owner
/// that was never set has the default terms.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    accounts: BTreeMap<Owner, Account>,
    /// Running jobs as they are filed.
    jobs: BTreeMap<JobId, Standing>,
    /// Owners with jobs that have something to be handed out.
    order: BTreeSet<OwnerRank>,
    /// The same, by how far each has come.
    passes: BTreeSet<(u64, Owner)>,
    /// How far the last of these has come; never less than before.
    floor: u64,
    /// Jobs that have something to be handed out, by the least memory that any of it needs.
    needs: BTreeSet<(u64, JobId)>,
    /// Jobs of which units are out that may be late, by when.
    late: BTreeSet<(Timestamp, JobId)>,
    /// Jobs of which all units are out, by when the last of them should be settled.
    last_due: BTreeSet<(Timestamp, JobId)>,
}

/// What decides about a running job's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    owner: Owner,
    leases: u64,
    priority: i32,
    /// What can be handed out now needs so much memory at least, if anything can.
    needs: Option<u64>,
    /// When a unit that is out is late, while one may be.
    late_at: Option<Timestamp>,
    /// When the last of the units that are out should be settled, at the end of a stage.
    last_due_at: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Account {
    terms: SubmitterTerms,
    /// How far it has come: grows with each turn by a stride over its weight.
    pass: u64,
    /// Leases of all its running jobs.
    leases: u64,
    /// Its jobs that have something to be handed out, by the least memory that any of it needs:
    /// there are few limits, and many jobs may wait for workers with more memory.
    ready: BTreeMap<u64, BTreeSet<JobRank>>,
}

/// The place of an owner; the least is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OwnerRank {
    leases: u64,
    weight: u32,
    pass: u64,
    owner: Owner,
}

/// The place of a job among its owner's; the least is served first.
type JobRank = (Reverse<i32>, u64, JobId);

impl Turns {
    pub(crate) fn recover(submitters: Vec<(SubmitterId, SubmitterTerms)>) -> Self {
        let mut turns = Self::default();
        for (submitter, terms) in submitters {
            turns.set(submitter, terms);
        }
        turns
    }

    pub(crate) fn set(&mut self, submitter: SubmitterId, terms: SubmitterTerms) {
        self.change(Owner::Submitter(submitter), |account| account.terms = terms);
    }

    pub(crate) fn terms(&self, owner: Owner) -> SubmitterTerms {
        self.accounts.get(&owner).map_or_else(SubmitterTerms::default, |account| account.terms)
    }

    /// Counts a turn of the owner of a job that stands so after it, and lifts those who have fallen
    /// too far behind.
    pub(crate) fn take_turn(&mut self, job: JobId, owner: Owner, standing: Option<Standing>) {
        self.refile_job(job, owner, standing, |account| {
            account.pass += STRIDE / u64::from(account.terms.weight.get());
        });
        let pass = self.accounts[&owner].pass;
        while let Some((_, last)) =
            self.passes.first().copied().filter(|(last, _)| last + BEHIND_MAX < pass)
        {
            self.change(last, |account| account.pass = pass - BEHIND_MAX / 2);
        }
        let last = self.passes.first().map_or(pass, |(last, _)| *last);
        self.floor = self.floor.max(last);
    }

    /// Files a job as it stands; one that has ended is nowhere.
    pub(crate) fn file(&mut self, job: JobId, standing: Option<Standing>) {
        let before = self.jobs.get(&job).copied();
        if before != standing
            && let Some(Standing { owner, .. }) = standing.or(before)
        {
            self.refile_job(job, owner, standing, |_| ());
        }
    }

    /// Files a job, and changes its owner's account.
    fn refile_job(
        &mut self,
        job: JobId,
        owner: Owner,
        standing: Option<Standing>,
        change: impl FnOnce(&mut Account),
    ) {
        let before = match standing {
            Some(standing) => self.jobs.insert(job, standing),
            None => self.jobs.remove(&job),
        };
        self.change(owner, |account| {
            if let Some(before) = before {
                account.take_out(job, before);
            }
            if let Some(after) = standing {
                account.put_in(job, after);
            }
            change(account);
        });
        let place = |standing: Option<Standing>| Some((standing?.needs?, job));
        refile(&mut self.needs, place(before), place(standing));
        let late = |standing: Option<Standing>| Some((standing?.late_at?, job));
        refile(&mut self.late, late(before), late(standing));
        let last_due = |standing: Option<Standing>| Some((standing?.last_due_at?, job));
        refile(&mut self.last_due, last_due(before), last_due(standing));
    }

    /// The jobs that have something to be handed out to slots with so much memory, in the order in
    /// which they are asked for it.
    pub(crate) fn jobs(&self, memory_bytes: u64) -> impl Iterator<Item = JobId> {
        let fitting = move |rank: &OwnerRank| self.accounts[&rank.owner].fitting(memory_bytes);
        self.order.iter().flat_map(fitting)
    }

    /// The least memory that anything needs which can be handed out, if anything can.
    pub(crate) fn least_need(&self) -> Option<u64> {
        self.needs.first().map(|(memory_bytes, _)| *memory_bytes)
    }

    /// The job of which a unit may be late first, and when.
    pub(crate) fn next_late(&self) -> Option<(Timestamp, JobId)> {
        self.late.first().copied()
    }

    /// The jobs of which units are out that should be settled at some time, the last one first.
    pub(crate) fn last_due(&self) -> impl Iterator<Item = JobId> {
        self.last_due.iter().rev().map(|(_, job)| *job)
    }

    fn change(&mut self, owner: Owner, change: impl FnOnce(&mut Account)) {
        let account = self.accounts.entry(owner).or_default();
        let before = account.rank(owner);
        change(account);
        if before.is_none() && !account.ready.is_empty() {
            account.pass = account.pass.max(self.floor);
        }
        let after = account.rank(owner);
        refile(&mut self.order, before, after);
        let pass = |rank: Option<OwnerRank>| rank.map(|rank| (rank.pass, owner));
        refile(&mut self.passes, pass(before), pass(after));
    }

    /// Compares the files with the jobs that run.
    pub(crate) fn check_invariants<'a>(&self, running: impl Iterator<Item = &'a Job>) {
        let standings: BTreeMap<_, _> =
            running.filter_map(|job| Some((job.id, job.standing()?))).collect();
        assert_eq!(standings, self.jobs, "jobs are misfiled");
        for (owner, account) in &self.accounts {
            let mut plain =
                Account { terms: account.terms, pass: account.pass, ..Account::default() };
            for (job, standing) in standings.iter().filter(|(_, job)| job.owner == *owner) {
                plain.put_in(*job, *standing);
            }
            assert_eq!(plain.leases, account.leases, "{owner:?}: leases are miscounted");
            assert_eq!(plain.ready, account.ready, "{owner:?}: jobs are misfiled");
        }
        let ranks = self.accounts.iter().filter_map(|(owner, account)| account.rank(*owner));
        let ranks: BTreeSet<_> = ranks.collect();
        let passes: BTreeSet<_> = ranks.iter().map(|rank| (rank.pass, rank.owner)).collect();
        assert_eq!(ranks, self.order, "owners are misfiled");
        assert_eq!(passes, self.passes, "owners are misfiled by their passes");
        if let (Some((last, _)), Some((first, _))) = (passes.first(), passes.last()) {
            assert!(self.floor <= *last, "an owner that has something began too far behind");
            assert!(first - last <= BEHIND_MAX + STRIDE, "an owner is too far behind");
        }
        let needs = standings.iter().filter_map(|(job, standing)| Some((standing.needs?, *job)));
        assert_eq!(needs.collect::<BTreeSet<_>>(), self.needs, "needs are misfiled");
        let late = standings.iter().filter_map(|(job, standing)| Some((standing.late_at?, *job)));
        assert_eq!(late.collect::<BTreeSet<_>>(), self.late, "late jobs are misfiled");
        let last = standings.iter().filter_map(|(job, known)| Some((known.last_due_at?, *job)));
        assert_eq!(last.collect::<BTreeSet<_>>(), self.last_due, "due jobs are misfiled");
    }
}

impl Account {
    fn rank(&self, owner: Owner) -> Option<OwnerRank> {
        let rank = OwnerRank {
            leases: self.leases,
            weight: self.terms.weight.get(),
            pass: self.pass,
            owner,
        };
        (!self.ready.is_empty()).then_some(rank)
    }

    /// Its jobs that need no more memory, in their order: the files of all limits are merged.
    fn fitting(&self, memory_bytes: u64) -> impl Iterator<Item = JobId> {
        let files = self.ready.range(..=memory_bytes).map(|(_, jobs)| {
            let mut rest = jobs.iter();
            (rest.next(), rest)
        });
        let mut files: Vec<_> = files.collect();
        std::iter::from_fn(move || {
            let waiting = files.iter_mut().filter(|(first, _)| first.is_some());
            let (first, rest) = waiting.min_by_key(|file| file.0)?;
            let (_, _, job) = std::mem::replace(first, rest.next())?;
            Some(*job)
        })
    }

    fn put_in(&mut self, job: JobId, standing: Standing) {
        self.leases += standing.leases;
        if let Some(memory_bytes) = standing.needs {
            self.ready.entry(memory_bytes).or_default().insert(standing.rank(job));
        }
    }

    fn take_out(&mut self, job: JobId, standing: Standing) {
        self.leases -= standing.leases;
        if let Some(memory_bytes) = standing.needs
            && let Some(jobs) = self.ready.get_mut(&memory_bytes)
        {
            jobs.remove(&standing.rank(job));
            if jobs.is_empty() {
                self.ready.remove(&memory_bytes);
            }
        }
    }
}

impl Standing {
    fn rank(self, job: JobId) -> JobRank {
        (Reverse(self.priority), self.leases, job)
    }
}

impl Ord for OwnerRank {
    /// By leases over weight, without rounding; total, so that no two owners are in one place.
    fn cmp(&self, other: &Self) -> Ordering {
        let share = |rank: &Self, weight: u32| u128::from(rank.leases) * u128::from(weight);
        let by_share = share(self, other.weight).cmp(&share(other, self.weight));
        by_share.then(self.pass.cmp(&other.pass)).then(self.owner.cmp(&other.owner))
    }
}

impl PartialOrd for OwnerRank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Job {
    /// What decides about its turn while it runs. A paused one is not asked, but what runs of it
    /// counts.
    pub(crate) fn standing(&self) -> Option<Standing> {
        let takes_turns = self.takes_turns();
        let needs = self.needs().filter(|_| takes_turns);
        let late_at = self.stages.iter().filter_map(Stage::late_at).min();
        let last_due_at = self.stages.iter().filter_map(Stage::last_due_at).max();
        let (late_at, last_due_at) =
            (late_at.filter(|_| takes_turns), last_due_at.filter(|_| takes_turns));
        let (owner, leases, priority) = (self.owner, self.attempts_leased(), self.priority);
        self.is_running().then_some(Standing {
            owner,
            leases,
            priority,
            needs,
            late_at,
            last_due_at,
        })
    }

    /// The least memory that anything of it needs which can be handed out now.
    fn needs(&self) -> Option<u64> {
        let waiting = self.stages.iter().filter(|stage| stage.has_something_for_somebody());
        waiting.map(|stage| stage.memory_bytes()).min()
    }
}

impl Core {
    /// Files a job after a change of its books.
    pub(crate) fn file(&mut self, id: JobId) {
        self.turns.file(id, self.jobs.get(&id).and_then(Job::standing));
    }

    /// Files all running jobs: after a restart, and when its grace ends.
    pub(crate) fn file_all(&mut self) {
        for id in &self.running {
            self.turns.file(*id, self.jobs[id].standing());
        }
    }
}
