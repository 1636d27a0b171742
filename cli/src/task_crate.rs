//! A task crate on disk and its way to a module: what `build` does, and `test` before it tests.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use gleaner_client::JobFile;
use gleaner_toolchain::{TARGET, Toolchain, cargo_in};
use serde::Deserialize;

use crate::failure::Hinted;

/// The manifest of a job, in the folder of its crate.
const JOB: &str = "job.toml";

/// A crate, by its `Cargo.toml`.
#[derive(Clone, Debug)]
pub struct TaskCrate {
    folder: PathBuf,
    manifest: PathBuf,
}

/// A module that Cargo made.
#[derive(Clone, Debug)]
pub struct Built {
    /// Where Cargo put it.
    pub module: PathBuf,
    /// Where the crate's job expects it, and where it was put now. None when there is no job that
    /// names a module of this name.
    pub places: Vec<PathBuf>,
}

impl TaskCrate {
    /// The crate of a folder, or of a `Cargo.toml`.
    ///
    /// # Errors
    /// When there is none.
    pub fn at(path: &Path) -> Result<Self> {
        let manifest = if path.is_dir() { path.join("Cargo.toml") } else { path.to_owned() };
        if !manifest.is_file() {
            let line = format!("there is no crate at {path:?}: {manifest:?} is no file");
            let hint = "give the folder of a crate, or make one with `gleaner new NAME`";
            return Err(Hinted::new(line, hint.into()).into());
        }
        // Cargo names what it made by absolute paths.
        let manifest = fs::canonicalize(&manifest)
            .with_context(|| format!("cannot find where {manifest:?} is"))?;
        let folder = manifest.parent().expect("a file lies in a folder").to_owned();
        Ok(Self { folder, manifest })
    }

    /// Compiles it, and puts the module where the job beside it expects it. Cargo's own words go
    /// to stderr as they are; `more` are arguments of `cargo build`.
    ///
    /// # Errors
    /// When there is no compiler, the crate does not compile, or it makes no module; when the job
    /// beside it is unsound, before anything is compiled.
    pub fn build(&self, more: &[OsString]) -> Result<Built> {
        let expected = self.modules_of_job()?;
        let toolchain = Toolchain::find(Path::new("cargo"), &self.folder)
            .map_err(|missing| Hinted::new(missing.to_string(), missing.hint()))?;
        let mut cargo = toolchain.cargo(&self.folder);
        cargo.args(["build", "--release", "--lib", "--target", TARGET, "--manifest-path"]);
        cargo.arg(&self.manifest).args(more);
        let is_module = |file: &Path| file.extension().is_some_and(|end| end == "wasm");
        let module = self.artifacts(&mut cargo)?.into_iter().find(|file| is_module(file));
        let Some(module) = module else {
            let line = format!("{} makes no module", self.manifest.display());
            let hint = "add `crate-type = [\"cdylib\", \"lib\"]` under [lib] of its Cargo.toml";
            return Err(Hinted::new(line, hint.into()).into());
        };
        let named = |place: &PathBuf| place.file_name() == module.file_name();
        let places: Vec<_> = expected.into_iter().filter(named).collect();
        for place in &places {
            copy(&module, place)?;
        }
        Ok(Built { module, places })
    }

    /// Compiles something of it for this machine and gives the program.
    ///
    /// # Errors
    /// When it does not compile, or there is no Cargo.
    pub fn compile_natively(&self, arguments: &[&str]) -> Result<PathBuf> {
        let mut cargo = cargo_in(&self.folder, Path::new("cargo"));
        cargo.args(arguments).arg("--manifest-path").arg(&self.manifest);
        let made = self.artifacts(&mut cargo)?;
        made.into_iter()
            .next_back()
            .with_context(|| format!("Cargo made no program of {}", self.folder.display()))
    }

    /// Where the job beside the crate looks for its modules; nowhere when there is none.
    fn modules_of_job(&self) -> Result<Vec<PathBuf>> {
        let path = self.folder.join(JOB);
        if !path.try_exists().with_context(|| format!("cannot look at {path:?}"))? {
            return Ok(Vec::new());
        }
        let job = JobFile::read(&path)?;
        let mut modules: Vec<_> =
            job.functions().filter_map(|used| job.locate(used.module)).collect();
        modules.sort();
        modules.dedup();
        Ok(modules)
    }

    /// Runs a Cargo that compiles and gives the files it made of this crate's library.
    fn artifacts(&self, cargo: &mut Command) -> Result<Vec<PathBuf>> {
        cargo.arg("--message-format=json-render-diagnostics");
        let output = cargo
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot start {}", cargo.get_program().display()))?;
        if !output.status.success() {
            let line = format!("{} does not compile ({})", self.folder.display(), output.status);
            return Err(Hinted::new(line, "Cargo says why above".into()).into());
        }
        let lines = output.stdout.split(|&byte| byte == b'\n');
        let artifacts = lines.filter_map(|line| serde_json::from_slice::<Artifact>(line).ok());
        let own = artifacts.filter(|artifact| artifact.manifest_path == self.manifest);
        Ok(own
            .flat_map(|artifact| artifact.filenames.into_iter().chain(artifact.executable))
            .collect())
    }
}

/// What Cargo says of something that it made (The Cargo Book, "External tools").
#[derive(Deserialize)]
struct Artifact {
    manifest_path: PathBuf,
    filenames: Vec<PathBuf>,
    executable: Option<PathBuf>,
}

/// Copies a module, unless its bytes are there already.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {from:?}"))?;
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    fs::write(to, bytes).with_context(|| format!("cannot write {to:?}"))
}
