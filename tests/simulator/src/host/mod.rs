//! A machine of a volunteer: the worker's core, a driver as the real one, a disk, slots, an owner.

mod actions;
mod holding;
mod slots;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use gleaner_protocol::limits::HEARTBEAT_INTERVAL;
use gleaner_protocol::{AttemptId, Obstacle, ProjectId, UnitId, WorkerId};
use gleaner_worker_core::{
    AttemptKey, Event, GrantedLease, HeldLease, InputsPlace, StageKey, SuspendReason, Verdict,
    Worker,
};

use self::holding::{Answer, Holding, Place};
use self::slots::Slot;
use crate::checks::meets_no_other;
use crate::lives::{Alarm, Lives};
use crate::nature::{AtHost, Clock, HostIndex, Life, Nature, Stream, ToWorker};
use crate::supply::ORDINARY;
use crate::workload::Work;

/// The pauses between tries to reach the coordinator, as the worker's driver makes them: up to the
/// first, doubled with each failure up to the last.
const DIAL_AGAIN_FIRST_US: u64 = 500_000;
const DIAL_AGAIN_MAX_US: u64 = 60_000_000;

/// The most that a first try waits for the network.
const DIAL_US: u64 = 200_000;

const PROJECT: ProjectId = ProjectId([5; 32]);

/// A machine. Its disk outlives the worker's processes.
#[derive(Debug)]
pub(crate) struct Host {
    index: HostIndex,
    /// How many times longer than an ordinary machine it takes.
    pub(crate) slowness: u64,
    pub(crate) slots: u32,
    /// How far its wall clock is off.
    pub(crate) clock_off_ms: i64,
    /// The results on it while no process runs; those of one that does are among its leases.
    disk: BTreeMap<AttemptId, Box<Holding>>,
    process: Lives<Process>,
    /// What it adds to the supply now.
    speed: u64,
    owner: Owner,
    /// Whether it ever comes back.
    membership: Membership,
}

/// Whether the machine's owner uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    There,
    Away,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Membership {
    Member,
    Gone,
}

/// A worker's process: what a kill takes away.
#[derive(Debug)]
struct Process {
    life: Life,
    core: Worker,
    clock: Clock,
    stream: Option<Stream>,
    /// Tries to reach the coordinator since it last welcomed this worker.
    dials: u32,
    leases: BTreeMap<AttemptId, Box<Holding>>,
    /// The answer that has just come, until the core says whether it has a use for it.
    answer: Option<(AttemptId, Answer)>,
    /// By their numbers, while they run.
    slots: Vec<Option<Slot>>,
    alarm: Alarm,
}

/// The key of a machine's worker.
pub(crate) fn worker_id(host: HostIndex) -> WorkerId {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&host.0.to_be_bytes());
    key[31] = 1;
    WorkerId(key)
}

/// The machine of a worker.
pub(crate) fn host_of(worker: WorkerId) -> HostIndex {
    let [a, b, c, d, ..] = worker.0;
    HostIndex(u32::from_be_bytes([a, b, c, d]))
}

