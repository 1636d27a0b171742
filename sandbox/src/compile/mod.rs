//! Compiling modules: in a limited child, once more without optimisation when that runs out, and
//! kept.
//!
//! Invariants: the worker's own process neither parses nor compiles a module; one child compiles at
//! a time; what is loaded later is what a child of this program on this machine wrote.
//! Deliberately absent: Winch, and compiled modules from anyone else.

mod cache;
mod child;

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gleaner_protocol::limits::FRAME_BYTES_MAX;
use gleaner_protocol::{BlobHash, Floats, wire};
use tokio::sync::{OnceCell, Semaphore};

use self::cache::{Cache, Key};
use self::child::Reply;
use crate::check::ModuleError;
use crate::engine::Effort;
use crate::limits::{
    ARTIFACT_BYTES_MAX, COMPILE_CPU_DEFAULT, COMPILE_MEMORY_BYTES_DEFAULT, COMPILE_WALL_MAX,
};
use crate::platform::{Input, Launch, Process, Spawner};
use crate::wall::WallError;

pub use self::child::compile_main;

/// What the child that compiles a module may use; the child that tries again without optimisation
/// may use as much once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// CPU time, counted in whole seconds; by default a minute, in which some 100 MB of usual
    /// WebAssembly are compiled.
    pub cpu: Duration,
    /// Memory in bytes; by default 1 GiB.
    pub memory_bytes: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { cpu: COMPILE_CPU_DEFAULT, memory_bytes: COMPILE_MEMORY_BYTES_DEFAULT }
    }
}

/// What is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The hash of the WebAssembly.
    pub(crate) module: BlobHash,
    /// Whether it is rewritten first.
    pub(crate) floats: Floats,
}

/// A module ready for slots of this machine. Clones share one open file.
#[derive(Clone, Debug)]
pub struct CompiledModule {
    module: BlobHash,
    file: Arc<File>,
}

impl CompiledModule {
    /// The hash of the WebAssembly it was compiled from.
    pub fn module(&self) -> BlobHash {
        self.module
    }

    pub(crate) fn file(&self) -> Arc<File> {
        self.file.clone()
    }
}

