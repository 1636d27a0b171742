//! The projects that a user speaks to from elsewhere: one small file, replaced whole.
//!
//! ```text
//! submitter.key     who this user is to those projects
//! projects.toml     each project by name, and which one is in use
//! lock              held while the file is changed
//! ```
//! Invariant: the serial of a project's record never falls: a record that was replaced, because its
//! coordinator's key was lost, cannot come back.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use gleaner_network::{KeyError, SubmitterKey, peer_of_address};
use gleaner_protocol::limits::NAME_BYTES_MAX;
use gleaner_protocol::{ProjectId, ProjectRecord, Ticket, TicketError, WorkerId};
use serde::{Deserialize, Serialize};

const KEY_FILE: &str = "submitter.key";
const PROJECTS_FILE: &str = "projects.toml";
const LOCK_FILE: &str = "lock";

/// The name for the coordinator of this machine, which no other project can have.
pub const LOCAL: &str = "local";

/// The most projects remembered: the file stays small.
const PROJECTS_MAX: usize = 1000;

/// The projects in a user's folder. Nothing is read or made before it is asked for.
#[derive(Clone, Debug)]
pub struct Projects {
    folder: PathBuf,
}

/// A project as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownProject {
    /// The user's name for it.
    pub name: String,
    /// Its key.
    pub project: ProjectId,
    /// Whether it is the one that is spoken to unless another is named.
    pub in_use: bool,
}

/// Why a project cannot be remembered, found or used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ProjectsError {
    /// The file system refused.
    #[error("cannot {action} {path:?}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// The file does not say what it should.
    #[error("{path:?} does not list projects")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<toml::de::Error>,
    },
    /// A ticket in the file cannot be read.
    #[error("the ticket of {name:?} in {path:?} cannot be read")]
    Ticket {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        name: String,
        /// What is wrong.
        source: TicketError,
    },
    /// There is no project of this name.
    #[error("no project is called {name:?} here")]
    Unknown {
        /// The name.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// Another project has the name.
    #[error("another project is called {name:?} here, {}", project.fingerprint())]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        project: ProjectId,
    },
    /// A project cannot be called this.
    #[error("a project cannot be called {name:?} here")]
    Name {
        /// The name.
        name: String,
    },
    /// The ticket names no address that says whose it is, so there is nobody to call.
    #[error("the ticket has no address with a key in it")]
    NoAddress,
    /// There are too many.
    #[error("{} projects are remembered already, which is the limit", PROJECTS_MAX)]
    TooMany,
    /// The submitter's key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl ProjectsError {
    /// What to do about it, in one line.
    pub fn hint(&self) -> String {
        match self {
            Self::Io { .. } => "choose another data folder with --data".into(),
            Self::Unreadable { path, .. } | Self::Ticket { path, .. } => {
                format!("remove {path:?} and use the tickets again")
            }
            Self::Unknown { known, .. } => format!(
                "known here: {}; a new one comes with its ticket: `gleaner use TICKET`",
                [known.as_slice(), &[LOCAL.to_owned()]].concat().join(", ")
            ),
            Self::NameTaken { .. } => "give it another name with --name NAME".into(),
            Self::Name { .. } => format!(
                "give it a name of 1 to {NAME_BYTES_MAX} bytes without control characters, other \
                 than `{LOCAL}`, with --name NAME"
            ),
            Self::NoAddress => "ask the project's operator for a new ticket".into(),
            Self::TooMany => format!("remove some from {PROJECTS_FILE} in the data folder"),
            Self::Key(_) => "the data folder has the key in `submitter/`".into(),
        }
    }
}

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    in_use: Option<String>,
    #[serde(default)]
    project: BTreeMap<String, Entry>,
}

/// A project in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    ticket: String,
    /// Of the newest record seen; 0 when none was.
    record_serial: u64,
    /// Whom that record names.
    coordinators: Vec<WorkerId>,
}

