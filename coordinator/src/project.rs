//! The project this coordinator serves: its keys, its signed record, its invitations.
//!
//! Everything lies in the coordinator's folder: `project.key` (may be taken away and kept offline
//! between signings), `host.key`, `project.record`, `api-token`. Deliberately absent: admitting
//! workers, which is [`crate::store::Store::admit`].

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gleaner_folder::{NetworkFolders, NotLocal, check_local};
use gleaner_network::{HostKey, KeyError, ProjectKey, RecordError, verify_record};
use gleaner_protocol::limits::NAME_BYTES_MAX;
use gleaner_protocol::wire::{self, DecodeError};
use gleaner_protocol::{
    InvitationId, InvitationSecret, ProjectId, ProjectKind, ProjectRecord, SignedProjectRecord,
    Ticket, Timestamp, WorkerId,
};

use crate::files::{create_private_folder, write_atomically};
use crate::http::{CredentialError, load_or_create_token};
use crate::store::{InvitationTerms, Store, StoreError};

pub(crate) const PROJECT_KEY_FILE: &str = "project.key";
pub(crate) const HOST_KEY_FILE: &str = "host.key";
pub(crate) const RECORD_FILE: &str = "project.record";

/// How long the record that `init` signs is valid.
pub const RECORD_VALID: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The longest that a record or an invitation may be valid: ten years.
pub const VALID_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The longest text about the operator or the purpose, in bytes: a few sentences.
pub const TEXT_BYTES_MAX: usize = 1000;

/// The most addresses in a ticket: it stays a line that can be pasted.
const TICKET_ADDRESSES_MAX: usize = 8;

/// What volunteers see of a new project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitOptions {
    /// Its name.
    pub name: String,
    /// Who runs it.
    pub operator: String,
    /// What it computes, in a sentence.
    pub purpose: String,
    /// Whether its folder may lie on a network file system.
    pub network_folders: NetworkFolders,
}

/// What `init` made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitReport {
    /// The project's key.
    pub project: ProjectId,
    /// This coordinator's key.
    pub coordinator: WorkerId,
    /// Where the project's secret key is: to be copied to a safe place now, and best taken off
    /// this machine until the record is renewed. Who loses it loses the project; who finds it can
    /// speak for the project.
    pub project_key_path: PathBuf,
    /// The record signed.
    pub record: ProjectRecord,
}

/// Why a project could not be made. What was made before stays, and is named by a repeat.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is something already.
    #[error(
        "the folder {folder:?} already has {}; choose another with --data, or start the project \
         that is there", found.join(", ")
    )]
    Exists {
        /// The folder.
        folder: PathBuf,
        /// The files found.
        found: Vec<&'static str>,
    },
    /// Other machines could use the folder.
    #[error(transparent)]
    NotLocal(#[from] NotLocal),
    /// A text is empty or too long.
    #[error("the {what} has {bytes} bytes; it must have 1 to {max}")]
    Text {
        /// Which.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The file system refused.
    #[error("cannot use {path:?}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it says.
        #[source]
        source: io::Error,
    },
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The token could not be made.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
}

/// Why a record could not be signed. The old one is still there.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The project's key is not in the folder, as it should not be between signings.
    #[error(
        "the project's key is not at {path:?}; put it there from where you keep it, sign, and take \
         it away again"
    )]
    KeyAway {
        /// Where it is looked for.
        path: PathBuf,
    },
    /// The key is another project's.
    #[error("the key at {path:?} is the one of {found}, not of {expected}")]
    OtherProject {
        /// The key's file.
        path: PathBuf,
        /// The project of the record.
        expected: ProjectId,
        /// The project of the key.
        found: ProjectId,
    },
    /// The time is out of bounds.
    #[error("a record is valid for a second to {max_days} days", max_days = days(VALID_MAX))]
    Valid,
    /// The old record, or the key of this host, cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The file system refused.
    #[error("cannot write {path:?}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it says.
        #[source]
        source: io::Error,
    },
}

/// Why the project in a folder cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no project.
    #[error("there is no project in {folder:?}; make one with `gleaner coordinator init`")]
    NoProject {
        /// The folder.
        folder: PathBuf,
    },
    /// The record is damaged.
    #[error("the project record {path:?} is damaged; sign a new one or restore it from a backup")]
    Damaged {
        /// The record's file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: DecodeError,
    },
    /// The record is not valid.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The record names other coordinators.
    #[error(
        "the project record does not name this coordinator ({coordinator}); sign one that does \
         with `gleaner project sign`"
    )]
    NotNamed {
        /// This coordinator's key.
        coordinator: WorkerId,
    },
    /// This host's key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The file system refused.
    #[error("cannot read {path:?}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it says.
        #[source]
        source: io::Error,
    },
}

