//! The two files by which a client on this machine finds the control API and is let in.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use data_encoding::BASE32_NOPAD;

use crate::files::write_atomically;

const TOKEN_FILE: &str = "api-token";
const ADDRESS_FILE: &str = "api-address";
const TOKEN_BYTES: usize = 32;

/// Why the token or the address could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file system refused.
    #[error("cannot use {path:?}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it says.
        #[source]
        source: io::Error,
    },
    /// Others may read the token.
    #[error("{path:?} may be read by others (mode {mode:03o}); run `chmod 600` on it")]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is no token in the file.
    #[error("{path:?} holds no token; remove it, and a new one is made at the next start")]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// The token in the coordinator's folder, made there when there is none: readable by its owner
/// alone.
///
/// # Errors
/// [`CredentialError`]; a token that others may read is refused rather than trusted.
pub fn load_or_create_token(data: &Path) -> Result<String, CredentialError> {
    let path = data.join(TOKEN_FILE);
    match std::fs::read_to_string(&path) {
        Ok(token) => {
            check_permissions(&path)?;
            match token.trim() {
                "" => Err(CredentialError::Empty { path }),
                token => Ok(token.to_owned()),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => create_token(&path),
        Err(source) => Err(CredentialError::Io { path, source }),
    }
}

fn create_token(path: &Path) -> Result<String, CredentialError> {
    let mut secret = [0; TOKEN_BYTES];
    getrandom::fill(&mut secret).expect("the system has random numbers");
    let token = BASE32_NOPAD.encode(&secret).to_ascii_lowercase();
    let written = write_atomically(path, format!("{token}\n").as_bytes());
    written.map_err(|source| CredentialError::Io { path: path.to_owned(), source })?;
    Ok(token)
}

#[cfg(unix)]
fn check_permissions(path: &Path) -> Result<(), CredentialError> {
    use std::os::unix::fs::PermissionsExt;

    let metadata = std::fs::metadata(path);
    let metadata =
        metadata.map_err(|source| CredentialError::Io { path: path.to_owned(), source })?;
    match metadata.permissions().mode() & 0o777 {
        mode if mode & 0o077 == 0 => Ok(()),
        mode => Err(CredentialError::Permissions { path: path.to_owned(), mode }),
    }
}

/// Elsewhere the folder's access list, inherited from the user's profile, guards the file.
#[cfg(not(unix))]
fn check_permissions(_path: &Path) -> Result<(), CredentialError> {
    Ok(())
}

/// The file that says where the API listens; dropped, it is gone.
#[derive(Debug)]
pub(super) struct AddressFile(PathBuf);

impl AddressFile {
    pub(super) fn write(data: &Path, address: SocketAddr) -> Result<Self, CredentialError> {
        let path = data.join(ADDRESS_FILE);
        match write_atomically(&path, format!("{address}\n").as_bytes()) {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(CredentialError::Io { path, source }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // A file left behind leads clients to a port where nobody answers: they say so.
        let _ = std::fs::remove_file(&self.0);
    }
}
