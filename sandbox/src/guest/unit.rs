//! Running units: an instance for each item, outputs gathered and sent, outcomes in words.
//!
//! Where the job goes on when an item fails, the unit goes on with its next item, so that what an
//! item gives does not depend on its neighbours. What another machine might do better (a stack that
//! overflowed, memory that the host did not have) ends the unit in any case.

use std::io;
use std::time::Duration;

use gleaner_protocol::{ItemFailure, OnFailure, Outcome, TrapKind};
use wasmtime::{Instance, InstancePre, ModuleExport, Store, Trap, WasmBacktrace};

use super::host::{Guest, Stop, words};
use super::stream::Stream;
use super::trace;
use crate::interface::{AGAIN, DONE};
use crate::limits::OUTPUT_GATHERED_BYTES_MAX;
use crate::platform;
use crate::slot::pipe::{FromSlot, UnitHead};

/// Why a unit cannot be answered: the slot ends, and its worker tells the unit how.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    #[error("the worker's pipe: {0}")]
    Pipe(#[from] io::Error),
    #[error("{0}")]
    Host(String),
}

/// Runs the items of one stage.
pub(super) struct Runner {
    instance: InstancePre<Guest>,
    entry: ModuleExport,
    memory: ModuleExport,
    /// Between items; an item's store has it meanwhile.
    guest: Option<Guest>,
    on_failure: OnFailure,
    /// The lengths of the outputs that are gathered.
    lengths: Vec<u64>,
    /// The items of the unit that failed.
    failures: Vec<ItemFailure>,
    /// The CPU time of this process when the last unit ended: waiting for the next takes none.
    cpu: Duration,
}

/// How an item ended that gave no output.
enum Unfinished {
    Stopped(Outcome),
    Broken(ServeError),
}

impl Runner {
    pub(super) fn new(
        instance: InstancePre<Guest>,
        entry: ModuleExport,
        memory: ModuleExport,
        guest: Guest,
        on_failure: OnFailure,
    ) -> Self {
        let cpu = platform::thread_cpu();
        let (guest, lengths, failures) = (Some(guest), Vec::new(), Vec::new());
        Self { instance, entry, memory, guest, on_failure, lengths, failures, cpu }
    }

    /// Answers units until the input ends.
    pub(super) fn serve(&mut self, stream: Stream) -> Result<(), ServeError> {
        self.guest().stream = stream;
        while let Some(unit) = self.guest().stream.read::<UnitHead>()? {
            self.run_unit(&unit)?;
        }
        Ok(())
    }

    fn guest(&mut self) -> &mut Guest {
        self.guest.as_mut().expect("an item's store gives its guest back")
    }

    fn run_unit(&mut self, unit: &UnitHead) -> Result<(), ServeError> {
        let stopped = self.run_items(unit)?;
        let lengths = std::mem::take(&mut self.lengths);
        let failures = std::mem::take(&mut self.failures);
        let now = platform::thread_cpu();
        let cpu = now.saturating_sub(self.cpu);
        self.cpu = now;
        let guest = self.guest();
        let log = std::mem::take(&mut guest.log);
        guest.stream.push(&FromSlot::Ended { lengths, failures, stopped, cpu, log });
        guest.stream.push_bytes(&guest.outputs);
        guest.outputs.clear();
        // The next unit may take an hour: this one's answer does not wait for it.
        Ok(guest.stream.flush()?)
    }

    /// Runs a unit's items in order up to the first that ends it, and says how that ended.
    fn run_items(&mut self, unit: &UnitHead) -> Result<Option<Outcome>, ServeError> {
        let values = if self.guest().is_merge { 2 } else { 1 };
        let items = unit.lengths.len() / values;
        for (index, lengths) in unit.lengths.chunks_exact(values).enumerate() {
            let seed = unit.seeds.get(index).copied().unwrap_or(0);
            let number = unit.first_item + index as u64;
            match self.run_item(lengths, index, items, number, seed) {
                Ok(()) => self.send_gathered()?,
                Err(Unfinished::Broken(error)) => return Err(error),
                Err(Unfinished::Stopped(outcome)) => {
                    if let Some(failure) = self.tolerated(&outcome) {
                        self.leave_out(failure);
                        continue;
                    }
                    self.guest().outputs.clear();
                    self.lengths.clear();
                    self.failures.clear();
                    let rest = unit.lengths[(index + 1) * values..].iter().sum();
                    self.guest().stream.skip(rest)?;
                    return Ok(Some(outcome));
                }
            }
        }
        Ok(None)
    }

    /// The failure of one item, where the unit goes on after it.
    fn tolerated(&self, outcome: &Outcome) -> Option<ItemFailure> {
        match self.on_failure {
            OnFailure::Continue => ItemFailure::of(outcome),
            OnFailure::Stop => None,
        }
    }

    /// The item that just ended has no output.
    fn leave_out(&mut self, failure: ItemFailure) {
        let guest = self.guest();
        guest.outputs.truncate(guest.item.output_start);
        self.lengths.push(0);
        self.failures.push(failure);
    }

