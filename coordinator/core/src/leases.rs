//! Leases: granted, extended, given back, expired, adopted after a restart.
//!
//! ```text
//!            grant                 result
//!   (none) ─────────► Standing ───────────────► Ended
//!              adopt     │  ▲                     ▲
//!   (none) ─────────►    │  └─ heartbeat          │
//!                        └─ release, expiry, ─────┘
//!                           not named on reconnection
//! ```
//! A lease that ended without a result costs its worker nothing here; the result of one that
//! expired is still taken while its unit is open, as its MAC says whose it is.

use std::collections::BTreeSet;
use std::time::Duration;

use gleaner_protocol::limits::{LEASES_HELD_MAX, SLOTS_MAX};
use gleaner_protocol::{
    AttemptId, Capacity, LeaseClaims, LeaseToken, ReleaseReason, StageIndex, Timestamp, UnitId,
    WithdrawReason, WorkerId,
};

use crate::core::Core;
use crate::session::Presence;
use crate::slot_time::{Charge, SlotTime};
use crate::stage::Leased;
use crate::unit::HeldLease;
use crate::{Action, Grant, Record};

/// How a lease ends, and with it what is known of what it had.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LeaseEnd {
    /// Nobody says anything: it had what was heard before.
    Lost,
    /// It is taken or given back, and ran until now if it ran.
    Stopped,
    /// Its result says what it took.
    Returned { cpu: Duration },
}

/// What becomes of a lease a worker says it holds.
enum Held {
    Stands,
    Useless(WithdrawReason),
}

impl Core {
    pub(crate) fn on_connected(
        &mut self,
        now: Timestamp,
        worker: WorkerId,
        held: Vec<(LeaseClaims, LeaseToken)>,
    ) {
        self.gate.forget_grants(worker);
        self.roster.connect(now, worker);
        // It may have been started anew, and says soon what runs.
        self.note_running(now, worker, &[]);
        let named: BTreeSet<_> = held.iter().map(|(claims, _)| claims.attempt).collect();
        let leases = self.roster.get(worker).into_iter().flat_map(|session| session.leases.iter());
        let lost: Vec<_> =
            leases.filter(|(attempt, _)| !named.contains(attempt)).copied().collect();
        for (attempt, stage) in lost {
            self.end_lease(now, worker, attempt, stage, LeaseEnd::Lost);
        }
        for (claims, token) in held.into_iter().take(LEASES_HELD_MAX) {
            if let Held::Useless(reason) = self.adopt(now, worker, &claims, &token) {
                self.withdraw(worker, vec![claims.attempt], reason);
            }
        }
    }

    pub(crate) fn on_disconnected(&mut self, worker: WorkerId) {
        self.roster.update(worker, |session| {
            session.presence = Presence::Away;
            session.capacity = Capacity::default();
        });
    }

    pub(crate) fn on_heartbeat(
        &mut self,
        now: Timestamp,
        worker: WorkerId,
        attempts: &[AttemptId],
        running: &[AttemptId],
    ) {
        let expires_at = now + self.config.lease_duration;
        for attempt in attempts.iter().take(LEASES_HELD_MAX) {
            if let Some(stage) = self.stage_of(worker, *attempt)
                && let Some(lease) = self.lease_mut(worker, *attempt, stage)
            {
                lease.expires_at = expires_at;
            }
        }
        self.note_running(now, worker, running);
        self.charge_running(now, worker);
    }

