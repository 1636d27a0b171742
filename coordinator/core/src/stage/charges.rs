//! What leases of a stage are charged, and when their results are expected: see
//! [`crate::slot_time`] and [`crate::tail`].

use std::time::Duration;

use gleaner_protocol::{Timestamp, WorkerId};

use super::{Stage, cut_of, file_due};
use crate::pace::Pace;
use crate::slot_time::{CHARGE_MIN, Charge, SlotTime};
use crate::unit::HeldLease;

impl Stage {
    /// How long so many items usually take, once anything is known.
    pub(crate) fn usual(&self, items: u64) -> Option<Duration> {
        self.usual.of(items)
    }

    /// It has just become known how long items take: of all that was handed out before it is
    /// expected from now on what such units take workers of the pace of theirs.
    pub(crate) fn expect_all(&mut self, pace: impl Fn(WorkerId) -> Pace, quorum: u32) {
        let Self { units, blocks, usual, charged_out, tail, .. } = self;
        for (number, unit) in units {
            let items = cut_of(blocks, *number).map_or(1, |cut| cut.block.items_of(*number).len());
            for lease in unit.leases_mut().iter_mut().filter(|lease| lease.due_at.is_none()) {
                let Some(usual) = usual.of(items) else { continue };
                let takes = pace(lease.worker).of(usual);
                expect_lease(charged_out, lease, lease.leased_at, takes);
            }
            file_due(tail, *number, unit, quorum);
        }
    }

    /// Enters what a lease has had, beside what is known of it already.
    pub(crate) fn charge(&mut self, number: u64, worker: WorkerId, attempt: u32, more: SlotTime) {
        let items = self.items_of(number).map_or(1, |items| items.len());
        let unit = self.units.get_mut(&number);
        let Some(lease) = unit.and_then(|unit| unit.lease_of(worker, attempt)) else { return };
        recharge(&mut self.charged_out, lease, |charge| charge.had = charge.had.plus(more));
        self.charged_had = self.charged_had.plus(more);
        self.usual.note_unfinished(lease.charge.had, items);
    }

    /// Enters what a lease has had that has ended, beside what was known of it. Nothing is for
    /// nothing.
    pub(crate) fn charge_ended(&mut self, ended: &HeldLease, more: SlotTime) {
        let least = CHARGE_MIN.minus(ended.charge.had);
        self.charged_had = self.charged_had.plus(more.max(least));
    }

    /// What its leases should still take.
    pub(crate) fn charged_out(&self) -> SlotTime {
        self.charged_out
    }

    /// What its leases have had, ended ones too.
    pub(crate) fn charged_had(&self) -> SlotTime {
        self.charged_had
    }

    /// It is expected anew of a lease when its result comes, and what it takes: by a worker of this
    /// pace, one of whose slots takes it after so long.
    pub(crate) fn expect(
        &mut self,
        (number, worker, attempt): (u64, WorkerId, u32),
        now: Timestamp,
        wait: Duration,
        pace: Pace,
        quorum: u32,
    ) -> Duration {
        let Self { units, blocks, usual, charged_out, tail, .. } = self;
        let items = cut_of(blocks, number).map_or(1, |cut| cut.block.items_of(number).len());
        let (Some(unit), Some(usual)) = (units.get_mut(&number), usual.of(items)) else {
            return Duration::ZERO;
        };
        let takes = pace.of(usual);
        if let Some(lease) = unit.lease_of(worker, attempt) {
            expect_lease(charged_out, lease, now + wait, takes);
        }
        file_due(tail, number, unit, quorum);
        takes
    }
}

/// A lease takes so long from when it runs: since when its worker says, or about when it `begins`.
fn expect_lease(
    charged_out: &mut SlotTime,
    lease: &mut HeldLease,
    begins: Timestamp,
    takes: Duration,
) {
    lease.due_at = Some(lease.running_since.unwrap_or(begins) + takes);
    let Charge { expected, .. } = Charge::expected(takes);
    recharge(charged_out, lease, |charge| charge.expected = expected);
}

/// Changes what a lease is charged, and with it what leases of its stage should still take.
fn recharge(charged_out: &mut SlotTime, lease: &mut HeldLease, change: impl FnOnce(&mut Charge)) {
    let before = lease.charge.left();
    change(&mut lease.charge);
    *charged_out = charged_out.minus(before).plus(lease.charge.left());
}
