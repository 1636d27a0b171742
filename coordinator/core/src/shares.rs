//! Submitters: what each may use, and whose turn it is.
//!
//! A submitter's share of the slots goes by its weight: the one with the fewest leases for its
//! weight is served first. When slots are so few that this ties again and again, the one served
//! least for its weight goes first (stride scheduling: Waldspurger & Weihl 1995, MIT/LCS/TM-528); a
//! newcomer begins where the others are, so that nobody saves up turns.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use gleaner_protocol::{BlobRef, JobId, SubmitterId, SubmitterTerms};

use crate::core::Core;
use crate::holdings::Holdings;
use crate::job::Job;

/// How far one turn takes a submitter of weight 1.
const STRIDE: u64 = 1 << 20;

/// Whose a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// Whoever runs the coordinator: weight 1, no quotas.
    Operator,
    /// One from elsewhere, on the coordinator's list.
    Submitter(SubmitterId),
}

/// A limit that a submission would go over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverQuota {
    /// So many jobs run already.
    Jobs {
        /// How many run.
        running: u32,
        /// The limit.
        max: u32,
    },
    /// The blobs would be too much.
    Storage {
        /// The bytes that the submitter's jobs refer to, each blob once.
        used: u64,
        /// What the job would add.
        wanted: u64,
        /// The limit.
        max: u64,
    },
}

/// What an owner's jobs take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Jobs that run.
    pub jobs_running: u32,
    /// Bytes of the blobs that its jobs refer to, ended ones and outputs too, each blob once.
    pub storage_bytes: u64,
}

/// The accounts of all owners. One that was never set has the default terms.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    accounts: BTreeMap<Owner, Account>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Account {
    terms: SubmitterTerms,
    /// How far it has come: grows with each turn by a stride over its weight.
    pass: u64,
}

impl Shares {
    pub(crate) fn recover(submitters: Vec<(SubmitterId, SubmitterTerms)>) -> Self {
        let mut shares = Self::default();
        for (submitter, terms) in submitters {
            shares.set(submitter, terms);
        }
        shares
    }

    pub(crate) fn set(&mut self, submitter: SubmitterId, terms: SubmitterTerms) {
        self.accounts.entry(Owner::Submitter(submitter)).or_default().terms = terms;
    }

    /// An owner who had nothing running begins where those who have are.
    fn enter(&mut self, owner: Owner, others: impl Iterator<Item = Owner>) {
        if let Some(pass) = others.map(|other| self.account(other).pass).min() {
            let account = self.accounts.entry(owner).or_default();
            account.pass = account.pass.max(pass);
        }
    }

    pub(crate) fn note_turn(&mut self, owner: Owner) {
        let account = self.accounts.entry(owner).or_default();
        account.pass += STRIDE / u64::from(account.terms.weight.get());
    }

    /// Who of two goes first, each given with its leases. Total, so that sorting keeps the jobs of
    /// an owner together.
    fn compare(
        &self,
        (one, one_leases): (Owner, u64),
        (other, other_leases): (Owner, u64),
    ) -> Ordering {
        let (account, other_account) = (self.account(one), self.account(other));
        let weight = |account: Account| u128::from(account.terms.weight.get());
        let by_leases = (u128::from(one_leases) * weight(other_account))
            .cmp(&(u128::from(other_leases) * weight(account)));
        by_leases.then(account.pass.cmp(&other_account.pass)).then(one.cmp(&other))
    }

    fn account(&self, owner: Owner) -> Account {
        self.accounts.get(&owner).copied().unwrap_or_default()
    }
}

impl Core {
    /// The running jobs in the order in which they are asked for work: between owners by their
    /// shares, between an owner's jobs those of higher priority first, and of equal ones the one
    /// with the fewest leases. Paused ones are not asked, but what runs of them counts.
    pub(crate) fn jobs_in_turn(&self) -> Vec<&Job> {
        let mut jobs: Vec<_> = self.running.iter().map(|id| &self.jobs[id]).collect();
        let mut leases = BTreeMap::<Owner, u64>::new();
        for job in &jobs {
            *leases.entry(job.owner).or_default() += job.attempts_leased();
        }
        jobs.retain(|job| job.takes_turns());
        let share = |job: &Job| (job.owner, leases[&job.owner]);
        jobs.sort_by(|one, other| {
            let by_share = self.shares.compare(share(one), share(other));
            by_share
                .then_with(|| other.priority.cmp(&one.priority))
                .then_with(|| one.attempts_leased().cmp(&other.attempts_leased()))
        });
        jobs
    }

    /// What `owner`'s jobs take now.
    pub(crate) fn usage(&self, owner: Owner) -> Usage {
        let running = self.running.iter().filter(|id| self.jobs[id].owner == owner).count();
        Usage {
            jobs_running: running.try_into().unwrap_or(u32::MAX),
            storage_bytes: self.holdings.bytes(owner),
        }
    }

    /// The first quota that a job with these blobs would break.
    pub(crate) fn over_quota(
        &self,
        owner: Owner,
        blobs: impl Iterator<Item = BlobRef>,
    ) -> Option<OverQuota> {
        let SubmitterTerms { jobs_max, storage_bytes_max, .. } = self.shares.account(owner).terms;
        if let Some(max) = jobs_max {
            let running = self.usage(owner).jobs_running;
            if running >= max {
                return Some(OverQuota::Jobs { running, max });
            }
        }
        let max = storage_bytes_max?;
        let (used, wanted) = (self.holdings.bytes(owner), self.holdings.new_bytes(owner, blobs));
        (used.saturating_add(wanted) > max).then_some(OverQuota::Storage { used, wanted, max })
    }

    /// Puts the owner of a job that was newly taken or is resumed among those who take turns; to
    /// be called before the job is among those that do.
    pub(crate) fn enter_turns(&mut self, owner: Owner) {
        let jobs = self.running.iter().map(|id| &self.jobs[id]).filter(|job| job.takes_turns());
        let owners: BTreeSet<_> = jobs.map(|job| job.owner).collect();
        if !owners.contains(&owner) {
            self.shares.enter(owner, owners.into_iter());
        }
    }

    /// What these jobs refer to.
    pub(crate) fn holdings_of(jobs: &BTreeMap<JobId, Job>) -> Holdings {
        let mut holdings = Holdings::default();
        jobs.values().for_each(|job| holdings.add(job.owner, job.blobs()));
        holdings
    }
}