    /// Enters what runs with a worker has had, as far as its slots can have had it: what is
    /// unfinished takes so long at least.
    fn charge_running(&mut self, now: Timestamp, worker: WorkerId) {
        let Some(session) = self.roster.get(worker) else { return };
        let running: Vec<_> = session.running.iter().copied().collect();
        let class_before = session.pace.class();
        let mut changed = BTreeSet::new();
        for attempt in running {
            let Some(stage) = self.stage_of(worker, attempt) else { continue };
            let Some(lease) = self.standing_lease(worker, attempt, stage) else { continue };
            let lease_had = lease.charge.had;
            let wanted = lease.runs_for(now).minus(lease_had);
            let job = self.jobs.get_mut(&attempt.unit.job);
            let Some(books) = job.and_then(|job| job.stage_mut(stage)) else { continue };
            let usual = books.items_of(attempt.unit.number).and_then(|it| books.usual(it.len()));
            let told = self.roster.update(worker, |session| {
                let had = lease_had.plus(session.charge(now, wanted));
                if let Some(usual) = usual {
                    session.pace.note_unfinished(had.duration(), usual);
                }
                had.minus(lease_had)
            });
            books.charge(attempt.unit.number, worker, attempt.number, told.unwrap_or_default());
            changed.insert(attempt.unit.job);
        }
        for job in changed {
            self.file(job);
        }
        if self.roster.pace(worker).class() != class_before {
            self.expect_anew(now, worker);
        }
    }

    /// Takes what a worker says of what runs there: of its leases these and no others. That is told
    /// on as it was heard last, until they end or the worker comes back.
    fn note_running(&mut self, now: Timestamp, worker: WorkerId, running: &[AttemptId]) {
        let Some(session) = self.roster.get(worker) else { return };
        let mut running: Vec<_> = running.iter().copied().take(SLOTS_MAX as usize).collect();
        running.sort_unstable();
        running.dedup();
        if session.running.iter().eq(&running) {
            return;
        }
        let stopped = session.running.iter().filter(|known| running.binary_search(known).is_err());
        let started = running.iter().filter(|said| !session.running.contains(said));
        let stopped = stopped.map(|attempt| (*attempt, None));
        let started = started.map(|attempt| (*attempt, Some(now)));
        let news: Vec<_> = stopped.chain(started).collect();
        let mut changed = BTreeSet::new();
        for (attempt, since) in news {
            if self.set_running(worker, attempt, since) {
                changed.insert(attempt.unit.job);
            }
        }
        for job in changed {
            self.touch(job);
        }
    }

    /// Notes in the books of session and stage since when an attempt runs: whether that is news.
    fn set_running(
        &mut self,
        worker: WorkerId,
        attempt: AttemptId,
        since: Option<Timestamp>,
    ) -> bool {
        let Some(stage) = self.stage_of(worker, attempt) else { return false };
        let job = self.jobs.get_mut(&attempt.unit.job).expect("a lease is of a known job");
        let quorum = job.quorum;
        let books = job.stage_mut(stage).expect("a lease is of a known stage");
        let is_news = books.set_running(attempt.unit.number, worker, attempt.number, since);
        if let Some(since) = since {
            let (wait, pace) = (Duration::ZERO, self.roster.pace(worker));
            let lease = (attempt.unit.number, worker, attempt.number);
            books.expect(lease, since, wait, pace, quorum);
        }
        self.roster.update(worker, |session| match since {
            Some(_) => session.running.insert(attempt),
            None => session.running.remove(&attempt),
        });
        is_news
    }

    /// A worker turns out to be faster or slower than was thought: it is expected anew when it is
    /// through with what it holds.
    pub(crate) fn expect_anew(&mut self, now: Timestamp, worker: WorkerId) {
        let Some(session) = self.roster.get(worker) else { return };
        let (pace, slots) = (session.pace, session.capacity.slots.max(1));
        let leases: Vec<_> = session.leases.iter().copied().collect();
        let mut backlog = Duration::ZERO;
        let mut changed = BTreeSet::new();
        for (attempt, stage) in leases {
            let Some(job) = self.jobs.get_mut(&attempt.unit.job) else { continue };
            let quorum = job.quorum;
            let Some(books) = job.stage_mut(stage) else { continue };
            let lease = (attempt.unit.number, worker, attempt.number);
            backlog += books.expect(lease, now, backlog / slots, pace, quorum);
            changed.insert(attempt.unit.job);
        }
        self.roster.update(worker, |session| session.backlog = backlog);
        for job in changed {
            self.file(job);
        }
    }

