//! What can go wrong between a client and its coordinator.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use gleaner_protocol::BlobHash;
use gleaner_protocol::api::ApiError;
use gleaner_protocol::manifest::{ManifestError, Position};

use crate::projects::ProjectsError;
use crate::remote::RemoteError;

/// Where a coordinator is, in the words of errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this machine.
    Address(SocketAddr),
    /// Anywhere: this user's name for its project.
    Project(String),
}

/// Why a data folder does not lead to a coordinator. A retry helps once one runs there, but for
/// [`OpenError::Projects`].
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder is not there: no coordinator was ever made.
    #[error("there is no coordinator in {folder:?}")]
    NoCoordinator {
        /// The folder.
        folder: PathBuf,
    },
    /// A coordinator was made there, but none has left its address.
    #[error("no coordinator is running on {folder:?}")]
    NotRunning {
        /// The folder.
        folder: PathBuf,
    },
    /// A file that the coordinator leaves cannot be read.
    #[error("cannot read {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that the coordinator leaves does not hold what it should.
    #[error("{path:?} does not hold {expected}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// The project is not known here, or what is known of it cannot be used.
    #[error(transparent)]
    Projects(#[from] ProjectsError),
}

/// Why a request was not answered as it should be.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The data folder does not lead to a coordinator any more. Nothing was done.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Nothing answers at the coordinator's address. Nothing was done; a retry may help.
    #[error("the coordinator at {address} cannot be reached")]
    Unreachable {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The coordinator of a project elsewhere cannot be spoken to. Nothing was done.
    #[error("cannot use the project {project}")]
    Remote {
        /// This user's name for it.
        project: String,
        /// Why; says whether a retry may help.
        source: Box<RemoteError>,
    },
    /// The connection broke before the answer was whole. The coordinator may have acted.
    #[error("the connection to the coordinator {place} broke during {request}")]
    ReplyLost {
        /// Where it is.
        place: Place,
        /// The request.
        request: String,
        /// Why.
        source: hyper::Error,
    },
    /// No answer came in time. The coordinator may have acted.
    #[error("the coordinator {place} did not answer {request} within {} s", limit.as_secs())]
    TimedOut {
        /// Where it is.
        place: Place,
        /// The request.
        request: String,
        /// How long it was given.
        limit: Duration,
    },
    /// The coordinator does not accept the token. A retry does not help.
    #[error("the coordinator {place} does not accept the token in its data folder")]
    Unauthorised {
        /// Where it is.
        place: Place,
    },
    /// The coordinator understood the request and refused it. A retry does not help with a status
    /// of 4xx.
    #[error("{error}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The coordinator's words.
        error: ApiError,
    },
    /// The coordinator does not take a file. A retry does not help with a status of 4xx.
    #[error("{path:?} was not taken: {error}")]
    FileRefused {
        /// The file.
        path: PathBuf,
        /// The HTTP status.
        status: u16,
        /// The coordinator's words.
        error: ApiError,
    },
    /// The answer is not what the API says. A retry does not help; the programs differ in version.
    #[error("the coordinator's answer to {request} cannot be understood: {reason}")]
    Malformed {
        /// The request.
        request: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// A file of ours cannot be read or written.
    #[error("cannot {action} {path:?}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The bytes that came are not those announced. Nothing was kept; a retry may help.
    #[error("{bytes} bytes came for {path:?}, which are not those of {expected}")]
    WrongBytes {
        /// Where they would have gone.
        path: PathBuf,
        /// The hash announced.
        expected: BlobHash,
        /// How many came.
        bytes: u64,
    },
}

