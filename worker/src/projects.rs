//! The projects this worker has joined: one small file for each, replaced whole.
//!
//! Invariant: the serial of a project's record never falls, also across restarts: a record that
//! was replaced, because its coordinator's key was lost, cannot come back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use gleaner_folder::NetworkFolders;
use gleaner_network::peer_of_address;
use gleaner_protocol::{ProjectId, ProjectRecord, Ticket, TicketError, WorkerId};
use serde::{Deserialize, Serialize};

use crate::folder::{self, Folder, FolderError};
use crate::visit::VisitError;

/// Why a project could not be joined or a joined one cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The ticket names no address that says whose it is, so there is nobody to call.
    #[error("the ticket of {project} has no address with a key in it; ask for a new one")]
    NoAddress {
        /// The project.
        project: ProjectId,
    },
    /// A file that should describe a project does not.
    #[error("{} does not describe a project: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: toml::de::Error,
    },
    /// A file that should hold a ticket does not.
    #[error("the ticket in {}: {source}", path.display())]
    Ticket {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TicketError,
    },
}

/// Why a project could not be left. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum LeaveError {
    /// What was joined cannot be read or removed.
    #[error(transparent)]
    Projects(#[from] JoinError),
    /// No project of this name, fingerprint or key was joined.
    #[error("no project {wanted:?} was joined in {}", folder.display())]
    Unknown {
        /// What was asked for.
        wanted: String,
        /// The worker's folder.
        folder: PathBuf,
    },
    /// Several projects have this name.
    #[error("{wanted:?} are {} projects: {}", found.len(), found.join(", "))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// Their fingerprints.
        found: Vec<String>,
    },
}

/// A project as it was joined: what its record said when it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedProject {
    /// Its key.
    pub project: ProjectId,
    /// Its name.
    pub name: String,
    /// Who runs it; empty before its record was seen.
    pub operator: String,
    /// What it computes; empty before its record was seen.
    pub purpose: String,
    /// Where its coordinators are looked for.
    pub addresses: Vec<String>,
}

/// Whether a worker runs in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// One does; it notices what was changed at its next start.
    Running,
    /// None does.
    AtRest,
}

/// Remembers the project of `ticket` unseen, so that the next [`crate::start`] on `data` works for
/// it; [`crate::visit()`] asks the project first.
///
/// Joining again replaces addresses and invitation and keeps what was learnt of the project's
/// record. A worker that is running notices at its next start.
///
/// # Errors
/// [`JoinError`]; nothing was changed then.
pub fn join(data: &Path, ticket: &Ticket) -> Result<(), JoinError> {
    let joined = Joined::of_ticket(data, ticket)?;
    folder::create(&folder::projects(data))?;
    Ok(joined.write()?)
}

/// Every project that was joined in the worker's folder `data`, by key; none when there is no such
/// folder.
///
/// # Errors
/// [`JoinError`].
pub fn projects(data: &Path) -> Result<Vec<JoinedProject>, JoinError> {
    if !folder::projects(data).exists() {
        return Ok(Vec::new());
    }
    Ok(Joined::read_all(data)?.iter().map(Joined::view).collect())
}

/// Forgets a project, named by its name, its fingerprint or its key, and tells whether a worker
/// runs that still works for it. Membership stays: joining again needs no new invitation.
///
/// # Errors
/// [`LeaveError`].
pub fn leave(data: &Path, wanted: &str) -> Result<(JoinedProject, Presence), LeaveError> {
    let mut found = match folder::projects(data).exists() {
        true => Joined::read_all(data)?,
        false => Vec::new(),
    };
    found.retain(|joined| joined.is_called(wanted));
    match found.as_slice() {
        [] => Err(LeaveError::Unknown { wanted: wanted.to_owned(), folder: data.to_owned() }),
        [joined] => {
            let failed = |source| FolderError::Io { path: joined.path.clone(), source };
            fs::remove_file(&joined.path).map_err(failed).map_err(JoinError::from)?;
            let presence = match Folder::open(data, NetworkFolders::Allow) {
                Err(FolderError::InUse { .. }) => Presence::Running,
                _ => Presence::AtRest,
            };
            Ok((joined.view(), presence))
        }
        several => {
            let found = several.iter().map(|joined| joined.id().fingerprint()).collect();
            Err(LeaveError::Ambiguous { wanted: wanted.to_owned(), found })
        }
    }
}

