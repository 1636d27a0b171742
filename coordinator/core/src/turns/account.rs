//! The account of one owner: its jobs as they wait for their turns.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use gleaner_protocol::{JobId, SubmitterTerms};

use super::Standing;
use crate::Owner;
use crate::filing::refile;
use crate::slot_time::{SlotTime, VirtualTime};

#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) terms: SubmitterTerms,
    /// What its leases had that have ended, over its weight, and what those that stand had so far.
    pub(super) served: VirtualTime,
    /// What its leases should still take.
    pub(super) out: SlotTime,
    /// Its jobs that have something to be handed out, by the least memory that any of it needs:
    /// there are few limits, and many jobs may wait for workers with more memory.
    pub(super) ready: BTreeMap<u64, BTreeSet<JobRank>>,
    /// Those of each priority, by what they have had.
    pub(super) levels: BTreeMap<i32, Level>,
    /// How many of its jobs run.
    pub(super) running: u64,
}

/// The jobs of an owner that have one priority and something to be handed out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Level {
    /// Where a job begins that joins them: how far the last of them has come; never less than
    /// before, while any job of the owner runs.
    pub(super) floor: VirtualTime,
    pub(super) served: BTreeSet<(VirtualTime, JobId)>,
}

/// A running job as it is filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Filed {
    pub(super) standing: Standing,
    /// As its owner's, among its owner's jobs; they weigh the same.
    pub(super) served: VirtualTime,
}

/// The place of an owner: how far it has come, with all that is out; the least is served first.
pub(super) type OwnerRank = (VirtualTime, Owner);

/// The place of a job among its owner's; the least is served first.
pub(super) type JobRank = (Reverse<i32>, VirtualTime, JobId);

impl Account {
    pub(super) fn weight(&self) -> u64 {
        self.terms.weight.get().into()
    }

    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// How far it has come once all that is out is through.
    pub(super) fn start(&self) -> VirtualTime {
        self.served.plus(self.out.over(self.weight()))
    }

    pub(super) fn rank(&self, owner: Owner) -> Option<OwnerRank> {
        self.is_ready().then_some((self.start(), owner))
    }

    /// Its place among those that have something, by what it has had.
    pub(super) fn served_rank(&self, owner: Owner) -> Option<OwnerRank> {
        self.is_ready().then_some((self.served, owner))
    }

    /// A job as it is filed from now on. One that joins others begins where they are.
    pub(super) fn filed(&self, before: Option<Filed>, standing: Standing) -> Filed {
        let had = standing.had.minus(before.map_or(SlotTime::default(), |was| was.standing.had));
        let served = before.map_or(VirtualTime::default(), |was| was.served).plus(had.over(1));
        let level = self.levels.get(&standing.priority);
        let floor = level.map_or(VirtualTime::default(), |level| level.floor);
        let before = before.filter(|was| was.standing.priority == standing.priority);
        let served = match before.map(|was| was.standing.needs.is_some()) {
            None => floor,
            Some(false) if standing.needs.is_some() => served.max(floor),
            Some(_) => served,
        };
        Filed { standing, served }
    }

    /// Its jobs that need no more memory, in their order: the files of all limits are merged.
    pub(super) fn fitting(&self, memory_bytes: u64) -> impl Iterator<Item = JobId> {
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

    /// The job of a priority that has come least far.
    pub(super) fn last_of(&self, priority: i32) -> Option<(VirtualTime, JobId)> {
        let from = (Reverse(priority), VirtualTime::default(), JobId(0));
        let firsts = self.ready.values().filter_map(|jobs| jobs.range(from..).next());
        let of_level = firsts.filter(|(Reverse(of), _, _)| *of == priority);
        of_level.map(|(_, start, job)| (*start, *job)).min()
    }

    /// Files a job anew.
    pub(super) fn refile(&mut self, job: JobId, before: Option<Filed>, after: Option<Filed>) {
        if let Some(Filed { standing, .. }) = before {
            self.out = self.out.minus(standing.out);
            self.running -= 1;
        }
        if let Some(Filed { standing, .. }) = after {
            self.out = self.out.plus(standing.out);
            self.running += 1;
        }
        self.refile_ready(job, before, after);
        let place = |filed: Filed| filed.standing.needs.map(|_| (filed.served, job));
        let level = |filed: Filed| filed.standing.priority;
        let (was, is) = (before.map(level), after.map(level));
        for priority in [was, is.filter(|is| Some(*is) != was)].into_iter().flatten() {
            let of_level = |filed: &Filed| level(*filed) == priority;
            let (before, after) = (before.filter(of_level), after.filter(of_level));
            let level = self.levels.entry(priority).or_default();
            refile(&mut level.served, before.and_then(place), after.and_then(place));
            if let Some((last, _)) = level.served.first() {
                level.floor = level.floor.max(*last);
            }
        }
        if self.running == 0 {
            self.levels.clear();
        }
    }

    fn refile_ready(&mut self, job: JobId, before: Option<Filed>, after: Option<Filed>) {
        let place = |filed: Filed| Some((filed.standing.needs?, filed.rank(job)));
        let (before, after) = (before.and_then(place), after.and_then(place));
        if before == after {
            return;
        }
        if let Some((memory_bytes, rank)) = before
            && let Some(jobs) = self.ready.get_mut(&memory_bytes)
        {
            jobs.remove(&rank);
            if jobs.is_empty() && after.is_none_or(|(other, _)| other != memory_bytes) {
                self.ready.remove(&memory_bytes);
            }
        }
        if let Some((memory_bytes, rank)) = after {
            self.ready.entry(memory_bytes).or_default().insert(rank);
        }
    }
}

impl Filed {
    pub(super) fn rank(&self, job: JobId) -> JobRank {
        (Reverse(self.standing.priority), self.start(), job)
    }

    pub(super) fn start(&self) -> VirtualTime {
        self.served.plus(self.standing.out.over(1))
    }
}