    pub(crate) fn on_released(
        &mut self,
        now: Timestamp,
        worker: WorkerId,
        attempts: &[AttemptId],
        reason: ReleaseReason,
    ) {
        let mut stages = BTreeSet::new();
        for attempt in attempts.iter().take(LEASES_HELD_MAX) {
            if let Some(stage) = self.stage_of(worker, *attempt) {
                self.end_lease(now, worker, *attempt, stage, LeaseEnd::Stopped);
                stages.insert((attempt.unit.job, stage));
            }
        }
        if let ReleaseReason::Unable(obstacle) = reason {
            let Self { roster, config, jobs, .. } = self;
            roster.update(worker, |session| {
                for (job, stage) in stages {
                    session.unable.note(now, (job, stage), obstacle, config);
                    if let Some(books) = jobs.get(&job).and_then(|job| job.stage(stage)) {
                        session.had.forget(books.needed());
                    }
                }
            });
        }
    }

    /// Ends every lease whose time is up, so that its unit wants another attempt.
    pub(crate) fn expire_leases(&mut self, now: Timestamp) {
        while let Some((at, worker)) = self.roster.next_expiry()
            && at <= now
        {
            self.expire_leases_of(now, worker);
        }
    }

    /// Ends the leases of one worker whose time is up, and notes when the next one's is.
    fn expire_leases_of(&mut self, now: Timestamp, worker: WorkerId) {
        let session = self.roster.get(worker).expect("a worker with leases is known");
        let expiry = |(attempt, stage): &(AttemptId, StageIndex)| {
            let lease = self.standing_lease(worker, *attempt, *stage);
            (*attempt, *stage, lease.map(|lease| lease.expires_at))
        };
        let leases: Vec<_> = session.leases.iter().map(expiry).collect();
        let standing = leases.iter().filter_map(|(_, _, at)| at.filter(|at| *at > now)).min();
        self.roster.update(worker, |session| session.expires_at = standing);
        for (attempt, stage, expires_at) in leases {
            if expires_at.is_none_or(|at| at <= now) {
                self.end_lease(now, worker, attempt, stage, LeaseEnd::Lost);
            }
        }
    }

    /// Starts an attempt of an offered unit in the books of unit, stage, session and job.
    pub(crate) fn grant(
        &mut self,
        now: Timestamp,
        worker: WorkerId,
        unit: UnitId,
        stage: StageIndex,
    ) -> Grant {
        let expires_at = now + self.config.lease_duration;
        let job = self.jobs.get_mut(&unit.job).expect("a unit is granted of a known job");
        let quorum = job.quorum;
        let books = job.stage_mut(stage).expect("a unit is granted of a known stage");
        let session =
            self.roster.get(worker).expect("a lease is granted to a worker that is there");
        let holder = session.holder(worker);
        let Leased { attempt: number, items, takes } =
            books.lease(unit.number, holder, now, expires_at, quorum);
        let (input, unrecorded) = (books.input(), books.unrecorded_attempts(quorum));
        let attempt = AttemptId { unit, number };
        self.roster.update(worker, |session| {
            session.capacity.units -= 1;
            session.hold(now, attempt, stage, expires_at, takes);
            session.had.note(books.needed());
        });
        self.turns.take_turn(unit.job, job.standing(), self.roster.slots());
        if number > unrecorded {
            self.gate.record(Record::AttemptOpened { attempt });
        }
        let claims = LeaseClaims { worker, attempt, stage, items, input, epoch: self.epoch };
        let token = self.key.seal(&claims);
        Grant { claims, token, duration: self.config.lease_duration }
    }

    /// Takes a lease out of the books; its unit may want another attempt.
    pub(crate) fn end_lease(
        &mut self,
        now: Timestamp,
        worker: WorkerId,
        attempt: AttemptId,
        stage: StageIndex,
        end: LeaseEnd,
    ) {
        let job = self.jobs.get_mut(&attempt.unit.job);
        let ended = job.and_then(|job| {
            let quorum = job.quorum;
            let books = job.stage_mut(stage)?;
            books.end_lease(attempt.unit.number, worker, attempt.number, quorum)
        });
        match ended {
            Some(ended) => {
                self.charge_ended(now, attempt, stage, &ended, end);
                self.file(attempt.unit.job);
            }
            None => drop(self.roster.update(worker, |session| session.let_go(now, attempt, stage))),
        }
    }