/// Why a manifest or a file that it names cannot be submitted. A retry does not help.
#[derive(Debug, thiserror::Error)]
pub enum JobFileError {
    /// The manifest cannot be read.
    #[error("cannot read the manifest {path:?}")]
    Read {
        /// The manifest.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The manifest is not UTF-8 text.
    #[error("the manifest {path:?} is no text: byte {offset} is not UTF-8")]
    NotText {
        /// The manifest.
        path: PathBuf,
        /// The first byte at fault, from 0.
        offset: usize,
    },
    /// The manifest is unsound.
    #[error("{}: {problem}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong, and where.
        problem: ManifestError,
    },
    /// A file that the manifest names cannot be read.
    #[error(
        "{}: {position}: `{key}` names {path:?}, which cannot be read",
        manifest.display()
    )]
    File {
        /// The manifest.
        manifest: PathBuf,
        /// Where it names the file.
        position: Position,
        /// The key.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file from elsewhere that the caller has not fetched.
    #[error("{}: {position}: `{key}` names {url}, which was not fetched", manifest.display())]
    NotFetched {
        /// The manifest.
        manifest: PathBuf,
        /// Where it names the file.
        position: Position,
        /// The key.
        key: String,
        /// Where it is.
        url: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "at {address}"),
            Self::Project(project) => write!(f, "of {project}"),
        }
    }
}

impl OpenError {
    /// What to do about it, in one line.
    pub fn hint(&self) -> String {
        match self {
            Self::NoCoordinator { .. } => {
                "make one with `gleaner coordinator init` and start it with `gleaner coordinator \
                 start`, or choose another folder with --data"
                    .into()
            }
            Self::NotRunning { .. } => "start it with `gleaner coordinator start`".into(),
            Self::Read { .. } => {
                "only the user who runs the coordinator may use it; run this as that user".into()
            }
            Self::Damaged { .. } => "restart the coordinator, which writes it anew".into(),
            Self::Projects(error) => error.hint(),
        }
    }
}

impl ClientError {
    /// Whether the coordinator was not there, or was gone before it answered.
    pub fn is_connection_loss(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::ReplyLost { .. }
            | Self::TimedOut { .. }
            | Self::Open(OpenError::NotRunning { .. }) => true,
            Self::Remote { source, .. } => source.is_connection_loss(),
            _ => false,
        }
    }

    /// Whether the request may have been acted upon, although no answer came.
    pub fn is_reply_loss(&self) -> bool {
        matches!(self, Self::ReplyLost { .. } | Self::TimedOut { .. })
    }

    /// Whether a job that was to be submitted may have been taken, although no answer came: what is
    /// sent before it takes none.
    pub fn may_have_submitted(&self) -> bool {
        let request = match self {
            Self::ReplyLost { request, .. } | Self::TimedOut { request, .. } => request,
            _ => return false,
        };
        request == "POST /v1/jobs"
    }

    /// What to do about it, in one line.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Open(error) => Some(error.hint()),
            Self::Unreachable { .. } => Some(
                "see whether it still runs, or start it with `gleaner coordinator start`".into(),
            ),
            Self::Remote { source, .. } => source.hint(),
            Self::ReplyLost { .. } | Self::TimedOut { .. } => {
                Some("see whether the coordinator still runs, then try again".into())
            }
            Self::Unauthorised { .. } => {
                Some("restart the coordinator if its api-token file was changed".into())
            }
            Self::Refused { error, .. } | Self::FileRefused { error, .. } => error.hint.clone(),
            Self::Malformed { .. } => {
                Some("use the same version of Gleaner for the coordinator and for this".into())
            }
            Self::File { .. } => None,
            Self::WrongBytes { .. } => Some("try again".into()),
        }
    }
}

impl JobFileError {
    /// What to do about it, in one line.
    pub fn hint(&self) -> String {
        match self {
            Self::Read { .. } => "give the path of a job.toml".into(),
            Self::NotText { .. } => "save it as UTF-8".into(),
            Self::Manifest { problem, .. } => problem.hint(),
            Self::File { .. } => "paths in a manifest are relative to the manifest's folder".into(),
            Self::NotFetched { .. } => "`gleaner check` fetches what a manifest names".into(),
        }
    }
}
