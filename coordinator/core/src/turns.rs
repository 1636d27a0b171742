//! Whose turn it is to have a unit handed out: by start-time fair queueing (Goyal, Vin & Cheng
//! 1996, SIGCOMM; for processors and costs not known before: Goyal, Guo & Vin 1996, OSDI).
//!
//! A submitter's share of the slots' time goes by its weight. Each owner has a virtual time, which
//! grows by the slot time of its leases over its weight: by what a lease should take when it is
//! handed out, corrected to what it had when it ends (`slot_time.rs` says what is believed of
//! that). A lease of unknown cost counts as a short one, and as what others of its stage have taken
//! so far. The owner that has come least far is served first. Nobody saves up: who had nothing to
//! be handed out begins where the last of the others is, without what that one has out. Of an
//! owner's jobs those of higher priority go first; those of equal priority share its slots in the
//! same way.
//!
//! Invariants: while two owners have something to be handed out to the workers present, what each
//! has had over its weight differs by no more than what the two have out at one time over their
//! weights, by what that should take or takes in the end, whichever is more. So an owner that has
//! something for a worker that asks is served before another one, for its weight, has had more than
//! that. To this comes what all slots do in [`AHEAD_MAX`], and a worker in that time: so far another
//! one may come before it, or another job before one of the same owner, where the worker has its
//! files (`locality.rs`). An owner that few workers can serve falls behind what the others have had,
//! without what they have out, by what all slots do in [`BEHIND_MAX`] at the most: so long it may
//! catch up.
//!
//! A job is filed anew with every change of its books, so that no turn looks at all of them.

mod account;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gleaner_protocol::{JobId, SubmitterId, SubmitterTerms, Timestamp};

use self::account::{Account, Filed, OwnerRank};
use crate::Owner;
use crate::core::Core;
use crate::filing::refile;
use crate::job::Job;
use crate::locality::AHEAD_MAX;
use crate::slot_time::{SlotTime, VirtualTime};
use crate::stage::Stage;

/// What all slots do in so long, who could not be served may catch up.
const BEHIND_MAX: Duration = Duration::from_secs(60);

/// How many jobs are near their turn at a time, and how many are looked at for them.
const NEAR_MAX: usize = 16;
/// See [`NEAR_MAX`].
const LATER_LOOKED_AT_MAX: usize = 256;