/// What is asked of a new invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteOptions {
    /// How long it can be used.
    pub valid: Duration,
    /// How many workers may come by it; any number when `None`.
    pub uses_max: Option<u32>,
    /// For whom it is, in the operator's words; may be empty.
    pub note: String,
}

/// An invitation that was made. Its ticket cannot be had again: the store keeps a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invited {
    /// Its number.
    pub invitation: InvitationId,
    /// The ticket.
    pub ticket: Ticket,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Why there is no invitation.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// The time is out of bounds.
    #[error("an invitation is valid for a second to {max_days} days", max_days = days(VALID_MAX))]
    Valid,
    /// Nobody could use it.
    #[error("an invitation lets at least one worker in")]
    Uses,
    /// The note is too long.
    #[error("the note has {bytes} bytes; at most {NAME_BYTES_MAX} are allowed")]
    Note {
        /// Its length.
        bytes: usize,
    },
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The project as its coordinator holds it.
#[derive(Clone, Debug)]
pub struct Project {
    /// This coordinator's key.
    pub host_key: HostKey,
    /// The record as it travels.
    pub signed: SignedProjectRecord,
    /// What the record says.
    pub record: ProjectRecord,
}

/// Makes a new project in the coordinator's folder `data`, which is made when it is not there:
/// keys, a record valid for a year, the control API's token.
///
/// # Errors
/// [`InitError`]; nothing that was there is ever overwritten.
pub fn init(data: &Path, options: InitOptions) -> Result<InitReport, InitError> {
    check_text("name", &options.name, NAME_BYTES_MAX)?;
    check_text("operator", &options.operator, TEXT_BYTES_MAX)?;
    check_text("purpose", &options.purpose, TEXT_BYTES_MAX)?;
    check_local(data, options.network_folders)?;
    let io_error = |path: &Path, source| InitError::Io { path: path.to_owned(), source };
    create_private_folder(data).map_err(|source| io_error(data, source))?;
    check_empty(data)?;
    let project_key_path = data.join(PROJECT_KEY_FILE);
    let project_key = ProjectKey::create(&project_key_path)?;
    let host_key = HostKey::load_or_create(&data.join(HOST_KEY_FILE))?;
    load_or_create_token(data)?;
    let record = ProjectRecord {
        project: project_key.id(),
        serial: 1,
        name: options.name,
        operator: options.operator,
        purpose: options.purpose,
        kind: ProjectKind::Lab,
        coordinators: vec![host_key.id()],
        expires_at: wall_clock() + RECORD_VALID,
        successor: None,
    };
    let path = data.join(RECORD_FILE);
    let signed = wire::encode(&project_key.sign(&record));
    write_atomically(&path, &signed).map_err(|source| io_error(&path, source))?;
    Ok(InitReport { project: record.project, coordinator: host_key.id(), project_key_path, record })
}

/// Signs the project's record anew: the next serial, valid for `valid` from now, this coordinator
/// among those it names. A coordinator that runs takes it at its next start.
///
/// # Errors
/// [`SignError`]; the old record is kept then.
pub fn sign(data: &Path, valid: Duration) -> Result<ProjectRecord, SignError> {
    if valid < Duration::from_secs(1) || valid > VALID_MAX {
        return Err(SignError::Valid);
    }
    let (path, signed) = read_record(data)?;
    let damaged = |source| LoadError::Damaged { path: path.clone(), source };
    let mut record = signed.decode_unverified().map_err(damaged)?;
    let key_path = data.join(PROJECT_KEY_FILE);
    let key = match ProjectKey::load(&key_path) {
        Err(KeyError::Missing { path, .. }) => return Err(SignError::KeyAway { path }),
        loaded => loaded?,
    };
    if key.id() != record.project {
        let (expected, found) = (record.project, key.id());
        return Err(SignError::OtherProject { path: key_path, expected, found });
    }
    let coordinator = HostKey::load_or_create(&data.join(HOST_KEY_FILE))?.id();
    if !record.coordinators.contains(&coordinator) {
        record.coordinators.push(coordinator);
    }
    record.serial += 1;
    record.expires_at = wall_clock() + valid;
    let bytes = wire::encode(&key.sign(&record));
    write_atomically(&path, &bytes).map_err(|source| SignError::Io { path, source })?;
    Ok(record)
}

