//! The coordinator as a running process: the core with a disk, a network and a clock.
//!
//! ```text
//! http ──ask──►┌────────┐──persist──► store ──durable──┐   (http: on loopback, or from remote)
//!              │ engine │◄─────────────────────────────┘
//! session ────►│ (core) │──grant, acknowledge──► outbox ──► worker
//!   ▲          └────────┘──reduce──► reduction
//!   └── worker
//! ```
//! One task owns the core; everything else sends it inputs. Deliberately absent: any decision that
//! the core could make.

mod answers;
mod control;
mod engine;
mod failures;
mod inputs;
mod openings;
mod outbox;
mod reception;
mod reduction;
mod refusals;
mod remote;
mod reports;
mod results;
mod retry;
mod served;
mod session;
mod submission;
mod submission_names;
mod submitter_list;
mod submitters;
mod sweeping;
mod units;
mod views;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use gleaner_clock::Clock;
use gleaner_coordinator_core::{Core, Recovered};
use gleaner_folder::{NetworkFolders, NotLocal, check_local};
use gleaner_network::{
    IncomingApiStreams, IncomingStreams, Node, NodeConfig, PORT_DEFAULT, UDP_RECEIVE_BYTES,
};
use gleaner_sandbox::{Priority, Sandbox, SandboxConfig, SandboxError};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::info;

use crate::blobs::{BlobError, Blobs};
use crate::http::{RemoteDoor, ServeError, Server};
use crate::notify::{Notices, Notifier};
use crate::port;
use crate::project::{LoadError, Project};
use crate::split::SlotSplitter;
use crate::store::{Commits, Store, StoreError};
use crate::sweep::{Sweep, note_uses};
use control::DriverControl;
use engine::{Changes, Engine, EngineParts, Input};
use inputs::Inputs;
use openings::Openings;
use reception::{Reception, fetch_permits};
use reduction::Reductions;
use remote::RemoteApi;
use reports::Reports;
use served::Served;
use submitter_list::SubmitterList;
use submitters::Submitters;
use sweeping::Sweeper;

pub(crate) use views::rfc3339;

pub use submission::{SubmissionError, check_submission};

pub(crate) const BLOBS_FOLDER: &str = "blobs";
const COMPILED_FOLDER: &str = "compiled";

/// How a coordinator is set up. [`Config::new`] gives the recommendations.
#[derive(Clone, Debug)]
pub struct Config {
    /// The coordinator's folder, made by [`crate::init`].
    pub data: PathBuf,
    /// The program whose `slot` and `compile` subcommands run and compile merges and splits.
    pub program: PathBuf,
    /// The port for workers, UDP and TCP; 0 for any free one. Default: that of the last start,
    /// which tickets name, and 4747 at the first.
    pub port: Option<u16>,
    /// The port of the control API on loopback; 0 for any free one. Default 4748.
    pub api_port: u16,
    /// Whether the folder may lie on a network file system. Default: refused.
    pub network_folders: NetworkFolders,
    /// Whether to be found on the local network by multicast DNS. Default yes.
    pub mdns: bool,
    /// Whether to take workers of this machine alone. Default no.
    pub loopback_only: bool,
    /// The core's settings.
    pub core: gleaner_coordinator_core::Config,
}

/// The default port of the control API.
pub const API_PORT_DEFAULT: u16 = 4748;

impl Config {
    /// The recommended settings for a coordinator in the folder `data`.
    pub fn new(data: PathBuf, program: PathBuf) -> Self {
        Self {
            data,
            program,
            port: None,
            api_port: API_PORT_DEFAULT,
            network_folders: NetworkFolders::Refuse,
            mdns: true,
            loopback_only: false,
            core: gleaner_coordinator_core::Config::default(),
        }
    }
}

/// A running coordinator. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Coordinator {
    project: Project,
    node: Node,
    server: Server,
    store: Store,
    notices: Arc<Notices>,
    stop: DropGuard,
    engine: JoinHandle<Result<(), StoreError>>,
}

/// Why a coordinator did not start. Nothing keeps running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Other machines could use the folder.
    #[error(transparent)]
    NotLocal(#[from] NotLocal),
    /// There is no project in the folder, or it cannot be served.
    #[error(transparent)]
    Project(#[from] LoadError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The blobs cannot be used.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// Merges cannot be run.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The port for workers cannot be used.
    #[error(transparent)]
    Node(#[from] gleaner_network::StartError),
    /// The control API cannot be served.
    #[error(transparent)]
    Server(#[from] ServeError),
}

impl StartError {
    /// What to do about it, in one line, where the error itself does not say it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Store(StoreError::DiskFull { .. }) | Self::Blobs(BlobError::DiskFull { .. }) => {
                Some("make room there and start it again; what it holds is whole")
            }
            _ => None,
        }
    }
}

/// Why a running coordinator ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store failed. What it holds is whole; starting again goes on from there.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A defect of Gleaner. Starting again goes on from what the store holds.
    #[error("the coordinator's engine panicked; this is a defect of Gleaner")]
    Panicked,
}