    /// Takes a lease that has ended out of its worker's books, and enters what it has had.
    pub(crate) fn charge_ended(
        &mut self,
        now: Timestamp,
        attempt: AttemptId,
        stage: StageIndex,
        ended: &HeldLease,
        end: LeaseEnd,
    ) {
        let had = match end {
            LeaseEnd::Lost => ended.charge.had,
            LeaseEnd::Stopped => ended.runs_for(now),
            LeaseEnd::Returned { cpu } => {
                SlotTime::of(cpu.min(ended.stood_for(now))).max(ended.charge.had)
            }
        };
        let wanted = had.minus(ended.charge.had);
        let more = self.roster.update(ended.worker, |session| {
            session.let_go(now, attempt, stage);
            session.charge(now, wanted)
        });
        let job = self.jobs.get_mut(&attempt.unit.job);
        if let Some(books) = job.and_then(|job| job.stage_mut(stage)) {
            books.charge_ended(ended, more.unwrap_or_default());
        }
    }

    pub(crate) fn withdraw(
        &mut self,
        worker: WorkerId,
        attempts: Vec<AttemptId>,
        reason: WithdrawReason,
    ) {
        self.gate.speak(Action::Withdraw { worker, attempts, reason });
    }

    fn adopt(
        &mut self,
        now: Timestamp,
        worker: WorkerId,
        claims: &LeaseClaims,
        token: &LeaseToken,
    ) -> Held {
        if claims.worker != worker || !self.key.verifies(claims, token) {
            return Held::Useless(WithdrawReason::UnknownLease);
        }
        let attempt = claims.attempt;
        let Some(job) = self.jobs.get_mut(&attempt.unit.job).filter(|job| job.is_running()) else {
            return Held::Useless(WithdrawReason::JobEnded);
        };
        let quorum = job.quorum;
        let Some(books) = job.stage_mut(claims.stage) else {
            return Held::Useless(WithdrawReason::UnknownLease);
        };
        let (unit, number) = (attempt.unit.number, attempt.number);
        let expires_at = now + self.config.lease_duration;
        if let Some(lease) = books.lease_of(unit, worker, number) {
            lease.expires_at = expires_at;
            return Held::Stands;
        }
        if !books.unit(unit).is_some_and(|unit| unit.is_new_to(worker)) {
            return Held::Useless(WithdrawReason::Settled);
        }
        let lease = HeldLease {
            attempt: number,
            worker,
            leased_at: now,
            expires_at,
            due_at: None,
            running_since: None,
            charge: Charge::expected(Duration::ZERO),
        };
        books.adopt(unit, lease, quorum);
        self.roster.update(worker, |session| {
            session.hold(now, attempt, claims.stage, expires_at, Duration::ZERO);
            session.had.note(books.needed());
        });
        self.file(attempt.unit.job);
        Held::Stands
    }

    fn stage_of(&self, worker: WorkerId, attempt: AttemptId) -> Option<StageIndex> {
        let leases = &self.roster.get(worker)?.leases;
        leases
            .first_from(&(attempt, StageIndex(0)))
            .filter(|(held, _)| *held == attempt)
            .map(|(_, stage)| *stage)
    }

    fn lease_mut(
        &mut self,
        worker: WorkerId,
        attempt: AttemptId,
        stage: StageIndex,
    ) -> Option<&mut HeldLease> {
        let books = self.jobs.get_mut(&attempt.unit.job)?.stage_mut(stage)?;
        books.lease_of(attempt.unit.number, worker, attempt.number)
    }

    fn standing_lease(
        &self,
        worker: WorkerId,
        attempt: AttemptId,
        stage: StageIndex,
    ) -> Option<&HeldLease> {
        let books = self.jobs.get(&attempt.unit.job)?.stage(stage)?;
        let mut leases = books.unit(attempt.unit.number)?.leases().iter();
        leases.find(|lease| lease.worker == worker && lease.attempt == attempt.number)
    }
}
