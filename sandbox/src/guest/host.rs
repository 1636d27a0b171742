//! What a guest can ask of its host: the functions of `gleaner_1`, and what they keep for an item.
//!
//! Every length and address comes from the guest and is checked against its memory. Whatever goes
//! against the interface ends the item with words that name the call, the value and the bound.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use gleaner_protocol::Limits;
use gleaner_protocol::limits::{FAILURE_MESSAGE_BYTES_MAX, UNIT_LOG_BYTES_MAX};
use wasmtime::{Caller, Linker, Memory, ResourceLimiter};

use super::stream::Stream;
use crate::interface::MODULE;
use crate::limits::{PROGRESS_INTERVAL, TABLE_ENTRIES_MAX};
use crate::slot::pipe::FromSlot;

/// The number of the first shared file among an item's inputs.
const FIRST_SHARED: usize = 2;

/// A file of the stage, open.
pub(super) struct SharedFile {
    pub(super) name: String,
    pub(super) file: File,
    pub(super) bytes: u64,
}

/// Why a guest was stopped by its host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stop {
    #[error("the task failed: {0}")]
    Failed(String),
    #[error("more output than allowed")]
    Output,
    #[error("more log than allowed")]
    Log,
    #[error("more host calls than allowed")]
    HostCalls,
    #[error("more memory than allowed")]
    Memory,
    #[error("no memory on this host")]
    HostMemory,
    #[error("{0}")]
    HostCall(String),
    /// The pipe or a shared file failed: no fault of the guest.
    #[error("{0}")]
    Host(String),
}

/// An instance's host: what lives as long as the slot, and what belongs to the item at hand.
pub(super) struct Guest {
    pub(super) limits: Limits,
    pub(super) is_merge: bool,
    parameters: Vec<u8>,
    files: Vec<SharedFile>,
    pub(super) stream: Stream,
    /// The outputs of the unit's items that are not sent yet, one after another.
    pub(super) outputs: Vec<u8>,
    /// What the unit's items logged.
    pub(super) log: String,
    pub(super) item: Item,
    pub(super) memory: Option<Memory>,
    pub(super) growth: Growth,
    progress: Progress,
}

/// What belongs to one item alone.
#[derive(Default)]
pub(super) struct Item {
    pub(super) number: u64,
    pub(super) seed: u64,
    /// The item's fields; in a merge, the left value.
    pub(super) input: Vec<u8>,
    /// In a merge, the right value.
    pub(super) right: Vec<u8>,
    /// Where its output begins.
    pub(super) output_start: usize,
    log_bytes: u64,
    host_calls: u64,
    /// The words of its panic.
    pub(super) panic: String,
}

/// Where the unit is, and when its worker was last told.
struct Progress {
    told: Instant,
    item: usize,
    items: usize,
}

impl Guest {
    pub(super) fn new(
        limits: Limits,
        is_merge: bool,
        parameters: Vec<u8>,
        files: Vec<SharedFile>,
    ) -> Self {
        Self {
            growth: Growth { memory_bytes_max: limits.memory_bytes },
            limits,
            is_merge,
            parameters,
            files,
            stream: Stream::default(),
            outputs: Vec::new(),
            log: String::new(),
            item: Item::default(),
            memory: None,
            progress: Progress { told: Instant::now(), item: 0, items: 0 },
        }
    }

    /// The item numbered `index` of `items` in the unit begins.
    pub(super) fn begin_item(&mut self, index: usize, items: usize) -> Result<(), Stop> {
        self.item.output_start = self.outputs.len();
        self.item.log_bytes = 0;
        self.item.host_calls = 0;
        self.item.panic.clear();
        self.memory = None;
        self.progress.item = index;
        self.progress.items = items;
        if index > 0 { self.tell_progress(0.0) } else { Ok(()) }
    }

    fn count_call(&mut self) -> Result<(), Stop> {
        self.item.host_calls += 1;
        if self.item.host_calls > self.limits.host_calls { Err(Stop::HostCalls) } else { Ok(()) }
    }

