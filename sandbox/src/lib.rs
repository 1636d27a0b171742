//! Running strangers' modules: checked, compiled and run behind walls, each in a process of its own.
//!
//! ```text
//!  worker's process                          its children
//!  ┌──────────────────────────────┐
//!  │ Sandbox ── compile ──────────┼──► `compile`  check, Cranelift, ends      (behind the walls)
//!  │    │          └─ cache       │
//!  │    └─ spawn ──► Slot ◄═══════┼══► `slot`     one instance for each item  (behind the walls)
//!  └──────────────────────────────┘    units and answers over pipes, stopped by signals
//! ```
//! Start reading at [`Sandbox`]; the walls are in `linux/walls.rs` and `linux/seccomp.rs`, a slot's
//! limits in `slot/driver.rs`, what a guest can ask for in `guest/host.rs`.
//!
//! Invariants: the worker's own process never parses, compiles or runs a module; no byte of a task
//! is read by a process whose walls are not up; a child never outlives its worker; an outcome of
//! the class "failure" is the same on every machine. This crate is the only user of wasmtime.
//! Deliberately absent: which unit runs where and when, and anything that travels a network.

mod artifact;
mod check;
mod compile;
mod engine;
mod floats;
mod guest;
mod interface;
pub mod limits;
mod priority;
mod slot;
mod wall;

#[cfg(target_os = "linux")]
#[path = "linux/mod.rs"]
mod platform;
#[cfg(not(target_os = "linux"))]
#[path = "other.rs"]
mod platform;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gleaner_protocol::{BlobRef, Floats};

pub use crate::check::{ModuleError, ModuleInfo, check_module, function_name};
pub use crate::compile::{CompileError, CompileLimits, CompiledModule, compile_main};
pub use crate::guest::slot_main;
pub use crate::priority::Priority;
pub use crate::slot::{Entry, Slot, SlotAnswer, SlotSpec, SlotUnit, SpawnError};
pub use crate::wall::{Wall, WallError};

use crate::compile::{Compiler, Source};

/// Has no program that this process starts from here on inherit a descriptor that is open now,
/// beyond its standard three: those that whoever started this process left open among them.
///
/// # Errors
/// What the system said, when it cannot.
pub fn keep_descriptors_from_children() -> std::io::Result<()> {
    platform::keep_descriptors_from_children()
}
use crate::platform::Spawner;

/// How a sandbox is set up.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// The program whose subcommands `slot` and `compile` call [`slot_main`] and [`compile_main`];
    /// opened once, so that replacing its file changes nothing for this sandbox.
    pub program: PathBuf,
    /// The folder of compiled modules; made when there is none, and written by this process alone.
    pub cache: PathBuf,
    /// The most that folder may hold, in bytes; the default of 1 GiB has room for hundreds of
    /// modules. The newest is kept even when it alone is larger.
    pub cache_bytes_max: u64,
    /// What compiling one module may use.
    pub compile: CompileLimits,
    /// How slots and compiling children share the processor. Default [`Priority::Idle`].
    pub priority: Priority,
}

impl SandboxConfig {
    /// The recommended settings for `program` with its compiled modules in `cache`.
    pub fn new(program: PathBuf, cache: PathBuf) -> Self {
        Self {
            program,
            cache,
            cache_bytes_max: 1024 * 1024 * 1024,
            compile: CompileLimits::default(),
            priority: Priority::default(),
        }
    }
}

/// Why a sandbox could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The folder of compiled modules cannot be made or read.
    #[error("the cache of compiled modules at {}: {source}", path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The program cannot be opened, or the system gave no thread to start it from.
    #[error("the program {} cannot be started: {source}", path.display())]
    Program {
        /// The program.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Compiles modules and starts slots. Clones share one cache and one thread that starts children;
/// that thread lives until the last clone and the last [`Slot`] are gone.
#[derive(Clone)]
pub struct Sandbox {
    compiler: Arc<Compiler>,
    spawner: Spawner,
}

impl Sandbox {
    /// A sandbox with the settings of `config`.
    ///
    /// # Errors
    /// When its folder or its program cannot be opened, or the system gives no thread.
    pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        let compiler = Compiler::open(&config.cache, config.cache_bytes_max, config.compile)
            .map_err(|source| SandboxError::Cache { path: config.cache, source })?;
        let spawner = Spawner::new(&config.program, config.priority)
            .map_err(|source| SandboxError::Program { path: config.program, source })?;
        Ok(Self { compiler: Arc::new(compiler), spawner })
    }

    /// The same sandbox with the same cache, whose slots and compiling children have another
    /// priority; they are `program` as in [`SandboxConfig`].
    ///
    /// # Errors
    /// When the program cannot be opened, or the system gives no thread.
    pub fn at_priority(&self, program: &Path, priority: Priority) -> Result<Self, SandboxError> {
        let spawner = Spawner::new(program, priority).map_err(|source| {
            let path = program.to_owned();
            SandboxError::Program { path, source }
        })?;
        Ok(Self { compiler: self.compiler.clone(), spawner })
    }

    /// The module `module`, whose bytes are in the file `wasm`, compiled for this machine: now, in a
    /// limited child, or taken from the cache. One module is compiled at a time. The child rewrites
    /// the module first where `floats` asks for it.
    ///
    /// # Errors
    /// [`CompileError`] says which are the module's and which the host's.
    pub async fn compile(
        &self,
        module: BlobRef,
        floats: Floats,
        wasm: &Path,
    ) -> Result<CompiledModule, CompileError> {
        self.compiler.compile(&self.spawner, Source { module: module.hash, floats }, wasm).await
    }

    /// Starts a slot and waits until it is ready for units. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`SpawnError`] says what is missing, and whether a retry may help.
    pub async fn spawn(&self, slot: SlotSpec) -> Result<Slot, SpawnError> {
        Slot::spawn(self.spawner.clone(), slot).await
    }
}