impl Project {
    /// The project in the coordinator's folder, its record valid at `now` and naming this
    /// coordinator.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(data: &Path, now: Timestamp) -> Result<Self, LoadError> {
        let (path, signed) = read_record(data)?;
        let damaged = |source| LoadError::Damaged { path, source };
        let project = signed.decode_unverified().map_err(damaged)?.project;
        let record = verify_record(&signed, project, now)?;
        let host_key = HostKey::load(&data.join(HOST_KEY_FILE))?;
        if !record.coordinators.contains(&host_key.id()) {
            return Err(LoadError::NotNamed { coordinator: host_key.id() });
        }
        Ok(Self { host_key, signed, record })
    }

    /// A ticket without an invitation: where the project is, for one who may come already.
    pub fn ticket(&self, addresses: Vec<String>) -> Ticket {
        Ticket {
            project: self.record.project,
            name: self.record.name.clone(),
            addresses: addresses.into_iter().take(TICKET_ADDRESSES_MAX).collect(),
            invitation: None,
        }
    }

    /// A new invitation and the ticket that holds it.
    ///
    /// # Errors
    /// [`InviteError`].
    pub async fn invite(
        &self,
        store: &Store,
        addresses: Vec<String>,
        options: InviteOptions,
        now: Timestamp,
    ) -> Result<Invited, InviteError> {
        let InviteOptions { valid, uses_max, note } = options;
        if valid < Duration::from_secs(1) || valid > VALID_MAX {
            return Err(InviteError::Valid);
        }
        if uses_max == Some(0) {
            return Err(InviteError::Uses);
        }
        if note.len() > NAME_BYTES_MAX {
            return Err(InviteError::Note { bytes: note.len() });
        }
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).expect("the system has random numbers");
        let secret = InvitationSecret(secret);
        let expires_at = now + valid;
        let terms = InvitationTerms { expires_at, uses_max, note };
        let invitation = store.invite(secret, now, terms).await?;
        let ticket = Ticket { invitation: Some(secret), ..self.ticket(addresses) };
        Ok(Invited { invitation, ticket, expires_at })
    }
}

fn check_text(what: &'static str, text: &str, max: usize) -> Result<(), InitError> {
    match text.len() {
        bytes if (1..=max).contains(&bytes) => Ok(()),
        bytes => Err(InitError::Text { what, bytes, max }),
    }
}

fn check_empty(data: &Path) -> Result<(), InitError> {
    let mut found = vec![PROJECT_KEY_FILE, RECORD_FILE, HOST_KEY_FILE];
    found.retain(|file| data.join(file).exists());
    if found.is_empty() {
        return Ok(());
    }
    Err(InitError::Exists { folder: data.to_owned(), found })
}

pub(crate) fn read_record(data: &Path) -> Result<(PathBuf, SignedProjectRecord), LoadError> {
    let path = data.join(RECORD_FILE);
    let bytes = std::fs::read(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => LoadError::NoProject { folder: data.to_owned() },
        _ => LoadError::Io { path: path.clone(), source },
    })?;
    match wire::decode(&bytes) {
        Ok(signed) => Ok((path, signed)),
        Err(source) => Err(LoadError::Damaged { path, source }),
    }
}

/// What the clock on the wall says. Signing is done by people, at their time.
pub(crate) fn wall_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::ZERO + since_epoch
}

