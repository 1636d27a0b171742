//! A coordinator's folder read whole, and everything told that is wrong with it.
//!
//! It is sound beside a running coordinator: the store is read as it stood at one moment, and a
//! hold that is taken before keeps all blobs in their places that it names. It costs that one the
//! reading of the disk, and a log that does not shrink before the store is read.

use std::io;
use std::path::{Path, PathBuf};

use super::contents::NamedBlobs;
use super::manifest::{Manifest, ManifestError};
use super::{Fault, Progress, Step, Told, pour};
use crate::blobs::{Hold, path_in};
use crate::driver::BLOBS_FOLDER;
use crate::project::{Project, wall_clock};
use crate::store::{self, Finding, Snapshot, StoreError};

/// The most faults that are told one by one: a disk that is gone has as many as it had files.
const FAULTS_TOLD_MAX: usize = 1000;

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// The faults, the first thousand at most.
    pub faults: Vec<Fault>,
    /// How many there are.
    pub faults_total: u64,
    /// How many jobs there are.
    pub jobs: u64,
    /// How many outcomes of attempts were read.
    pub outcomes: u64,
    /// How many blobs were looked at.
    pub blobs: u64,
    /// How many bytes they have.
    pub blob_bytes: u64,
}

/// Why a folder could not be verified. Nothing is said of its health then.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no store.
    #[error(
        "there is no store in {}: either no coordinator was ever started there, or it is lost; \
         choose another folder with --data, or restore one from a backup", folder.display()
    )]
    NoStore {
        /// The folder.
        folder: PathBuf,
    },
    /// The store is of an earlier version.
    #[error(
        "the store {} has version {found}, and this program reads {known}; start its coordinator \
         once, which brings it up to date, or verify a backup with the program that made it", path.display()
    )]
    Older {
        /// The store's file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version that is read.
        known: u32,
    },
    /// The folder is no backup.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The blobs cannot be held in their places.
    #[error("cannot hold the blobs in {} in their places", folder.display())]
    Hold {
        /// The blobs' folder.
        folder: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// Reads all that the coordinator in `folder` needs, and says what is wrong with it. A coordinator
/// may run on it meanwhile.
///
/// # Errors
/// [`VerifyError`]; what is damaged is no error, but a [`Fault`].
pub fn verify(folder: &Path, told: Told<'_>) -> Result<Verification, VerifyError> {
    let path = folder.join(store::FILE);
    if !path.is_file() {
        return Err(VerifyError::NoStore { folder: folder.to_owned() });
    }
    let blobs = folder.join(BLOBS_FOLDER);
    let _hold = hold(&blobs)?;
    let mut verification = Verification::default();
    if let Err(error) = Project::load(folder, wall_clock()) {
        verification.add(Fault::Project { found: with_causes(&error) });
    }
    told(Progress { step: Step::Store, done: 0, of: 0 });
    let Some(snapshot) = verification.open(folder, &path)? else { return Ok(verification) };
    verification.read_records(&snapshot, &path, told)?;
    verification.read_blobs(&snapshot, &blobs, told)?;
    Ok(verification)
}

/// Reads all of a backup, and says what is wrong with it: what `gleaner coordinator restore` would
/// find, and what a coordinator would that is restored from it.
///
/// # Errors
/// [`VerifyError`].
pub fn verify_backup(folder: &Path, told: Told<'_>) -> Result<Verification, VerifyError> {
    let manifest = Manifest::read(folder)?;
    let mut verification = Verification::default();
    told(Progress { step: Step::Store, done: 0, of: 0 });
    for file in &manifest.files {
        let path = folder.join(&file.name);
        if let Some(found) = pour::inspect(&path, file.content(), &mut |_| {}) {
            verification.add(Fault::Backup { path, found });
        }
    }
    let path = folder.join(store::FILE);
    if verification.faults.iter().any(|fault| fault.is_of(&path)) {
        return Ok(verification);
    }
    let Some(snapshot) = verification.open(folder, &path)? else { return Ok(verification) };
    verification.read_records(&snapshot, &path, told)?;
    verification.read_blobs(&snapshot, &folder.join(BLOBS_FOLDER), told)?;
    Ok(verification)
}

/// Keeps the blobs in their places; none where there never were any.
fn hold(blobs: &Path) -> Result<Option<Hold>, VerifyError> {
    match Hold::take(blobs) {
        Ok(hold) => Ok(Some(hold)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(VerifyError::Hold { folder: blobs.to_owned(), source }),
    }
}

impl Verification {
    fn add(&mut self, fault: Fault) {
        self.faults_total += 1;
        if self.faults.len() < FAULTS_TOLD_MAX {
            self.faults.push(fault);
        }
    }

    /// The store, if it can be read and its file is whole.
    fn open(&mut self, folder: &Path, path: &Path) -> Result<Option<Snapshot>, VerifyError> {
        let snapshot = match Snapshot::open(folder) {
            Err(StoreError::Corrupt { found, .. }) => {
                self.add(Fault::Store { path: path.to_owned(), found });
                return Ok(None);
            }
            opened => opened?,
        };
        let before = self.faults_total;
        let store = |finding: Finding| Fault::Store { path: path.to_owned(), found: finding.found };
        snapshot.damages(&mut |finding| self.add(store(finding)))?;
        if self.faults_total > before {
            return Ok(None);
        }
        match (snapshot.version(), store::VERSION) {
            (0, _) => {
                self.add(Fault::Store { path: path.to_owned(), found: "it is empty".to_owned() });
                Ok(None)
            }
            (found, known) if found > known => {
                Err(StoreError::TooNew { path: path.to_owned(), found, known }.into())
            }
            (found, known) if found < known => {
                Err(VerifyError::Older { path: path.to_owned(), found, known })
            }
            _ => Ok(Some(snapshot)),
        }
    }

    fn read_records(
        &mut self,
        snapshot: &Snapshot,
        path: &Path,
        told: Told<'_>,
    ) -> Result<(), VerifyError> {
        let of = snapshot.outcomes()?;
        (self.jobs, self.outcomes) = (snapshot.jobs()?, of);
        let mut read = |done| told(Progress { step: Step::Answers, done, of });
        let record = |finding| Fault::Record { path: path.to_owned(), finding };
        snapshot.contradictions(&mut |finding| self.add(record(finding)), &mut read)?;
        Ok(())
    }

    fn read_blobs(
        &mut self,
        snapshot: &Snapshot,
        folder: &Path,
        told: Told<'_>,
    ) -> Result<(), VerifyError> {
        let named = NamedBlobs::of(snapshot)?;
        (self.blobs, self.blob_bytes) = (named.count, named.bytes);
        let (mut done, of) = (0, named.bytes);
        told(Progress { step: Step::Blobs, done, of });
        named.each(&mut |blob, used| {
            let path = path_in(folder, blob.hash);
            let found = pour::inspect(&path, blob, &mut |bytes| {
                done += bytes;
                told(Progress { step: Step::Blobs, done, of });
            });
            if let Some(found) = found {
                self.add(Fault::Blob { hash: blob.hash, path, found, used });
            }
        })?;
        Ok(())
    }
}

/// An error and its causes in one line, none said twice.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !line.contains(&words) {
            line = format!("{line}: {words}");
        }
        cause = error.source();
    }
    line
}
