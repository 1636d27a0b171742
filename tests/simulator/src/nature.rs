//! Time, chance and the network: all that happens to the two cores from outside.

use std::collections::BTreeMap;

use gleaner_coordinator_core::Grant;
use gleaner_protocol::{
    AttemptId, Capacity, JobId, LeaseClaims, LeaseToken, ReleaseReason, StageIndex, Timestamp,
    UnitResult, WithdrawReason,
};
use gleaner_worker_core::{RunId, SlotIndex};

use crate::queue::Queue;
use crate::random::Random;
use crate::supply::Supply;
use crate::trace::Trace;
use crate::wire::Traffic;
use crate::workload::Work;

/// Wall time when a run begins, by a clock that is right.
const BEGINNING_MS: u64 = 1_800_000_000_000;

/// How many times less often than in foul weather something goes wrong in choppy weather with a fetch,
/// a message, a slot or an attempt.
const SELDOM: u64 = 50;

/// One life of a process. What is meant for an earlier one is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life(pub(crate) u32);

/// A machine, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostIndex(pub(crate) u32);

/// A stream between a worker and the coordinator; never recurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stream(u32);

/// Something that is to happen.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// The submitter of a plan sends it, until it is told that the job was taken.
    Submit(usize),
    /// Something at the coordinator.
    Coordinator(AtCoordinator),
    /// Something at a machine.
    Host(HostIndex, AtHost),
    /// A fault, or the end of one.
    Fault(Fault),
}

/// Something that is to happen at the coordinator.
#[derive(Clone, Debug)]
pub(crate) enum AtCoordinator {
    /// Its process starts.
    Starts,
    /// Its core asked to be called.
    Timer(Life),
    /// The store is through with a transaction.
    Committed(Life),
    /// A stage's results are combined.
    Reduced(Life, JobId, StageIndex),
    /// A message arrives.
    Receives(HostIndex, Stream, ToCoordinator),
    /// It hears that a stream has ended.
    StreamEnded(HostIndex, Stream),
}

/// Something that is to happen at a machine.
#[derive(Clone, Debug)]
pub(crate) enum AtHost {
    /// The worker's process starts.
    Starts,
    /// Its core asked to be called.
    Timer(Life),
    /// It tries to reach the coordinator.
    Dials(Life),
    /// A message arrives.
    Receives(Stream, ToWorker),
    /// It hears that a stream has ended.
    StreamEnded(Stream),
    /// A stage's module and files are here, or could not be had.
    Prepared(Life, JobId, StageIndex),
    /// An attempt's inputs are here, or could not be had.
    Inputs(Life, AttemptId),
    /// A slot could not be started.
    SlotFailed(Life, SlotIndex, RunId),
    /// A slot is through with a run.
    Finished(Life, SlotIndex, RunId, u64),
    /// A result is on disk.
    Kept(Life, AttemptId),
    /// The owner comes back.
    OwnerComes,
    /// The owner leaves.
    OwnerLeaves,
}

/// A fault from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// One of the faults that a run is full of.
    Strikes,
    /// A submitter changes its mind about a job.
    Order,
    /// Nothing goes wrong from now on.
    Ends,
    /// Jobs that were left paused go on.
    Resume,
}

/// What a worker says.
#[derive(Clone, Debug)]
pub(crate) enum ToCoordinator {
    Hello(Vec<(LeaseClaims, LeaseToken)>),
    Request(Capacity),
    Heartbeat(Box<Heartbeat>),
    Results(Vec<UnitResult>),
    Release(Vec<AttemptId>, ReleaseReason),
}

/// What a worker says of its leases.
#[derive(Clone, Debug)]
pub(crate) struct Heartbeat {
    pub(crate) held: Vec<AttemptId>,
    /// What of that runs.
    pub(crate) running: Vec<AttemptId>,
}

/// What the coordinator says.
#[derive(Clone, Debug)]
pub(crate) enum ToWorker {
    Welcome,
    Task(JobId, StageIndex),
    Leases(Vec<(Grant, Work)>),
    Acknowledge(Vec<AttemptId>),
    Withdraw(Vec<AttemptId>, WithdrawReason),
}

/// What goes wrong now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// All that can.
    Foul,
    /// Machines, owners and streams come and go as often; the coordinator and its store are spared,
    /// and all else goes wrong seldom.
    Choppy,
    /// Nothing.
    Fair,
}

/// The time of one process: wall time when it started, plus time since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    wall_ms: u64,
    started_us: u64,
}

/// All that is not one of the two cores or their drivers.
#[derive(Debug)]
pub(crate) struct Nature {
    pub(crate) now_us: u64,
    pub(crate) random: Random,
    pub(crate) weather: Weather,
    pub(crate) trace: Trace,
    pub(crate) traffic: Traffic,
    pub(crate) supply: Supply,
    /// What slots spent on attempts, in the time of an ordinary one.
    pub(crate) spent_us: u64,
    queue: Queue<Happening>,
    /// Every stream that was ever opened, by its number, while it stands.
    streams: Vec<Option<Ends>>,
    /// Machines that cannot reach the coordinator, and until when.
    cut_off: BTreeMap<HostIndex, u64>,
}

/// When the last message each way arrives: streams are in order.
#[derive(Debug, Default)]
struct Ends {
    to_coordinator_us: u64,
    to_worker_us: u64,
}