/// Why a module could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The module breaks a rule: the same everywhere, so this is an answer.
    #[error(transparent)]
    Refused(#[from] ModuleError),
    /// The file is not the module that was asked for: fetch it again.
    #[error("the module's file has the hash {found}; {expected} was expected")]
    WrongHash {
        /// The hash asked for.
        expected: BlobHash,
        /// The file's.
        found: BlobHash,
    },
    /// Neither with nor without optimisation did a child finish within its limits: the host's
    /// affair, another may have more.
    #[error(
        "the module could not be compiled within {} s of CPU time and {} MiB of memory, not even \
         without optimisation: {status}",
        limits.cpu.as_secs(),
        limits.memory_bytes >> 20
    )]
    Exhausted {
        /// The limits of each child.
        limits: CompileLimits,
        /// How the last child ended.
        status: String,
    },
    /// The host cannot give a wall. A retry is of no use until the host has changed.
    #[error(transparent)]
    Wall(#[from] WallError),
    /// The module's file cannot be read.
    #[error("the module at {} cannot be read: {source}", path.display())]
    Module {
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The cache cannot be read or written.
    #[error("the cache of compiled modules at {}: {source}", path.display())]
    Cache {
        /// Its folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No child could be started, or it said what is no answer; a retry may help.
    #[error("the compiling child: {reason}")]
    Child {
        /// What happened.
        reason: String,
    },
}

/// Compiles for one worker.
pub(crate) struct Compiler {
    cache: Arc<Cache>,
    limits: CompileLimits,
    /// What else than the module decides what is compiled: version, settings, processor.
    identity: OnceCell<[u8; 32]>,
    one_at_a_time: Semaphore,
}

/// What a child is asked for.
#[derive(Clone, Copy)]
enum Order {
    Identity,
    Compile(Source, Effort),
}

/// What a child did.
enum Done {
    Identity([u8; 32]),
    Compiled(Vec<u8>),
    /// It ran out of its limits, or the compiler gave up.
    OutOfLimits(String),
}

impl Compiler {
    /// # Errors
    /// When the folder of the cache cannot be made or read.
    pub(crate) fn open(
        folder: &Path,
        bytes_max: u64,
        limits: CompileLimits,
    ) -> std::io::Result<Self> {
        Ok(Self {
            cache: Arc::new(Cache::open(folder, bytes_max)?),
            limits,
            identity: OnceCell::new(),
            one_at_a_time: Semaphore::new(1),
        })
    }

    /// The module of `source`, whose bytes are in the file `wasm`, compiled now or before.
    pub(crate) async fn compile(
        &self,
        spawner: &Spawner,
        source: Source,
        wasm: &Path,
    ) -> Result<CompiledModule, CompileError> {
        let module = source.module;
        let identity = self.identity.get_or_try_init(|| self.identify(spawner)).await?;
        let key = Key::new(identity, source);
        if let Some(file) = self.find(key).await? {
            return Ok(CompiledModule { module, file });
        }
        let _turn = self.one_at_a_time.acquire().await.expect("the semaphore is never closed");
        // Whoever had the turn before may have compiled the same.
        let file = match self.find(key).await? {
            Some(file) => file,
            None => self.store(key, self.compile_now(spawner, source, wasm).await?).await?,
        };
        Ok(CompiledModule { module, file })
    }

    async fn find(&self, key: Key) -> Result<Option<Arc<File>>, CompileError> {
        let found = self.with_cache(move |cache| cache.find(&key)).await?;
        Ok(found.map(Arc::new))
    }

    async fn store(&self, key: Key, artifact: Vec<u8>) -> Result<Arc<File>, CompileError> {
        self.with_cache(move |cache| cache.store(&key, &artifact)).await.map(Arc::new)
    }

    async fn with_cache<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Cache) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, CompileError> {
        let cache = self.cache.clone();
        let result = tokio::task::spawn_blocking(move || work(&cache)).await;
        let result = result.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        let path = || self.cache.folder().to_owned();
        result.map_err(|source| CompileError::Cache { path: path(), source })
    }

    async fn identify(&self, spawner: &Spawner) -> Result<[u8; 32], CompileError> {
        let nothing = File::open("/dev/null").map_err(|error| child_error(&error))?;
        match self.order(spawner, Order::Identity, nothing).await? {
            Done::Identity(identity) => Ok(identity),
            Done::Compiled(_) => Err(child_error(&"it answered another question")),
            Done::OutOfLimits(status) => Err(child_error(&status)),
        }
    }

    async fn compile_now(
        &self,
        spawner: &Spawner,
        source: Source,
        wasm: &Path,
    ) -> Result<Vec<u8>, CompileError> {
        let mut last_status = String::new();
        for effort in [Effort::Optimised, Effort::Plain] {
            let path = wasm.to_owned();
            let file = File::open(wasm).map_err(|source| CompileError::Module { path, source })?;
            match self.order(spawner, Order::Compile(source, effort), file).await? {
                Done::Compiled(artifact) => return Ok(artifact),
                Done::Identity(_) => return Err(child_error(&"it answered another question")),
                Done::OutOfLimits(status) => {
                    tracing::debug!(module = %source.module, ?effort, status, "a module ran out of its limits");
                    last_status = status;
                }
            }
        }
        Err(CompileError::Exhausted { limits: self.limits, status: last_status })
    }

    /// Has a child of its own do `order`, its standard input being `input`.
    async fn order(
        &self,
        spawner: &Spawner,
        order: Order,
        input: File,
    ) -> Result<Done, CompileError> {
        let launch = Launch {
            arguments: order.arguments(&self.limits),
            input: Input::File(input),
            files: vec![],
        };
        let mut child = spawner.start(launch).await.map_err(|error| child_error(&error))?;
        let Ok(output) = tokio::time::timeout(COMPILE_WALL_MAX, read_to_end(&child)).await else {
            return Ok(Done::OutOfLimits(format!("it took longer than {COMPILE_WALL_MAX:?}")));
        };
        let output = output.map_err(|error| child_error(&error))?;
        child.exited().await;
        match parse(&output)? {
            None => Ok(Done::OutOfLimits(child.epitaph())),
            Some((Reply::Identity(identity), _)) => Ok(Done::Identity(identity.into_array())),
            Some((Reply::Compiled { bytes }, artifact)) if artifact.len() as u64 == bytes => {
                Ok(Done::Compiled(artifact.to_vec()))
            }
            // It was ended while it wrote.
            Some((Reply::Compiled { .. }, _)) => Ok(Done::OutOfLimits(child.epitaph())),
            Some((Reply::GaveUp { reason }, _)) => Ok(Done::OutOfLimits(reason)),
            Some((Reply::Refused(error), _)) => Err(CompileError::Refused(error)),
            Some((Reply::WrongHash { expected, found }, _)) => {
                Err(CompileError::WrongHash { expected, found })
            }
            Some((Reply::Wall(error), _)) => Err(CompileError::Wall(error)),
            Some((Reply::Unreadable { reason }, _)) => Err(CompileError::Child { reason }),
        }
    }
}

impl Order {
    fn arguments(self, limits: &CompileLimits) -> Vec<OsString> {
        let numbers =
            [u64::from(std::process::id()), limits.cpu.as_secs().max(1), limits.memory_bytes];
        let mut arguments = vec!["compile".to_owned()];
        arguments.extend(numbers.iter().map(u64::to_string));
        match self {
            Self::Identity => arguments.push("identity".to_owned()),
            Self::Compile(source, effort) => {
                arguments.push(effort.name().to_owned());
                arguments.push(source.floats.name().to_owned());
                arguments.push(source.module.to_string());
            }
        }
        arguments.into_iter().map(OsString::from).collect()
    }
}

/// All that the child writes, within the limit.
async fn read_to_end(child: &Process) -> std::io::Result<Vec<u8>> {
    const READ_BYTES: usize = 256 * 1024;
    let mut output = Vec::new();
    loop {
        child.readable().await?;
        let held = output.len();
        if held as u64 > ARTIFACT_BYTES_MAX {
            let words = format!("it wrote more than {ARTIFACT_BYTES_MAX} bytes");
            return Err(std::io::Error::other(words));
        }
        output.resize(held + READ_BYTES, 0);
        let length = match child.try_read(&mut output[held..]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
            result => Some(result?),
        };
        output.truncate(held + length.unwrap_or(0));
        if length == Some(0) {
            return Ok(output);
        }
    }
}

/// The child's reply and what follows it; none when it ended before a whole one.
fn parse(output: &[u8]) -> Result<Option<(Reply, &[u8])>, CompileError> {
    let Some((header, rest)) = output.split_first_chunk() else { return Ok(None) };
    let length =
        wire::frame_length(*header, FRAME_BYTES_MAX).map_err(|error| child_error(&error))?;
    let Some((frame, rest)) = rest.split_at_checked(length) else { return Ok(None) };
    let reply = wire::decode(frame).map_err(|error| child_error(&error))?;
    Ok(Some((reply, rest)))
}

fn child_error(reason: &dyn std::fmt::Display) -> CompileError {
    CompileError::Child { reason: reason.to_string() }
}
