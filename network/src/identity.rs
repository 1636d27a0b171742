//! Who they are: a host's key, a project's, and a submitter's.

use std::fmt;
use std::path::Path;

use gleaner_protocol::{
    ProjectId, ProjectRecord, Signature, SignedProjectRecord, SubmitterId, WorkerId, wire,
};
use libp2p::identity::{Keypair, ed25519};

use crate::key_file::{self, KeyError, KeyKind};

/// The Ed25519 key of one host: its name in the swarm and the secret that proves it.
#[derive(Clone)]
pub struct HostKey(ed25519::Keypair);

/// The Ed25519 key of a project, which signs its records and is kept offline in between.
#[derive(Clone)]
pub struct ProjectKey(ed25519::Keypair);

/// The Ed25519 key of one who submits jobs from elsewhere: what a coordinator's list names.
#[derive(Clone)]
pub struct SubmitterKey(HostKey);

impl HostKey {
    /// A new key that is in no file.
    pub fn generate() -> Self {
        Self(ed25519::Keypair::generate())
    }

    /// The key in the file at `path`, made there if there is none; its folder must exist.
    ///
    /// Safe against another process that does the same: both get the same key.
    ///
    /// # Errors
    /// Any [`KeyError`] but [`KeyError::Exists`] and [`KeyError::Missing`]. A file that is damaged
    /// or open to others is left as it is.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        Self::load_or_create_of(path, KeyKind::Host)
    }

    /// The key in the file at `path`.
    ///
    /// # Errors
    /// Any [`KeyError`] but [`KeyError::Exists`].
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Self::load_of(path, KeyKind::Host)
    }

    fn load_or_create_of(path: &Path, kind: KeyKind) -> Result<Self, KeyError> {
        match Self::load_of(path, kind) {
            Err(KeyError::Missing { .. }) => {}
            loaded => return loaded,
        }
        let key = Self::generate();
        match key_file::create(path, kind, &secret(&key.0)) {
            Ok(()) => Ok(key),
            Err(KeyError::Exists { .. }) => Self::load_of(path, kind),
            Err(error) => Err(error),
        }
    }

    fn load_of(path: &Path, kind: KeyKind) -> Result<Self, KeyError> {
        key_file::read(path, kind).map(|secret| Self(keypair(secret)))
    }

    /// The host's public key.
    pub fn id(&self) -> WorkerId {
        WorkerId(self.0.public().to_bytes())
    }

    /// The key as the swarm takes it.
    pub(crate) fn to_swarm_key(&self) -> Keypair {
        self.0.clone().into()
    }
}

impl SubmitterKey {
    /// The key in the file at `path`, made there if there is none; its folder must exist.
    ///
    /// # Errors
    /// As [`HostKey::load_or_create`].
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        HostKey::load_or_create_of(path, KeyKind::Submitter).map(Self)
    }

    /// The public key: the line to send to an operator.
    pub fn id(&self) -> SubmitterId {
        SubmitterId(self.0.id().0)
    }

    /// The key as a node starts under it: to its peers a submitter is a host like any other.
    pub const fn as_host(&self) -> &HostKey {
        &self.0
    }
}

impl ProjectKey {
    /// A new key in a new file at `path`; its folder must exist.
    ///
    /// # Errors
    /// [`KeyError::Exists`] when there is a file already: a project's key is never overwritten.
    /// [`KeyError::Io`] when the file cannot be made.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let key = Self(ed25519::Keypair::generate());
        key_file::create(path, KeyKind::Project, &secret(&key.0))?;
        Ok(key)
    }

    /// The key in the file at `path`.
    ///
    /// # Errors
    /// Any [`KeyError`] but [`KeyError::Exists`].
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        key_file::read(path, KeyKind::Project).map(|secret| Self(keypair(secret)))
    }

    /// The project's public key.
    pub fn id(&self) -> ProjectId {
        ProjectId(self.0.public().to_bytes())
    }

    /// `record` and this key's signature over it.
    ///
    /// # Panics
    /// When the record is another project's: nobody would accept it.
    pub fn sign(&self, record: &ProjectRecord) -> SignedProjectRecord {
        assert_eq!(record.project, self.id(), "a project signs its own records only");
        self.sign_bytes(wire::encode(record))
    }

    pub(crate) fn sign_bytes(&self, record: Vec<u8>) -> SignedProjectRecord {
        let signature = self.0.sign(&SignedProjectRecord::signed_bytes(&record));
        let signature = signature.try_into().expect("an Ed25519 signature has 64 bytes");
        SignedProjectRecord { record, signature: Signature(signature) }
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostKey({}, secret)", self.id())
    }
}

impl fmt::Debug for SubmitterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubmitterKey({}, secret)", self.id())
    }
}

impl fmt::Debug for ProjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProjectKey({}, secret)", self.id())
    }
}

fn keypair(mut secret: [u8; 32]) -> ed25519::Keypair {
    ed25519::SecretKey::try_from_bytes(&mut secret)
        .expect("any 32 bytes are an Ed25519 secret")
        .into()
}

fn secret(keypair: &ed25519::Keypair) -> [u8; 32] {
    keypair.secret().as_ref().try_into().expect("an Ed25519 secret has 32 bytes")
}

#[cfg(test)]
mod tests;
