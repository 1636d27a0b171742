//! A machine of a volunteer: the worker's core, a driver as the real one, a disk, slots, an owner.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use gleaner_protocol::limits::HEARTBEAT_INTERVAL;
use gleaner_protocol::{Capacity, Outcome, ProjectId, UnitResult, WorkerId};
use gleaner_worker_core::{
    Action, AttemptKey, Event, GrantedLease, HeldLease, InputsPlace, RunId, SlotIndex, StageKey,
    SuspendReason, Verdict, Worker,
};

use crate::checks::meets_no_other;
use crate::nature::{AtHost, Clock, HostIndex, Life, Nature, Stream, ToCoordinator, ToWorker};
use crate::workload::Work;

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
    lives: u64,
    disk: BTreeMap<AttemptKey, UnitResult>,
    process: Option<Process>,
    /// Whether it ever comes back.
    membership: Membership,
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
    leases: BTreeMap<AttemptKey, (HeldLease, Work)>,
    /// Results in memory, whether on disk yet or not.
    results: BTreeMap<AttemptKey, UnitResult>,
    /// The answer that has just come, until the core says whether it has a use for it.
    answer: Option<(AttemptKey, UnitResult)>,
    slots: BTreeMap<SlotIndex, Slot>,
    timer_us: Option<u64>,
}

#[derive(Debug, Default)]
struct Slot {
    pipe: VecDeque<(AttemptKey, RunId)>,
    /// What the first in the pipe still needs, in full and when it was last looked at.
    left_us: u64,
    total_us: u64,
    since_us: u64,
    motion: Motion,
    /// Tells an end that was planned before a suspension from the one planned after.
    plans: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Motion {
    #[default]
    Going,
    Suspended,
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
        let process = None;
        let (disk, membership) = (BTreeMap::new(), Membership::Member);
        Self { index, slowness, slots, clock_off_ms: 0, lives: 0, disk, process, membership }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process.is_some()
    }

    pub(crate) fn stream(&self) -> Option<Stream> {
        self.process.as_ref().and_then(|process| process.stream)
    }

