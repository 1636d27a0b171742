//! Drives one slot: its processes one after another, its units in order, its limits.
//!
//! ```text
//!            start                 Ready
//!   no process ──► starting ─────────────► serving
//!       ▲             │ NotReady, exit, too long │ exit, violation, CPU or wall limit
//!       └─────────────┴───────────────────────────┘   (the unit at the front is answered)
//! ```
//! A process is started when there is a unit for it. Whatever ends one answers the unit at the
//! front, so that every failure consumes a unit and no unit can make the slot start for ever.
//!
//! A process is watched for its next answer; while it answers one unit after another, it is looked at
//! now and then instead, and what it writes meanwhile wakes nobody.
//!
//! CPU time is read from outside, from the kernel's clock of the process. A slot says how much each
//! unit used, since it alone knows where one ends and the next begins; it is believed up to what
//! the clock says.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gleaner_protocol::{ItemFailure, OnFailure, Outcome, Payload, wire};
use serde_bytes::ByteBuf;
use tokio::sync::{mpsc, oneshot};

use super::control::Control;
use super::outgoing::Outgoing;
use super::pipe::{Decoder, Event, Setup, StartFailure, Violation};
use super::{SlotAnswer, SlotUnit, SpawnError};
use crate::guest;
use crate::limits::SLOT_START_MAX;
use crate::platform::{Input, Launch, Process, Spawner};

/// How much is read from a process at once.
const READ_BYTES: usize = 64 * 1024;

/// A slot that answers one unit after another is looked at this often: to be woken for each answer
/// costs more than a short unit. As long as the worker lets results gather.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Where so much was there to be read, the pipe may be full before the next look.
const READ_BYTES_FEW: usize = READ_BYTES / 4;

/// How many commands are taken at once.
const COMMANDS_TAKEN_MAX: usize = 256;

/// Limits are checked no more often than this.
const CHECK_INTERVAL_MIN: Duration = Duration::from_millis(5);

/// What each process of a slot is started with.
pub(super) struct Plan {
    /// The compiled module and the shared files.
    pub(super) files: Vec<Arc<File>>,
    pub(super) setup: Setup,
}

pub(super) enum Command {
    Run(SlotUnit, oneshot::Sender<SlotAnswer>),
    Kill(oneshot::Sender<()>),
}

type Ready = oneshot::Sender<Result<(), SpawnError>>;

pub(super) struct Driver {
    spawner: Spawner,
    plan: Plan,
    control: Arc<Control>,
    commands: mpsc::Receiver<Command>,
    /// Told how the first start went.
    ready: Option<Ready>,
    /// The units not answered, in order; the first is running or next.
    units: VecDeque<InFlight>,
    serving: Option<Serving>,
    began: Instant,
    /// What is read from a process goes through here.
    buffer: Box<[u8]>,
}

struct InFlight {
    unit: Arc<SlotUnit>,
    /// The outputs that have arrived.
    outputs: Vec<ByteBuf>,
    reply: oneshot::Sender<SlotAnswer>,
}

/// A process and what is on its way to and from it.
struct Serving {
    process: Process,
    decoder: Decoder,
    outgoing: Outgoing,
    ready: bool,
    /// It has closed its output, which it does when it ends.
    output_ended: bool,
    /// The clocks when the unit at the front, or the process itself, began.
    cpu_at_start: Duration,
    wall_at_start: Duration,
    /// When to look at the limits; none while there is nothing to limit.
    check_at: Option<Instant>,
    /// When to look at its output, while it is not watched.
    look_at: Option<Instant>,
}

/// What made the driver wake up.
enum Wake {
    Output,
    Exit,
    Input,
    Commands(Vec<Command>),
    Closed,
    Limits,
}

/// Why a process is given up.
enum End {
    Exited,
    NotReady(StartFailure),
    Violation(Violation),
    Limit(Outcome),
    StartTooLong,
}

