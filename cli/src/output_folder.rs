//! A folder that results are put into: whether it can be used, and what an earlier job left in it.
//!
//! Invariant: nothing is taken for an earlier job's, or removed with it, but files that the
//! `provenance.json` there names, and whose bytes are those that it names.

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use gleaner_client::hash_file;
use gleaner_protocol::results::{PROVENANCE_FILE, is_reserved};
use gleaner_protocol::{BlobHash, RelativeName};
use serde::Deserialize;

/// More than a file system gives away when it is full.
const PROBE_BYTES: usize = 64 * 1024;

/// What an earlier job left.
#[derive(Debug)]
pub struct Earlier {
    job: String,
    state: String,
    /// Its outputs, as far as they are there as they came.
    outputs: Vec<PathBuf>,
}

/// What is read of `provenance.json`.
#[derive(Deserialize)]
struct Provenance {
    job: String,
    state: String,
    stages: Vec<Stage>,
}

#[derive(Deserialize)]
struct Stage {
    name: RelativeName,
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    name: RelativeName,
    hash: BlobHash,
}

/// Whether files can be put into `folder`, which need not be there yet. Nothing stays of the trial.
///
/// # Errors
/// Why not.
pub fn check_usable(folder: &Path) -> Result<()> {
    let missing = folder.ancestors().filter(|path| !path.as_os_str().is_empty());
    let missing: Vec<_> = missing.take_while(|path| !path.exists()).collect();
    let tried = try_to_write(folder);
    for made in missing {
        // One that was not made, or that somebody uses by now, is none of ours.
        let _ = fs::remove_dir(made);
    }
    tried
}

fn try_to_write(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {folder:?}"))?;
    let written = tempfile::tempfile_in(folder)
        .and_then(|mut file| file.write_all(&[0; PROBE_BYTES]).and_then(|()| file.sync_all()));
    written.with_context(|| format!("cannot write into the folder {folder:?}"))
}

impl Earlier {
    /// What the `provenance.json` in `folder` tells of; none when there is no such file.
    ///
    /// # Errors
    /// When a file there cannot be read.
    pub fn of(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(PROVENANCE_FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {path:?}")),
        };
        // What is none of ours tells of no job.
        let Ok(told) = serde_json::from_reader::<_, Provenance>(BufReader::new(file)) else {
            return Ok(None);
        };
        let mut outputs = Vec::new();
        for stage in &told.stages {
            for output in &stage.outputs {
                let path = output.name.below(&stage.name.below(folder));
                if path.is_file() && hash_of(&path)? == output.hash {
                    outputs.push(path);
                }
            }
        }
        Ok(Some(Self { job: told.job, state: told.state, outputs }))
    }

    /// Whether its job failed, and left all that is in `folder`.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn is_all_of_a_failure(&self, folder: &Path) -> Result<bool> {
        Ok(self.state == "failed" && self.is_all_in(folder, folder)?)
    }

    fn is_all_in(&self, folder: &Path, below: &Path) -> Result<bool> {
        for entry in entries(below)? {
            let path = entry.path();
            let is_report = below == folder && is_reserved(&entry.file_name().to_string_lossy());
            let is_known = is_report || self.outputs.contains(&path);
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let is_in = is_known || (is_folder && self.is_all_in(folder, &path)?);
            if !is_in {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes its outputs but for those at the paths `kept`, and the folders that are empty then;
    /// gives a line for each.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn remove(self, folder: &Path, kept: &[&Path]) -> Result<Vec<String>> {
        let mut told = Vec::new();
        for path in self.outputs.iter().filter(|path| !kept.contains(&path.as_path())) {
            fs::remove_file(path).with_context(|| format!("cannot remove {path:?}"))?;
            told.push(format!("removed {}, which was of {}", path.display(), self.job));
            for above in path.ancestors().skip(1).take_while(|above| *above != folder) {
                // One that is not empty stays.
                let _ = fs::remove_dir(above);
            }
        }
        Ok(told)
    }
}

/// What lies in a folder; nothing when there is none.
///
/// # Errors
/// When it cannot be read, or is no folder.
pub fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>> {
    let read: io::Result<Vec<_>> = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.and_then(Iterator::collect),
    };
    read.with_context(|| format!("cannot use the folder {folder:?}"))
}

fn hash_of(path: &Path) -> Result<BlobHash> {
    let hashed = hash_file(path).with_context(|| format!("cannot read {path:?}"))?;
    Ok(hashed.hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with the results of a job that ended in `state`, one output of which is `s/a`.
    fn results(state: &str) -> Result<tempfile::TempDir> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("s"))?;
        fs::write(folder.path().join("s/a"), "its output")?;
        fs::write(folder.path().join("failed.csv"), "")?;
        let hash = BlobHash::of(b"its output");
        let provenance = format!(
            r#"{{"job": "job-3", "state": "{state}", "stages": [{{"name": "s", "outputs":
                [{{"name": "a", "hash": "{hash}"}}, {{"name": "b", "hash": "{hash}"}}]}}]}}"#
        );
        fs::write(folder.path().join(PROVENANCE_FILE), provenance)?;
        Ok(folder)
    }

    fn earlier(folder: &Path) -> Result<Earlier> {
        Earlier::of(folder)?.context("there is a provenance")
    }

    #[test]
    fn a_trial_of_a_folder_leaves_nothing() -> Result<()> {
        let folder = tempfile::tempdir()?;
        check_usable(&folder.path().join("a/b"))?;
        check_usable(folder.path())?;
        assert!(entries(folder.path())?.is_empty(), "{:?}", entries(folder.path()));
        fs::write(folder.path().join("file"), "")?;
        let error = check_usable(&folder.path().join("file/a")).expect_err("it is below a file");
        assert!(error.to_string().contains("file/a"), "{error}");
        Ok(())
    }

    #[test]
    fn what_a_failed_job_left_is_known_until_something_else_is_there() -> Result<()> {
        let is_all = |folder: &Path| earlier(folder)?.is_all_of_a_failure(folder);
        assert!(!is_all(results("done")?.path())?, "it did not fail");
        let folder = results("failed")?;
        assert!(is_all(folder.path())?);
        fs::write(folder.path().join("s/b"), "somebody's")?;
        assert!(!is_all(folder.path())?, "b has other bytes");
        Ok(())
    }

    #[test]
    fn an_earlier_jobs_outputs_are_removed_unless_they_were_changed() -> Result<()> {
        let folder = results("done")?;
        let kept = folder.path().join("s/a");
        assert!(earlier(folder.path())?.remove(folder.path(), &[&kept])?.is_empty());
        let told = earlier(folder.path())?.remove(folder.path(), &[])?;
        assert!(told.len() == 1 && told[0].ends_with("s/a, which was of job-3"), "{told:?}");
        assert!(!folder.path().join("s").exists() && folder.path().join("failed.csv").exists());

        let folder = results("done")?;
        fs::write(folder.path().join("s/a"), "mine")?;
        assert!(earlier(folder.path())?.remove(folder.path(), &[])?.is_empty());
        assert!(folder.path().join("s/a").exists(), "it was changed since");
        Ok(())
    }
}
