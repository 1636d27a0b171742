//! Jobs in folders of their own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::gleaner::{profile_folder, workspace_folder};

/// The name that the tests' module has in every [`JobFolder`].
const MODULE: &str = "tasks.wasm";

/// A temporary folder with a manifest and what it names.
pub struct JobFolder {
    folder: TempDir,
}

impl JobFolder {
    /// A job of the tests' tasks: `job` are lines of `[job]` below its name; `stages` are whole
    /// `[[stage]]` tables in which `module = "tasks.wasm"`.
    ///
    /// # Errors
    /// When the tasks are not built; says how to build them.
    pub fn of_test_tasks(job: &str, stages: &str) -> Result<Self> {
        let folder = Self::new(&format!("[job]\nname = \"trial\"\n{job}\n{stages}"))?;
        folder.add(MODULE, &fs::read(task_module("test_tasks.wasm")?)?)?;
        Ok(folder)
    }

    /// A job of `units` units that do nothing, one item each.
    ///
    /// # Errors
    /// When the task is not built; says how to build it.
    pub fn noops(units: u64) -> Result<Self> {
        let stage = format!(
            "[[stage]]\nname = \"s\"\nmodule = \"{MODULE}\"\nfunction = \"noop\"\n\
             reduce = \"lines\"\nrange = {{ field = \"number\", end = {units} }}\nunit_items = 1"
        );
        Self::of_test_tasks("", &stage)
    }

    /// The example job with fewer resamplings, cut into units of `unit_items` as a manifest says it.
    ///
    /// # Errors
    /// When its task is not built; says how to build it.
    pub fn planets(resamplings: u64, unit_items: &str) -> Result<Self> {
        let source = workspace_folder().join("jobs/planets");
        let manifest = fs::read_to_string(source.join("job.toml"))?;
        let manifest = with_key(&manifest, "unit_items", unit_items);
        let range = format!("{{ field = \"resampling\", start = 0, end = {} }}", resamplings + 1);
        let folder = Self::new(&with_key(&manifest, "range", &range))?;
        folder.add("planets.wasm", &fs::read(task_module("planets.wasm")?)?)?;
        folder.add("data/hd164922.csv", &fs::read(source.join("data/hd164922.csv"))?)?;
        Ok(folder)
    }

    /// The example job that tests Mersenne numbers, of the exponents below `end`.
    ///
    /// # Errors
    /// When its task is not built; says how to build it.
    pub fn mersenne(end: u64) -> Result<Self> {
        let manifest = fs::read_to_string(workspace_folder().join("jobs/mersenne/job.toml"))?;
        let range = format!("{{ field = \"exponent\", start = 2, end = {end} }}");
        let folder = Self::new(&with_key(&manifest, "range", &range))?;
        folder.add("mersenne.wasm", &fs::read(task_module("mersenne.wasm")?)?)?;
        Ok(folder)
    }

    /// The example job that counts words, with its text.
    ///
    /// # Errors
    /// When its task is not built; says how to build it.
    pub fn wordcount() -> Result<Self> {
        let source = workspace_folder().join("jobs/wordcount");
        let folder = Self::new(&fs::read_to_string(source.join("job.toml"))?)?;
        folder.add("wordcount.wasm", &fs::read(task_module("wordcount.wasm")?)?)?;
        folder.add("data/alice.txt", &fs::read(source.join("data/alice.txt"))?)?;
        Ok(folder)
    }

    /// A folder with a manifest alone.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(manifest: &str) -> Result<Self> {
        let job = Self { folder: tempfile::tempdir().context("cannot make a folder")? };
        job.add("job.toml", manifest.as_bytes())?;
        Ok(job)
    }

    /// Adds a file, in a folder below if its name says so.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The manifest.
    pub fn manifest(&self) -> PathBuf {
        self.folder.path().join("job.toml")
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The manifest with another value for `key` in its first stage.
fn with_key(manifest: &str, key: &str, value: &str) -> String {
    let is_key = |line: &&str| line.split('=').next().is_some_and(|name| name.trim() == key);
    let line = format!("{key} = {value}");
    match manifest.lines().find(is_key) {
        Some(old) => manifest.replacen(old, &line, 1),
        None => manifest.replacen("[[stage]]", &format!("[[stage]]\n{line}"), 1),
    }
}

/// The compiled module of an example task.
///
/// # Errors
/// When it is not there; says how to build it.
pub fn task_module(name: &str) -> Result<PathBuf> {
    let profile = profile_folder()?;
    let module = profile.parent().unwrap_or(&profile).join("tasks").join(name);
    if !module.is_file() {
        bail!("there is no module {}: build it with `cargo xtask jobs`", module.display());
    }
    Ok(module)
}