/// A project that was joined.
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    path: PathBuf,
    pub(crate) ticket: Ticket,
    learnt: Learnt,
}

/// What the project's own records have said.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Learnt {
    record_serial: u64,
    coordinators: Vec<WorkerId>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    operator: String,
    #[serde(default)]
    purpose: String,
}

/// The file of a project.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    ticket: String,
    learnt: Learnt,
}

/// Why a record with a good signature is not followed.
#[derive(Debug, thiserror::Error)]
pub enum RecordRefused {
    /// A later one was seen before.
    #[error(
        "the coordinator shows record {offered} of the project, and record {seen} was seen \
         before: it may have been replaced"
    )]
    Older {
        /// The serial shown.
        offered: u64,
        /// The highest one seen.
        seen: u64,
    },
    /// Its serial is more than a file can say.
    #[error("the project's record has the serial {serial}, over the limit of {}", i64::MAX)]
    Serial {
        /// The serial shown.
        serial: u64,
    },
}

impl Joined {
    /// The project of `ticket`, with what was learnt of it before.
    fn of_ticket(data: &Path, ticket: &Ticket) -> Result<Self, JoinError> {
        let project = ticket.project;
        if !ticket.addresses.iter().any(|address| peer_of_address(address).is_some()) {
            return Err(JoinError::NoAddress { project });
        }
        let path = folder::projects(data).join(file_name(project));
        let learnt = if path.exists() { Self::read(&path)?.learnt } else { Learnt::default() };
        Ok(Self { path, ticket: ticket.clone(), learnt })
    }

    /// Remembers the project of `ticket` with the record that it showed.
    ///
    /// # Errors
    /// What cannot be written, or a record that is not followed.
    pub(crate) fn remember(
        data: &Path,
        ticket: &Ticket,
        record: &ProjectRecord,
    ) -> Result<Self, VisitError> {
        let mut joined = Self::of_ticket(data, ticket)?;
        joined.take(record)?;
        folder::create(&folder::projects(data))?;
        joined.write()?;
        Ok(joined)
    }

    /// Whether the record that the project of `ticket` shows may be followed; nothing is remembered.
    ///
    /// # Errors
    /// What cannot be read, or a record that is not followed.
    pub(crate) fn judge(
        data: &Path,
        ticket: &Ticket,
        record: &ProjectRecord,
    ) -> Result<(), VisitError> {
        Self::of_ticket(data, ticket)?.take(record)?;
        Ok(())
    }

    /// What is known of it.
    pub(crate) fn view(&self) -> JoinedProject {
        let Learnt { name, operator, purpose, .. } = self.learnt.clone();
        let name = if name.is_empty() { self.ticket.name.clone() } else { name };
        let (project, addresses) = (self.id(), self.ticket.addresses.clone());
        JoinedProject { project, name, operator, purpose, addresses }
    }

    fn is_called(&self, wanted: &str) -> bool {
        let id = self.id();
        self.view().name == wanted || id.fingerprint() == wanted || id.to_string() == wanted
    }

