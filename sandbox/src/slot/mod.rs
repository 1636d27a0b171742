//! A slot: one child process that runs the units of one stage, as its worker sees it.
//!
//! Invariants: a unit handed to [`Slot::run`] is answered once; of the units in flight when the
//! process ends, only the one that was running gets that outcome, the others are run by a new
//! process; the process never outlives the [`Slot`] or the worker. Deliberately absent: which unit
//! runs where, and any trust in what the process says beyond the unit's limits.

mod control;
mod driver;
mod outgoing;
pub(crate) mod pipe;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gleaner_protocol::{Limits, OnFailure, Outcome};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tokio::sync::{mpsc, oneshot};

use self::control::Control;
use self::driver::{Command, Driver, Plan};
use self::pipe::StartFailure;
use crate::compile::CompiledModule;
use crate::limits::UNITS_QUEUED_MAX;
use crate::platform::Spawner;
use crate::wall::WallError;

/// What a slot runs.
#[derive(Clone, Debug)]
pub struct SlotSpec {
    /// The module.
    pub module: CompiledModule,
    /// Its function.
    pub entry: Entry,
    /// The stage's parameters: a MessagePack map.
    pub parameters: Vec<u8>,
    /// The stage's shared files: the name a task opens each by, and where it is. They must not
    /// change while the slot lives.
    pub files: Vec<(String, PathBuf)>,
    /// What an item and a unit may use.
    pub limits: Limits,
    /// What becomes of a unit when one of its items gives no output.
    pub on_failure: OnFailure,
}

/// Which function of a module a slot calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// The task function of this name, once for each item.
    Task(String),
    /// The merge function of this name, once for each pair of values.
    Merge(String),
    /// The split function of this name, as a task on one item without fields. Its output is the
    /// list of a stage's items.
    Split(String),
}

/// Consecutive items to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotUnit {
    /// The first item's number within its stage.
    pub first_item: u64,
    /// The items' fields, a MessagePack map for each; for a merge, the two values of each pair one
    /// after the other.
    pub items: Vec<ByteBuf>,
    /// A seed for each item; none for a merge.
    pub seeds: Vec<u64>,
}

/// What became of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotAnswer {
    /// How it ended; outputs are inline, one for each item or pair, whatever their size, and empty
    /// for an item that failed while its unit went on.
    pub outcome: Outcome,
    /// The CPU time it used.
    pub cpu: Duration,
    /// What its items logged: a line for each message, with the item's number and the level.
    pub log: String,
}