/// All that is known of a project.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    pub(crate) ticket: Ticket,
    pub(crate) record_serial: u64,
    coordinators: Vec<WorkerId>,
}

impl Projects {
    /// Those of the user whose submitter's folder this is.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The key by which this user is known, made when there is none.
    ///
    /// # Errors
    /// [`ProjectsError::Io`] and [`ProjectsError::Key`].
    pub fn key(&self) -> Result<SubmitterKey, ProjectsError> {
        self.create_folder()?;
        Ok(SubmitterKey::load_or_create(&self.folder.join(KEY_FILE))?)
    }

    /// All projects by name.
    ///
    /// # Errors
    /// Any of reading.
    pub fn list(&self) -> Result<Vec<KnownProject>, ProjectsError> {
        let Listing { in_use, project } = self.read()?;
        let known = project.into_iter().map(|(name, entry)| {
            let project = self.ticket(&name, &entry)?.project;
            Ok(KnownProject { in_use: in_use.as_ref() == Some(&name), name, project })
        });
        known.collect()
    }

    /// The name of the project in use; none for the coordinator of this machine.
    ///
    /// # Errors
    /// Any of reading.
    pub fn in_use(&self) -> Result<Option<String>, ProjectsError> {
        Ok(self.read()?.in_use)
    }

    /// Remembers the project of `ticket` under `name`, or under its own, and uses it from now on.
    ///
    /// A repeat replaces where it is, and keeps what was learnt of its record.
    ///
    /// # Errors
    /// Any [`ProjectsError`] but [`ProjectsError::Unknown`].
    pub fn add(&self, ticket: &Ticket, name: Option<&str>) -> Result<KnownProject, ProjectsError> {
        let name = check_name(name.unwrap_or(&ticket.name))?.to_owned();
        if !ticket.addresses.iter().any(|address| peer_of_address(address).is_some()) {
            return Err(ProjectsError::NoAddress);
        }
        let project = ticket.project;
        self.change(|listing| {
            let before = listing.project.get(&name);
            let known = before.map(|entry| self.ticket(&name, entry)).transpose()?;
            if let Some(known) = known.filter(|known| known.project != project) {
                let project = known.project;
                return Err(ProjectsError::NameTaken { name: name.clone(), project });
            }
            if before.is_none() && listing.project.len() >= PROJECTS_MAX {
                return Err(ProjectsError::TooMany);
            }
            // Submitting takes no invitation, and a secret that is not kept cannot leak.
            let ticket = Ticket { invitation: None, ..ticket.clone() }.to_string();
            let mut entry = before.cloned().unwrap_or(Entry {
                ticket: String::new(),
                record_serial: 0,
                coordinators: Vec::new(),
            });
            entry.ticket = ticket;
            listing.project.insert(name.clone(), entry);
            listing.in_use = Some(name.clone());
            Ok(())
        })?;
        Ok(KnownProject { name, project, in_use: true })
    }

    /// Uses the project called `name` from now on; [`LOCAL`] is the coordinator of this machine.
    ///
    /// # Errors
    /// [`ProjectsError::Unknown`], and any of reading and writing.
    pub fn choose(&self, name: &str) -> Result<(), ProjectsError> {
        self.change(|listing| {
            if name == LOCAL {
                listing.in_use = None;
                return Ok(());
            }
            if !listing.project.contains_key(name) {
                return Err(unknown(name, listing));
            }
            listing.in_use = Some(name.to_owned());
            Ok(())
        })
    }

    /// What is known of the project called `name`.
    pub(crate) fn remembered(&self, name: &str) -> Result<Remembered, ProjectsError> {
        let listing = self.read()?;
        let entry = listing.project.get(name).ok_or_else(|| unknown(name, &listing))?;
        Ok(Remembered {
            ticket: self.ticket(name, entry)?,
            record_serial: entry.record_serial,
            coordinators: entry.coordinators.clone(),
        })
    }

