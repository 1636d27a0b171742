//! Files that a manifest names by a URL, fetched once into the data folder.
//!
//! A file lies there under its hash, so that it serves every manifest that names it; it is checked
//! before each use. Invariants: nothing is used whose hash was not found to be the manifest's; no
//! more is written than the manifest's key allows. What was fetched stays until the folder
//! `downloads` is deleted: nothing else bounds it. Deliberately absent: any other scheme than HTTP,
//! and passwords.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use gleaner_client::hash_file;
use gleaner_protocol::manifest::{FileHash, RemoteFile};
use sha2::{Digest, Sha256};
use ureq::http::header::RANGE;
use ureq::{Agent, Body, http};

use crate::printer::Printer;
use crate::words;

const FOLDER: &str = "downloads";

/// How often a server may send us elsewhere: archives do it two or three times.
const REDIRECTS_MAX: u32 = 5;

/// How long a server may say nothing before the connection is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// How often a download is begun or gone on with, and the pause after the first failure, doubled
/// after each further one.
const TRIES_MAX: u32 = 4;
const PAUSE_FIRST: Duration = Duration::from_millis(500);

/// How often is said how far it is.
const SAID_EVERY: Duration = Duration::from_secs(5);

const COPY_BYTES: usize = 256 * 1024;

/// Why a file could not be fetched. Nothing of it is used.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The server does not give it. A retry helps with a status of 5xx alone.
    #[error("{url} was answered with HTTP status {status}")]
    Status {
        /// Where it was asked for.
        url: String,
        /// The answer.
        status: u16,
    },
    /// There was no answer. A retry may help.
    #[error("{url} cannot be reached")]
    Unreachable {
        /// Where it was asked for.
        url: String,
        /// Why.
        #[source]
        source: ureq::Error,
    },
    /// The answer broke off. What came is kept, and the next try goes on behind it.
    #[error("{url} broke off after {bytes} bytes")]
    BrokenOff {
        /// Where it was asked for.
        url: String,
        /// How many bytes there are.
        bytes: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is longer than the manifest's key allows. A retry does not help.
    #[error("{url} has more than {max} bytes, the most that `{key}` may have")]
    TooLarge {
        /// Where it was asked for.
        url: String,
        /// The manifest's key.
        key: String,
        /// The limit.
        max: u64,
    },
    /// It is another file than the manifest says. A retry does not help.
    #[error("{url} is another file than the manifest says: expected {expected}, got {found}")]
    WrongHash {
        /// Where it was asked for.
        url: String,
        /// The manifest's hash.
        expected: FileHash,
        /// What came.
        found: FileHash,
    },
    /// The data folder cannot be used.
    #[error("cannot keep what is fetched in {path:?}")]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl DownloadError {
    /// What to do about it, in one line.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Status { .. } => "open the URL in a browser, and mend it in the manifest",
            Self::Unreachable { .. } | Self::BrokenOff { .. } => {
                "see whether this machine has a network, then run it again: it goes on where it broke \
                 off"
            }
            Self::TooLarge { .. } => "cut it into smaller files, and name those",
            Self::WrongHash { .. } => {
                "if what is there now is what you want, put the hash that it has into the manifest"
            }
            Self::Disk { .. } => "make room there, or choose another folder with --data",
        }
    }

    fn may_pass(&self) -> bool {
        match self {
            Self::Status { status, .. } => *status >= 500 || *status == 429,
            Self::Unreachable { source, .. } => match source {
                ureq::Error::Io(source) => source.kind() != ErrorKind::ConnectionRefused,
                other => matches!(other, ureq::Error::Timeout(_) | ureq::Error::Protocol(_)),
            },
            Self::BrokenOff { .. } => true,
            Self::TooLarge { .. } | Self::WrongHash { .. } | Self::Disk { .. } => false,
        }
    }
}

/// The files fetched so far, and how to fetch more.
pub struct Downloads {
    folder: PathBuf,
    printer: Printer,
    /// Made when a file is to be fetched: it reads the certificates of this machine.
    agent: LazyLock<Agent>,
}

/// A file that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Where it is, and what it is.
    pub remote: &'a RemoteFile,
    /// The manifest's key.
    pub key: &'a str,
    /// How long it may be.
    pub bytes_max: u64,
}

impl Downloads {
    /// The downloads of a data folder.
    pub fn new(data: &Path, printer: Printer) -> Self {
        Self { folder: data.join(FOLDER), printer, agent: LazyLock::new(agent) }
    }

    /// Where the file is on this machine; fetches it when it is not there yet.
    ///
    /// # Errors
    /// [`DownloadError`], after some tries where another may help.
    pub fn get(&self, wanted: Wanted<'_>) -> Result<PathBuf, DownloadError> {
        let name = wanted.remote.hash.to_string().replace(':', "-");
        let path = self.folder.join(&name);
        let disk = |source| DownloadError::Disk { path: path.clone(), source };
        if path.try_exists().map_err(disk)? {
            if hash_of(&path, &wanted.remote.hash).map_err(disk)? == wanted.remote.hash {
                return Ok(path);
            }
            // Somebody has written to it.
            fs::remove_file(&path).map_err(disk)?;
        }
        self.fetch(wanted, &path)?;
        Ok(path)
    }

