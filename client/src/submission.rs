//! From a manifest on disk to a job that the coordinator holds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use gleaner_protocol::api::SubmitRequest;
use gleaner_protocol::manifest::{
    FileHash, FilePattern, FileSource, FoundFiles, FunctionUse, MANIFEST_BYTES_MAX, Manifest,
    NamedFile, Position, RemoteFile, Setting,
};
use gleaner_protocol::{BlobHash, BlobRef, FileRef, JobId, JobSpec, SubmissionId};

use crate::blobs::hash_file;
use crate::matches::{self, Match, MatchError};
use crate::{Client, ClientError, JobFileError};

/// A manifest that was read and found sound; the files it names are not looked at yet.
#[derive(Clone, Debug)]
pub struct JobFile {
    path: PathBuf,
    manifest: Manifest,
    /// Where the files from elsewhere are on this machine, as far as they were fetched.
    fetched: BTreeMap<FileHash, PathBuf>,
}

/// A job with its files hashed, ready to be sent.
#[derive(Clone, Debug)]
pub struct PreparedJob {
    /// The job.
    pub spec: JobSpec,
    /// The files it needs, each blob once.
    pub files: Vec<LocalBlob>,
}

/// A blob that is a file here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalBlob {
    /// The file.
    pub path: PathBuf,
    /// Its hash and length when it was read.
    pub blob: BlobRef,
}

/// A name for one submission that no other has: 128 random bits.
///
/// # Panics
/// When the system has no randomness.
pub fn new_submission_id() -> SubmissionId {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    SubmissionId(u128::from_be_bytes(bytes))
}

/// The submission that is called `name`: the same for the same name, on every machine.
pub fn submission_id_of(name: &str) -> SubmissionId {
    let hash = blake3::derive_key("gleaner 2026 submission name v1", name.as_bytes());
    SubmissionId(u128::from_be_bytes(hash[..16].try_into().expect("a hash has 32 bytes")))
}

impl JobFile {
    /// Reads the manifest at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or the first thing wrong in it.
    pub fn read(path: &Path) -> Result<Self, JobFileError> {
        Self::read_with(path, &[])
    }

    /// Reads the manifest at `path` and puts `settings` in place of what stands there.
    ///
    /// # Errors
    /// When it cannot be read, or the first thing wrong in what becomes of it.
    pub fn read_with(path: &Path, settings: &[Setting]) -> Result<Self, JobFileError> {
        let read_error = |source| JobFileError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(read_error)?;
        // One byte over the limit is enough for the parser to refuse it.
        file.take(MANIFEST_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(read_error)?;
        let text = String::from_utf8(bytes).map_err(|error| JobFileError::NotText {
            path: path.to_owned(),
            offset: error.utf8_error().valid_up_to(),
        })?;
        let manifest = Manifest::parse_with(&text, settings)
            .map_err(|problem| JobFileError::Manifest { path: path.to_owned(), problem })?;
        Ok(Self { path: path.to_owned(), manifest, fetched: BTreeMap::new() })
    }

    /// Where it was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The submitter's name for the job.
    pub fn name(&self) -> &str {
        self.manifest.name()
    }

    /// The files that it has from elsewhere, each as often as it is named.
    pub fn remote_files(&self) -> impl Iterator<Item = (&NamedFile, &RemoteFile)> {
        self.manifest.files().filter_map(|file| match file.source() {
            FileSource::Remote(remote) => Some((file, remote)),
            FileSource::Local(_) => None,
        })
    }

    /// Notes where on this machine the file of this hash is. The caller has verified it.
    pub fn add_fetched(&mut self, hash: FileHash, path: PathBuf) {
        self.fetched.insert(hash, path);
    }

    /// The functions that its modules must have; their modules are for [`Self::locate`].
    pub fn functions(&self) -> impl Iterator<Item = FunctionUse<'_>> {
        self.manifest.functions()
    }