    /// Keeps what a verified record says of the project called `name`. One older than what is kept
    /// already changes nothing.
    pub(crate) fn learn(&self, name: &str, record: &ProjectRecord) -> Result<(), ProjectsError> {
        self.change(|listing| {
            let Some(entry) = listing.project.get_mut(name) else { return Ok(()) };
            if record.serial > entry.record_serial {
                entry.record_serial = record.serial;
                entry.coordinators = record.coordinators.clone();
            }
            Ok(())
        })
    }

    /// Reads, changes and replaces the file, while no other process does.
    fn change(
        &self,
        change: impl FnOnce(&mut Listing) -> Result<(), ProjectsError>,
    ) -> Result<(), ProjectsError> {
        self.create_folder()?;
        let path = self.folder.join(LOCK_FILE);
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let locked = lock.and_then(|lock| lock.lock().map(|()| lock));
        let _lock = locked.map_err(|source| io_error("lock", &path, source))?;
        let mut listing = self.read()?;
        change(&mut listing)?;
        let text = toml::to_string(&listing).expect("texts, small numbers and keys are TOML");
        let path = self.projects_path();
        replace(&path, text.as_bytes()).map_err(|source| io_error("write", &path, source))
    }

    fn read(&self) -> Result<Listing, ProjectsError> {
        let path = self.projects_path();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Listing::default()),
            Err(source) => return Err(io_error("read", &path, source)),
        };
        toml::from_str(&text)
            .map_err(|source| ProjectsError::Unreadable { path, source: Box::new(source) })
    }

    fn ticket(&self, name: &str, entry: &Entry) -> Result<Ticket, ProjectsError> {
        entry.ticket.parse().map_err(|source| ProjectsError::Ticket {
            path: self.projects_path(),
            name: name.to_owned(),
            source,
        })
    }

    fn create_folder(&self) -> Result<(), ProjectsError> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.folder).map_err(|source| io_error("make", &self.folder, source))
    }

    fn projects_path(&self) -> PathBuf {
        self.folder.join(PROJECTS_FILE)
    }
}

impl Remembered {
    /// Whom to call and where: those of the ticket. Once a record was seen, only whom it names.
    pub(crate) fn coordinators(&self) -> Vec<(WorkerId, Vec<String>)> {
        let mut coordinators = BTreeMap::<WorkerId, Vec<String>>::new();
        for address in &self.ticket.addresses {
            if let Some(peer) = peer_of_address(address) {
                coordinators.entry(peer).or_default().push(address.clone());
            }
        }
        let named = |peer: &WorkerId| self.coordinators.contains(peer);
        if coordinators.keys().any(named) {
            coordinators.retain(|peer, _| named(peer));
        }
        coordinators.into_iter().collect()
    }
}

fn check_name(name: &str) -> Result<&str, ProjectsError> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    match fits && name != LOCAL {
        true => Ok(name),
        false => Err(ProjectsError::Name { name: name.to_owned() }),
    }
}

fn unknown(name: &str, listing: &Listing) -> ProjectsError {
    let known = listing.project.keys().cloned().collect();
    ProjectsError::Unknown { name: name.to_owned(), known }
}

