//! The coordinator: its core, a driver as the real one, and a store that may fail it.

use std::collections::{BTreeMap, VecDeque};

use gleaner_coordinator_core::{
    Action, Config, Core, Event, Question as Asked, Record, Reply, RequestId, Sequence, StageOutput,
};
use gleaner_protocol::{BlobHash, BlobRef, Epoch, JobId, LeaseKey, ReleaseReason, StageIndex};

use crate::allocator::as_core;
use crate::checks::{Checks, Holds};
use crate::host::{host_of, worker_id};
use crate::kept::{Question, kept_answers};
use crate::lives::{Alarm, Lives};
use crate::nature::{
    AtCoordinator, Clock, Heartbeat, HostIndex, Life, Nature, Stream, ToCoordinator, ToWorker,
};
use crate::store::Store;
use crate::supply::Demand;
use crate::workload::{Plan, Work, items_known, openings_after, submitters};

/// The coordinator's machine. The store outlives its processes.
#[derive(Debug)]
pub(crate) struct Coordinator {
    pub(crate) store: Store,
    pub(crate) checks: Checks,
    /// How far its wall clock is off.
    pub(crate) clock_off_ms: i64,
    config: Config,
    process: Lives<Process>,
}

/// A coordinator's process: what a kill takes away.
#[derive(Debug)]
struct Process {
    life: Life,
    core: Core,
    clock: Clock,
    pending: VecDeque<(Sequence, Vec<Record>)>,
    /// How many of the batches that wait are in the transaction at hand.
    committing: usize,
    /// Who is connected, by the machine's number.
    peers: Vec<Option<Peer>>,
    submissions: BTreeMap<RequestId, usize>,
    requests: u64,
    alarm: Alarm,
}

#[derive(Debug)]
struct Peer {
    stream: Stream,
    /// What it was told of.
    tasks: Vec<(JobId, StageIndex)>,
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Committed,
    /// Committed, but nobody heard of it.
    Unknown,
    Failed,
    /// There was no room; it is tried again.
    Full,
}