    /// Every project remembered below `data`, by key.
    pub(crate) fn read_all(data: &Path) -> Result<Vec<Self>, JoinError> {
        let folder = folder::projects(data);
        folder::create(&folder)?;
        let failed = |source| FolderError::Io { path: folder.clone(), source };
        let mut joined = BTreeMap::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let project = Self::read(&path)?;
                joined.insert(project.ticket.project, project);
            }
        }
        Ok(joined.into_values().collect())
    }

    fn read(path: &Path) -> Result<Self, JoinError> {
        let text = fs::read_to_string(path)
            .map_err(|source| FolderError::Io { path: path.to_owned(), source })?;
        let file: File = toml::from_str(&text)
            .map_err(|source| JoinError::Unreadable { path: path.to_owned(), source })?;
        let ticket = file.ticket.parse();
        let ticket =
            ticket.map_err(|source| JoinError::Ticket { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), ticket, learnt: file.learnt })
    }

    fn write(&self) -> Result<(), FolderError> {
        let file = File { ticket: self.ticket.to_string(), learnt: self.learnt.clone() };
        let text = toml::to_string(&file).expect("strings, numbers and keys are TOML");
        folder::replace(&self.path, text.as_bytes())
    }

    pub(crate) fn id(&self) -> ProjectId {
        self.ticket.project
    }

    /// Whom to call and where: those of the ticket, and those the record names, whom only the
    /// local network can find.
    pub(crate) fn coordinators(&self) -> Vec<(WorkerId, Vec<String>)> {
        let mut coordinators = BTreeMap::<WorkerId, Vec<String>>::new();
        for address in &self.ticket.addresses {
            if let Some(peer) = peer_of_address(address) {
                coordinators.entry(peer).or_default().push(address.clone());
            }
        }
        for coordinator in &self.learnt.coordinators {
            coordinators.entry(*coordinator).or_default();
        }
        coordinators.into_iter().collect()
    }

    /// Whose refusal counts: the coordinators that the project's own record names; before one was
    /// seen, those of the ticket.
    pub(crate) fn heeded(&self) -> Vec<WorkerId> {
        match self.learnt.coordinators.as_slice() {
            [] => self.ticket.addresses.iter().filter_map(|at| peer_of_address(at)).collect(),
            named => named.to_vec(),
        }
    }

    /// Remembers a verified record.
    ///
    /// # Errors
    /// Any [`RecordRefused`]. A failed write is no error here: it is told to `unsaved`.
    pub(crate) fn learn(
        &mut self,
        record: &ProjectRecord,
        unsaved: impl FnOnce(FolderError),
    ) -> Result<(), RecordRefused> {
        let changed = self.take(record)?;
        // One that was left meanwhile is not remembered anew.
        if changed == Changed::Yes && self.path.exists() {
            self.write().unwrap_or_else(unsaved);
        }
        Ok(())
    }

    /// Takes over what a record says, if it may be followed.
    fn take(&mut self, record: &ProjectRecord) -> Result<Changed, RecordRefused> {
        let (serial, seen) = (record.serial, self.learnt.record_serial);
        if serial < seen {
            return Err(RecordRefused::Older { offered: serial, seen });
        }
        if i64::try_from(serial).is_err() {
            return Err(RecordRefused::Serial { serial });
        }
        // What an earlier version learnt has no names.
        if serial == seen && !self.learnt.name.is_empty() {
            return Ok(Changed::No);
        }
        self.learnt = Learnt {
            record_serial: serial,
            coordinators: record.coordinators.clone(),
            name: record.name.clone(),
            operator: record.operator.clone(),
            purpose: record.purpose.clone(),
        };
        Ok(Changed::Yes)
    }
}

/// Whether a record said something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Changed {
    Yes,
    No,
}

fn file_name(project: ProjectId) -> String {
    format!("{project}.toml")
}

#[cfg(test)]
mod tests {
    use gleaner_protocol::{ProjectKind, Timestamp};

    use super::*;

    fn ticket(name: &str) -> Ticket {
        let peer = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
        let addresses = vec![format!("/ip4/192.0.2.1/udp/4747/quic-v1/p2p/{peer}")];
        Ticket { project: ProjectId([7; 32]), name: name.into(), addresses, invitation: None }
    }

    fn record(serial: u64) -> ProjectRecord {
        ProjectRecord {
            project: ProjectId([7; 32]),
            serial,
            name: "stars".into(),
            operator: "someone".into(),
            purpose: "to see".into(),
            kind: ProjectKind::Lab,
            coordinators: vec![WorkerId([3; 32])],
            expires_at: Timestamp::from_millis(u64::MAX),
            successor: None,
        }
    }