const fn days(duration: Duration) -> u64 {
    duration.as_secs() / (24 * 60 * 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Admission, Denial};
    use gleaner_protocol::Invitation;

    fn options() -> InitOptions {
        InitOptions {
            name: "planets".to_owned(),
            operator: "Observatory".to_owned(),
            purpose: "Looks for planets.".to_owned(),
            network_folders: NetworkFolders::Refuse,
        }
    }

    #[test]
    fn a_new_project_can_be_served_and_is_not_made_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("coordinator");
        let report = init(&data, options()).expect("made");
        let project = Project::load(&data, wall_clock()).expect("valid");
        assert_eq!(project.record, report.record);
        assert_eq!(project.host_key.id(), report.coordinator);
        assert_eq!(project.record.coordinators, [report.coordinator]);
        assert!(report.project_key_path.is_file());
        let error = init(&data, options()).expect_err("refused");
        assert_eq!(
            error.to_string(),
            format!(
                "the folder {data:?} already has project.key, project.record, host.key; choose \
                 another with --data, or start the project that is there"
            )
        );
    }

    #[test]
    fn a_record_ends_and_is_renewed_with_the_key_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path();
        let report = init(data, options()).expect("made");
        let late = wall_clock() + RECORD_VALID;
        let error = Project::load(data, late).expect_err("ended");
        assert!(matches!(error, LoadError::Record(RecordError::Expired { .. })), "{error}");

        let away = data.join("safe");
        std::fs::rename(&report.project_key_path, &away).expect("moved");
        let error = sign(data, RECORD_VALID).expect_err("no key");
        assert!(matches!(error, SignError::KeyAway { .. }), "{error}");
        std::fs::rename(&away, &report.project_key_path).expect("moved");
        let record = sign(data, RECORD_VALID * 2).expect("signed");
        assert_eq!(record.serial, 2);
        assert_eq!(record.coordinators, [report.coordinator]);
        assert_eq!(Project::load(data, late).expect("valid again").record, record);
        assert!(matches!(sign(data, Duration::ZERO), Err(SignError::Valid)));
    }

    #[test]
    fn a_folder_without_a_project_or_with_anothers_key_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Project::load(folder.path(), wall_clock()).expect_err("nothing there");
        assert!(matches!(error, LoadError::NoProject { .. }), "{error}");
        let data = folder.path();
        let report = init(data, options()).expect("made");
        std::fs::remove_file(&report.project_key_path).expect("removed");
        ProjectKey::create(&report.project_key_path).expect("another key");
        let error = sign(data, RECORD_VALID).expect_err("another project's key");
        assert!(matches!(error, SignError::OtherProject { .. }), "{error}");
        std::fs::remove_file(data.join(HOST_KEY_FILE)).expect("removed");
        HostKey::load_or_create(&data.join(HOST_KEY_FILE)).expect("another key");
        let error = Project::load(data, wall_clock()).expect_err("another host");
        assert!(matches!(error, LoadError::NotNamed { .. }), "{error}");
    }

    #[test]
    fn texts_have_bounds() {
        let folder = tempfile::tempdir().expect("a folder");
        let empty = InitOptions { name: String::new(), ..options() };
        let error = init(folder.path(), empty).expect_err("refused");
        assert_eq!(error.to_string(), "the name has 0 bytes; it must have 1 to 128");
        let long = InitOptions { purpose: "x".repeat(TEXT_BYTES_MAX + 1), ..options() };
        assert!(init(folder.path(), long).is_err());
        assert!(!folder.path().join(PROJECT_KEY_FILE).exists());
    }

    #[tokio::test]
    async fn a_ticket_lets_its_holder_in_until_it_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        init(folder.path(), options()).expect("made");
        let now = wall_clock();
        let project = Project::load(folder.path(), now).expect("valid");
        let (store, _commits) = Store::open(folder.path()).expect("opens");
        let valid = Duration::from_secs(60);
        let addresses = vec!["/ip4/192.0.2.1/tcp/4747".to_owned()];
        let options = InviteOptions { valid, uses_max: None, note: String::new() };
        let invited = project.invite(&store, addresses.clone(), options.clone(), now).await;
        let Invited { ticket, expires_at, .. } = invited.expect("invited");
        assert_eq!(expires_at, now + valid);
        let ticket: Ticket = ticket.to_string().parse().expect("a ticket");
        assert_eq!((ticket.project, ticket.addresses.len()), (project.record.project, 1));
        let invitation = ticket.invitation.map(|secret| Invitation { secret });
        let worker = WorkerId([3; 32]);
        let late = store.admit(worker, invitation, expires_at).await.expect("told");
        assert_eq!(late, Admission::Denied(Denial::Expired));
        let admission = store.admit(worker, invitation, now).await.expect("told");
        assert_eq!(admission, Admission::Admitted);
        for wrong in [
            InviteOptions { valid: Duration::ZERO, ..options.clone() },
            InviteOptions { uses_max: Some(0), ..options.clone() },
            InviteOptions { note: "x".repeat(NAME_BYTES_MAX + 1), ..options },
        ] {
            let refused = project.invite(&store, addresses.clone(), wrong.clone(), now).await;
            assert!(refused.is_err(), "{wrong:?}");
        }
    }
}