    fn run_item(
        &mut self,
        lengths: &[u64],
        index: usize,
        items: usize,
        number: u64,
        seed: u64,
    ) -> Result<(), Unfinished> {
        let mut guest = self.guest.take().expect("an item's store gives its guest back");
        let read = read_values(&mut guest, lengths);
        guest.item.number = number;
        guest.item.seed = seed;
        let begun = match read {
            Ok(()) => guest.begin_item(index, items).map_err(wasmtime::Error::from),
            Err(stop) => Err(stop.into()),
        };
        let mut store = Store::new(self.instance.module().engine(), guest);
        store.limiter(|guest| &mut guest.growth);
        let result = begun.and_then(|()| self.call(&mut store));
        let guest = self.guest.insert(store.into_data());
        match result {
            Ok(()) => {
                self.lengths.push((guest.outputs.len() - guest.item.output_start) as u64);
                Ok(())
            }
            Err(error) => Err(unfinished(&error, guest)),
        }
    }

    /// Calls the item's function until it is done.
    fn call(&self, store: &mut Store<Guest>) -> wasmtime::Result<()> {
        let instance = self.instance.instantiate(&mut *store)?;
        let memory = instance.get_module_export(&mut *store, &self.memory);
        store.data_mut().memory = memory.and_then(wasmtime::Extern::into_memory);
        let entry = self.entry(&instance, store)?;
        loop {
            match entry.call(&mut *store, ())? {
                DONE => return Ok(()),
                AGAIN => {}
                other => {
                    let words =
                        format!("it returned {other}; a step returns 0 (done) or 1 (again)");
                    return Err(Stop::HostCall(words).into());
                }
            }
        }
    }

    fn entry(
        &self,
        instance: &Instance,
        store: &mut Store<Guest>,
    ) -> wasmtime::Result<wasmtime::TypedFunc<(), i32>> {
        let export = instance.get_module_export(&mut *store, &self.entry);
        let function = export.and_then(wasmtime::Extern::into_func);
        let missing = || Stop::Host("the module's function is gone".to_owned());
        function.ok_or_else(missing)?.typed(store)
    }

    /// Sends the outputs gathered so far when they are many.
    fn send_gathered(&mut self) -> Result<(), ServeError> {
        if self.guest().outputs.len() < OUTPUT_GATHERED_BYTES_MAX {
            return Ok(());
        }
        let lengths = std::mem::take(&mut self.lengths);
        let guest = self.guest();
        guest.stream.push(&FromSlot::Outputs { lengths });
        guest.stream.push_bytes(&guest.outputs);
        guest.outputs.clear();
        Ok(guest.stream.flush()?)
    }
}

/// Reads an item's value, or a pair's two, from the worker.
fn read_values(guest: &mut Guest, lengths: &[u64]) -> Result<(), Stop> {
    let values = [&mut guest.item.input, &mut guest.item.right];
    for (value, length) in values.into_iter().zip(lengths) {
        value.clear();
        let length = *length as usize;
        value
            .try_reserve_exact(length)
            .map_err(|_| Stop::Host(format!("no memory for an input of {length} bytes")))?;
        value.resize(length, 0);
        let read = guest.stream.read_exact(value);
        read.map_err(|error| Stop::Host(format!("the worker's pipe: {error}")))?;
    }
    Ok(())
}

fn unfinished(error: &wasmtime::Error, guest: &Guest) -> Unfinished {
    let item = guest.item.number;
    let limits = &guest.limits;
    if let Some(trap) = error.downcast_ref::<Trap>() {
        let functions = trace::functions(error.downcast_ref::<WasmBacktrace>());
        return Unfinished::Stopped(outcome_of_trap(*trap, item, &guest.item.panic, &functions));
    }
    Unfinished::Stopped(match error.downcast_ref::<Stop>() {
        Some(Stop::Failed(message)) => Outcome::Failed { item, message: message.clone() },
        Some(Stop::Output) => Outcome::OutputExceeded { item, limit_bytes: limits.output_bytes },
        Some(Stop::Log) => Outcome::LogExceeded { item, limit_bytes: limits.log_bytes },
        Some(Stop::HostCalls) => Outcome::HostCallsExceeded { item, limit: limits.host_calls },
        Some(Stop::Memory) => Outcome::MemoryExceeded { item, limit_bytes: limits.memory_bytes },
        Some(Stop::HostCall(message)) => {
            Outcome::Trapped { item, kind: TrapKind::HostCall, message: message.clone() }
        }
        Some(Stop::Host(words)) => {
            return Unfinished::Broken(ServeError::Host(words.clone()));
        }
        // What is neither a trap nor a stop of ours is memory that the host does not have: an
        // instance is mapped, and nothing else can fail.
        Some(Stop::HostMemory) | None => Outcome::HostMemory,
    })
}

fn outcome_of_trap(trap: Trap, item: u64, panic: &str, functions: &str) -> Outcome {
    let kind = match trap {
        Trap::StackOverflow => return Outcome::StackOverflow { item },
        Trap::UnreachableCodeReached => TrapKind::Unreachable,
        Trap::MemoryOutOfBounds | Trap::HeapMisaligned => TrapKind::MemoryOutOfBounds,
        Trap::TableOutOfBounds | Trap::IndirectCallToNull | Trap::BadSignature => {
            TrapKind::BadIndirectCall
        }
        Trap::IntegerOverflow | Trap::IntegerDivisionByZero | Trap::BadConversionToInteger => {
            TrapKind::Arithmetic
        }
        _ => TrapKind::Other,
    };
    let panic = if kind == TrapKind::Unreachable { panic } else { "" };
    let said: Vec<&str> = [panic, functions].into_iter().filter(|said| !said.is_empty()).collect();
    Outcome::Trapped { item, kind, message: words(said.join(", ")) }
}
