//! The process that compiles one module and ends.
//!
//! Invariants: the walls are up before a byte of the module is read; it checks the module's hash
//! and its shape before the compiler sees it.

use std::ffi::OsString;
use std::hash::{Hash, Hasher};
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use gleaner_protocol::limits::MODULE_BYTES_MAX;
use gleaner_protocol::{BlobHash, Floats, wire};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use super::Source;
use crate::check::{ModuleError, check_and_rewrite};
use crate::engine::{Effort, engine};
use crate::limits::SLOT_ADDRESS_BYTES;
use crate::platform::{self, Bounds};
use crate::priority::Priority;
use crate::wall::WallError;

/// The exit status of a child that was not started by a worker.
const NOT_READY: u8 = 2;

/// What a compiling child says; a compiled module's bytes follow raw.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Identity(ByteArray<32>),
    Compiled { bytes: u64 },
    Refused(ModuleError),
    WrongHash { expected: BlobHash, found: BlobHash },
    GaveUp { reason: String },
    Wall(WallError),
    Unreadable { reason: String },
}

/// What a child is asked for.
enum Order {
    Identity,
    Compile(Effort, Source),
}

/// The process behind the hidden subcommand `compile`; `arguments` are those after it.
///
/// Reads a module from standard input and writes it compiled to standard output. Meant to be
/// called first in a process with one thread that a worker has started.
pub fn compile_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Some(Start { priority, parent, bounds, order }) = Start::parse(arguments) else {
        eprintln!("`compile` is started by a worker, not by people");
        return ExitCode::from(NOT_READY);
    };
    let (reply, artifact) = match platform::inherited_files(0)
        .and_then(|_| platform::raise(parent, priority, &bounds))
    {
        Ok(()) => obey(&order),
        Err(error) => (Reply::Wall(error), Vec::new()),
    };
    let mut output = wire::encode_frame(&reply);
    output.extend(artifact);
    match write(&output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the worker's pipe: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Who started this child, what it may use, and what it is asked for.
struct Start {
    priority: Priority,
    parent: u32,
    bounds: Bounds,
    order: Order,
}

impl Start {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let arguments: Option<Vec<_>> =
            arguments.into_iter().map(|argument| argument.into_string().ok()).collect();
        let arguments = arguments?;
        let ([priority, parent, cpu_seconds, memory_bytes], order) =
            arguments.split_first_chunk()?;
        let order = match order {
            [word] if word == "identity" => Order::Identity,
            [effort, floats, module] => {
                let (module, floats) = (module.parse().ok()?, Floats::of_name(floats)?);
                Order::Compile(Effort::of_name(effort)?, Source { module, floats })
            }
            _ => return None,
        };
        let data_bytes: u64 = memory_bytes.parse().ok()?;
        let bounds = Bounds {
            data_bytes,
            address_bytes: data_bytes.saturating_add(SLOT_ADDRESS_BYTES),
            cpu: Some(Duration::from_secs(cpu_seconds.parse().ok()?)),
        };
        let (priority, parent) = (Priority::of_name(priority)?, parent.parse().ok()?);
        Some(Self { priority, parent, bounds, order })
    }
}

fn obey(order: &Order) -> (Reply, Vec<u8>) {
    let result = match order {
        Order::Identity => identity().map(|identity| (Reply::Identity(identity), Vec::new())),
        Order::Compile(effort, source) => compile(*effort, *source),
    };
    result.unwrap_or_else(|reply| (reply, Vec::new()))
}

fn compile(effort: Effort, source: Source) -> Result<(Reply, Vec<u8>), Reply> {
    let expected = source.module;
    let wasm = read().map_err(|error| Reply::Unreadable { reason: error.to_string() })?;
    let found = BlobHash::of(&wasm);
    if found != expected {
        return Err(Reply::WrongHash { expected, found });
    }
    let (_, wasm) = check_and_rewrite(&wasm, source.floats).map_err(Reply::Refused)?;
    let artifact = engine(effort).and_then(|engine| engine.precompile_module(&wasm));
    let artifact = artifact.map_err(|error| Reply::GaveUp { reason: format!("{error:#}") })?;
    Ok((Reply::Compiled { bytes: artifact.len() as u64 }, artifact))
}

/// Raised with every change of what the check refuses or the rewriting gives, so that no module
/// compiled before it is used after it.
const REWRITE_REVISION: u8 = 1;

/// What else than the module decides what is compiled, and whether it can be loaded here.
fn identity() -> Result<ByteArray<32>, Reply> {
    let engine = engine(Effort::Optimised)
        .map_err(|error| Reply::GaveUp { reason: format!("{error:#}") })?;
    let mut hasher = Blake3(blake3::Hasher::new_derive_key("gleaner 2026 compiled module v1"));
    engine.precompile_compatibility_hash().hash(&mut hasher);
    // Another version may check and rewrite modules differently before they are compiled.
    hasher.0.update(env!("CARGO_PKG_VERSION").as_bytes());
    hasher.0.update(&[REWRITE_REVISION]);
    Ok(ByteArray::new(*hasher.0.finalize().as_bytes()))
}

/// Lets what implements [`Hash`] be hashed by a function that gives the same on every run.
struct Blake3(blake3::Hasher);

impl Hasher for Blake3 {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut bytes = [0; 8];
        self.0.finalize_xof().fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// The module from standard input; one byte more than the limit at most, for the check to refuse.
fn read() -> io::Result<Vec<u8>> {
    const READ_BYTES: usize = 256 * 1024;
    let mut wasm = Vec::new();
    while wasm.len() as u64 <= MODULE_BYTES_MAX {
        let held = wasm.len();
        wasm.resize(held + READ_BYTES, 0);
        let length = platform::read_input(&mut wasm[held..])?;
        wasm.truncate(held + length);
        if length == 0 {
            break;
        }
    }
    Ok(wasm)
}

fn write(mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        bytes = &bytes[platform::write_output(bytes)?..];
    }
    Ok(())
}