    /// Where a file of the manifest is on this machine: a path is relative to the manifest's folder.
    /// None for a file from elsewhere that was not fetched.
    pub fn locate(&self, source: &FileSource) -> Option<PathBuf> {
        match source {
            FileSource::Local(path) => Some(self.path.parent().unwrap_or(Path::new("")).join(path)),
            FileSource::Remote(remote) => self.fetched.get(&remote.hash).cloned(),
        }
    }

    /// Finds and hashes the files. Reads all of them: takes about a second for each gigabyte.
    ///
    /// # Errors
    /// When one cannot be read, is too large or was not fetched; the error names the line that names
    /// it.
    pub fn prepare(self) -> Result<PreparedJob, JobFileError> {
        let mut collected = Collected::default();
        for file in self.manifest.files() {
            if collected.found.files.contains_key(file.source()) {
                continue;
            }
            let place = (file.position(), file.key());
            let path = self.locate(file.source()).ok_or_else(|| JobFileError::NotFetched {
                manifest: self.path.clone(),
                position: file.position().clone(),
                key: file.key().to_owned(),
                url: file.source().to_string(),
            })?;
            let blob = collected.add(path.clone()).map_err(|e| self.file_error(place, path, e))?;
            collected.found.files.insert(file.source().clone(), blob);
        }
        for pattern in self.manifest.patterns() {
            if collected.found.matches.contains_key(pattern.text()) {
                continue;
            }
            let files = self.files_that_match(pattern, &mut collected)?;
            collected.found.matches.insert(pattern.text().to_owned(), files);
        }
        let Collected { found, blobs } = collected;
        let spec = self
            .manifest
            .into_job_spec(&found)
            .map_err(|problem| JobFileError::Manifest { path: self.path, problem })?;
        Ok(PreparedJob { spec, files: blobs.into_values().collect() })
    }

    fn files_that_match(
        &self,
        pattern: &FilePattern,
        collected: &mut Collected,
    ) -> Result<Vec<FileRef>, JobFileError> {
        let place = (pattern.position(), pattern.key());
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let matches = matches::find(pattern, folder).map_err(|error| match error {
            MatchError::Pattern(problem) => {
                JobFileError::Manifest { path: self.path.clone(), problem }
            }
            MatchError::Unreadable { path, source } => self.file_error(place, path, source),
        })?;
        let hashed = matches.into_iter().map(|Match { name, path }| {
            let blob = collected.add(path.clone()).map_err(|e| self.file_error(place, path, e))?;
            Ok(FileRef { name, blob })
        });
        hashed.collect()
    }

    fn file_error(
        &self,
        (position, key): (&Position, &str),
        path: PathBuf,
        source: io::Error,
    ) -> JobFileError {
        let (manifest, position) = (self.path.clone(), position.clone());
        JobFileError::File { manifest, position, key: key.to_owned(), path, source }
    }
}

/// The files of a job so far.
#[derive(Default)]
struct Collected {
    found: FoundFiles,
    /// Each blob once.
    blobs: BTreeMap<BlobHash, LocalBlob>,
}

impl Collected {
    fn add(&mut self, path: PathBuf) -> io::Result<BlobRef> {
        let blob = hash_file(&path)?;
        self.blobs.insert(blob.hash, LocalBlob { path, blob });
        Ok(blob)
    }
}

impl Client {
    /// Sends the files that the coordinator lacks, then the job, and waits until it is durable.
    ///
    /// # Errors
    /// As [`ClientError`] says. A repeat with the same `submission` returns the same job.
    pub async fn submit_prepared(
        &self,
        job: &PreparedJob,
        submission: SubmissionId,
    ) -> Result<JobId, ClientError> {
        for file in &job.files {
            self.upload(file).await?;
        }
        let request = SubmitRequest { submission, job: job.spec.clone() };
        Ok(self.submit(&request).await?.job)
    }
}