    /// Tells the worker how much of the unit is done, unless it was told just now.
    fn tell_progress(&mut self, of_item: f64) -> Result<(), Stop> {
        if self.progress.told.elapsed() < PROGRESS_INTERVAL {
            return Ok(());
        }
        self.progress.told = Instant::now();
        let of_item = if of_item.is_nan() { 0.0 } else { of_item.clamp(0.0, 1.0) };
        let fraction = (self.progress.item as f64 + of_item) / self.progress.items as f64;
        self.stream.push(&FromSlot::Progress(fraction as f32));
        self.stream.flush().map_err(|error| Stop::Host(format!("the worker is gone: {error}")))
    }

    fn source(&self, input: i32) -> Result<Source<'_>, Stop> {
        let number = usize::try_from(input).ok();
        let source = match number {
            Some(0) => Some(Source::Bytes(&self.item.input)),
            Some(1) if self.is_merge => Some(Source::Bytes(&self.item.right)),
            Some(1) => Some(Source::Bytes(&self.parameters)),
            Some(number) => self.files.get(number - FIRST_SHARED).map(Source::File),
            None => None,
        };
        let inputs = FIRST_SHARED + self.files.len();
        source.ok_or_else(|| {
            Stop::HostCall(format!("input {input} was asked for; there are 0 to {}", inputs - 1))
        })
    }

    fn write_log(&mut self, level: i32, bytes: &[u8]) -> Result<(), Stop> {
        let level = match level {
            1 => "error",
            2 => "warn",
            3 => "info",
            4 => "debug",
            5 => "trace",
            other => {
                let words = format!("log: level {other}; levels are 1 (error) to 5 (trace)");
                return Err(Stop::HostCall(words));
            }
        };
        self.item.log_bytes += bytes.len() as u64;
        if self.item.log_bytes > self.limits.log_bytes {
            return Err(Stop::Log);
        }
        let text = String::from_utf8_lossy(bytes);
        let line = format!("item {} {level}: {text}\n", self.item.number);
        let room = UNIT_LOG_BYTES_MAX - self.log.len();
        self.log.push_str(start_of(&line, room));
        Ok(())
    }

    fn write_output(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let written = self.outputs.len() - self.item.output_start;
        if (written + bytes.len()) as u64 > self.limits.output_bytes {
            return Err(Stop::Output);
        }
        self.outputs.try_reserve(bytes.len()).map_err(|_| Stop::HostMemory)?;
        self.outputs.extend_from_slice(bytes);
        Ok(())
    }
}

/// Where an input's bytes are.
enum Source<'a> {
    Bytes(&'a [u8]),
    File(&'a SharedFile),
}

impl Source<'_> {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(file) => file.bytes,
        }
    }

    fn read(&self, offset: u64, destination: &mut [u8]) -> Result<(), Stop> {
        match self {
            Self::Bytes(bytes) => {
                let start = offset as usize;
                destination.copy_from_slice(&bytes[start..start + destination.len()]);
                Ok(())
            }
            Self::File(shared) => shared
                .file
                .read_exact_at(destination, offset)
                .map_err(|error| Stop::Host(format!("the shared file `{}`: {error}", shared.name))),
        }
    }
}

/// The longest start of `text` that has at most `bytes` bytes.
fn start_of(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// The words at the start of what is said of a guest's end, as much as is kept.
pub(super) fn words(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(FAILURE_MESSAGE_BYTES_MAX)]);
    start_of(&text, FAILURE_MESSAGE_BYTES_MAX).to_owned()
}

/// Keeps a guest's memory within the manifest's limit.
///
/// Growing past that limit ends the item, the same on every machine. Growing past what the module
/// itself declares, or past all that 32 bits address, gives -1, as WebAssembly says. When the host
/// cannot give what all of them allow, the item ends too, as -1 would be an answer that depends on
/// the machine.
pub(super) struct Growth {
    memory_bytes_max: u64,
}

impl ResourceLimiter for Growth {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if desired as u64 > self.memory_bytes_max {
            return Err(Stop::Memory.into());
        }
        Ok(true)
    }

    /// Called only for what was permitted above.
    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Stop::HostMemory.into())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let declared = maximum.is_none_or(|maximum| desired <= maximum);
        Ok(declared && desired as u64 <= TABLE_ENTRIES_MAX)
    }
}

/// A guest's memory and its host.
fn parts<'a>(caller: &'a mut Caller<'_, Guest>) -> Result<(&'a mut [u8], &'a mut Guest), Stop> {
    caller.data_mut().count_call()?;
    match caller.data().memory {
        Some(memory) => Ok(memory.data_and_store_mut(caller)),
        None => Err(Stop::HostCall("a call before the memory was there".to_owned())),
    }
}

