//! One run: jobs, machines, a coordinator, and all that goes wrong between them.

use std::time::Duration;

use gleaner_coordinator_core::{Config, Event, LateUnits};
use gleaner_protocol::{JobId, StageSpec};

use crate::coordinator::Coordinator;
use crate::host::Host;
use crate::nature::{AtCoordinator, AtHost, Fault, Happening, HostIndex, Nature, Weather};
use crate::random::Random;
use crate::report::{Progress, Report};
use crate::store::{Presence, StoredJob, StoredStage};
use crate::trace::{Trace, Tracing};
use crate::workload::{Plan, Work, plans};

/// How long jobs are submitted and, where anything does, things go wrong.
const FOUL_US: u64 = 300_000_000;

/// How often jobs are looked at when things have stopped going wrong.
const LOOK_US: u64 = 5_000_000;

/// What a job may take longer than its work when nothing goes wrong any more: a lease that nobody
/// speaks for, a restart's grace, pauses after failures and the slowest machine's last unit.
const PATIENCE_US: u64 = 900_000_000;

/// By when all jobs are submitted where the coordinator is spared.
const SUBMITTED_BY_US: u64 = 10_000_000;

/// How often a submitter looks whether a job that it wants to retry has ended.
const RETRIED_AFTER_US: u64 = 3_000_000;

/// How many events pass between two reports of how far it is.
const TELL_EVERY: u64 = 2_000_000;

/// With every so many machines, one more is struck at a time. There is one coordinator however many
/// machines there are: only the first stroke may meet more than a machine.
const STRUCK_EACH: u32 = 1_000;

/// When things stop going wrong, one machine in so many has left for good.
const LEAVING_EACH: u32 = 6;

/// After so many events, and so many for each machine, the cores' books are looked through, and the
/// coordinator's core's memory is compared with what it has reason to hold; and at the end. In a
/// large world that takes as long as ten events for each machine: there it is done less often.
const CHECK_EVERY: u64 = 64;
const CHECK_EVERY_HOST: u64 = 8;
const CHECK_EVERY_HOST_LARGE: u64 = 100;

/// A world of so many machines is large.
const LARGE: u32 = 1_000;

/// What a run is.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// All chance is drawn from it.
    pub seed: u64,
    /// How many machines.
    pub hosts: u32,
    /// About how many units, in all jobs together.
    pub units: u64,
    /// How many jobs.
    pub jobs: u64,
    /// Whether anything goes wrong.
    pub faults: Faults,
    /// What the coordinator does about units that are late.
    pub late_units: LateUnits,
    /// How much is remembered for a failure.
    pub tracing: Tracing,
}

/// What goes wrong in a run, for five minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faults {
    /// All that can.
    Many,
    /// What happens to machines and streams; the more machines, the more often.
    Machines,
    /// Nothing.
    None,
}

/// What a submitter finds who wants to take up a job again.
enum ToRetry {
    /// It is a job of its own.
    Nothing,
    Runs,
    Ended,
    /// It is submitted like any other.
    Removed,
}

