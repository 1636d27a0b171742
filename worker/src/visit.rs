//! Meeting a project before anything is promised: its coordinator is asked who it is and whether it
//! would take this worker; the volunteer decides; only then the worker becomes a member.
//!
//! Invariants: what is shown was signed by the key in the ticket and names who showed it; asking
//! uses no invitation; nothing is remembered before [`Visit::join`], and then only what was shown. Deliberately absent: any work.

use std::time::Duration;

use gleaner_clock::Clock;
use gleaner_network::{
    HostKey, KeyError, Node, NodeConfig, OpenError, ReceiveError, RecordError, SendError,
    WorkStream, peer_of_address, verify_record,
};
use gleaner_protocol::{
    Invitation, ProjectRecord, RefusedReason, Ticket, ToCoordinator, ToWorker,
    WORK_PROTOCOL_VERSION, Wish, WorkerId,
};
use gleaner_sandbox::{Sandbox, SandboxConfig, SandboxError};

use crate::config::Config;
use crate::folder::{Folder, FolderError};
use crate::projects::{JoinError, Joined, JoinedProject, RecordRefused};
use crate::walls::{self, WallsError};

/// How long a coordinator may take to answer: a commit on a slow disk, and then some.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// How often the coordinators are called, and the pause between two rounds.
const ROUNDS: u32 = 3;
const ROUND_PAUSE: Duration = Duration::from_secs(1);

/// A project that was met, and its coordinator; the worker's folder is held meanwhile.
#[derive(Debug)]
pub struct Visit {
    ticket: Ticket,
    record: ProjectRecord,
    coordinator: WorkerId,
    data: std::path::PathBuf,
    node: Node,
    _folder: Folder,
}