impl RunError {
    /// What to do about it, in one line, where the error itself does not say it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Store(StoreError::Io { .. } | StoreError::Sqlite { .. }) => {
                Some("check the disk, and start it again: all that it has acknowledged is there")
            }
            _ => None,
        }
    }
}

/// What every part of the driver shares.
struct Shared {
    project: Project,
    clock: Clock,
    store: Store,
    blobs: Blobs,
    node: Node,
    engine: Engine,
    inputs: Arc<Inputs>,
    served: Arc<Served>,
    submitters: Arc<Submitters>,
    changes: Arc<Changes>,
    notices: Arc<Notices>,
    /// Told when a job was removed.
    removed: Arc<Notify>,
}

/// Starts the coordinator in the folder `config.data`. It serves workers and the control API when
/// this returns.
///
/// # Errors
/// [`StartError`]; what went wrong is named with what to change.
pub async fn start(config: Config) -> Result<Coordinator, StartError> {
    check_local(&config.data, config.network_folders)?;
    let clock = Clock::start();
    let project = Project::load(&config.data, clock.now())?;
    let (store, commits) = Store::open(&config.data)?;
    let recovered = store.load().await?;
    let submitters = Arc::new(Submitters::new(store.submitters().await?));
    let notices = Arc::new(Notices::new(store.notices_given_up().await?));
    let blobs = Blobs::open(&config.data.join(BLOBS_FOLDER))?;
    let compiled = config.data.join(COMPILED_FOLDER);
    // Nobody lends a coordinator its machine: its merges are what the machine is there for.
    let sandbox = Sandbox::new(SandboxConfig {
        priority: Priority::Normal,
        ..SandboxConfig::new(config.program.clone(), compiled)
    })?;
    // A preview must not keep anybody waiting.
    let preview_sandbox = sandbox.at_priority(&config.program, Priority::Idle)?;
    let splitter = SlotSplitter::new(&sandbox);
    let (node, streams) = Node::start(&project.host_key, node_config(&config)).await?;
    port::remember(&config.data, node.port());
    note_uses(&recovered, &blobs);
    let (engine, inbox) = Engine::channel();
    let shared = Shared {
        inputs: Arc::new(inputs_of(&recovered, &blobs)),
        served: Arc::new(Served::new(blobs.clone())),
        submitters,
        changes: Arc::new(Changes::new()),
        notices,
        removed: Arc::default(),
        project,
        clock,
        store,
        blobs,
        node,
        engine,
    };
    shared.node.serve_blobs(shared.served.clone());
    let stop = CancellationToken::new();
    let reductions = shared.reductions(sandbox, splitter.clone(), &stop);
    let parts = shared.engine_parts(config.core.clone(), commits, recovered, reductions);
    let engine = tokio::spawn(run_engine(parts, inbox, stop.clone()));
    tokio::spawn(shared.notifier().run(stop.child_token()));
    tokio::spawn(accept(Arc::new(shared.reception()), streams, stop.clone()));
    tokio::spawn(shared.sweeper().run(stop.clone()));
    let control = Arc::new(shared.control(preview_sandbox, splitter));
    let server =
        Server::start(&config.data, config.api_port, control, shared.blobs.clone()).await?;
    let remote = Arc::new(shared.remote_api(server.remote_door()));
    tokio::spawn(remote::accept(remote, shared.accept_api(), stop.clone()));
    info!(project = %shared.project.record.project, api = %server.address(), "coordinator started");
    let Shared { project, node, store, notices, .. } = shared;
    Ok(Coordinator { project, node, server, store, notices, stop: stop.drop_guard(), engine })
}

impl Coordinator {
    /// The project it serves.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Where the control API listens.
    pub fn api_address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where workers reach it, as far as this machine can try: multiaddresses, each ending in its
    /// key. Empty on a machine that is on no network.
    pub async fn addresses(&self) -> Vec<String> {
        self.node.tested_addresses().await
    }

    /// Waits until whoever jobs named was told of what has happened, or could not be told at the
    /// first try; gives why not. What was not delivered then is tried again after the next start on
    /// this folder.
    pub async fn notified(&self) -> Vec<String> {
        self.notices.tried(&self.store).await
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// [`RunError`] says why.
    pub async fn stopped(&mut self) -> Result<(), RunError> {
        match (&mut self.engine).await {
            Ok(ended) => Ok(ended?),
            Err(_) => Err(RunError::Panicked),
        }
    }

    /// Stops: workers keep what they hold and come back to the next start.
    pub async fn stop(self) {
        self.server.stop().await;
        drop(self.stop);
        // How it ended no longer matters.
        let _ = self.engine.await;
        self.node.stop().await;
    }
}

impl Shared {
    fn openings(&self, splitter: SlotSplitter) -> Openings {
        Openings { inputs: self.inputs.clone(), blobs: self.blobs.clone(), splitter }
    }