    /// The process is gone at once, with all that was not on disk.
    pub(crate) fn kill(&mut self, nature: &mut Nature) {
        if let Some(Process { stream: Some(stream), .. }) = self.process.take() {
            nature.break_stream(self.index, stream);
        }
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
                self.tell(nature, Event::VerdictChanged(Verdict::Suspend { reasons }));
            }
            AtHost::OwnerLeaves => {
                let slots = self.slots;
                self.tell(nature, Event::VerdictChanged(Verdict::Run { slots }));
            }
            AtHost::Timer(life) if self.lives_still(life) => self.on_timer(nature),
            AtHost::Receives(stream, said) => self.on_message(nature, stream, said),
            AtHost::StreamEnded(stream) => self.on_stream_ended(nature, stream),
            AtHost::Prepared(life, stage) if self.lives_still(life) => {
                let event = match nature.goes_wrong(50) {
                    true => Event::StageUnavailable { stage },
                    false => Event::StageReady { stage },
                };
                self.tell(nature, event);
            }
            AtHost::Inputs(life, key) if self.lives_still(life) => {
                let event = match nature.goes_wrong(100) {
                    true => Event::InputsUnavailable { key },
                    false => Event::InputsHad { key },
                };
                self.tell(nature, event);
            }
            AtHost::SlotFailed(life, slot, started) if self.lives_still(life) => {
                self.tell(nature, Event::SlotFailed { slot, life: started });
            }
            AtHost::Finished(life, slot, run, plan) if self.lives_still(life) => {
                self.on_finished(nature, slot, run, plan);
            }
            AtHost::Kept(life, key) if self.lives_still(life) => self.on_kept(nature, key),
            // Meant for a process that is gone; dialling is between this and the coordinator.
            _ => {}
        }
    }

    /// A stream to the coordinator is open.
    pub(crate) fn on_connected(&mut self, nature: &mut Nature, stream: Stream) {
        if let Some(process) = &mut self.process {
            process.stream = Some(stream);
            self.tell(nature, Event::Connected { project: PROJECT });
        }
    }

    /// Whether the process of that life is there and has no stream.
    pub(crate) fn wants_stream(&self, life: Life) -> bool {
        self.lives_still(life) && self.stream().is_none()
    }

    pub(crate) fn dial_later(&self, nature: &mut Nature) {
        if let Some(process) = &self.process {
            let delay_us = nature.random.between(100_000, 8_000_000);
            nature.at_host(delay_us, self.index, AtHost::Dials(process.life));
        }
    }

    pub(crate) fn check_invariants(&self) {
        if let Some(process) = &self.process {
            process.core.check_invariants();
        }
    }

    fn lives_still(&self, life: Life) -> bool {
        self.process.as_ref().is_some_and(|process| process.life == life)
    }

    fn start(&mut self, nature: &mut Nature) {
        if self.process.is_some() || self.membership == Membership::Gone {
            return;
        }
        self.lives += 1;
        self.process = Some(Process {
            life: Life(self.lives),
            core: Worker::new(),
            clock: nature.clock(self.clock_off_ms),
            stream: None,
            leases: BTreeMap::new(),
            results: self.disk.clone(),
            answer: None,
            slots: BTreeMap::new(),
            timer_us: None,
        });
        if !self.disk.is_empty() {
            let lease = |result: &UnitResult| HeldLease {
                claims: result.claims.clone(),
                token: result.token,
            };
            let leases = self.disk.values().map(lease).collect();
            self.tell(nature, Event::Restored { project: PROJECT, leases });
        }
        self.tell(nature, Event::VerdictChanged(Verdict::Run { slots: self.slots }));
        self.dial_later(nature);
    }

    fn on_timer(&mut self, nature: &mut Nature) {
        let Some(process) = &mut self.process else { return };
        process.timer_us = None;
        let now = process.clock.now(nature);
        if process.core.poll_timeout().is_some_and(|due| due <= now) {
            process.core.handle_timeout(now);
        }
        self.act(nature);
    }

    fn tell(&mut self, nature: &mut Nature, event: Event) {
        let Some(process) = &mut self.process else { return };
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
        let key = AttemptKey { project: PROJECT, attempt };
        if let Some(process) = &mut self.process {
            meets_no_other(attempt, process.leases.keys().map(|key| key.attempt));
            process.leases.entry(key).or_insert((lease.clone(), work));
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
        if let Some(process) = &mut self.process {
            process.stream = None;
        }
        self.tell(nature, Event::Disconnected { project: PROJECT });
        self.dial_later(nature);
    }

    fn on_finished(&mut self, nature: &mut Nature, slot: SlotIndex, run: RunId, plan: u64) {
        let Some(process) = &mut self.process else { return };
        let Some(there) = process.slots.get_mut(&slot).filter(|there| there.plans == plan) else {
            return;
        };
        let Some((key, _)) = there.pipe.pop_front_if(|(_, first)| *first == run) else { return };
        let elapsed = Duration::from_micros(there.total_us);
        self.begin_next(nature, slot);
        let Some(process) = &mut self.process else { return };
        if let Some((lease, work)) = process.leases.get(&key) {
            let outcome = match nature.goes_wrong(5) {
                true => Outcome::HostMemory,
                false => work.outcome(lease.claims.items),
            };
            let HeldLease { claims, token } = lease.clone();
            let result = UnitResult { claims, token, outcome, cpu: elapsed, log: String::new() };
            process.answer = Some((key, result));
        }
        self.tell(nature, Event::Finished { key, run, elapsed });
        if let Some(process) = &mut self.process {
            process.answer = None;
        }
    }

    fn on_kept(&mut self, nature: &mut Nature, key: AttemptKey) {
        let Some(process) = &self.process else { return };
        if let Some(result) = process.results.get(&key) {
            self.disk.insert(key, result.clone());
        }
        self.tell(nature, Event::Kept { key });
    }

    fn act(&mut self, nature: &mut Nature) {
        while let Some(action) =
            self.process.as_mut().and_then(|process| process.core.poll_action())
        {
            nature.trace.note(nature.now_us, &(self.index, &action));
            self.carry_out(nature, action);
        }
        self.set_timer(nature);
    }

    fn set_timer(&mut self, nature: &mut Nature) {
        let Some(process) = &mut self.process else { return };
        let Some(due) = process.core.poll_timeout() else { return };
        let delay_us = process.clock.until_us(nature, due);
        let at_us = nature.now_us + delay_us;
        if process.timer_us.is_none_or(|set_us| set_us > at_us) {
            process.timer_us = Some(at_us);
            let life = process.life;
            nature.at_host(delay_us, self.index, AtHost::Timer(life));
        }
    }

    fn carry_out(&mut self, nature: &mut Nature, action: Action) {
        let Some(process) = &mut self.process else { return };
        let (life, index) = (process.life, self.index);
        match action {
            Action::Greet { held, .. } => {
                let held = held.into_iter().map(|lease| (lease.claims, lease.token)).collect();
                process.say(nature, index, ToCoordinator::Hello(held));
            }
            Action::Disconnect { .. } => {
                if let Some(stream) = process.stream.take() {
                    nature.break_stream(index, stream);
                }
                self.dial_later(nature);
            }
            Action::Request { slots, units, .. } => {
                let capacity = Capacity { slots, units, slot_memory_bytes: u64::MAX };
                process.say(nature, index, ToCoordinator::Request(capacity));
            }
            Action::Heartbeat { attempts, .. } => {
                process.say(nature, index, ToCoordinator::Heartbeat(attempts));
            }
            Action::SendResults { attempts, .. } => {
                let result = |attempt| {
                    let key = AttemptKey { project: PROJECT, attempt };
                    process.results.get(&key).cloned()
                };
                let results: Vec<_> = attempts.into_iter().filter_map(result).collect();
                process.say(nature, index, ToCoordinator::Results(results));
            }
            Action::Release { attempts, reason, .. } => {
                process.say(nature, index, ToCoordinator::Release(attempts, reason));
            }
            Action::Prepare { stage } => {
                let delay_us = nature.random.between(1_000, 500_000);
                nature.at_host(delay_us, index, AtHost::Prepared(life, stage));
            }
            Action::FetchInputs { key } => {
                let delay_us = nature.random.between(1_000, 300_000);
                nature.at_host(delay_us, index, AtHost::Inputs(life, key));
            }
            Action::Keep { key, .. } => {
                let (answered, result) = process.answer.take().expect("an answer has just come");
                assert_eq!(answered, key, "the core keeps the answer that has just come");
                process.results.insert(key, result);
                let delay_us = nature.random.between(100, 20_000);
                nature.at_host(delay_us, index, AtHost::Kept(life, key));
            }
            Action::Discard { key } => {
                process.leases.remove(&key);
                process.results.remove(&key);
                self.disk.remove(&key);
            }
            Action::Stopped => {
                self.kill(nature);
                let delay_us = nature.random.between(1_000_000, 60_000_000);
                nature.at_host(delay_us, index, AtHost::Starts);
            }
            Action::Rest { .. } | Action::ForgetStage { .. } => {}
            Action::AnswerRefused { key } => panic!("no module is refused, yet {key:?} was"),
            of_slot => self.carry_out_in_slot(nature, life, of_slot),
        }
    }

    fn carry_out_in_slot(&mut self, nature: &mut Nature, life: Life, action: Action) {
        let Some(process) = &mut self.process else { return };
        match action {
            Action::StartSlot { slot, life: started, .. } => {
                process.slots.insert(slot, Slot::default());
                if nature.goes_wrong(20) {
                    process.slots.remove(&slot);
                    nature.at_host(1_000, self.index, AtHost::SlotFailed(life, slot, started));
                }
            }
            Action::Run { slot, key, run } => {
                let Some(there) = process.slots.get_mut(&slot) else { return };
                there.pipe.push_back((key, run));
                if there.pipe.len() == 1 {
                    self.begin_next(nature, slot);
                }
            }
            Action::SuspendSlot { slot } => {
                if let Some(there) = process.slots.get_mut(&slot) {
                    there.suspend(nature.now_us);
                }
            }
            Action::ResumeSlot { slot } => {
                if let Some(there) = process.slots.get_mut(&slot) {
                    there.motion = Motion::Going;
                    self.plan_end(nature, slot);
                }
            }
            Action::EndSlot { slot } => drop(process.slots.remove(&slot)),
            other => unreachable!("{other:?} is not about a slot"),
        }
    }

    /// The first in a slot's pipe begins.
    fn begin_next(&mut self, nature: &mut Nature, slot: SlotIndex) {
        let Some(process) = &mut self.process else { return };
        let Some(there) = process.slots.get_mut(&slot) else { return };
        let Some((key, _)) = there.pipe.front() else { return };
        // A lease that was taken back while it waited in the pipe is run for nothing.
        let items_us = process
            .leases
            .get(key)
            .map_or(1, |(lease, work)| lease.claims.items.len() * work.item_us() * self.slowness);
        there.total_us = items_us.max(1);
        there.left_us = there.total_us;
        self.plan_end(nature, slot);
    }

    fn plan_end(&mut self, nature: &mut Nature, slot: SlotIndex) {
        let Some(process) = &mut self.process else { return };
        let life = process.life;
        let Some(there) = process.slots.get_mut(&slot) else { return };
        there.since_us = nature.now_us;
        there.plans = nature.random.number();
        let (Some((_, run)), Motion::Going) = (there.pipe.front(), there.motion) else { return };
        let what = AtHost::Finished(life, slot, *run, there.plans);
        nature.at_host(there.left_us, self.index, what);
    }
}

impl Process {
    fn say(&self, nature: &mut Nature, host: HostIndex, said: ToCoordinator) {
        if let Some(stream) = self.stream {
            nature.tell_coordinator(host, stream, said);
        }
    }
}

impl Slot {
    fn suspend(&mut self, now_us: u64) {
        if self.motion == Motion::Going {
            self.motion = Motion::Suspended;
            self.plans = 0;
            self.left_us = self.left_us.saturating_sub(now_us - self.since_us).max(1);
        }
    }
}
