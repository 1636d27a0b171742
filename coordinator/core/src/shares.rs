//! Submitters: what each may use. Whose turn it is, is in `turns.rs`.

use std::collections::BTreeMap;

use gleaner_protocol::{BlobRef, JobId, SubmitterId, SubmitterTerms};

use crate::core::Core;
use crate::holdings::Holdings;
use crate::job::Job;

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

impl Core {
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
        let SubmitterTerms { jobs_max, storage_bytes_max, .. } = self.turns.terms(owner);
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

    /// What these jobs refer to.
    pub(crate) fn holdings_of(jobs: &BTreeMap<JobId, Job>) -> Holdings {
        let mut holdings = Holdings::default();
        jobs.values().for_each(|job| holdings.add(job.owner, job.blobs()));
        holdings
    }
}