impl Coordinator {
    pub(crate) fn new(config: Config, slowness: Vec<u64>) -> Self {
        Self {
            config,
            store: Store::with_submitters(submitters()),
            checks: Checks::on(slowness),
            clock_off_ms: 0,
            process: Lives::default(),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process.is_up()
    }

    /// The process is gone at once, with all that was not committed, and comes back later.
    pub(crate) fn kill(&mut self, nature: &mut Nature) {
        let Some(process) = self.process.end() else { return };
        for (host, peer) in (0..).map(HostIndex).zip(process.peers) {
            if let Some(peer) = peer {
                nature.break_stream(host, peer.stream);
            }
        }
        let delay_us = nature.random.between(100_000, 20_000_000);
        nature.at_coordinator(delay_us, AtCoordinator::Starts);
    }

    pub(crate) fn on(&mut self, nature: &mut Nature, plans: &mut [Plan], what: AtCoordinator) {
        match what {
            AtCoordinator::Starts => self.start(nature),
            AtCoordinator::Timer(life) if self.process.lives_still(life) => self.on_timer(nature),
            AtCoordinator::Committed(life) if self.process.lives_still(life) => {
                self.on_committed(nature)
            }
            AtCoordinator::Reduced(life, job, stage) if self.process.lives_still(life) => {
                self.on_reduced(nature, job, stage);
            }
            AtCoordinator::Receives(host, stream, said) if nature.carries(stream) => {
                self.on_message(nature, host, stream, said);
            }
            AtCoordinator::StreamEnded(host, stream) => self.on_stream_ended(nature, host, stream),
            // Meant for a process or a stream that is gone.
            _ => {}
        }
        self.act(nature, plans);
    }

    /// A submitter asks for its job to be taken.
    pub(crate) fn submit(&mut self, nature: &mut Nature, plans: &mut [Plan], index: usize) {
        let Some(process) = self.process.get_mut() else { return };
        let request = process.next_request();
        process.submissions.insert(request, index);
        let Plan { submission, owner, spec, .. } = plans[index].clone();
        let retry_of = plans[index].retries.and_then(|retried| plans[retried].taken);
        let items = items_known(&spec);
        let known = (0..).map(StageIndex).zip(&items).filter_map(|(stage, items)| {
            Some(Question { spec: &spec, stage, items: (*items)?, first: retry_of })
        });
        let kept = known.flat_map(|question| kept_answers(&self.store, question)).collect();
        self.feed(
            nature,
            Event::JobSubmitted { request, submission, owner, spec, retry_of, items, kept },
        );
        self.act(nature, plans);
    }

    /// A submitter changes its mind; the answer is of no interest.
    pub(crate) fn order(
        &mut self,
        nature: &mut Nature,
        plans: &mut [Plan],
        order: impl FnOnce(RequestId) -> Event,
    ) {
        let Some(process) = self.process.get_mut() else { return };
        let request = process.next_request();
        self.feed(nature, order(request));
        self.act(nature, plans);
    }

    pub(crate) fn check_invariants(&self) {
        if let Some(process) = self.process.get() {
            process.core.check_invariants();
            self.checks.memory(&self.holds(process));
        }
    }

    /// What the core has reason to hold.
    fn holds(&self, process: &Process) -> Holds {
        Holds {
            units: self.store.units_of_running(),
            workers: process.peers.len() as u64,
            jobs: self.store.jobs().count() as u64,
            records: process.pending.iter().map(|(_, records)| records.len() as u64).sum(),
        }
    }

    fn start(&mut self, nature: &mut Nature) {
        if self.process.is_up() {
            return;
        }
        let clock = nature.clock(self.clock_off_ms);
        let (key, epoch) = (LeaseKey::new([7; 32]), Epoch(self.store.open()));
        let recovered = self.store.recovered();
        self.checks.on_start(&self.store);
        let now = clock.now(nature);
        self.process.begin(|life| Process {
            life,
            core: as_core(|| Core::recover(self.config.clone(), key, epoch, recovered, now)),
            clock,
            pending: VecDeque::new(),
            committing: 0,
            peers: Vec::new(),
            submissions: BTreeMap::new(),
            requests: 0,
            alarm: Alarm::default(),
        });
        self.ask_for_all_jobs(nature);
    }

    /// What was taken before a crash must be known after it: the replies are checked as speech.
    fn ask_for_all_jobs(&mut self, nature: &mut Nature) {
        let jobs: Vec<_> = self.checks.jobs_taken().collect();
        for job in jobs {
            let Some(process) = self.process.get_mut() else { return };
            let request = process.next_request();
            self.feed(nature, Event::Asked { request, question: Asked::Job(job) });
        }
    }

    fn feed(&mut self, nature: &Nature, event: Event) {
        if let Some(process) = self.process.get_mut() {
            let now = process.clock.now(nature);
            as_core(|| process.core.handle_event(now, event));
        }
    }

    fn on_timer(&mut self, nature: &Nature) {
        let Some(process) = self.process.get_mut() else { return };
        process.alarm.ring(nature.now_us);
        let now = process.clock.now(nature);
        if process.core.poll_timeout().is_some_and(|due| due <= now) {
            as_core(|| process.core.handle_timeout(now));
        }
    }

    fn on_reduced(&mut self, nature: &Nature, job: JobId, stage: StageIndex) {
        let name = "answers.json".parse().expect("a plain file name is one");
        let blob = BlobRef { hash: BlobHash([9; 32]), bytes: 1 };
        let (outputs, row) = (vec![StageOutput { name, blob }], self.store.row(job));
        let openings = openings_after(&row.spec, stage);
        let known = openings.iter().map(|opening| Question {
            spec: &row.spec,
            stage: opening.stage,
            items: opening.items,
            first: row.retry_of,
        });
        let kept = known.flat_map(|question| kept_answers(&self.store, question)).collect();
        let next = Ok(openings);
        self.feed(nature, Event::StageReduced { job, stage, outputs, next, kept });
    }

    fn on_message(
        &mut self,
        nature: &mut Nature,
        host: HostIndex,
        stream: Stream,
        said: ToCoordinator,
    ) {
        let worker = worker_id(host);
        let Some(process) = self.process.get_mut() else { return };
        if let ToCoordinator::Hello(held) = said {
            nature.tell_worker(host, stream, ToWorker::Welcome);
            if process.peers.len() <= host.0 as usize {
                process.peers.resize_with(host.0 as usize + 1, || None);
            }
            let peer = Peer { stream, tasks: Vec::new() };
            if let Some(before) = process.peers[host.0 as usize].replace(peer) {
                nature.break_stream(host, before.stream);
            }
            let claims = held.iter().map(|(claims, _)| claims);
            self.checks.on_hello(nature.now_us, worker, claims, &self.store);
            return self.feed(nature, Event::WorkerConnected { worker, held });
        }
        let Some(peer) = process.peer(host).filter(|peer| peer.stream == stream) else { return };
        let event = match said {
            ToCoordinator::Hello(_) => unreachable!("it was taken above"),
            ToCoordinator::Request(capacity) => Event::CapacityOffered { worker, capacity },
            ToCoordinator::Heartbeat(heartbeat) => {
                let Heartbeat { held: attempts, running } = *heartbeat;
                Event::Heartbeat { worker, attempts, running }
            }
            ToCoordinator::Release(attempts, reason) => {
                if matches!(reason, ReleaseReason::Unable(_)) {
                    peer.tasks.clear();
                }
                self.checks.on_released(nature.now_us, worker, &attempts, reason);
                Event::Released { worker, attempts, reason }
            }
            ToCoordinator::Results(results) => {
                self.checks.on_results(nature.now_us, worker, &results);
                Event::ResultsReturned { worker, results }
            }
        };
        self.feed(nature, event);
    }

    fn on_stream_ended(&mut self, nature: &Nature, host: HostIndex, stream: Stream) {
        let Some(process) = self.process.get_mut() else { return };
        if process.peer(host).is_some_and(|peer| peer.stream == stream) {
            process.peers[host.0 as usize] = None;
            self.feed(nature, Event::WorkerDisconnected { worker: worker_id(host) });
        }
    }

    fn on_committed(&mut self, nature: &mut Nature) {
        match fate(nature) {
            Fate::Committed => {
                let through = self.apply(nature);
                if let Some(process) = self.process.get_mut() {
                    process.committing = 0;
                }
                self.feed(nature, Event::Persisted { through });
            }
            Fate::Unknown => {
                self.apply(nature);
                self.kill(nature);
            }
            Fate::Failed => self.kill(nature),
            Fate::Full => {
                let Some(process) = self.process.get() else { return };
                let delay_us = nature.random.between(1_000_000, 10_000_000);
                nature.at_coordinator(delay_us, AtCoordinator::Committed(process.life));
            }
        }
    }

    /// Makes the transaction at hand durable: its last batch.
    fn apply(&mut self, nature: &mut Nature) -> Sequence {
        let process = self.process.get_mut().expect("a transaction is of a process");
        let mut through = Sequence::default();
        for (sequence, records) in process.pending.drain(..process.committing) {
            through = sequence;
            for record in &records {
                self.checks.before_written(record, &self.store);
                self.store.write(record);
                self.checks.after_written(nature.now_us, record);
            }
        }
        let demand = if self.store.items_open() > 0 { Demand::Some } else { Demand::None };
        nature.supply.demand(nature.now_us, demand);
        through
    }

    fn act(&mut self, nature: &mut Nature, plans: &mut [Plan]) {
        while let Some(action) =
            self.process.get_mut().and_then(|process| as_core(|| process.core.poll_action()))
        {
            nature.trace.note(nature.now_us, &action);
            self.checks.on_action(nature.now_us, &action, &self.store);
            self.carry_out(nature, plans, action);
        }
        self.commit_next(nature);
        self.set_timer(nature);
    }

    fn carry_out(&mut self, nature: &mut Nature, plans: &mut [Plan], action: Action) {
        let Some(process) = self.process.get_mut() else { return };
        match action {
            Action::Persist { sequence, records } => process.pending.push_back((sequence, records)),
            Action::Grant { worker, grants } => {
                let host = host_of(worker);
                let Some(peer) = process.peer(host) else { return };
                let mut leases = Vec::with_capacity(grants.len());
                for grant in grants {
                    let (job, stage) = (grant.claims.attempt.unit.job, grant.claims.stage);
                    let stored = self.store.job(job).expect("a lease is of a durable job");
                    let work = Work::of(&stored.row().spec.stages[stage.0 as usize].task);
                    if !peer.tasks.contains(&(job, stage)) {
                        peer.tasks.push((job, stage));
                        nature.tell_worker(host, peer.stream, ToWorker::Task(job, stage));
                    }
                    leases.push((grant, work));
                }
                nature.tell_worker(host, peer.stream, ToWorker::Leases(leases));
            }
            Action::Acknowledge { worker, attempts } => {
                // What is under way is no memory of the core's.
                let attempts = attempts.as_slice().to_vec();
                process.say(nature, host_of(worker), ToWorker::Acknowledge(attempts));
            }
            Action::Withdraw { worker, attempts, reason } => {
                let attempts = attempts.as_slice().to_vec();
                process.say(nature, host_of(worker), ToWorker::Withdraw(attempts, reason));
            }
            Action::Reduce { job, stage, .. } => {
                let delay_us = nature.random.between(1_000, 2_000_000);
                nature.at_coordinator(delay_us, AtCoordinator::Reduced(process.life, job, stage));
            }
            Action::Reply { request, reply: Reply::Submitted(job) } => {
                if let Some(index) = process.submissions.remove(&request) {
                    plans[index].taken = Some(job);
                }
            }
            Action::Reply { .. } | Action::JobChanged { .. } | Action::Notify => {}
        }
    }

    fn commit_next(&mut self, nature: &mut Nature) {
        let Some(process) = self.process.get_mut() else { return };
        if process.committing > 0 || process.pending.is_empty() {
            return;
        }
        process.committing = process.pending.len();
        let life = process.life;
        let delay_us = match nature.store_fails(10) {
            true => nature.random.between(100_000, 5_000_000),
            false => nature.random.between(500, 10_000),
        };
        nature.at_coordinator(delay_us, AtCoordinator::Committed(life));
    }

    fn set_timer(&mut self, nature: &mut Nature) {
        let Some(process) = self.process.get_mut() else { return };
        let due = process.core.poll_timeout();
        if let Some(delay_us) = process.alarm.set(nature, process.clock, due) {
            nature.at_coordinator(delay_us, AtCoordinator::Timer(process.life));
        }
    }
}

impl Process {
    fn next_request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    fn peer(&mut self, host: HostIndex) -> Option<&mut Peer> {
        self.peers.get_mut(host.0 as usize)?.as_mut()
    }

    fn say(&mut self, nature: &mut Nature, host: HostIndex, said: ToWorker) {
        if let Some(peer) = self.peer(host) {
            nature.tell_worker(host, peer.stream, said);
        }
    }
}

fn fate(nature: &mut Nature) -> Fate {
    match nature.store_fails(4) {
        true => nature.random.one_of(&[Fate::Unknown, Fate::Failed, Fate::Full]),
        false => Fate::Committed,
    }
}
