//! A unit in flight: who runs it, what they said, and when that is enough.
//!
//! ```text
//!              lease                  result
//! Waiting ────────────────► Leased ────────────────► Accepted
//!    ▲                         │                        │  │
//!    │ release, expiry,        │        too few agree   │  │ quorum of equal answers
//!    │ inconclusive outcome    │ ◄──────────────────────┘  ▼
//!    └─────────────────────────┘                        Settled
//! ```
//! The states follow from the facts kept: a unit is Waiting while [`Unit::attempts_wanted`] is
//! over zero, Leased while it has leases, Accepted while it has opinions. A settled unit is
//! dropped from memory but for one bit of its stage.

use std::collections::BTreeSet;
use std::time::Duration;

use gleaner_protocol::{OutcomeClass, Timestamp, WorkerId};

use crate::Opinion;
use crate::pace::Pace;
use crate::slot_time::{Charge, SlotTime};
use crate::tail::{Due, EXTRA_MAX};
use crate::wanting::Place;

#[derive(Debug, Default)]
pub(crate) struct Unit {
    attempts_issued: u32,
    leases: Vec<HeldLease>,
    /// What ended without settling it. Most units have none of that, and many are in flight.
    past: Option<Box<Past>>,
    /// Where it is filed while it wants another attempt.
    pub(crate) wanting: Option<Place>,
    /// Where it is filed at the end of its stage, while it may have one more attempt.
    pub(crate) due: Option<Due>,
}

/// What attempts of a unit came to that is not settled.
#[derive(Debug, Default)]
struct Past {
    opinions: Vec<Opinion>,
    inconclusive: Vec<(u32, WorkerId)>,
}

/// Who is given a lease, as far as it decides when the result comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    pub(crate) worker: WorkerId,
    pub(crate) pace: Pace,
    /// How long it is about until one of its slots is free.
    pub(crate) wait: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldLease {
    pub(crate) attempt: u32,
    pub(crate) worker: WorkerId,
    /// When it was granted, or adopted after a restart.
    pub(crate) leased_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// About when its result comes; none while nobody knows how long such units take.
    pub(crate) due_at: Option<Timestamp>,
    /// Since when its worker says that it runs; none while it waits there.
    pub(crate) running_since: Option<Timestamp>,
    /// The slot time that it is charged.
    pub(crate) charge: Charge,
}

/// Time is told in such steps.
const CLOCK_TICK: Duration = Duration::from_millis(1);

impl HeldLease {
    /// The most that an attempt can have taken on a slot since its lease was granted or adopted.
    pub(crate) fn stood_for(&self, now: Timestamp) -> Duration {
        now.saturating_since(self.leased_at) + CLOCK_TICK
    }

    /// What it has had while its worker says that it runs.
    pub(crate) fn runs_for(&self, now: Timestamp) -> SlotTime {
        let since = self.running_since.map(|since| now.saturating_since(since));
        SlotTime::of(since.unwrap_or_default()).max(self.charge.had)
    }
}

/// What a new opinion led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// Too few agree so far.
    Open,
    /// The quorum agrees with this opinion.
    Settled(OutcomeClass),
}

impl Unit {
    /// A unit as a restart finds it: attempts up to `attempts_issued` may be in workers' hands.
    pub(crate) fn recovered(attempts_issued: u32) -> Self {
        Self { attempts_issued, ..Self::default() }
    }

    /// Attempts up to this number may be in workers' hands.
    pub(crate) fn raise_attempts_issued(&mut self, attempt: u32) {
        self.attempts_issued = self.attempts_issued.max(attempt);
    }

    /// How many attempts should be started now for the quorum to be reached, if all that run
    /// agree with the largest group so far.
    pub(crate) fn attempts_wanted(&self, quorum: u32) -> u32 {
        let agreeing = self.opinions().iter().map(|opinion| self.agreeing_with(opinion)).max();
        let expected = agreeing.unwrap_or(0) + self.leases.len();
        quorum.saturating_sub(u32::try_from(expected).unwrap_or(u32::MAX))
    }

    /// Whether `worker` takes no part in the unit yet: attempts of a unit never meet.
    pub(crate) fn is_new_to(&self, worker: WorkerId) -> bool {
        !self.leases.iter().any(|lease| lease.worker == worker)
            && !self.opinions().iter().any(|opinion| opinion.worker == worker)
    }

    /// Whether an attempt by `worker` ended without an answer before.
    pub(crate) fn was_inconclusive_on(&self, worker: WorkerId) -> bool {
        self.past_inconclusive().iter().any(|(_, other)| *other == worker)
    }

    /// How many attempts run beyond those that its quorum needs.
    pub(crate) fn extra_attempts(&self, quorum: u32) -> usize {
        let agreeing = self.opinions().iter().map(|opinion| self.agreeing_with(opinion)).max();
        (agreeing.unwrap_or(0) + self.leases.len()).saturating_sub(quorum as usize)
    }

