//! Files that hold one Ed25519 secret each.
//!
//! One line of text, so that a person can print it, type it and see what it is: a label that names
//! the kind of key, then the 32 secret bytes and a checksum in base 32. A file is created whole or
//! not at all, readable by its owner alone, and never over another.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

use data_encoding::BASE32_NOPAD;

const SECRET_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 5;

/// What a key file is for; each kind refuses the files of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// The key of one machine.
    Host,
    /// The key of a project, to be kept offline.
    Project,
    /// The key by which a project knows one that submits jobs from elsewhere.
    Submitter,
}

/// Why a key could not be read or created.
///
/// A retry helps only for [`KeyError::Io`]; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is a key already, and keys are never overwritten.
    #[error("there is a key already at {}; it was left as it is", path.display())]
    Exists {
        /// Its path.
        path: PathBuf,
    },
    /// There is no such file.
    #[error("there is no {} key at {}", kind.label(), path.display())]
    Missing {
        /// The kind of key looked for.
        kind: KeyKind,
        /// Its path.
        path: PathBuf,
    },
    /// Others than its owner may read the file.
    #[error(
        "the key {} may be read by others (mode {mode:03o}); run `chmod 600 {}`",
        path.display(),
        path.display()
    )]
    Permissions {
        /// Its path.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is damaged, or no key of this kind.
    #[error(
        "{} holds no {} key, or a damaged one; restore it from its backup",
        path.display(),
        kind.label()
    )]
    Damaged {
        /// The kind of key looked for.
        kind: KeyKind,
        /// Its path.
        path: PathBuf,
    },
    /// The file system said no.
    #[error("cannot {action} the key {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl KeyKind {
    const fn label(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Project => "project",
            Self::Submitter => "submitter",
        }
    }

    fn prefix(self) -> String {
        format!("gleaner-{}-key-1:", self.label())
    }
}

/// The secret in the file at `path`.
pub(crate) fn read(path: &Path, kind: KeyKind) -> Result<[u8; SECRET_BYTES], KeyError> {
    let text = fs::read_to_string(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => KeyError::Missing { kind, path: path.to_owned() },
        io::ErrorKind::InvalidData => KeyError::Damaged { kind, path: path.to_owned() },
        _ => KeyError::Io { action: "read", path: path.to_owned(), source },
    })?;
    check_permissions(path)?;
    parse(&text, kind).ok_or_else(|| KeyError::Damaged { kind, path: path.to_owned() })
}

/// Writes `secret` to a new file at `path`, durably.
///
/// # Errors
/// [`KeyError::Exists`] when there is a file already, made by whomever in whatever moment.
pub(crate) fn create(
    path: &Path,
    kind: KeyKind,
    secret: &[u8; SECRET_BYTES],
) -> Result<(), KeyError> {
    let failed = |source| KeyError::Io { action: "create", path: path.to_owned(), source };
    let folder = folder_of(path);
    let mut file =
        tempfile::Builder::new().prefix(".new-key-").tempfile_in(folder).map_err(failed)?;
    writeln!(file, "{}", print(kind, secret)).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(path).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_owned() },
        _ => failed(error.error),
    })?;
    sync_folder(folder).map_err(failed)
}

/// The folder that a file is or will be in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a rename or a new name in `folder` survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(unix)]
fn check_permissions(path: &Path) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;

    let metadata = fs::metadata(path).map_err(|source| KeyError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(KeyError::Permissions { path: path.to_owned(), mode })
}

/// Elsewhere the folder's access list, inherited from the user's profile, guards the file.
#[cfg(not(unix))]
fn check_permissions(_path: &Path) -> Result<(), KeyError> {
    Ok(())
}

fn print(kind: KeyKind, secret: &[u8; SECRET_BYTES]) -> String {
    let bytes = [secret.as_slice(), checksum(secret).as_slice()].concat();
    format!("{}{}", kind.prefix(), BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
}

fn parse(text: &str, kind: KeyKind) -> Option<[u8; SECRET_BYTES]> {
    let body = text.trim().strip_prefix(&kind.prefix())?;
    let bytes = BASE32_NOPAD.decode(body.to_ascii_uppercase().as_bytes()).ok()?;
    let (secret, check) = bytes.split_first_chunk::<SECRET_BYTES>()?;
    (check == checksum(secret)).then_some(*secret)
}

fn checksum(secret: &[u8; SECRET_BYTES]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key("gleaner 2026 key file v1");
    hasher.update(secret);
    let mut checksum = [0; CHECKSUM_BYTES];
    hasher.finalize_xof().fill(&mut checksum);
    checksum
}