impl Host {
    pub(crate) fn new(index: HostIndex, nature: &mut Nature) -> Self {
        let slowness = nature.random.heavy_tailed(1, 16);
        let slots = nature.random.one_of(&[1, 1, 2, 4]);
        Self {
            index,
            slowness,
            slots,
            clock_off_ms: 0,
            disk: BTreeMap::new(),
            process: Lives::default(),
            speed: 0,
            owner: Owner::Away,
            membership: Membership::Member,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process.is_up()
    }

    pub(crate) fn stream(&self) -> Option<Stream> {
        self.process.get().and_then(|process| process.stream)
    }

    /// The process is gone at once, with all that was not on disk.
    pub(crate) fn kill(&mut self, nature: &mut Nature) {
        let Some(process) = self.process.end() else { return };
        if let Some(stream) = process.stream {
            nature.break_stream(self.index, stream);
        }
        for slot in process.slots.iter().flatten() {
            nature.spent_us += slot.spent_us(nature.now_us) / self.slowness;
        }
        self.disk = process.leases;
        self.disk.retain(|_, holding| holding.place == Place::Disk);
        self.supply(nature);
    }

    /// Kills the process, which starts again some time later.
    pub(crate) fn kill_for_a_while(&mut self, nature: &mut Nature) {
        self.kill(nature);
        let delay_us = nature.random.heavy_tailed(100_000, 100_000_000);
        nature.at_host(delay_us, self.index, AtHost::Starts);
    }

    /// The machine is never seen again: what it held is for others once its leases expire.
    pub(crate) fn leave(&mut self, nature: &mut Nature) {
        self.membership = Membership::Gone;
        self.kill(nature);
    }

    /// Asks the worker to stop, as its owner's Ctrl-C does.
    pub(crate) fn stop(&mut self, nature: &mut Nature) {
        self.tell(nature, Event::Stop);
    }

    pub(crate) fn on(&mut self, nature: &mut Nature, what: AtHost) {
        match what {
            AtHost::Starts => self.start(nature),
            AtHost::OwnerComes => {
                let reasons = vec![SuspendReason::UserActive];
                self.owner = Owner::There;
                self.tell(nature, Event::VerdictChanged(Verdict::Suspend { reasons }));
                self.supply(nature);
            }
            AtHost::OwnerLeaves => {
                let slots = self.slots;
                self.owner = Owner::Away;
                self.tell(nature, Event::VerdictChanged(Verdict::Run { slots }));
                self.supply(nature);
            }
            AtHost::Timer(life) if self.process.lives_still(life) => self.on_timer(nature),
            AtHost::Receives(stream, said) => self.on_message(nature, stream, said),
            AtHost::StreamEnded(stream) => self.on_stream_ended(nature, stream),
            AtHost::Prepared(life, job, stage) if self.process.lives_still(life) => {
                let stage = StageKey { job, stage, project: PROJECT };
                let event = match nature.goes_wrong(50) {
                    true => Event::StageUnavailable { stage, obstacle: Obstacle::FilesMissing },
                    false => Event::StageReady { stage },
                };
                self.tell(nature, event);
            }
            AtHost::Inputs(life, attempt) if self.process.lives_still(life) => {
                let key = key(attempt);
                let event = match nature.goes_wrong(100) {
                    true => Event::InputsUnavailable { key, obstacle: Obstacle::FilesMissing },
                    false => Event::InputsHad { key },
                };
                self.tell(nature, event);
            }
            AtHost::SlotFailed(life, slot, started) if self.process.lives_still(life) => {
                let obstacle = Obstacle::Slot;
                self.tell(nature, Event::SlotFailed { slot, life: started, obstacle });
            }
            AtHost::Finished(life, slot, run, plan) if self.process.lives_still(life) => {
                self.on_finished(nature, slot, run, plan);
            }
            AtHost::Kept(life, attempt) if self.process.lives_still(life) => {
                self.on_kept(nature, attempt);
            }
            // Meant for a process that is gone; dialling is between this and the coordinator.
            _ => {}
        }
    }

    /// A stream to the coordinator is open.
    pub(crate) fn on_connected(&mut self, nature: &mut Nature, stream: Stream) {
        if let Some(process) = self.process.get_mut() {
            process.stream = Some(stream);
            self.tell(nature, Event::Connected { project: PROJECT });
        }
    }

    /// Whether the process of that life is there and has no stream.
    pub(crate) fn wants_stream(&self, life: Life) -> bool {
        self.process.lives_still(life) && self.stream().is_none()
    }

    /// Tries again after a pause.
    pub(crate) fn dial_later(&mut self, nature: &mut Nature) {
        if let Some(process) = self.process.get_mut() {
            let limit_us = (DIAL_AGAIN_FIRST_US << process.dials.min(7)).min(DIAL_AGAIN_MAX_US);
            process.dials += 1;
            let delay_us = nature.random.between(1_000, limit_us);
            nature.at_host(delay_us, self.index, AtHost::Dials(process.life));
        }
    }

    pub(crate) fn check_invariants(&self) {
        if let Some(process) = self.process.get() {
            process.core.check_invariants();
        }
    }

    fn start(&mut self, nature: &mut Nature) {
        if self.process.is_up() || self.membership == Membership::Gone {
            return;
        }
        let leases = std::mem::take(&mut self.disk);
        let restored: Vec<_> = leases.values().map(|holding| holding.lease.clone()).collect();
        self.process.begin(|life| Process {
            life,
            core: Worker::new(),
            clock: nature.clock(self.clock_off_ms),
            stream: None,
            dials: 0,
            leases,
            answer: None,
            slots: Vec::new(),
            alarm: Alarm::default(),
        });
        if !restored.is_empty() {
            self.tell(nature, Event::Restored { project: PROJECT, leases: restored });
        }
        self.owner = Owner::Away;
        self.tell(nature, Event::VerdictChanged(Verdict::Run { slots: self.slots }));
        self.dial_first(nature);
        self.supply(nature);
    }

    fn dial_first(&self, nature: &mut Nature) {
        if let Some(process) = self.process.get() {
            let delay_us = nature.random.between(1_000, DIAL_US);
            nature.at_host(delay_us, self.index, AtHost::Dials(process.life));
        }
    }

    /// Tells what can be computed here from now on.
    fn supply(&mut self, nature: &mut Nature) {
        let runs = self.process.is_up() && self.owner == Owner::Away;
        let speed = if runs { u64::from(self.slots) * ORDINARY / self.slowness } else { 0 };
        nature.supply.change(nature.now_us, self.speed, speed);
        self.speed = speed;
    }

    fn on_timer(&mut self, nature: &mut Nature) {
        let Some(process) = self.process.get_mut() else { return };
        process.alarm.ring(nature.now_us);
        let now = process.clock.now(nature);
        if process.core.poll_timeout().is_some_and(|due| due <= now) {
            process.core.handle_timeout(now);
        }
        self.act(nature);
    }

    fn tell(&mut self, nature: &mut Nature, event: Event) {
        let Some(process) = self.process.get_mut() else { return };
        process.core.handle_event(process.clock.now(nature), event);
        self.act(nature);
    }

    fn on_message(&mut self, nature: &mut Nature, stream: Stream, said: ToWorker) {
        if self.stream() != Some(stream) || !nature.carries(stream) {
            return;
        }
        let project = PROJECT;
        let event = match said {
            ToWorker::Welcome => {
                if let Some(process) = self.process.get_mut() {
                    process.dials = 0;
                }
                Event::Welcomed { project, heartbeat_interval: HEARTBEAT_INTERVAL }
            }
            ToWorker::Task(job, stage) => {
                Event::TaskArrived { stage: StageKey { project, job, stage } }
            }
            ToWorker::Leases(grants) => {
                let leases = grants.into_iter().map(|grant| self.take_lease(grant)).collect();
                Event::Leased { project, leases }
            }
            ToWorker::Acknowledge(attempts) => Event::Acknowledged { project, attempts },
            ToWorker::Withdraw(attempts, reason) => Event::Withdrawn { project, attempts, reason },
        };
        self.tell(nature, event);
    }

    fn take_lease(
        &mut self,
        (grant, work): (gleaner_coordinator_core::Grant, Work),
    ) -> GrantedLease {
        let lease = HeldLease { claims: grant.claims, token: grant.token };
        let attempt = lease.claims.attempt;
        if let Some(process) = self.process.get_mut() {
            let of_unit = process.leases.range(attempts_of(attempt.unit));
            meets_no_other(attempt, of_unit.map(|(attempt, _)| *attempt));
            let holding = || Box::new(Holding::new(lease.clone(), work));
            process.leases.entry(attempt).or_insert_with(holding);
        }
        let inputs = match attempt.unit.number % 8 {
            0 => InputsPlace::Blob,
            _ => InputsPlace::Here,
        };
        GrantedLease { lease, inputs }
    }

    fn on_stream_ended(&mut self, nature: &mut Nature, stream: Stream) {
        if self.stream() != Some(stream) {
            return;
        }
        if let Some(process) = self.process.get_mut() {
            process.stream = None;
        }
        self.tell(nature, Event::Disconnected { project: PROJECT });
        self.dial_later(nature);
    }

    fn on_kept(&mut self, nature: &mut Nature, attempt: AttemptId) {
        let Some(process) = self.process.get_mut() else { return };
        if let Some(holding) = process.leases.get_mut(&attempt) {
            holding.place = Place::Disk;
        }
        self.tell(nature, Event::Kept { key: key(attempt) });
    }

    fn act(&mut self, nature: &mut Nature) {
        while let Some(action) =
            self.process.get_mut().and_then(|process| process.core.poll_action())
        {
            nature.trace.note(nature.now_us, &(self.index, &action));
            self.carry_out(nature, action);
        }
        self.set_timer(nature);
    }

    fn set_timer(&mut self, nature: &mut Nature) {
        let Some(process) = self.process.get_mut() else { return };
        let due = process.core.poll_timeout();
        if let Some(delay_us) = process.alarm.set(nature, process.clock, due) {
            nature.at_host(delay_us, self.index, AtHost::Timer(process.life));
        }
    }
}

fn key(attempt: AttemptId) -> AttemptKey {
    AttemptKey { attempt, project: PROJECT }
}

/// Every number that an attempt of a unit can have.
fn attempts_of(unit: UnitId) -> RangeInclusive<AttemptId> {
    AttemptId { unit, number: 0 }..=AttemptId { unit, number: u32::MAX }
}