    fn reductions(
        &self,
        sandbox: Sandbox,
        splitter: SlotSplitter,
        stop: &CancellationToken,
    ) -> Reductions {
        Reductions {
            engine: self.engine.clone(),
            store: self.store.clone(),
            blobs: self.blobs.clone(),
            sandbox,
            openings: self.openings(splitter),
            inputs: self.inputs.clone(),
            stop: stop.child_token(),
            jobs: Arc::default(),
        }
    }

    fn engine_parts(
        &self,
        config: gleaner_coordinator_core::Config,
        commits: Commits,
        recovered: Recovered,
        reductions: Reductions,
    ) -> EngineParts {
        let (key, epoch) = (self.store.lease_key(), self.store.epoch());
        EngineParts {
            core: Core::recover(config, key, epoch, recovered, self.clock.now()),
            clock: self.clock,
            store: self.store.clone(),
            uses: self.blobs.uses().clone(),
            removed: self.removed.clone(),
            commits,
            inputs: self.inputs.clone(),
            served: self.served.clone(),
            reductions,
            changes: self.changes.clone(),
            notices: self.notices.clone(),
        }
    }

    fn notifier(&self) -> Notifier {
        Notifier {
            project: self.project.record.name.clone(),
            clock: self.clock,
            store: self.store.clone(),
            notices: self.notices.clone(),
        }
    }

    fn sweeper(&self) -> Sweeper {
        Sweeper {
            sweep: Sweep { store: self.store.clone(), blobs: self.blobs.clone() },
            submitters: self.submitters.clone(),
            removed: self.removed.clone(),
        }
    }

    fn reception(&self) -> Reception {
        Reception {
            project: self.project.record.project,
            record: self.project.signed.clone(),
            clock: self.clock,
            store: self.store.clone(),
            lease_key: self.store.lease_key(),
            blobs: self.blobs.clone(),
            node: self.node.clone(),
            engine: self.engine.clone(),
            inputs: self.inputs.clone(),
            served: self.served.clone(),
            streams: AtomicU64::new(0),
            fetches: fetch_permits(),
        }
    }

    /// Submitters on the list may call from here on.
    fn accept_api(&self) -> IncomingApiStreams {
        self.node.accept_api(self.submitters.clone())
    }

    fn remote_api(&self, door: RemoteDoor) -> RemoteApi {
        RemoteApi {
            project: self.project.record.project,
            record: self.project.signed.clone(),
            submitters: self.submitters.clone(),
            door,
        }
    }

    fn control(&self, preview_sandbox: Sandbox, splitter: SlotSplitter) -> DriverControl {
        let (store, engine) = (self.store.clone(), self.engine.clone());
        DriverControl {
            submitter_list: SubmitterList::new(store, engine, self.submitters.clone()),
            splitter,
            project: self.project.clone(),
            clock: self.clock,
            store: self.store.clone(),
            blobs: self.blobs.clone(),
            node: self.node.clone(),
            engine: self.engine.clone(),
            inputs: self.inputs.clone(),
            reports: Reports::new(self.store.clone()),
            previews: Reports::of_previews(self.store.clone()),
            preview_sandbox,
            submitters: self.submitters.clone(),
            changes: self.changes.clone(),
            notices: self.notices.clone(),
        }
    }
}

/// The inputs of the jobs that a restart finds running.
fn inputs_of(recovered: &Recovered, blobs: &Blobs) -> Inputs {
    let inputs = Inputs::new(blobs.clone());
    for job in recovered.jobs.iter().filter(|job| job.end.is_none()) {
        inputs.add_job(job.job, Arc::new(job.spec.clone()));
        for (index, stage) in (0..).map(gleaner_protocol::StageIndex).zip(&job.stages) {
            if let Some(output) = stage.outputs.as_ref().and_then(|outputs| outputs.first()) {
                inputs.add_output(job.job, index, output.blob);
            }
            if let Some(made) = stage.made {
                inputs.add_made(job.job, index, made);
            }
        }
    }
    inputs
}

fn node_config(config: &Config) -> NodeConfig {
    NodeConfig {
        port: config.port.or_else(|| port::remembered(&config.data)).unwrap_or(PORT_DEFAULT),
        loopback_only: config.loopback_only,
        mdns: config.mdns,
        udp_receive_bytes: Some(UDP_RECEIVE_BYTES),
        ..NodeConfig::default()
    }
}

/// Runs the engine; when it ends, everything that hangs on `stop` does too.
async fn run_engine(
    parts: EngineParts,
    inbox: mpsc::Receiver<Input>,
    stop: CancellationToken,
) -> Result<(), StoreError> {
    let _guard = stop.clone().drop_guard();
    engine::run(parts, inbox, stop).await
}

async fn accept(reception: Arc<Reception>, mut streams: IncomingStreams, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            stream = streams.next() => match stream {
                Some((worker, stream)) => {
                    tokio::spawn(session::serve(Arc::clone(&reception), worker, stream));
                }
                None => return,
            },
        }
    }
}