/// After a crash the file is the old one or the new one, whole.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use io::Write as _;

    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> ProjectsError {
    ProjectsError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use gleaner_protocol::{InvitationSecret, ProjectKind, Timestamp};

    use super::*;

    const PEER: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

    fn ticket(key: u8, name: &str) -> Ticket {
        let addresses = vec![format!("/ip4/192.0.2.1/udp/4747/quic-v1/p2p/{PEER}")];
        let invitation = Some(InvitationSecret([9; 16]));
        Ticket { project: ProjectId([key; 32]), name: name.into(), addresses, invitation }
    }

    fn record(serial: u64, coordinators: Vec<WorkerId>) -> ProjectRecord {
        ProjectRecord {
            project: ProjectId([1; 32]),
            serial,
            name: "stars".into(),
            operator: "someone".into(),
            purpose: "to see".into(),
            kind: ProjectKind::Lab,
            coordinators,
            expires_at: Timestamp::from_millis(u64::MAX),
            successor: None,
        }
    }

    #[test]
    fn the_project_used_last_is_in_use_until_another_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let projects = Projects::at(&folder.path().join("submitter"));
        assert_eq!(projects.in_use().expect("read"), None);
        projects.add(&ticket(1, "stars"), None).expect("added");
        let moons = projects.add(&ticket(2, "stars"), Some("moons")).expect("added");
        assert_eq!((moons.name.as_str(), moons.in_use), ("moons", true));
        let names = |projects: &Projects| {
            let list = projects.list().expect("read");
            list.into_iter().map(|known| (known.name, known.in_use)).collect::<Vec<_>>()
        };
        assert_eq!(names(&projects), [("moons".into(), true), ("stars".into(), false)]);
        projects.choose("stars").expect("known");
        assert_eq!(projects.in_use().expect("read").as_deref(), Some("stars"));
        projects.choose(LOCAL).expect("always there");
        assert_eq!(projects.in_use().expect("read"), None);
        let error = projects.choose("suns").expect_err("unknown");
        assert_eq!(error.to_string(), "no project is called \"suns\" here");
        assert!(error.hint().contains("moons, stars, local"), "{}", error.hint());
    }

    #[test]
    fn a_name_is_one_projects_and_sound() {
        let folder = tempfile::tempdir().expect("a folder");
        let projects = Projects::at(folder.path());
        projects.add(&ticket(1, "stars"), None).expect("added");
        let error = projects.add(&ticket(2, "stars"), None).expect_err("taken");
        assert!(matches!(error, ProjectsError::NameTaken { .. }), "{error}");
        for name in ["", "local", "a\nb", &"x".repeat(129)] {
            let error = projects.add(&ticket(3, "x"), Some(name)).expect_err("unsound");
            assert!(matches!(error, ProjectsError::Name { .. }), "{error}");
        }
        let nowhere = Ticket { addresses: vec!["/ip4/192.0.2.1/tcp/1".into()], ..ticket(4, "y") };
        let error = projects.add(&nowhere, None).expect_err("nobody to call");
        assert!(matches!(error, ProjectsError::NoAddress), "{error}");
        assert_eq!(projects.list().expect("read").len(), 1);
    }

    #[test]
    fn what_was_learnt_stays_and_the_invitation_is_not_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let projects = Projects::at(folder.path());
        projects.add(&ticket(1, "stars"), None).expect("added");
        let peer = peer_of_address(&ticket(1, "").addresses[0]).expect("a key");
        projects.learn("stars", &record(5, vec![peer])).expect("kept");
        projects.learn("stars", &record(4, Vec::new())).expect("older");
        projects.add(&ticket(1, "stars"), None).expect("a new ticket");
        let known = projects.remembered("stars").expect("known");
        assert_eq!((known.record_serial, known.ticket.invitation), (5, None));
        assert_eq!(known.coordinators(), [(peer, ticket(1, "").addresses)]);
    }

    #[test]
    fn a_damaged_file_is_told_by_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let projects = Projects::at(folder.path());
        fs::write(folder.path().join(PROJECTS_FILE), "in_use = 7").expect("written");
        let error = projects.choose(LOCAL).expect_err("damaged");
        assert!(error.to_string().contains(PROJECTS_FILE), "{error}");
        assert!(error.hint().starts_with("remove "), "{}", error.hint());
    }

    #[test]
    fn processes_that_add_at_once_lose_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let projects = Projects::at(folder.path());
        std::thread::scope(|scope| {
            for number in 0..8 {
                let projects = &projects;
                let name = format!("project {number}");
                scope.spawn(move || projects.add(&ticket(number, &name), None).expect("added"));
            }
        });
        assert_eq!(projects.list().expect("read").len(), 8);
    }
}
