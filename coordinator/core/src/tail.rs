//! The end of a stage: all is handed out, and what is settled last decides when it is over.
//!
//! When a unit should be settled is known when it is handed out: by what such units usually take,
//! the pace of its worker, and what that one has to do before. It is known better once the unit
//! runs, once its worker turns out to be faster or slower than was thought (of one that has given
//! no result, what has run for long without an end tells as much), and once the first result tells
//! how long such units take at all. A slot that has nothing else to do makes one more attempt of
//! what it would settle much sooner, and of what is late: its machine is busy with its owner, or
//! gone. Whichever answers first counts (as MapReduce's backup tasks: Dean & Ghemawat 2004, OSDI;
//! by the time at which they are expected to end: Zaharia et al. 2008, OSDI; how many of them a unit
//! may have is from neither). Invariants: nothing that waits is kept waiting by it; a unit has at
//! most [`EXTRA_MAX`] attempts more than its quorum needs.

use std::collections::BTreeSet;
use std::time::Duration;

use gleaner_protocol::Timestamp;

use crate::filing::refile;
use crate::unit::HeldLease;

/// The most attempts of a unit beyond those that its quorum needs. Each is made when the one before
/// is late, or by a much faster machine, and some machines are met by their owners one after
/// another. No source has this number.
pub(crate) const EXTRA_MAX: usize = 4;

/// No unit is late sooner after it was due: its result is on its way.
const LATE_AFTER_MIN: Duration = Duration::from_millis(500);

/// When nobody could take what is late, it is asked again after so long.
const ASKED_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// When a unit should be settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    at: Timestamp,
    basis: Basis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Basis {
    /// When it was handed out; nobody knew how long such units take.
    HandedOut,
    /// When its result comes about.
    Expected,
}

/// The units of which all attempts run that their quorums need, by when they should be settled.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    out: BTreeSet<(Due, u64)>,
    asked_again_at: Timestamp,
}

impl Due {
    pub(crate) fn of(lease: &HeldLease) -> Self {
        match lease.due_at {
            Some(at) => Self { at, basis: Basis::Expected },
            None => Self { at: lease.leased_at, basis: Basis::HandedOut },
        }
    }

    pub(crate) fn expected_at(self) -> Option<Timestamp> {
        (self.basis == Basis::Expected).then_some(self.at)
    }
}

impl Tail {
    pub(crate) fn refile(&mut self, unit: u64, before: Option<Due>, after: Option<Due>) {
        let place = |due: Due| (due, unit);
        refile(&mut self.out, before.map(place), after.map(place));
    }

    pub(crate) fn leave(&mut self, due: Due, unit: u64) {
        self.out.remove(&(due, unit));
    }

    /// The unit that should be settled first.
    pub(crate) fn first(&self) -> Option<(Due, u64)> {
        self.out.first().copied()
    }

    /// The unit that should be settled last.
    pub(crate) fn last(&self) -> Option<(Due, u64)> {
        self.out.last().copied()
    }

    /// Compares the file with what is expected of the units that are out.
    pub(crate) fn check_invariants(&self, expected: impl Iterator<Item = (Due, u64)>) {
        assert_eq!(expected.collect::<BTreeSet<_>>(), self.out, "units that are out are misfiled");
    }

    /// Nobody could take the first one.
    pub(crate) fn put_off(&mut self, now: Timestamp) {
        self.asked_again_at = now + ASKED_AGAIN_AFTER;
    }

    /// When the first one is late, if such a unit usually takes so long: one that has not come back
    /// in time is given half as long again as another attempt `takes`.
    pub(crate) fn late_at(&self, usual: Duration, takes: Duration) -> Option<Timestamp> {
        let (due, _) = self.first()?;
        let allowed = match due.basis {
            Basis::HandedOut => usual.saturating_add(usual.max(takes)),
            Basis::Expected => takes / 2,
        };
        Some((due.at + allowed.max(LATE_AFTER_MIN)).max(self.asked_again_at))
    }
}
