//! What must hold whatever happens, each in a file of its own. None of them is known to the world
//! that it watches.

mod answers;
mod attempts;
mod speech;

use std::collections::BTreeSet;

use gleaner_coordinator_core::{Action, Record, Reply};
use gleaner_protocol::JobId;

use self::attempts::Attempts;
pub(crate) use self::attempts::meets_no_other;
use crate::store::Store;

/// All checks that look at the coordinator.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    attempts: Attempts,
    /// Jobs of which a submitter was told that they were taken.
    taken: BTreeSet<JobId>,
}

impl Checks {
    /// Looks at something that the core wants done, before it is.
    pub(crate) fn on_action(&mut self, action: &Action, store: &Store) {
        speech::check(action, store);
        self.attempts.on_action(action, store);
        match action {
            Action::Reply { reply: Reply::Submitted(job), .. } => drop(self.taken.insert(*job)),
            Action::Reply { reply: Reply::UnknownJob(job), .. } => {
                assert!(!self.taken.contains(job), "{job} was taken and is unknown");
            }
            _ => {}
        }
    }

    pub(crate) fn before_written(&self, record: &Record, store: &Store) {
        answers::check(record, store);
    }

    pub(crate) fn after_written(&mut self, record: &Record) {
        self.attempts.after_written(record);
    }

    pub(crate) fn jobs_taken(&self) -> impl Iterator<Item = JobId> + '_ {
        self.taken.iter().copied()
    }
}