/// The addresses from `start`, `length` bytes long, when they are all in `memory`. Addresses and
/// lengths are unsigned in WebAssembly.
fn range(call: &str, memory: &[u8], start: i32, length: i32) -> Result<Range<usize>, Stop> {
    let start = start as u32 as usize;
    let end = start + length as u32 as usize;
    if end <= memory.len() {
        return Ok(start..end);
    }
    let size = memory.len();
    Err(Stop::HostCall(format!("{call}: addresses {start} to {end} of a memory of {size} bytes")))
}

/// Gives `linker` every function of the interface.
pub(super) fn define(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker
        .func_wrap(MODULE, "input_find", input_find)?
        .func_wrap(MODULE, "input_len", input_len)?
        .func_wrap(MODULE, "input_read", input_read)?
        .func_wrap(MODULE, "item", |mut caller: Caller<'_, Guest>| {
            caller.data_mut().count_call()?;
            Ok(caller.data().item.number as i64)
        })?
        .func_wrap(MODULE, "seed", |mut caller: Caller<'_, Guest>| {
            caller.data_mut().count_call()?;
            Ok(caller.data().item.seed as i64)
        })?
        .func_wrap(MODULE, "output_write", output_write)?
        .func_wrap(MODULE, "progress", |mut caller: Caller<'_, Guest>, fraction: f64| {
            caller.data_mut().count_call()?;
            Ok(caller.data_mut().tell_progress(fraction)?)
        })?
        .func_wrap(MODULE, "log", log)?
        .func_wrap(MODULE, "fail", fail)?
        .func_wrap(MODULE, "panic", panic)?;
    Ok(())
}

fn input_find(mut caller: Caller<'_, Guest>, name: i32, length: i32) -> wasmtime::Result<i32> {
    let (memory, guest) = parts(&mut caller)?;
    let name = &memory[range("input_find", memory, name, length)?];
    let found = guest.files.iter().position(|file| file.name.as_bytes() == name);
    Ok(found.map_or(-1, |index| (FIRST_SHARED + index) as i32))
}

fn input_len(mut caller: Caller<'_, Guest>, input: i32) -> wasmtime::Result<i64> {
    caller.data_mut().count_call()?;
    Ok(caller.data().source(input)?.len() as i64)
}

fn input_read(
    mut caller: Caller<'_, Guest>,
    input: i32,
    offset: i64,
    destination: i32,
    length: i32,
) -> wasmtime::Result<()> {
    let (memory, guest) = parts(&mut caller)?;
    let addresses = range("input_read", memory, destination, length)?;
    let source = guest.source(input)?;
    let end =
        u64::try_from(offset).ok().and_then(|offset| offset.checked_add(addresses.len() as u64));
    if end.is_none_or(|end| end > source.len()) {
        let length = addresses.len();
        let held = source.len();
        return Err(Stop::HostCall(format!(
            "input_read: {length} bytes from {offset} of input {input}, which has {held}"
        ))
        .into());
    }
    Ok(source.read(offset as u64, &mut memory[addresses])?)
}

fn output_write(mut caller: Caller<'_, Guest>, source: i32, length: i32) -> wasmtime::Result<()> {
    let (memory, guest) = parts(&mut caller)?;
    let bytes = &memory[range("output_write", memory, source, length)?];
    Ok(guest.write_output(bytes)?)
}

fn log(
    mut caller: Caller<'_, Guest>,
    level: i32,
    source: i32,
    length: i32,
) -> wasmtime::Result<()> {
    let (memory, guest) = parts(&mut caller)?;
    let bytes = &memory[range("log", memory, source, length)?];
    Ok(guest.write_log(level, bytes)?)
}

fn fail(mut caller: Caller<'_, Guest>, source: i32, length: i32) -> wasmtime::Result<()> {
    let (memory, _) = parts(&mut caller)?;
    let message = words(&memory[range("fail", memory, source, length)?]);
    Err(Stop::Failed(message).into())
}

fn panic(mut caller: Caller<'_, Guest>, source: i32, length: i32) -> wasmtime::Result<()> {
    let (memory, guest) = parts(&mut caller)?;
    guest.item.panic = words(&memory[range("panic", memory, source, length)?]);
    Ok(())
}