    /// Fetches the file to `path`. One process does so at a time; others wait and find it done.
    fn fetch(&self, wanted: Wanted<'_>, path: &Path) -> Result<(), DownloadError> {
        let part = path.with_extension("part");
        let disk = |source| DownloadError::Disk { path: part.clone(), source };
        fs::create_dir_all(&self.folder).map_err(disk)?;
        let mut file = File::options().create(true).append(true).open(&part).map_err(disk)?;
        file.lock().map_err(disk)?;
        if path.try_exists().map_err(disk)? {
            return Ok(());
        }
        let begun = file.metadata().map_err(disk)?.len();
        self.fill_with_patience(wanted, &mut file, &part)?;
        let mut found = hash_of(&part, &wanted.remote.hash).map_err(disk)?;
        if found != wanted.remote.hash && begun > 0 {
            // What was there from an earlier time may have been of another file.
            file.set_len(0).map_err(disk)?;
            self.fill_with_patience(wanted, &mut file, &part)?;
            found = hash_of(&part, &wanted.remote.hash).map_err(disk)?;
        }
        if found != wanted.remote.hash {
            file.set_len(0).map_err(disk)?;
            let (url, expected) = (wanted.remote.url.clone(), wanted.remote.hash.clone());
            return Err(DownloadError::WrongHash { url, expected, found });
        }
        file.sync_all().and_then(|()| fs::rename(&part, path)).map_err(disk)
    }

    fn fill_with_patience(
        &self,
        wanted: Wanted<'_>,
        file: &mut File,
        part: &Path,
    ) -> Result<(), DownloadError> {
        let mut pause = PAUSE_FIRST;
        for left in (0..TRIES_MAX).rev() {
            match self.fill(wanted, file, part) {
                Err(error) if left > 0 && error.may_pass() => {
                    self.printer.note(&format!("{error}; trying again"));
                    thread::sleep(pause);
                    pause *= 2;
                }
                ended => return ended,
            }
        }
        unreachable!("the last try is returned")
    }

    /// Appends to `file` what it lacks.
    fn fill(&self, wanted: Wanted<'_>, file: &mut File, part: &Path) -> Result<(), DownloadError> {
        let url = &wanted.remote.url;
        let disk = |source| DownloadError::Disk { path: part.to_owned(), source };
        let mut there = file.metadata().map_err(disk)?.len();
        let response = self.ask(url, there)?;
        match response.status().as_u16() {
            206 if there > 0 => {}
            200 => {
                file.set_len(0).map_err(disk)?;
                there = 0;
            }
            // It has no more than what is there: its hash will tell.
            416 if there > 0 => return Ok(()),
            status => return Err(DownloadError::Status { url: url.clone(), status }),
        }
        let body = response.into_body();
        let whole = body.content_length().map(|length| there.saturating_add(length));
        let too_large = || {
            let (url, key) = (url.clone(), wanted.key.to_owned());
            DownloadError::TooLarge { url, key, max: wanted.bytes_max }
        };
        if whole.is_some_and(|whole| whole > wanted.bytes_max) {
            return Err(too_large());
        }
        self.printer.note(&format!("fetching {url}{}", length_in_words(whole)));
        let mut said = Instant::now();
        let mut reader = body.into_reader();
        let mut buffer = vec![0; COPY_BYTES];
        file.seek(SeekFrom::End(0)).map_err(disk)?;
        loop {
            let length = match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => length,
                Err(source) => {
                    let url = url.clone();
                    return Err(DownloadError::BrokenOff { url, bytes: there, source });
                }
            };
            there += length as u64;
            if there > wanted.bytes_max {
                file.set_len(0).map_err(disk)?;
                return Err(too_large());
            }
            file.write_all(&buffer[..length]).map_err(disk)?;
            if said.elapsed() >= SAID_EVERY {
                said = Instant::now();
                let so_far = words::bytes(there);
                self.printer.note(&format!("fetched {so_far}{}", length_in_words(whole)));
            }
        }
    }

    fn ask(&self, url: &str, there: u64) -> Result<http::Response<Body>, DownloadError> {
        let mut request = self.agent.get(url);
        if there > 0 {
            request = request.header(RANGE, format!("bytes={there}-"));
        }
        request.call().map_err(|source| DownloadError::Unreachable { url: url.to_owned(), source })
    }
}

fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(REDIRECTS_MAX)
        .timeout_resolve(Some(SILENCE_MAX))
        .timeout_connect(Some(SILENCE_MAX))
        .timeout_recv_response(Some(SILENCE_MAX))
        .timeout_per_read(Some(SILENCE_MAX))
        .tls_config(gleaner_coordinator::tls_of_this_machine())
        .user_agent(concat!("gleaner/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

fn length_in_words(whole: Option<u64>) -> String {
    whole.map(|whole| format!(" of {}", words::bytes(whole))).unwrap_or_default()
}

/// The hash of a file, of the kind of `like`.
fn hash_of(path: &Path, like: &FileHash) -> io::Result<FileHash> {
    match like {
        FileHash::Blake3(_) => Ok(FileHash::Blake3(hash_file(path)?.hash.0)),
        FileHash::Sha256(_) => {
            let mut hasher = Sha256::new();
            io::copy(&mut File::open(path)?, &mut hasher)?;
            Ok(FileHash::Sha256(hasher.finalize().into()))
        }
    }
}