    #[test]
    fn joining_again_keeps_the_serial_and_a_lower_one_is_refused() {
        let data = tempfile::tempdir().unwrap();
        join(data.path(), &ticket("stars")).unwrap();
        let mut joined = Joined::read_all(data.path()).unwrap().remove(0);
        assert_eq!(joined.heeded().len(), 1, "the ticket's, as nothing else is known");
        joined.learn(&record(5), |error| panic!("{error}")).unwrap();
        join(data.path(), &ticket("stars, renamed")).unwrap();
        let mut joined = Joined::read_all(data.path()).unwrap().remove(0);
        assert_eq!(joined.ticket.name, "stars, renamed");
        assert_eq!(joined.coordinators().len(), 2);
        assert_eq!(joined.heeded(), [WorkerId([3; 32])], "the ticket's own is not named");
        joined.learn(&record(5), |error| panic!("{error}")).unwrap();
        let error = joined.learn(&record(4), |error| panic!("{error}")).unwrap_err();
        assert!(error.to_string().contains("record 4"), "{error}");
        let judged = Joined::judge(data.path(), &ticket("stars"), &record(4));
        assert!(matches!(judged, Err(VisitError::RecordRefused(_))), "{judged:?}");
        Joined::judge(data.path(), &ticket("stars"), &record(6)).unwrap();
        let joined = Joined::read_all(data.path()).unwrap().remove(0);
        assert_eq!(joined.learnt.record_serial, 5, "to judge a record is not to learn it");
    }

    #[test]
    fn a_project_is_listed_as_its_record_says_and_left_by_any_of_its_names() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(projects(data.path()).unwrap(), []);
        let unknown = leave(data.path(), "stars").unwrap_err();
        assert!(matches!(unknown, LeaveError::Unknown { .. }), "{unknown}");
        let names =
            ["stars".to_owned(), ProjectId([7; 32]).fingerprint(), record(1).project.to_string()];
        for name in names {
            Joined::remember(data.path(), &ticket("as the ticket says"), &record(1)).unwrap();
            let listed = projects(data.path()).unwrap();
            assert_eq!(
                (listed[0].name.as_str(), listed[0].operator.as_str()),
                ("stars", "someone")
            );
            let (left, presence) = leave(data.path(), &name).unwrap();
            assert_eq!((left, presence), (listed[0].clone(), Presence::AtRest));
            assert_eq!(projects(data.path()).unwrap(), []);
        }
    }

    #[test]
    fn leaving_while_a_worker_runs_says_so_and_an_ambiguous_name_leaves_nothing() {
        let data = tempfile::tempdir().unwrap();
        let other = Ticket { project: ProjectId([8; 32]), ..ticket("stars") };
        join(data.path(), &ticket("stars")).unwrap();
        join(data.path(), &other).unwrap();
        let error = leave(data.path(), "stars").unwrap_err();
        assert!(error.to_string().contains(&other.project.fingerprint()), "{error}");
        assert_eq!(projects(data.path()).unwrap().len(), 2);
        let _worker = Folder::open(data.path(), NetworkFolders::Refuse).unwrap();
        let mut running = Joined::read_all(data.path()).unwrap().remove(0);
        let (_, presence) = leave(data.path(), &running.id().fingerprint()).unwrap();
        assert_eq!(presence, Presence::Running);
        running.learn(&record(9), |error| panic!("{error}")).unwrap();
        assert_eq!(projects(data.path()).unwrap().len(), 1, "what was left comes not back");
    }

    #[test]
    fn a_ticket_without_a_key_in_its_addresses_is_refused() {
        let data = tempfile::tempdir().unwrap();
        let addresses = vec!["/ip4/192.0.2.1/udp/4747/quic-v1".to_owned()];
        let ticket = Ticket { addresses, ..ticket("stars") };
        assert!(matches!(join(data.path(), &ticket), Err(JoinError::NoAddress { .. })));
    }
}
