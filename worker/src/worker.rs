//! A running worker, from outside.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gleaner_clock::Clock;
use gleaner_network::{HostKey, IncomingStreams, KeyError, Node, NodeConfig};
use gleaner_protocol::limits::SLOTS_MAX;
use gleaner_protocol::{RefusedReason, WorkerId};
use gleaner_sandbox::{Sandbox, SandboxConfig, SandboxError};
use gleaner_worker_core::Worker as Core;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::blobs::Blobs;
use crate::config::Config;
use crate::driver::{Driver, INPUTS_WAITING_MAX, Refusal};
use crate::folder::{Folder, FolderError};
use crate::input::Input;
use crate::journal::{Journal, JournalError};
use crate::projects::{JoinError, Joined};
use crate::stage::Context;
use crate::walls::{self, WallsError};

/// How long a worker may take to stop before it is ended.
const STOPPING_MAX: Duration = Duration::from_secs(10);

/// Why a worker could not start. Nothing was asked of anyone then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// What it has joined cannot be read.
    #[error(transparent)]
    Projects(#[from] JoinError),
    /// It has joined nothing.
    #[error(
        "no project was joined in {}; join one with `gleaner worker join TICKET`", folder.display()
    )]
    NoProject {
        /// The folder.
        folder: PathBuf,
    },
    /// A number of slots that makes no sense.
    #[error("a worker has 1 to {SLOTS_MAX} slots, not {slots}")]
    Slots {
        /// What was asked for.
        slots: u32,
    },
    /// Its key cannot be read or made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The results of an earlier run cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Slots cannot be run.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// Tasks cannot be locked in.
    #[error(transparent)]
    Walls(#[from] WallsError),
    /// It cannot listen.
    #[error(transparent)]
    Network(#[from] gleaner_network::StartError),
}

/// Why a worker ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Every project refused it. What it held is on disk, should one take it again.
    #[error("{project:?} refused this worker: {reason}")]
    Refused {
        /// The name of the last one.
        project: String,
        /// Why.
        reason: RefusedReason,
    },
    /// A bug of this program ended it. What it held is on disk; starting it again goes on.
    #[error("the worker ended by a bug: {reason}")]
    Panicked {
        /// What it said.
        reason: String,
    },
}

/// A worker at work. Dropping it ends it as abruptly as a crash would, which loses no result;
/// [`Worker::stop`] gives leases back first.
#[derive(Debug)]
pub struct Worker {
    id: WorkerId,
    addresses: Vec<String>,
    inputs: mpsc::Sender<Input>,
    driver: JoinHandle<Option<Refusal>>,
}

/// Starts a worker for every project joined in its folder. Must run inside a tokio runtime.
///
/// # Errors
/// Any [`StartError`].
pub async fn start(config: Config) -> Result<Worker, StartError> {
    if config.slots == 0 || config.slots > SLOTS_MAX {
        return Err(StartError::Slots { slots: config.slots });
    }
    let folder = Folder::open(&config.data, config.network_folders)?;
    let joined = Joined::read_all(&config.data)?;
    if joined.is_empty() {
        return Err(StartError::NoProject { folder: config.data });
    }
    let key = HostKey::load_or_create(&folder.host_key())?;
    let blobs = Blobs::open(folder.blobs(), config.blob_bytes_max)?;
    let (cache_bytes_max, priority) = (config.compiled_bytes_max, config.priority);
    let recommended = SandboxConfig::new(config.program, folder.compiled());
    let sandbox = Sandbox::new(SandboxConfig { cache_bytes_max, priority, ..recommended })?;
    walls::try_out(&sandbox, &folder.compiled()).await?;
    let (inputs, inbox) = mpsc::channel(INPUTS_WAITING_MAX);
    let kept = inputs.clone();
    let (journal, left) = Journal::open(&folder.results(), move |keys, place| {
        // Nobody listens only when the worker stops.
        let _ = kept.blocking_send(Input::Kept { keys, place });
    })?;
    let port = config.port;
    let (loopback_only, mdns) = (config.loopback_only, config.mdns);
    let network = NodeConfig { port, loopback_only, mdns, ..NodeConfig::default() };
    let (node, incoming) = Node::start(&key, network).await?;
    node.serve_blobs(Arc::new(blobs.clone()));
    let (id, addresses) = (node.id(), node.addresses());
    let context = Context { node, sandbox, blobs, inputs: inputs.clone() };
    let mut driver = Driver {
        core: Core::new(),
        clock: Clock::start(),
        context,
        journal,
        slot_memory_bytes: config.slot_memory_bytes,
        inbox,
        projects: HashMap::new(),
        stages: HashMap::new(),
        units: HashMap::new(),
        slots: HashMap::new(),
        connectors: JoinSet::new(),
        stop: CancellationToken::new(),
        stopped: false,
        refusal: None,
    };
    for project in joined {
        driver.add_project(project);
    }
    driver.restore(left);
    info!(%id, slots = config.slots, projects = driver.projects.len(), "worker started");
    let driver = tokio::spawn(async move {
        let refusing = tokio::spawn(refuse_streams(incoming));
        let refusal = driver.run(config.slots).await;
        refusing.abort();
        drop(folder);
        refusal
    });
    Ok(Worker { id, addresses, inputs, driver })
}

impl Worker {
    /// The key under which coordinators know this host.
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// Where peers reach this worker, as full multiaddresses.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Waits until the worker has ended, which it does only after [`Worker::stop`], when every
    /// project has refused it, or by a bug.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn stopped(&mut self) -> Result<(), RunError> {
        match (&mut self.driver).await {
            Ok(None) => Ok(()),
            Ok(Some(Refusal { project, reason })) => Err(RunError::Refused { project, reason }),
            Err(error) => Err(RunError::Panicked { reason: error.to_string() }),
        }
    }

    /// Gives unfinished leases back, sends what is finished, writes what is to be written, and
    /// ends; after ten seconds, whatever was reached.
    pub async fn stop(mut self) {
        // A driver that has ended hears nothing and needs to hear nothing.
        let _ = self.inputs.send(Input::Stop).await;
        match tokio::time::timeout(STOPPING_MAX, self.stopped()).await {
            Ok(Ok(())) => info!("worker stopped"),
            Ok(Err(error)) => warn!(%error, "worker stopped"),
            Err(_) => warn!("worker ended before it had finished stopping"),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Workers are not called: a stream that is opened to one is dropped at once.
async fn refuse_streams(mut incoming: IncomingStreams) {
    while incoming.next().await.is_some() {}
}

impl StartError {
    /// What to do about it, in one line, where the error itself does not say it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Walls(error) => Some(error.hint()),
            _ => None,
        }
    }
}

impl RunError {
    /// What to do about it, in one line.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Refused { reason, .. } => reason.hint(),
            Self::Panicked { .. } => "start it again; what it held is on disk",
        }
    }
}
