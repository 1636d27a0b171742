//! The slot's process: walls first, then the module, then units one after another.
//!
//! Invariants: before the walls are up, nothing of a task is read; one thread; every item runs in
//! an instance of its own, so that nothing depends on how items were grouped. Deliberately absent:
//! time limits (the worker keeps them from outside), files and sockets, any state between items.

mod host;
mod stream;
mod trace;
mod unit;

use std::ffi::OsString;
use std::fs::File;
use std::process::ExitCode;

use gleaner_protocol::Limits;
use wasmtime::{Engine, InstancePre, Linker, Module, ModuleExport};

use self::host::{Guest, SharedFile};
use self::stream::Stream;
use self::unit::Runner;
use crate::engine::{Effort, engine, pooled_engine};
use crate::limits::{SLOT_ADDRESS_BYTES, SLOT_OVERHEAD_BYTES};
use crate::platform::{self, Bounds};
use crate::priority::Priority;
use crate::slot::Entry;
use crate::slot::pipe::{FromSlot, Setup, StartFailure};
use crate::{artifact, interface};

/// The exit status of a slot that was not ready, or was not started by a worker.
const NOT_READY: u8 = 2;

/// The arguments of a slot that may use what `limits` say and is given `shared` shared files.
pub(crate) fn arguments(limits: &Limits, shared: usize) -> Vec<OsString> {
    // The guest's memory, an item's input that fills it, and an output that is growing.
    let data_bytes = limits
        .memory_bytes
        .saturating_mul(2)
        .saturating_add(limits.output_bytes.saturating_mul(3))
        .saturating_add(SLOT_OVERHEAD_BYTES);
    let numbers = [u64::from(std::process::id()), data_bytes, 1 + shared as u64];
    let numbers = numbers.iter().map(|number| OsString::from(number.to_string()));
    std::iter::once(OsString::from("slot")).chain(numbers).collect()
}

/// How many outputs `items` byte strings of a unit give.
pub(crate) fn outputs_of(entry: &Entry, items: usize) -> usize {
    match entry {
        Entry::Task(_) | Entry::Split(_) => items,
        Entry::Merge(_) => items / 2,
    }
}

/// The process behind the hidden subcommand `slot`; `arguments` are those after it.
///
/// Serves units over standard input and output until the input ends. Meant to be called first in a
/// process with one thread that a worker has started.
pub fn slot_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Some(start) = Start::parse(arguments) else {
        eprintln!("`slot` is started by a worker, not by people");
        return ExitCode::from(NOT_READY);
    };
    let mut stream = Stream::default();
    match prepare(&mut stream, &start) {
        Ok(mut runner) => match runner.serve(stream) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        Err(failure) => {
            stream.push(&FromSlot::NotReady(failure));
            // A worker that is gone needs no answer.
            let _ = stream.flush();
            ExitCode::from(NOT_READY)
        }
    }
}

/// What a slot is told by its arguments.
struct Start {
    priority: Priority,
    parent: u32,
    data_bytes: u64,
    files: u32,
}

impl Start {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut arguments = arguments.into_iter();
        let priority = Priority::of_name(arguments.next()?.to_str()?)?;
        let numbers = arguments
            .map(|argument| argument.to_str()?.parse().ok())
            .collect::<Option<Vec<u64>>>()?;
        let [parent, data_bytes, files] = numbers.try_into().ok()?;
        let (parent, files) = (u32::try_from(parent).ok()?, u32::try_from(files).ok()?);
        Some(Self { priority, parent, data_bytes, files })
    }
}

/// Puts the walls up, then reads the setup and loads the module.
fn prepare(stream: &mut Stream, start: &Start) -> Result<Runner, StartFailure> {
    let Start { priority, parent, data_bytes, files } = *start;
    let files = platform::inherited_files(files).map_err(StartFailure::Wall)?;
    let mut files = files.into_iter();
    let module = files.next().ok_or_else(|| StartFailure::Setup("no module".to_owned()))?;
    // Both need a descriptor more, which the walls forbid.
    let pool = pooled_engine().ok().zip(module.try_clone().ok());
    let address_bytes = data_bytes.saturating_add(SLOT_ADDRESS_BYTES);
    let bounds = Bounds { data_bytes, address_bytes, cpu: None };
    platform::raise(parent, priority, &bounds).map_err(StartFailure::Wall)?;
    let setup = stream.read::<Setup>().map_err(|error| StartFailure::Setup(error.to_string()))?;
    let setup = setup.ok_or_else(|| StartFailure::Setup("there was none".to_owned()))?;
    let (instance, entry, memory) = load(module, pool, &setup.entry)?;
    let on_failure = setup.on_failure;
    let guest = guest(setup, files)?;
    platform::tighten().map_err(StartFailure::Wall)?;
    stream.push(&FromSlot::Ready);
    stream.flush().map_err(|error| StartFailure::Setup(error.to_string()))?;
    Ok(Runner::new(instance, entry, memory, guest, on_failure))
}

/// The module ready to be instantiated, its function and its memory; in `pool`, with the module's
/// other handle, if it fits.
fn load(
    file: File,
    pool: Option<(Engine, File)>,
    entry: &Entry,
) -> Result<(InstancePre<Guest>, ModuleExport, ModuleExport), StartFailure> {
    let module = |error: wasmtime::Error| StartFailure::Module(error.to_string());
    let fitting = pool.and_then(|(engine, file)| artifact::load(&engine, file).ok());
    let loaded: Module = match fitting {
        Some(loaded) => loaded,
        None => {
            let engine = engine(Effort::Optimised).map_err(module)?;
            artifact::load(&engine, file).map_err(module)?
        }
    };
    let name = match entry {
        Entry::Task(name) => format!("{}{name}", interface::TASK_PREFIX),
        Entry::Merge(name) => format!("{}{name}", interface::MERGE_PREFIX),
        Entry::Split(name) => format!("{}{name}", interface::SPLIT_PREFIX),
    };
    let entry = loaded.get_export_index(&name).ok_or(StartFailure::NoEntry)?;
    let memory = loaded.get_export_index(interface::MEMORY).ok_or(StartFailure::NoEntry)?;
    let mut linker = Linker::new(loaded.engine());
    host::define(&mut linker).map_err(module)?;
    Ok((linker.instantiate_pre(&loaded).map_err(module)?, entry, memory))
}

fn guest(setup: Setup, files: impl Iterator<Item = File>) -> Result<Guest, StartFailure> {
    let unreadable = |error: std::io::Error| StartFailure::Setup(error.to_string());
    let mut shared = Vec::with_capacity(setup.files.len());
    for (name, file) in setup.files.into_iter().zip(files) {
        shared.push(SharedFile { name, bytes: file.metadata().map_err(unreadable)?.len(), file });
    }
    let is_merge = matches!(setup.entry, Entry::Merge(_));
    Ok(Guest::new(setup.limits, is_merge, setup.parameters.into_vec(), shared))
}