/// The accounts of all owners, and the order of those who have something to be handed out. An owner
/// that was never set has the default terms.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    accounts: BTreeMap<Owner, Account>,
    /// Running jobs as they are filed.
    jobs: BTreeMap<JobId, Filed>,
    /// Owners with jobs that have something to be handed out.
    order: BTreeSet<OwnerRank>,
    /// The same, by what they have had.
    served: BTreeSet<OwnerRank>,
    /// How much the last of these has had; never less than before.
    floor: VirtualTime,
    /// The weights of these together.
    weights: u64,
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
    priority: i32,
    /// What its leases should still take.
    out: SlotTime,
    /// What they have had, ended ones too.
    had: SlotTime,
    /// What can be handed out now needs so much memory at least, if anything can.
    needs: Option<u64>,
    /// When a unit that is out is late, while one may be.
    late_at: Option<Timestamp>,
    /// When the last of the units that are out should be settled, at the end of a stage.
    last_due_at: Option<Timestamp>,
}

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

    /// A unit of a job that stands so from now on is handed out. Those whom its worker could not
    /// serve, and who have fallen too far behind what all `slots` do, are lifted.
    pub(crate) fn take_turn(&mut self, job: JobId, standing: Option<Standing>, slots: u64) {
        if let Some(filed) = self.jobs.get(&job).copied() {
            let behind_max = SlotTime::of_slots(slots.max(1), BEHIND_MAX);
            self.lift_owners(filed.standing.owner, behind_max);
            self.lift_jobs(filed, behind_max);
        }
        self.file(job, standing);
    }

    fn lift_owners(&mut self, served: Owner, behind_max: SlotTime) {
        let reached = self.accounts.get(&served).map(|account| account.served).unwrap_or_default();
        let floor = reached.minus(behind_max.over(self.weights));
        let to = reached.minus(behind_max.over(2 * self.weights));
        while let Some((_, last)) = self.order.first().copied().filter(|(at, _)| *at < floor) {
            self.change(last, |account| {
                account.served = account.served.plus(to.minus(account.start()));
            });
        }
    }

    /// The same, among the jobs of an owner that have the priority of the one that is served.
    fn lift_jobs(&mut self, served: Filed, behind_max: SlotTime) {
        let Standing { owner, priority, .. } = served.standing;
        let floor = served.served.minus(behind_max.over(1));
        let to = served.served.minus(behind_max.over(2));
        while let Some((at, last)) =
            self.accounts[&owner].last_of(priority).filter(|(at, _)| *at < floor)
        {
            let filed = self.jobs.get_mut(&last).expect("a job that has something is filed");
            let before = *filed;
            filed.served = filed.served.plus(to.minus(at));
            let after = *filed;
            self.change(owner, |account| account.refile(last, Some(before), Some(after)));
        }
    }

    /// Files a job as it stands; one that has ended is nowhere.
    pub(crate) fn file(&mut self, job: JobId, standing: Option<Standing>) {
        let before = self.jobs.get(&job).copied();
        if before.map(|filed| filed.standing) != standing
            && let Some(Standing { owner, .. }) = standing.or(before.map(|filed| filed.standing))
        {
            self.refile_job(job, owner, before, standing);
        }
    }

    fn refile_job(
        &mut self,
        job: JobId,
        owner: Owner,
        before: Option<Filed>,
        standing: Option<Standing>,
    ) {
        let account = self.accounts.entry(owner).or_default();
        let after = standing.map(|standing| account.filed(before, standing));
        match after {
            Some(after) => drop(self.jobs.insert(job, after)),
            None => drop(self.jobs.remove(&job)),
        }
        let had = |filed: Option<Filed>| filed.map_or(SlotTime::default(), |it| it.standing.had);
        let more = had(after).minus(had(before));
        self.change(owner, |account| {
            account.served = account.served.plus(more.over(account.weight()));
            account.refile(job, before, after);
        });
        let place = |filed: Option<Filed>| Some((filed?.standing.needs?, job));
        refile(&mut self.needs, place(before), place(after));
        let late = |filed: Option<Filed>| Some((filed?.standing.late_at?, job));
        refile(&mut self.late, late(before), late(after));
        let last_due = |filed: Option<Filed>| Some((filed?.standing.last_due_at?, job));
        refile(&mut self.last_due, last_due(before), last_due(after));
    }

    /// The jobs that have something to be handed out to slots with so much memory, in the order in
    /// which they are asked for it.
    pub(crate) fn jobs(&self, memory_bytes: u64) -> impl Iterator<Item = JobId> {
        let fitting = move |(_, owner): &OwnerRank| self.accounts[owner].fitting(memory_bytes);
        self.order.iter().flat_map(fitting)
    }

    /// The jobs that may come before `first`, whose turn it is among those for slots with so much
    /// memory: no other one of their owner's comes before them that has a higher priority, and their
    /// own turn is near.
    pub(crate) fn near(
        &self,
        first: JobId,
        memory_bytes: u64,
        slots: u64,
    ) -> impl Iterator<Item = JobId> {
        let later = self.jobs(memory_bytes).skip_while(move |id| *id != first).skip(1);
        let mut head = self.jobs[&first];
        let with_head = later.take(LATER_LOOKED_AT_MAX).map(move |id| {
            let filed = self.jobs[&id];
            if filed.standing.owner != head.standing.owner {
                head = filed;
            }
            (id, filed, head)
        });
        let ahead = SlotTime::of_slots(slots.max(1), AHEAD_MAX);
        let first = self.jobs[&first];
        let near = with_head.filter(move |(_, filed, head)| {
            self.is_near_among_owners(first, *filed, ahead)
                && self.is_near_among_jobs(*head, *filed, ahead)
        });
        near.map(|(id, ..)| id).take(NEAR_MAX)
    }

    /// Whether the owner of a job is not much further than that of the first one.
    fn is_near_among_owners(&self, first: Filed, filed: Filed, ahead: SlotTime) -> bool {
        let start = |filed: Filed| self.accounts[&filed.standing.owner].start();
        start(filed) <= start(first).plus(ahead.over(self.weights))
    }

    /// Whether a job is not much further than its owner's first one, in what slots do for that owner.
    fn is_near_among_jobs(&self, head: Filed, filed: Filed, ahead: SlotTime) -> bool {
        let weight = self.accounts[&filed.standing.owner].weight();
        let of_owner = ahead.share(weight, self.weights);
        filed.standing.priority == head.standing.priority
            && filed.start() <= head.start().plus(of_owner.over(1))
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
        let before = (account.rank(owner), account.served_rank(owner));
        let weight = |account: &Account| if account.is_ready() { account.weight() } else { 0 };
        let weight_before = weight(account);
        change(account);
        if before.0.is_none() && account.is_ready() {
            account.served = account.served.max(self.floor);
        }
        self.weights = self.weights - weight_before + weight(account);
        refile(&mut self.order, before.0, account.rank(owner));
        refile(&mut self.served, before.1, account.served_rank(owner));
        if let Some((last, _)) = self.served.first() {
            self.floor = self.floor.max(*last);
        }
    }

    /// Compares the files with the jobs that run.
    pub(crate) fn check_invariants<'a>(&self, running: impl Iterator<Item = &'a Job>) {
        let standings: BTreeMap<_, _> =
            running.filter_map(|job| Some((job.id, job.standing()?))).collect();
        let filed: BTreeMap<_, _> =
            self.jobs.iter().map(|(job, filed)| (*job, filed.standing)).collect();
        assert_eq!(standings, filed, "jobs are misfiled");
        for (owner, account) in &self.accounts {
            self.check_account(*owner, account);
        }
        let ready = self.accounts.iter().filter(|(_, account)| account.is_ready());
        let weights = ready.map(|(_, account)| account.weight());
        assert_eq!(weights.sum::<u64>(), self.weights, "weights are miscounted");
        let ranks = |of: fn(&Account, Owner) -> Option<OwnerRank>| -> BTreeSet<_> {
            self.accounts.iter().filter_map(|(owner, account)| of(account, *owner)).collect()
        };
        assert_eq!(ranks(Account::rank), self.order, "owners are misfiled");
        assert_eq!(ranks(Account::served_rank), self.served, "owners are misfiled by their time");
        if let Some((last, _)) = self.served.first() {
            assert!(self.floor <= *last, "an owner that has something began too far behind");
        }
        let needs = standings.iter().filter_map(|(job, standing)| Some((standing.needs?, *job)));
        assert_eq!(needs.collect::<BTreeSet<_>>(), self.needs, "needs are misfiled");
        let late = standings.iter().filter_map(|(job, standing)| Some((standing.late_at?, *job)));
        assert_eq!(late.collect::<BTreeSet<_>>(), self.late, "late jobs are misfiled");
        let last = standings.iter().filter_map(|(job, known)| Some((known.last_due_at?, *job)));
        assert_eq!(last.collect::<BTreeSet<_>>(), self.last_due, "due jobs are misfiled");
    }

    fn check_account(&self, owner: Owner, account: &Account) {
        let mut plain = Account { terms: account.terms, ..Account::default() };
        for (job, filed) in self.jobs.iter().filter(|(_, filed)| filed.standing.owner == owner) {
            plain.refile(*job, None, Some(*filed));
        }
        assert_eq!(plain.out, account.out, "{owner:?}: what is out is miscounted");
        assert_eq!(plain.ready, account.ready, "{owner:?}: jobs are misfiled");
        for (priority, level) in &account.levels {
            let plain = plain.levels.get(priority).map(|plain| &plain.served);
            assert!(plain.is_none_or(|plain| *plain == level.served), "{owner:?}: misfiled");
            assert!(plain.is_some() || level.served.is_empty(), "{owner:?}: misfiled");
            if let Some((last, _)) = level.served.first() {
                assert!(level.floor <= *last, "{owner:?}: a job began too far behind");
            }
        }
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
        let sum = |of: fn(&Stage) -> SlotTime| {
            self.stages.iter().map(of).fold(SlotTime::default(), SlotTime::plus)
        };
        self.is_running().then_some(Standing {
            owner: self.owner,
            priority: self.priority,
            out: sum(Stage::charged_out),
            had: sum(Stage::charged_had),
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