    /// When its attempts should have settled it, while all that it needs run and it may have one
    /// more.
    pub(crate) fn expected(&self, quorum: u32) -> Option<Due> {
        let extra = self.extra_attempts(quorum);
        if self.leases.is_empty() || self.wanting.is_some() || extra >= EXTRA_MAX {
            return None;
        }
        // An attempt is made beyond those needed where it is expected to come first.
        self.leases[extra..].iter().map(Due::of).max()
    }

    /// The number of its next attempt, `first` at the least.
    pub(crate) fn issue(&mut self, first: u32) -> u32 {
        self.attempts_issued = first.max(self.attempts_issued + 1);
        self.attempts_issued
    }

    /// Enters the lease of an attempt that was issued.
    pub(crate) fn lease(&mut self, lease: HeldLease) {
        // Nearly all units have one lease, and many are in flight.
        self.leases.reserve_exact(1);
        self.leases.push(lease);
    }

    /// Takes back a lease granted before a restart; harmless when it is known.
    pub(crate) fn adopt(&mut self, lease: HeldLease) {
        self.raise_attempts_issued(lease.attempt);
        if self.is_new_to(lease.worker) {
            self.leases.push(lease);
        }
    }

    /// The lease of an attempt, if it stands and is `worker`'s.
    pub(crate) fn lease_of(&mut self, worker: WorkerId, attempt: u32) -> Option<&mut HeldLease> {
        self.leases.iter_mut().find(|lease| lease.worker == worker && lease.attempt == attempt)
    }

    /// Ends the lease of an attempt, if it stood.
    pub(crate) fn end_lease(&mut self, worker: WorkerId, attempt: u32) -> Option<HeldLease> {
        let is_it = |lease: &HeldLease| lease.worker == worker && lease.attempt == attempt;
        let at = self.leases.iter().position(is_it)?;
        Some(self.leases.remove(at))
    }

    /// Takes an opinion; a worker has one for each unit, and the first counts. One that settles the
    /// unit is not kept.
    pub(crate) fn on_opinion(&mut self, opinion: Opinion, quorum: u32) -> Agreement {
        let is_first = !self.has_opinion_of(opinion.worker);
        if self.agreeing_with(&opinion) + usize::from(is_first) >= quorum as usize {
            return Agreement::Settled(opinion.class);
        }
        if is_first {
            let opinions = &mut self.past.get_or_insert_default().opinions;
            opinions.reserve_exact(1);
            opinions.push(opinion);
        }
        Agreement::Open
    }

    /// Notes an attempt that ended without an answer: how many there are now.
    pub(crate) fn on_inconclusive(&mut self, attempt: u32, worker: WorkerId) -> usize {
        let past = self.past.get_or_insert_default();
        past.inconclusive.push((attempt, worker));
        past.inconclusive.len()
    }

    /// Whether an attempt is known to have ended without an answer.
    pub(crate) fn is_inconclusive(&self, attempt: u32) -> bool {
        self.past_inconclusive().iter().any(|(known, _)| *known == attempt)
    }

    /// How many attempts ended without an answer.
    pub(crate) fn inconclusive(&self) -> usize {
        self.past_inconclusive().len()
    }

    /// On how many workers.
    pub(crate) fn inconclusive_workers(&self) -> usize {
        self.past_inconclusive().iter().map(|(_, worker)| worker).collect::<BTreeSet<_>>().len()
    }

    pub(crate) fn has_opinion_of(&self, worker: WorkerId) -> bool {
        self.opinions().iter().any(|opinion| opinion.worker == worker)
    }

    pub(crate) fn leases(&self) -> &[HeldLease] {
        &self.leases
    }

    pub(crate) fn leases_mut(&mut self) -> &mut [HeldLease] {
        &mut self.leases
    }

    pub(crate) fn into_leases(self) -> Vec<HeldLease> {
        self.leases
    }

    pub(crate) fn opinions(&self) -> &[Opinion] {
        self.past.as_ref().map_or(&[], |past| &past.opinions)
    }

    fn past_inconclusive(&self) -> &[(u32, WorkerId)] {
        self.past.as_ref().map_or(&[], |past| &past.inconclusive)
    }

    fn agreeing_with(&self, opinion: &Opinion) -> usize {
        self.opinions().iter().filter(|known| known.answer == opinion.answer).count()
    }

    pub(crate) fn check_invariants(&self, quorum: u32) {
        for lease in &self.leases {
            assert!(lease.attempt <= self.attempts_issued, "{lease:?} was never issued");
            let held = self.leases.iter().filter(|other| other.worker == lease.worker).count();
            assert_eq!(held, 1, "one worker holds one unit twice");
        }
        for opinion in self.opinions() {
            let agreeing = self.agreeing_with(opinion);
            assert!(agreeing < quorum as usize, "a settled unit is still in flight");
        }
    }
}
