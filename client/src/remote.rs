//! A project from elsewhere: its coordinator is called, proves to be the project's, and then takes
//! requests.
//!
//! Invariant: nothing but the project's key is sent before the coordinator has shown a record that
//! the project's key signed, that names the coordinator's proven key, and that is not older than
//! one seen before.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gleaner_network::{
    ApiBytes, ApiStream, Node, OpenError, ReceiveError, RecordError, SendError, StartError,
    SubmitterKey, verify_record,
};
use gleaner_protocol::{
    API_STREAM_VERSION, ApiGreeting, ApiHello, ApiRefusal, ProjectId, SignedProjectRecord,
    SubmitterId, Timestamp, WorkerId,
};
use tokio::sync::OnceCell;

use crate::projects::{Projects, ProjectsError, Remembered};

/// How long a coordinator may take to say who it is.
const GREETING_MAX: Duration = Duration::from_secs(20);

/// Why a project from elsewhere cannot be spoken to. Nothing was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// This machine's side of the network cannot be used.
    #[error("the network cannot be used: {0}")]
    Start(#[from] StartError),
    /// No coordinator answers. A retry may help.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The stream broke at its greeting. A retry may help.
    #[error("its coordinator ended the stream at once: {0}")]
    Lost(#[from] ReceiveError),
    /// The stream broke at its greeting. A retry may help.
    #[error("its coordinator took nothing: {0}")]
    NotTaken(#[from] SendError),
    /// The coordinator closed the stream without a word, or said nothing in time. A retry may help.
    #[error("its coordinator did not say who it is")]
    Silent,
    /// The coordinator does not serve this user. A retry does not help.
    #[error("{refusal}")]
    Refused {
        /// Why.
        refusal: ApiRefusal,
        /// The key that was shown.
        key: SubmitterId,
    },
    /// The coordinator's record is not the project's. A retry does not help.
    #[error("its coordinator cannot prove to be the project's: {0}")]
    Record(#[from] RecordError),
    /// The project's record names other coordinators. A retry does not help.
    #[error("the project's record does not name {coordinator}, which answered")]
    NotNamed {
        /// Who answered.
        coordinator: WorkerId,
    },
    /// A later record was seen before: the coordinator may have been replaced.
    #[error("its coordinator shows record {offered} of the project, and {seen} was seen before")]
    Older {
        /// The serial shown.
        offered: u64,
        /// The serial seen.
        seen: u64,
    },
    /// The record's serial is more than a file can say.
    #[error("the project's record has the serial {serial}, over the limit of {}", i64::MAX)]
    Serial {
        /// The serial.
        serial: u64,
    },
    /// What is known of the project cannot be read or kept.
    #[error(transparent)]
    Projects(#[from] ProjectsError),
}

/// A project from elsewhere, and this user's key for it.
pub(crate) struct Remote {
    name: String,
    projects: Projects,
    known: Remembered,
    /// Of the newest record seen, by this process too.
    record_serial: AtomicU64,
    key: SubmitterKey,
    /// Started with the first request.
    node: OnceCell<Node>,
}

impl Remote {
    /// The project called `name` of those remembered in `projects`.
    pub(crate) fn open(projects: Projects, name: &str) -> Result<Self, ProjectsError> {
        let (known, key) = (projects.remembered(name)?, projects.key()?);
        let record_serial = AtomicU64::new(known.record_serial);
        let (name, node) = (name.to_owned(), OnceCell::new());
        Ok(Self { name, projects, known, record_serial, key, node })
    }

    /// The user's name for it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A stream to a coordinator that has proved to be the project's.
    pub(crate) async fn connect(&self) -> Result<ApiBytes, RemoteError> {
        let node = self.node.get_or_try_init(async || Node::start_caller(self.key.as_host()));
        let node = node.await?;
        let mut first_error = None;
        for (coordinator, addresses) in self.known.coordinators() {
            match self.call(node, coordinator, &addresses).await {
                Ok(stream) => return Ok(stream.into_bytes()),
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        Err(first_error.unwrap_or(ProjectsError::NoAddress.into()))
    }

    /// Closes the connections, so that the coordinator notices at once.
    pub(crate) async fn close(&self) {
        if let Some(node) = self.node.get() {
            node.clone().stop().await;
        }
    }

    async fn call(
        &self,
        node: &Node,
        coordinator: WorkerId,
        addresses: &[String],
    ) -> Result<ApiStream, RemoteError> {
        let mut stream = node.open_api_stream(coordinator, addresses).await?;
        let project = self.project();
        stream.send(&ApiHello { version: API_STREAM_VERSION, project }).await?;
        let greeting = tokio::time::timeout(GREETING_MAX, stream.receive::<ApiGreeting>());
        match greeting.await.map_err(|_| RemoteError::Silent)?? {
            Some(ApiGreeting::Welcome { record, .. }) => self.verify(coordinator, &record)?,
            Some(ApiGreeting::Refused(refusal)) => {
                return Err(RemoteError::Refused { refusal, key: self.key.id() });
            }
            None => return Err(RemoteError::Silent),
        }
        Ok(stream)
    }

    fn verify(
        &self,
        coordinator: WorkerId,
        signed: &SignedProjectRecord,
    ) -> Result<(), RemoteError> {
        let record = verify_record(signed, self.project(), wall_clock())?;
        let (offered, seen) = (record.serial, self.record_serial.load(Ordering::Relaxed));
        if !record.coordinators.contains(&coordinator) {
            return Err(RemoteError::NotNamed { coordinator });
        }
        if offered < seen {
            return Err(RemoteError::Older { offered, seen });
        }
        if i64::try_from(offered).is_err() {
            return Err(RemoteError::Serial { serial: offered });
        }
        if offered > seen {
            self.projects.learn(&self.name, &record)?;
            self.record_serial.fetch_max(offered, Ordering::Relaxed);
        }
        Ok(())
    }

    fn project(&self) -> ProjectId {
        self.known.ticket.project
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({}, {})", self.name, self.project())
    }
}

impl RemoteError {
    /// Whether the coordinator was not there, or was gone before it answered.
    pub fn is_connection_loss(&self) -> bool {
        match self {
            Self::Open(error) => !matches!(error, OpenError::Unsupported { .. }),
            Self::Lost(_) | Self::NotTaken(_) | Self::Silent => true,
            _ => false,
        }
    }

    /// What to do about it, in one line.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Start(_) => return None,
            Self::Open(OpenError::Unsupported { .. }) => {
                "use the same version of Gleaner for the coordinator and for this".into()
            }
            Self::Open(_) | Self::Lost(_) | Self::NotTaken(_) | Self::Silent => {
                "see whether the coordinator runs; if it has moved, ask its operator for a new \
                 ticket"
                    .into()
            }
            Self::Refused { refusal: ApiRefusal::NotASubmitter, key } => {
                format!("ask its operator for `gleaner coordinator submitter add NAME {key}`")
            }
            Self::Refused { refusal: ApiRefusal::Version { .. }, .. } => {
                "use the same version of Gleaner for the coordinator and for this".into()
            }
            Self::Refused { refusal: ApiRefusal::WrongProject, .. }
            | Self::NotNamed { .. }
            | Self::Older { .. }
            | Self::Serial { .. } => "ask the project's operator for a new ticket".into(),
            Self::Record(_) => {
                "see whether this machine's clock is right, and ask the project's operator".into()
            }
            Self::Projects(error) => error.hint(),
        })
    }
}

fn wall_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::ZERO + since_epoch
}
