//! What must hold whatever happens, each in a file of its own. None of them is known to the world
//! that it watches.

mod answers;
mod attempts;
mod memory;
mod shares;
mod speech;

use std::collections::BTreeSet;

use gleaner_coordinator_core::{Action, Record, Reply};
use gleaner_protocol::{AttemptId, JobId, LeaseClaims, ReleaseReason, UnitResult, WorkerId};

use self::attempts::Attempts;
pub(crate) use self::attempts::meets_no_other;
pub(crate) use self::memory::Holds;
use self::shares::Shares;
use crate::store::Store;

/// All checks that look at the coordinator.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    attempts: Attempts,
    shares: Shares,
    /// Jobs of which a submitter was told that they were taken.
    taken: BTreeSet<JobId>,
}

impl Checks {
    /// Checks on a coordinator for machines that take so many times longer than an ordinary one.
    pub(crate) fn on(slowness: Vec<u64>) -> Self {
        Self { shares: Shares::on(slowness), ..Self::default() }
    }

    /// The coordinator starts with what is durable.
    pub(crate) fn on_start(&mut self, store: &Store) {
        self.shares.begin_anew(store);
    }

    /// Looks at something that the core wants done, before it is.
    pub(crate) fn on_action(&mut self, now_us: u64, action: &Action, store: &Store) {
        speech::check(action, store);
        self.attempts.on_action(action, store);
        self.shares.on_action(now_us, action, store);
        match action {
            Action::Reply { reply: Reply::Submitted(job), .. } => drop(self.taken.insert(*job)),
            Action::Reply { reply: Reply::UnknownJob(job), .. } => {
                assert!(!self.taken.contains(job), "{job} was taken and is unknown");
            }
            _ => {}
        }
    }

    /// Compares the core's memory with what it has reason to hold.
    pub(crate) fn memory(&self, holds: &Holds) {
        memory::check(holds);
    }

    pub(crate) fn before_written(&self, record: &Record, store: &Store) {
        answers::check(record, store);
    }

    pub(crate) fn after_written(&mut self, now_us: u64, record: &Record) {
        self.attempts.after_written(record);
        self.shares.after_written(now_us, record);
    }

    /// A worker comes back with what it holds.
    pub(crate) fn on_hello<'a>(
        &mut self,
        now_us: u64,
        worker: WorkerId,
        held: impl Iterator<Item = &'a LeaseClaims>,
        store: &Store,
    ) {
        self.shares.on_hello(now_us, worker, held, store);
    }

    /// Results of a worker arrive.
    pub(crate) fn on_results(&mut self, now_us: u64, worker: WorkerId, results: &[UnitResult]) {
        self.shares.on_results(now_us, worker, results);
    }

    /// A worker gives leases back.
    pub(crate) fn on_released(
        &mut self,
        now_us: u64,
        worker: WorkerId,
        attempts: &[AttemptId],
        reason: ReleaseReason,
    ) {
        self.shares.on_released(worker, attempts);
        if matches!(reason, ReleaseReason::Unable(_)) {
            self.shares.on_unable(now_us, attempts);
        }
    }

    /// The most that two submitters' shares were apart, in parts of a hundred of what they may be.
    pub(crate) fn apart_most(&self) -> u64 {
        self.shares.apart_most
    }

    pub(crate) fn jobs_taken(&self) -> impl Iterator<Item = JobId> + '_ {
        self.taken.iter().copied()
    }
}