impl Nature {
    pub(crate) fn new(random: Random, weather: Weather, trace: Trace) -> Self {
        Self {
            now_us: 0,
            random,
            weather,
            trace,
            traffic: Traffic::default(),
            supply: Supply::default(),
            spent_us: 0,
            queue: Queue::default(),
            streams: Vec::new(),
            cut_off: BTreeMap::new(),
        }
    }

    /// Lets something happen after so many microseconds.
    pub(crate) fn after(&mut self, delay_us: u64, what: Happening) {
        self.queue.push(self.now_us + delay_us, what);
    }

    pub(crate) fn at_host(&mut self, delay_us: u64, host: HostIndex, what: AtHost) {
        self.after(delay_us, Happening::Host(host, what));
    }

    pub(crate) fn at_coordinator(&mut self, delay_us: u64, what: AtCoordinator) {
        self.after(delay_us, Happening::Coordinator(what));
    }

    /// Moves time to what happens next.
    pub(crate) fn next(&mut self) -> Option<Happening> {
        let (at_us, what) = self.queue.pop()?;
        self.now_us = at_us;
        self.trace.note(at_us, &what);
        Some(what)
    }

    /// True so many times in a thousand in foul weather, seldom in choppy and never in fair weather.
    pub(crate) fn goes_wrong(&mut self, per_mille: u64) -> bool {
        match self.weather {
            Weather::Foul => self.random.happens(per_mille),
            Weather::Choppy => self.random.between(0, 1000 * SELDOM) < per_mille,
            Weather::Fair => false,
        }
    }

    /// True so many times in a thousand while the coordinator is not spared.
    pub(crate) fn store_fails(&mut self, per_mille: u64) -> bool {
        self.weather == Weather::Foul && self.random.happens(per_mille)
    }

    /// A clock for a process that starts now on a machine whose wall clock is off by so much.
    pub(crate) fn clock(&self, off_ms: i64) -> Clock {
        let right = BEGINNING_MS + self.now_us / 1000;
        Clock { wall_ms: right.saturating_add_signed(off_ms), started_us: self.now_us }
    }

    /// A new stream from a machine, unless it is cut off.
    pub(crate) fn open_stream(&mut self, host: HostIndex) -> Option<Stream> {
        if self.cut_off.get(&host).is_some_and(|until_us| *until_us > self.now_us) {
            return None;
        }
        let number = u32::try_from(self.streams.len()).expect("less than 2^32 streams are opened");
        self.streams.push(Some(Ends::default()));
        Some(Stream(number))
    }

    /// Ends a stream with all that is under way on it. Each side hears of it in its own time, or
    /// finds out by its own means when it has a new one.
    pub(crate) fn break_stream(&mut self, host: HostIndex, stream: Stream) {
        if self.streams[stream.0 as usize].take().is_none() {
            return;
        }
        let (sooner, later) = (self.silence_us(), self.silence_us());
        self.at_host(sooner, host, AtHost::StreamEnded(stream));
        self.at_coordinator(later, AtCoordinator::StreamEnded(host, stream));
    }

    pub(crate) fn cut_off(&mut self, host: HostIndex, duration_us: u64) {
        self.cut_off.insert(host, self.now_us + duration_us);
    }

    pub(crate) fn reconnect_all(&mut self) {
        self.cut_off.clear();
    }

    pub(crate) fn tell_coordinator(
        &mut self,
        host: HostIndex,
        stream: Stream,
        said: ToCoordinator,
    ) {
        let delay_us = self.delay_us();
        let Some(ends) = &mut self.streams[stream.0 as usize] else { return };
        self.traffic.note_to_coordinator(&said);
        ends.to_coordinator_us = ends.to_coordinator_us.max(self.now_us + delay_us);
        let in_order_us = ends.to_coordinator_us - self.now_us;
        self.at_coordinator(in_order_us, AtCoordinator::Receives(host, stream, said));
    }

    pub(crate) fn tell_worker(&mut self, host: HostIndex, stream: Stream, said: ToWorker) {
        let delay_us = self.delay_us();
        let Some(ends) = &mut self.streams[stream.0 as usize] else { return };
        self.traffic.note_to_worker(&said);
        ends.to_worker_us = ends.to_worker_us.max(self.now_us + delay_us);
        let in_order_us = ends.to_worker_us - self.now_us;
        self.at_host(in_order_us, host, AtHost::Receives(stream, said));
    }

    /// Whether what was said on a stream still arrives.
    pub(crate) fn carries(&self, stream: Stream) -> bool {
        self.streams[stream.0 as usize].is_some()
    }

    fn delay_us(&mut self) -> u64 {
        match self.goes_wrong(20) {
            true => self.random.between(100_000, 5_000_000),
            false => self.random.between(500, 60_000),
        }
    }

    fn silence_us(&mut self) -> u64 {
        match self.weather != Weather::Fair && self.random.happens(300) {
            true => self.random.between(1_000_000, 40_000_000),
            false => self.random.between(1_000, 100_000),
        }
    }
}

impl Clock {
    /// What a core is told.
    pub(crate) fn now(self, nature: &Nature) -> Timestamp {
        Timestamp::from_millis(self.wall_ms + (nature.now_us - self.started_us) / 1000)
    }

    /// How long it is to a time that a core named; a moment when it is past.
    pub(crate) fn until_us(self, nature: &Nature, due: Timestamp) -> u64 {
        let since_start_us = due.as_millis().saturating_sub(self.wall_ms) * 1000;
        (self.started_us + since_start_us).saturating_sub(nature.now_us).max(1)
    }
}
