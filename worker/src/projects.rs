//! The projects this worker has joined: one small file for each, replaced whole.
//!
//! Invariant: the serial of a project's record never falls, also across restarts: a record that
//! was replaced, because its coordinator's key was lost, cannot come back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use gleaner_network::peer_of_address;
use gleaner_protocol::{ProjectId, ProjectRecord, Ticket, TicketError, WorkerId};
use serde::{Deserialize, Serialize};

use crate::folder::{self, FolderError};

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

/// Remembers the project of `ticket`, so that the next [`crate::start`] on `data` works for it.
///
/// Joining again replaces addresses and invitation and keeps what was learnt of the project's
/// record. A worker that is running notices at its next start.
///
/// # Errors
/// [`JoinError`]; nothing was changed then.
pub fn join(data: &Path, ticket: &Ticket) -> Result<(), JoinError> {
    let project = ticket.project;
    if !ticket.addresses.iter().any(|address| peer_of_address(address).is_some()) {
        return Err(JoinError::NoAddress { project });
    }
    let path = folder::projects(data).join(file_name(project));
    folder::create(&folder::projects(data))?;
    let known = if path.exists() { Joined::read(&path)?.learnt } else { Learnt::default() };
    Joined { path, ticket: ticket.clone(), learnt: known }.write()?;
    Ok(())
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
pub(crate) enum RecordRefused {
    /// A later one was seen before.
    #[error(
        "the coordinator shows record {offered} of the project, and record {seen} was seen \
         before: it may have been replaced"
    )]
    Older { offered: u64, seen: u64 },
    /// Its serial is more than a file can say.
    #[error("the project's record has the serial {serial}, over the limit of {}", i64::MAX)]
    Serial { serial: u64 },
}

impl Joined {
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

    /// Remembers a verified record.
    ///
    /// # Errors
    /// Any [`RecordRefused`]. A failed write is no error here: it is told to `unsaved`.
    pub(crate) fn learn(
        &mut self,
        record: &ProjectRecord,
        unsaved: impl FnOnce(FolderError),
    ) -> Result<(), RecordRefused> {
        let (serial, seen) = (record.serial, self.learnt.record_serial);
        if serial < seen {
            return Err(RecordRefused::Older { offered: serial, seen });
        }
        if i64::try_from(serial).is_err() {
            return Err(RecordRefused::Serial { serial });
        }
        if serial > seen {
            let coordinators = record.coordinators.clone();
            self.learnt = Learnt { record_serial: serial, coordinators };
            self.write().unwrap_or_else(unsaved);
        }
        Ok(())
    }
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
        joined.learn(&record(5), |error| panic!("{error}")).unwrap();
        join(data.path(), &ticket("stars, renamed")).unwrap();
        let mut joined = Joined::read_all(data.path()).unwrap().remove(0);
        assert_eq!(joined.ticket.name, "stars, renamed");
        assert_eq!(joined.coordinators().len(), 2);
        joined.learn(&record(5), |error| panic!("{error}")).unwrap();
        let error = joined.learn(&record(4), |error| panic!("{error}")).unwrap_err();
        assert!(error.to_string().contains("record 4"), "{error}");
    }

    #[test]
    fn a_ticket_without_a_key_in_its_addresses_is_refused() {
        let data = tempfile::tempdir().unwrap();
        let addresses = vec!["/ip4/192.0.2.1/udp/4747/quic-v1".to_owned()];
        let ticket = Ticket { addresses, ..ticket("stars") };
        assert!(matches!(join(data.path(), &ticket), Err(JoinError::NoAddress { .. })));
    }
}