impl Driver {
    pub(super) fn new(
        spawner: Spawner,
        plan: Plan,
        control: Arc<Control>,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            spawner,
            plan,
            control,
            commands,
            ready: None,
            units: VecDeque::new(),
            serving: None,
            began: Instant::now(),
            buffer: vec![0; READ_BYTES].into(),
        }
    }

    /// Runs until every handle is gone or one of them kills the slot; `ready` is told how the first
    /// start went.
    pub(super) async fn run(mut self, ready: Ready) {
        self.ready = Some(ready);
        loop {
            if self.serving.is_none() {
                if self.control.is_killed() {
                    return;
                }
                if self.ready.is_some() || !self.units.is_empty() {
                    self.start().await;
                    continue;
                }
            }
            match self.wake().await {
                Wake::Output => self.on_output(),
                Wake::Exit => self.on_exit().await,
                Wake::Input => self.write(),
                Wake::Limits => self.check_limits(),
                Wake::Closed => return,
                Wake::Commands(commands) => {
                    if let Some(done) = self.on_commands(commands) {
                        return self.end(done).await;
                    }
                }
            }
        }
    }

    async fn wake(&mut self) -> Wake {
        let serving = self.serving.as_ref();
        // What wakes the loop again and again must not keep the limits from being looked at.
        if serving.is_some_and(Serving::is_check_due) {
            return Wake::Limits;
        }
        let mut commands = Vec::new();
        tokio::select! {
            biased;
            () = readable(serving) => Wake::Output,
            () = exited(serving) => Wake::Exit,
            () = writable(serving) => Wake::Input,
            count = self.commands.recv_many(&mut commands, COMMANDS_TAKEN_MAX) => match count {
                0 => Wake::Closed,
                _ => Wake::Commands(commands),
            },
            () = self.control.changed.notified() => Wake::Limits,
            () = check_due(serving) => Wake::Limits,
        }
    }

    async fn start(&mut self) {
        match self.spawner.start(self.plan.launch()).await {
            Ok(process) => {
                self.control.attach(&process);
                let mut serving = Serving::new(process, self.plan.setup.limits.output_bytes);
                serving.outgoing.push_bytes(wire::encode_frame(&self.plan.setup));
                for waiting in &self.units {
                    serving.outgoing.push_unit(&waiting.unit);
                }
                serving.wall_at_start = self.control.active_since(self.began);
                serving.check_in(SLOT_START_MAX);
                self.serving = Some(serving);
                self.write();
            }
            Err(error) => self.fail_start(SpawnError::Process(error)),
        }
    }

    /// Tells whoever waits for the start, or answers the unit it was for.
    fn fail_start(&mut self, error: SpawnError) {
        let Some(ready) = self.ready.take() else {
            let status = format!("it could not be started again: {error}");
            return self.answer(SlotAnswer::crashed(status, Duration::ZERO));
        };
        self.commands.close();
        // Nobody waits any more: nothing to tell.
        let _ = ready.send(Err(error));
    }

    fn on_commands(&mut self, commands: Vec<Command>) -> Option<oneshot::Sender<()>> {
        let idle = self.units.is_empty();
        for command in commands {
            match command {
                Command::Kill(done) => return Some(done),
                Command::Run(unit, reply) => {
                    let unit = Arc::new(unit);
                    if let Some(serving) = &mut self.serving {
                        serving.outgoing.push_unit(&unit);
                    }
                    self.units.push_back(InFlight { unit, outputs: Vec::new(), reply });
                }
            }
        }
        if idle && let Some(serving) = &self.serving {
            self.begin_unit(serving.process.cpu());
        }
        self.write();
        None
    }

    /// The unit at the front begins now, when the process has used `cpu`.
    fn begin_unit(&mut self, cpu: Duration) {
        self.control.set_progress(0.0);
        let Some(serving) = self.serving.as_mut().filter(|serving| serving.ready) else { return };
        serving.cpu_at_start = cpu;
        serving.wall_at_start = self.control.active_since(self.began);
        let limits = &self.plan.setup.limits;
        let first_check = limits.cpu.min(limits.wall);
        serving.check_at = None;
        if !self.units.is_empty() {
            serving.check_in(first_check);
        }
    }

    fn write(&mut self) {
        if let Some(serving) = &mut self.serving {
            // A process that is gone or stopped takes nothing; its end is seen elsewhere.
            while let Some(bytes) = serving.outgoing.front() {
                match serving.process.try_write(bytes) {
                    Ok(written) if written > 0 => serving.outgoing.advance(written),
                    Ok(_) => return,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                    Err(_) => return serving.outgoing.clear(),
                }
            }
        }
    }

    fn on_output(&mut self) {
        if let Err(end) = self.read() {
            self.end_process(end);
        }
    }

    /// Reads all that is there, and answers the units that have ended.
    fn read(&mut self) -> Result<(), End> {
        let Some(serving) = &mut self.serving else { return Ok(()) };
        let length = match serving.process.try_read(&mut self.buffer) {
            Ok(length) if length > 0 => length,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                serving.watch();
                return Ok(());
            }
            // The end of its output comes just before its own; how it ended is known only then.
            Ok(_) | Err(_) => {
                serving.output_ended = true;
                serving.process.signals().kill();
                return Ok(());
            }
        };
        serving.decoder.push(&self.buffer[..length]);
        let mut answered = false;
        let now = serving.process.cpu();
        let used = now.saturating_sub(serving.cpu_at_start);
        while let Some(serving) = &mut self.serving {
            let Some(event) = serving.decoder.next().map_err(End::Violation)? else { break };
            answered |= self.on_event(event, used)?;
        }
        if answered {
            self.begin_unit(now);
        }
        let more_to_come = !self.units.is_empty() && length < READ_BYTES_FEW;
        if let Some(serving) = &mut self.serving {
            match answered && more_to_come {
                true => serving.look_later(),
                false => serving.watch(),
            }
        }
        Ok(())
    }

    /// Whether a unit was answered.
    fn on_event(&mut self, event: Event, used: Duration) -> Result<bool, End> {
        match event {
            Event::Ready => self.on_ready()?,
            Event::NotReady(failure) => return Err(End::NotReady(failure)),
            Event::Progress(fraction) => self.control.set_progress(fraction),
            Event::Outputs(outputs) => self.take_outputs(outputs)?,
            Event::Ended { outputs, failures, stopped, cpu, log } => {
                self.take_outputs(outputs)?;
                let outcome = match stopped {
                    None => self.completed(failures)?,
                    Some(outcome) => outcome,
                };
                self.answer(SlotAnswer { outcome, cpu: cpu.min(used), log });
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn on_ready(&mut self) -> Result<(), End> {
        let cpu = match &mut self.serving {
            Some(serving) if !serving.ready => {
                serving.ready = true;
                serving.process.cpu()
            }
            _ => return Err(End::Violation(Violation::OutOfTurn)),
        };
        if let Some(ready) = self.ready.take() {
            // A caller that is gone has dropped its handle, which ends the driver.
            let _ = ready.send(Ok(()));
        }
        self.begin_unit(cpu);
        Ok(())
    }

    fn take_outputs(&mut self, outputs: Vec<ByteBuf>) -> Result<(), End> {
        let expected = self.expected_outputs();
        let front = self.units.front_mut().ok_or(End::Violation(Violation::OutOfTurn))?;
        if front.outputs.len() + outputs.len() > expected {
            return Err(End::Violation(Violation::OutOfTurn));
        }
        front.outputs.extend(outputs);
        Ok(())
    }

    fn completed(&mut self, failures: Vec<ItemFailure>) -> Result<Outcome, End> {
        let expected = self.expected_outputs();
        let goes_on = self.plan.setup.on_failure == OnFailure::Continue;
        match self.units.front_mut() {
            Some(front)
                if front.outputs.len() == expected
                    && (goes_on || failures.is_empty())
                    && front.have_failed(&failures) =>
            {
                let outputs = Payload::Inline(std::mem::take(&mut front.outputs));
                Ok(Outcome::Completed { outputs, failures })
            }
            _ => Err(End::Violation(Violation::OutOfTurn)),
        }
    }

    /// How many outputs the unit at the front gives.
    fn expected_outputs(&self) -> usize {
        let items = self.units.front().map_or(0, |front| front.unit.items.len());
        guest::outputs_of(&self.plan.setup.entry, items)
    }

    fn answer(&mut self, answer: SlotAnswer) {
        if let Some(front) = self.units.pop_front() {
            // A caller that is gone has given the answer up.
            let _ = front.reply.send(answer);
        }
    }

    async fn on_exit(&mut self) {
        // What it wrote before it ended still counts.
        while self.serving.as_ref().is_some_and(|serving| !serving.output_ended) {
            readable(self.serving.as_ref()).await;
            self.on_output();
        }
        self.end_process(End::Exited);
    }

    fn check_limits(&mut self) {
        let suspended = self.control.is_suspended();
        let wall = self.control.active_since(self.began);
        let Some(serving) = &mut self.serving else { return };
        serving.check_at = None;
        let idle = serving.ready && self.units.is_empty();
        if suspended || idle {
            return;
        }
        let wall = wall.saturating_sub(serving.wall_at_start);
        if !serving.ready {
            match SLOT_START_MAX.checked_sub(wall) {
                Some(left) if !left.is_zero() => serving.check_in(left),
                _ => self.end_process(End::StartTooLong),
            }
            return;
        }
        let limits = &self.plan.setup.limits;
        let cpu = serving.process.cpu().saturating_sub(serving.cpu_at_start);
        if cpu > limits.cpu {
            let limit_ms = limits.cpu.as_millis() as u64;
            self.end_process(End::Limit(Outcome::CpuExceeded { limit_ms }));
        } else if wall > limits.wall {
            let limit_ms = limits.wall.as_millis() as u64;
            self.end_process(End::Limit(Outcome::WallExceeded { limit_ms }));
        } else {
            // One thread cannot use its CPU time faster than time passes.
            serving.check_in((limits.cpu - cpu).min(limits.wall - wall));
        }
    }

    /// Gives the process up and answers what it leaves behind; the next unit starts a new one.
    fn end_process(&mut self, end: End) {
        let Some(mut serving) = self.serving.take() else { return };
        self.control.detach();
        self.control.set_progress(0.0);
        if self.control.is_killed() {
            // Whoever waits for a unit sees that the driver is gone.
            return;
        }
        if !serving.ready {
            return self.fail_start(self.start_error(end, &mut serving));
        }
        let cpu = serving.process.cpu().saturating_sub(serving.cpu_at_start);
        let answer = match end {
            End::Limit(outcome) => SlotAnswer { outcome, cpu, log: String::new() },
            End::Violation(violation) => SlotAnswer::crashed(violation.to_string(), cpu),
            _ => SlotAnswer::crashed(serving.process.epitaph(), cpu),
        };
        self.answer(answer);
    }

    fn start_error(&self, end: End, serving: &mut Serving) -> SpawnError {
        let status = match end {
            End::NotReady(failure) => {
                return SpawnError::from_failure(failure, &self.plan.setup.entry);
            }
            End::Violation(violation) => violation.to_string(),
            End::StartTooLong => format!("it took longer than {SLOT_START_MAX:?}"),
            End::Exited | End::Limit(_) => serving.process.epitaph(),
        };
        SpawnError::NotReady { status }
    }

    /// The worker ends the slot; whoever waits for a unit sees that the driver is gone.
    async fn end(mut self, done: oneshot::Sender<()>) {
        if let Some(serving) = self.serving.take() {
            self.control.detach();
            serving.process.signals().kill();
            serving.process.exited().await;
        }
        // A caller that is gone waits for nothing.
        let _ = done.send(());
    }
}

impl InFlight {
    /// Whether these can be its failures: items of it in order, none of which gave an output.
    fn have_failed(&self, failures: &[ItemFailure]) -> bool {
        let output = |failure: &ItemFailure| {
            let position = failure.item.checked_sub(self.unit.first_item)?;
            self.outputs.get(usize::try_from(position).ok()?)
        };
        failures.is_sorted_by(|one, next| one.item < next.item)
            && failures.iter().all(|failure| output(failure).is_some_and(|bytes| bytes.is_empty()))
    }
}

impl Plan {
    fn launch(&self) -> Launch {
        let shared = self.files.len() - 1;
        let arguments = guest::arguments(&self.setup.limits, shared);
        Launch { arguments, input: Input::Pipe, files: self.files.clone() }
    }
}

impl Serving {
    fn new(process: Process, output_bytes_max: u64) -> Self {
        Self {
            process,
            decoder: Decoder::new(output_bytes_max),
            outgoing: Outgoing::default(),
            ready: false,
            output_ended: false,
            cpu_at_start: Duration::ZERO,
            wall_at_start: Duration::ZERO,
            check_at: None,
            look_at: None,
        }
    }

    /// Wakes the driver when there is something to be read.
    fn watch(&mut self) {
        self.look_at = None;
        if self.process.watch().is_err() {
            // No room to watch it: it is looked at again and again instead.
            self.look_later();
        }
    }

    /// Leaves what comes where it is until a later look.
    fn look_later(&mut self) {
        self.process.unwatch();
        self.look_at = Some(Instant::now() + LOOK_INTERVAL);
    }

    fn is_check_due(&self) -> bool {
        self.check_at.is_some_and(|at| Instant::now() >= at)
    }

    /// A limit beyond the end of time is none.
    fn check_in(&mut self, duration: Duration) {
        self.check_at = Instant::now().checked_add(duration.max(CHECK_INTERVAL_MIN));
    }
}

async fn readable(serving: Option<&Serving>) {
    match serving {
        Some(serving) if !serving.output_ended => match serving.look_at {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            // An error is seen again by the read that follows.
            None => drop(serving.process.readable().await),
        },
        _ => std::future::pending().await,
    }
}

async fn exited(serving: Option<&Serving>) {
    match serving {
        Some(serving) => serving.process.exited().await,
        None => std::future::pending().await,
    }
}

async fn writable(serving: Option<&Serving>) {
    match serving {
        Some(serving) if !serving.outgoing.is_empty() => drop(serving.process.writable().await),
        _ => std::future::pending().await,
    }
}

async fn check_due(serving: Option<&Serving>) {
    match serving.and_then(|serving| serving.check_at) {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