/// Why a project was not met or not joined. Nothing was remembered; a retry helps once the cause
/// is mended.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// The worker's folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The worker's key cannot be read or made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Slots cannot be started.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// Tasks cannot be locked in.
    #[error(transparent)]
    Walls(#[from] WallsError),
    /// There is no network.
    #[error(transparent)]
    Network(#[from] gleaner_network::StartError),
    /// The project cannot be remembered.
    #[error(transparent)]
    Projects(#[from] JoinError),
    /// No coordinator of the ticket could be reached.
    #[error(transparent)]
    Unreachable(OpenError),
    /// The connection broke.
    #[error("the coordinator's answer was lost: {0}")]
    Receive(#[from] ReceiveError),
    /// The connection broke.
    #[error("the question to the coordinator was lost: {0}")]
    Send(#[from] SendError),
    /// The coordinator said nothing.
    #[error("the coordinator did not answer within {} s", ANSWER_MAX.as_secs())]
    Silent,
    /// The coordinator does not understand the question, or said something else.
    #[error("the coordinator does not answer questions about its project")]
    NoAnswer,
    /// The coordinator does not take this worker.
    #[error("{0}")]
    Refused(RefusedReason),
    /// The record that was shown is not the project's.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The record that was shown is not followed.
    #[error(transparent)]
    RecordRefused(#[from] RecordRefused),
    /// The project is not what it was shown to be; this worker is a member, and remembers nothing.
    #[error("the project's record has changed since it was shown")]
    RecordChanged,
    /// The record names other coordinators.
    #[error("the project's record does not name the coordinator that showed it ({coordinator})")]
    NotNamed {
        /// Who showed it.
        coordinator: WorkerId,
    },
}

/// Meets the project of `ticket` with the worker of `config`: its folder, its key, its network.
/// Tries the host's walls first. Must run inside a tokio runtime.
///
/// # Errors
/// [`VisitError`].
pub async fn visit(config: &Config, ticket: Ticket) -> Result<Visit, VisitError> {
    let coordinators = coordinators(&ticket)?;
    let folder = Folder::open(&config.data, config.network_folders)?;
    let sandbox = Sandbox::new(SandboxConfig {
        priority: config.priority,
        cache_bytes_max: config.compiled_bytes_max,
        ..SandboxConfig::new(config.program.clone(), folder.compiled())
    })?;
    walls::try_out(&sandbox, &folder.compiled()).await?;
    let key = HostKey::load_or_create(&folder.host_key())?;
    let (port, loopback_only, mdns) = (config.port, config.loopback_only, config.mdns);
    let network = NodeConfig { port, loopback_only, mdns, ..NodeConfig::default() };
    let (node, _incoming) = Node::start(&key, network).await?;
    let stream = reach(&node, &ticket, &coordinators).await.map_err(VisitError::Unreachable)?;
    let coordinator = stream.peer();
    let record = ask(stream, &ticket, Wish::Look).await?;
    // Before the volunteer is asked, and before a use of the invitation is spent on it.
    Joined::judge(&config.data, &ticket, &record)?;
    let data = config.data.clone();
    Ok(Visit { ticket, record, coordinator, data, node, _folder: folder })
}

/// A stream to the first coordinator that answers. The local network may have to be asked for one
/// that has moved, which takes a moment.
async fn reach(
    node: &Node,
    ticket: &Ticket,
    coordinators: &[WorkerId],
) -> Result<WorkStream, OpenError> {
    let mut round = 1;
    loop {
        let mut failure = None;
        for coordinator in coordinators {
            let addresses = addresses_of(ticket, *coordinator);
            match node.open_work_stream(*coordinator, &addresses).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = Some(error),
            }
        }
        if round == ROUNDS {
            return Err(failure.expect("a ticket without coordinators was refused"));
        }
        round += 1;
        tokio::time::sleep(ROUND_PAUSE).await;
    }
}

impl Visit {
    /// What the project's key has signed about it.
    pub fn record(&self) -> &ProjectRecord {
        &self.record
    }

    /// Who showed it.
    pub fn coordinator(&self) -> WorkerId {
        self.coordinator
    }

    /// Becomes a member of the project and remembers it, so that the next [`crate::start`] works
    /// for it.
    ///
    /// # Errors
    /// [`VisitError`]; when it was the answer that was lost, this worker may be a member: a repeat
    /// finds that.
    pub async fn join(self) -> Result<JoinedProject, VisitError> {
        let addresses = addresses_of(&self.ticket, self.coordinator);
        let stream = self.node.open_work_stream(self.coordinator, &addresses).await;
        let stream = stream.map_err(VisitError::Unreachable)?;
        let record = ask(stream, &self.ticket, Wish::Join).await?;
        if record != self.record {
            return Err(VisitError::RecordChanged);
        }
        let joined = Joined::remember(&self.data, &self.ticket, &record)?;
        self.node.stop().await;
        Ok(joined.view())
    }
}

/// Whom the ticket names, in its order.
fn coordinators(ticket: &Ticket) -> Result<Vec<WorkerId>, JoinError> {
    let mut coordinators = Vec::new();
    for address in &ticket.addresses {
        if let Some(peer) = peer_of_address(address).filter(|peer| !coordinators.contains(peer)) {
            coordinators.push(peer);
        }
    }
    match coordinators.is_empty() {
        true => Err(JoinError::NoAddress { project: ticket.project }),
        false => Ok(coordinators),
    }
}

/// The addresses that lead to `coordinator`: others would count as failures.
fn addresses_of(ticket: &Ticket, coordinator: WorkerId) -> Vec<String> {
    let leads_there = |address: &&String| peer_of_address(address) == Some(coordinator);
    ticket.addresses.iter().filter(leads_there).cloned().collect()
}

/// Asks on a stream of its own, and gives the record that was shown once it is verified.
async fn ask(stream: WorkStream, ticket: &Ticket, wish: Wish) -> Result<ProjectRecord, VisitError> {
    let peer = stream.peer();
    let (mut sender, mut receiver) = stream.split();
    let invitation = ticket.invitation.map(|secret| Invitation { secret });
    let project = ticket.project;
    let version = WORK_PROTOCOL_VERSION;
    sender.send(&ToCoordinator::Inquire { version, project, invitation, wish }).await?;
    let answer = tokio::time::timeout(ANSWER_MAX, receiver.receive()).await;
    let record = match answer.map_err(|_| VisitError::Silent)?? {
        Some(ToWorker::Introduction { record }) => record,
        Some(ToWorker::Refused(reason)) => return Err(VisitError::Refused(reason)),
        _ => return Err(VisitError::NoAnswer),
    };
    let record = verify_record(&record, project, Clock::start().now())?;
    if !record.coordinators.contains(&peer) {
        return Err(VisitError::NotNamed { coordinator: peer });
    }
    Ok(record)
}

impl VisitError {
    /// What the volunteer can do about it, in one line.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Folder(FolderError::InUse { .. }) => Some(
                "a worker runs; stop it, join, and start it again: it works for all its projects",
            ),
            Self::Walls(error) => Some(error.hint()),
            Self::Unreachable(_) => Some(
                "is the coordinator running, and does its firewall let UDP and TCP to that port \
                 in? A ticket names the addresses of the day it was made: if the coordinator has \
                 moved, ask for a new one",
            ),
            Self::Receive(_) | Self::Send(_) | Self::Silent => Some("try again"),
            Self::RecordChanged => Some("join again, and read what it says now"),
            Self::NoAnswer => Some("one of the two programs is older: update both"),
            Self::Refused(reason) => Some(reason.hint()),
            Self::Record(_) | Self::RecordRefused(_) | Self::NotNamed { .. } => {
                Some("do not join; ask the project's operator, and compare the fingerprint")
            }
            _ => None,
        }
    }
}