pub(crate) struct World {
    options: Options,
    nature: Nature,
    coordinator: Coordinator,
    hosts: Vec<Host>,
    plans: Vec<Plan>,
    deadline_us: u64,
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        let mut random = Random::of_seed(options.seed);
        let last_us = match options.faults {
            Faults::Many => FOUL_US / 2,
            Faults::Machines | Faults::None => SUBMITTED_BY_US,
        };
        let plans = plans(&mut random, options.jobs, options.units, last_us);
        let weather = match options.faults {
            Faults::Many => Weather::Foul,
            Faults::Machines => Weather::Choppy,
            Faults::None => Weather::Fair,
        };
        let mut nature = Nature::new(random, weather, Trace::new(options.tracing));
        let hosts = (0..options.hosts).map(|index| Host::new(HostIndex(index), &mut nature));
        let hosts: Vec<Host> = hosts.collect();
        let slowness = hosts.iter().map(|host| host.slowness).collect();
        let config = Config { late_units: options.late_units, ..Config::default() };
        let coordinator = Coordinator::new(config, slowness);
        let mut world = Self { options, nature, coordinator, hosts, plans, deadline_us: 0 };
        world.deadline_us = FOUL_US + PATIENCE_US + 30 * world.ideal_us();
        world.begin();
        world
    }

    /// Lets everything happen until every job has ended.
    ///
    /// # Panics
    /// When something that must hold does not.
    pub(crate) fn run(&mut self, mut tell: impl FnMut(Progress)) -> Report {
        let each =
            if self.options.hosts < LARGE { CHECK_EVERY_HOST } else { CHECK_EVERY_HOST_LARGE };
        let check_every = CHECK_EVERY.max(each * u64::from(self.options.hosts));
        let mut events = 0_u64;
        while !self.is_over() {
            let what = self.nature.next().expect("somebody always means to do something");
            assert!(
                self.nature.now_us < self.deadline_us,
                "jobs still run {} s after the last fault: {:?}",
                (self.nature.now_us - FOUL_US) / 1_000_000,
                self.unfinished()
            );
            self.happen(what);
            events += 1;
            if events.is_multiple_of(check_every) {
                self.check_invariants();
            }
            if events.is_multiple_of(TELL_EVERY) {
                tell(self.progress(events));
            }
        }
        self.check_invariants();
        self.report()
    }

    pub(crate) fn last_lines(&self) -> impl Iterator<Item = &str> {
        self.nature.trace.lines()
    }

    fn begin(&mut self) {
        self.nature.at_coordinator(0, AtCoordinator::Starts);
        for index in 0..self.options.hosts {
            let delay_us = self.nature.random.between(0, 20_000_000);
            self.nature.at_host(delay_us, HostIndex(index), AtHost::Starts);
        }
        for index in 0..self.plans.len() {
            let at_us = self.plans[index].submit_at_us;
            self.nature.after(at_us, Happening::Submit(index));
        }
        if self.options.faults != Faults::None {
            self.nature.after(5_000_000, Happening::Fault(Fault::Strikes));
        }
        if self.options.faults == Faults::Many {
            self.nature.after(5_000_000, Happening::Fault(Fault::Order));
        }
        self.nature.after(FOUL_US, Happening::Fault(Fault::Ends));
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Submit(index) => self.submit(index),
            Happening::Coordinator(what) => {
                self.coordinator.on(&mut self.nature, &mut self.plans, what);
            }
            Happening::Host(host, AtHost::Dials(life)) => {
                if self.hosts[host.0 as usize].wants_stream(life) {
                    self.dial(host);
                }
            }
            Happening::Host(host, what) => {
                self.hosts[host.0 as usize].on(&mut self.nature, what);
            }
            Happening::Fault(fault) => self.on_fault(fault),
        }
    }

    /// A submitter asks until it is told that its job was taken, as `gleaner submit` does.
    fn submit(&mut self, index: usize) {
        if self.plans[index].taken.is_none() {
            match self.to_retry(index) {
                ToRetry::Runs => {
                    return self.nature.after(RETRIED_AFTER_US, Happening::Submit(index));
                }
                ToRetry::Removed => self.plans[index].retries = None,
                ToRetry::Nothing | ToRetry::Ended => {}
            }
            self.coordinator.submit(&mut self.nature, &mut self.plans, index);
            let delay_us = self.nature.random.between(500_000, 5_000_000);
            self.nature.after(delay_us, Happening::Submit(index));
        }
    }

    fn to_retry(&self, index: usize) -> ToRetry {
        let Some(retried) = self.plans[index].retries else { return ToRetry::Nothing };
        let job = self.plans[retried].taken.and_then(|job| self.coordinator.store.job(job));
        match job {
            Some(job) if job.presence() == Presence::Removed => ToRetry::Removed,
            Some(job) if job.row().end.is_some() => ToRetry::Ended,
            _ => ToRetry::Runs,
        }
    }

    fn dial(&mut self, host: HostIndex) {
        let refused = !self.coordinator.is_up() || self.nature.goes_wrong(100);
        let stream = if refused { None } else { self.nature.open_stream(host) };
        let there = &mut self.hosts[host.0 as usize];
        match stream {
            Some(stream) => there.on_connected(&mut self.nature, stream),
            None => there.dial_later(&mut self.nature),
        }
    }

    fn on_fault(&mut self, fault: Fault) {
        let foul = self.nature.weather != Weather::Fair;
        match fault {
            Fault::Strikes if foul => {
                self.strike(self.nature.weather);
                for _ in 0..self.options.hosts / STRUCK_EACH {
                    self.strike(Weather::Choppy);
                }
                let delay_us = self.nature.random.between(100_000, 6_000_000);
                self.nature.after(delay_us, Happening::Fault(Fault::Strikes));
            }
            Fault::Order if foul => {
                self.order();
                let delay_us = self.nature.random.between(1_000_000, 30_000_000);
                self.nature.after(delay_us, Happening::Fault(Fault::Order));
            }
            Fault::Strikes | Fault::Order => {}
            Fault::Ends => {
                if foul {
                    self.clear_up();
                }
                self.nature.after(0, Happening::Fault(Fault::Resume));
            }
            Fault::Resume => {
                self.resume_all();
                self.nature.after(LOOK_US, Happening::Fault(Fault::Resume));
            }
        }
    }

    /// Strikes a machine, or what else goes wrong in such weather.
    fn strike(&mut self, weather: Weather) {
        let host = HostIndex(self.nature.random.between(0, self.options.hosts.into()) as u32);
        let nature = &mut self.nature;
        let there = &mut self.hosts[host.0 as usize];
        match nature.random.between(0, 100) {
            0..30 => {
                if let Some(stream) = there.stream() {
                    nature.break_stream(host, stream);
                }
            }
            30..45 => there.kill_for_a_while(nature),
            45..50 => there.stop(nature),
            50..65 => {
                nature.at_host(0, host, AtHost::OwnerComes);
                let delay_us = nature.random.heavy_tailed(100_000, 100_000_000);
                nature.at_host(delay_us, host, AtHost::OwnerLeaves);
            }
            65..75 if weather == Weather::Foul => self.partition(),
            75..85 => {
                let off_ms = nature.random.between(0, 7_200_000) as i64 - 3_600_000;
                match nature.random.happens(300) {
                    true => self.coordinator.clock_off_ms = off_ms,
                    false => there.clock_off_ms = off_ms,
                }
            }
            _ if weather == Weather::Foul => self.coordinator.kill(nature),
            _ => there.kill_for_a_while(nature),
        }
    }

    /// Cuts off a run of machines for a while.
    fn partition(&mut self) {
        let hosts = self.options.hosts;
        let first = self.nature.random.between(0, hosts.into()) as u32;
        let count = self.nature.random.between(1, u64::from(hosts / 2).max(2)) as u32;
        let duration_us = self.nature.random.heavy_tailed(1_000_000, 120_000_000);
        for index in (first..first + count).map(|index| index % hosts) {
            self.nature.cut_off(HostIndex(index), duration_us);
            if let Some(stream) = self.hosts[index as usize].stream() {
                self.nature.break_stream(HostIndex(index), stream);
            }
        }
    }

    /// A submitter pauses, resumes, reorders, ends or removes one of the jobs that were taken.
    fn order(&mut self) {
        let taken: Vec<JobId> = self.plans.iter().filter_map(|plan| plan.taken).collect();
        if taken.is_empty() {
            return;
        }
        let random = &mut self.nature.random;
        let (job, choice) = (random.one_of(&taken), random.between(0, 12));
        let priority = random.between(0, 5) as i32;
        self.coordinator.order(&mut self.nature, &mut self.plans, |request| match choice {
            0..3 => Event::PauseRequested { request, job },
            3..6 => Event::ResumeRequested { request, job },
            6..9 => Event::PriorityRequested { request, job, priority },
            9 => Event::CancelRequested { request, job },
            _ => Event::RemoveRequested { request, job },
        });
    }

    fn clear_up(&mut self) {
        self.nature.weather = Weather::Fair;
        self.nature.reconnect_all();
        for index in 0..self.options.hosts {
            // Work that only some can do is not asked for: the others are enough for every quorum.
            if index % LEAVING_EACH == 0 {
                self.hosts[index as usize].leave(&mut self.nature);
            } else if !self.hosts[index as usize].is_up() {
                self.nature.at_host(0, HostIndex(index), AtHost::Starts);
            }
        }
    }

    fn resume_all(&mut self) {
        for job in self.unfinished() {
            let resume = |request| Event::ResumeRequested { request, job };
            self.coordinator.order(&mut self.nature, &mut self.plans, resume);
        }
    }

    fn unfinished(&self) -> Vec<JobId> {
        let taken = self.plans.iter().filter_map(|plan| plan.taken);
        taken.filter(|job| !self.has_ended(*job)).collect()
    }

    fn has_ended(&self, job: JobId) -> bool {
        self.coordinator.store.job(job).is_some_and(|job| job.row().end.is_some())
    }

    fn is_over(&self) -> bool {
        // Who retries what was retried already is given the job that does.
        self.coordinator.store.has_all_ended() && self.plans.iter().all(|plan| plan.taken.is_some())
    }

    fn check_invariants(&self) {
        self.coordinator.check_invariants();
        for host in &self.hosts {
            host.check_invariants();
        }
    }

    /// How long all jobs would take if no slot ever waited.
    fn ideal_us(&self) -> u64 {
        let works = self.plans.iter().flat_map(|plan| {
            let quorum = u64::from(plan.spec.quorum.get());
            plan.spec.stages.iter().map(move |stage| {
                let items = stage.item_count().unwrap_or(1);
                items * quorum * Work::of(&stage.task).item_us()
            })
        });
        let capacity: f64 =
            self.hosts.iter().map(|host| f64::from(host.slots) / host.slowness as f64).sum();
        (works.sum::<u64>() as f64 / capacity) as u64
    }

    fn progress(&self, events: u64) -> Progress {
        Progress {
            events,
            now: Duration::from_micros(self.nature.now_us),
            units: self.units_settled(),
            jobs_ended: self.coordinator.store.jobs_ended(),
        }
    }

    fn units_settled(&self) -> u64 {
        let stages = self.coordinator.store.jobs().flat_map(|job| job.stages());
        stages.map(|stage| stage.sums().units_settled).sum()
    }

    /// What the settled items take one ordinary slot, as often as their quorum says.
    fn needed_us(&self) -> u64 {
        let of_job = |job: &StoredJob| {
            let spec = &job.row().spec;
            let stages = spec.stages.iter().zip(job.stages());
            let work = |(stage, stored): (&StageSpec, &StoredStage)| {
                stored.items_computed() * Work::of(&stage.task).item_us()
            };
            u64::from(spec.quorum.get()) * stages.map(work).sum::<u64>()
        };
        self.coordinator.store.jobs().map(of_job).sum()
    }

    fn report(&mut self) -> Report {
        for host in &mut self.hosts {
            host.kill(&mut self.nature);
        }
        let now_us = self.nature.now_us;
        let traffic = &self.nature.traffic;
        Report {
            trace_hash: self.nature.trace.hash(),
            apart_most: self.coordinator.checks.apart_most(),
            events: self.nature.trace.events,
            messages: traffic.messages,
            message_bytes: traffic.bytes(),
            units: self.units_settled(),
            makespan: Duration::from_micros(now_us),
            busy: Duration::from_micros(self.nature.supply.wanted_us(now_us)),
            needed: Duration::from_micros(self.needed_us()),
            spent: Duration::from_micros(self.nature.spent_us),
            supply: Duration::from_micros(self.nature.supply.slot_us(now_us)),
        }
    }
}