/// Why a slot could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The host cannot give a wall. A retry is of no use until the host has changed.
    #[error(transparent)]
    Wall(#[from] WallError),
    /// A shared file could not be opened.
    #[error("the shared file `{name}` at {} cannot be opened: {source}", path.display())]
    File {
        /// The name a task opens it by.
        name: String,
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The module has no such function.
    #[error("the module has no {0}")]
    NoEntry(Entry),
    /// The compiled module cannot be loaded on this machine: compile it again.
    #[error("the compiled module cannot be loaded: {reason}")]
    Module {
        /// What the engine said.
        reason: String,
    },
    /// The system gave no process or no pipe; a retry may help.
    #[error("no process for a slot: {0}")]
    Process(#[from] std::io::Error),
    /// The process ended, or said nothing for too long, before it was ready; a retry may help.
    #[error("the slot's process was not ready: {status}")]
    NotReady {
        /// How it ended.
        status: String,
    },
}

/// A slot that is ready for units of one stage. Clones are handles of the same slot; when the last
/// one is dropped, its process is killed.
#[derive(Clone)]
pub struct Slot {
    commands: mpsc::Sender<Command>,
    control: Arc<Control>,
    pairs: bool,
}

impl Slot {
    /// Starts a process for `spec` and waits until its walls are up and its module is loaded.
    pub(crate) async fn spawn(spawner: Spawner, spec: SlotSpec) -> Result<Self, SpawnError> {
        let pairs = matches!(spec.entry, Entry::Merge(_));
        let plan = tokio::task::spawn_blocking(move || plan(spec))
            .await
            .map_err(|error| SpawnError::Process(std::io::Error::other(error)))??;
        let control = Arc::new(Control::default());
        let (commands, received) = mpsc::channel(UNITS_QUEUED_MAX);
        let (ready, started) = oneshot::channel();
        let driver = Driver::new(spawner, plan, control.clone(), received);
        tokio::spawn(driver.run(ready));
        let slot = Self { commands, control, pairs };
        match started.await {
            Ok(result) => result.map(|()| slot),
            Err(_) => Err(SpawnError::NotReady { status: "its driver was ended".to_owned() }),
        }
    }

    /// Runs a unit. Several may be in flight: they are run and answered in the order in which they
    /// were handed over. A caller that stops waiting gives its answer up, no more.
    ///
    /// # Panics
    /// When a task's unit has not one seed for each item, or a merge's unit has an odd number of
    /// values or any seed.
    pub async fn run(&self, unit: SlotUnit) -> SlotAnswer {
        if self.pairs {
            assert!(unit.items.len().is_multiple_of(2), "a merge takes pairs of values");
            assert!(unit.seeds.is_empty(), "a merge has no seeds");
        } else {
            assert_eq!(unit.items.len(), unit.seeds.len(), "each item has its seed");
        }
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Run(unit, reply)).await.is_err() {
            return SlotAnswer::ended_by_worker();
        }
        answer.await.unwrap_or_else(|_| SlotAnswer::ended_by_worker())
    }

    /// How much of the unit that is running is done, from 0 to 1, by the task's own account.
    pub fn progress(&self) -> f32 {
        self.control.progress()
    }

    /// The number of its process, for people and their tools; none between two processes.
    pub fn process_id(&self) -> Option<u32> {
        self.control.process_id()
    }

    /// Stops the process where it is, until [`Slot::resume`]. Of no effect when it is stopped.
    pub fn suspend(&self) {
        self.control.suspend();
    }

    /// Lets the process go on. Of no effect when it is running.
    pub fn resume(&self) {
        self.control.resume();
    }

    /// Ends the process, suspended or not, and waits until it is gone. Units in flight, of any
    /// handle, are answered with [`Outcome::SlotCrashed`].
    pub async fn kill(self) {
        self.control.kill();
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::Kill(reply)).await.is_ok() {
            // An error means that the driver has ended, and the process before it.
            let _ = done.await;
        }
    }
}

impl SlotAnswer {
    /// The answer to a unit whose slot was killed by its worker.
    fn ended_by_worker() -> Self {
        Self::crashed("it was ended by its worker".to_owned(), Duration::ZERO)
    }

    fn crashed(status: String, cpu: Duration) -> Self {
        Self { outcome: Outcome::SlotCrashed { status }, cpu, log: String::new() }
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Task(name) => write!(f, "task function `{name}`"),
            Self::Merge(name) => write!(f, "merge function `{name}`"),
            Self::Split(name) => write!(f, "split function `{name}`"),
        }
    }
}

impl SpawnError {
    fn from_failure(failure: StartFailure, entry: &Entry) -> Self {
        match failure {
            StartFailure::Wall(error) => Self::Wall(error),
            StartFailure::NoEntry => Self::NoEntry(entry.clone()),
            StartFailure::Module(reason) => Self::Module { reason },
            StartFailure::Setup(reason) => Self::NotReady { status: reason },
        }
    }
}

/// Opens the files that each process of the slot will be given.
fn plan(spec: SlotSpec) -> Result<Plan, SpawnError> {
    let mut files = vec![spec.module.file()];
    let mut names = Vec::with_capacity(spec.files.len());
    for (name, path) in spec.files {
        match File::open(&path) {
            Ok(file) => files.push(Arc::new(file)),
            Err(source) => return Err(SpawnError::File { name, path, source }),
        }
        names.push(name);
    }
    let parameters = ByteBuf::from(spec.parameters);
    let SlotSpec { entry, limits, on_failure, .. } = spec;
    let setup = pipe::Setup { entry, parameters, files: names, limits, on_failure };
    Ok(Plan { files, setup })
}
