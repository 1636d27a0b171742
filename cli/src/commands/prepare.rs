//! What `submit` and `run` do with a manifest before anything is sent or started.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use gleaner_client::{JobFile, JobFileError, PreparedJob};
use gleaner_protocol::manifest::{FunctionKind, Setting};
use gleaner_sandbox::{ModuleInfo, check_module};

use crate::failure::Hinted;

/// What a job is made from.
#[derive(Debug, Args)]
pub struct Source {
    /// The job's manifest
    #[arg(value_name = "JOB.toml")]
    pub manifest: PathBuf,
    /// Put a value in the place of one of the manifest's: job.seed=7,
    /// stage.search.parameters.oversampling=4, or parameters.oversampling=4 when there is one
    /// stage; the value is TOML
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<Setting>,
    /// Give the job another name than the manifest does
    #[arg(long)]
    pub name: Option<String>,
}

/// Reads and checks the manifest, the modules it names, and hashes its files.
///
/// # Errors
/// The first thing wrong.
pub fn prepare(source: &Source) -> Result<PreparedJob> {
    let mut settings = source.settings.clone();
    settings.extend(source.name.as_deref().map(Setting::of_name));
    let file = JobFile::read_with(&source.manifest, &settings)?;
    check_modules(&file)?;
    Ok(file.prepare()?)
}

/// Checks that each module can be run and has the functions that the manifest names.
fn check_modules(file: &JobFile) -> Result<()> {
    let mut modules = BTreeMap::new();
    for used in file.functions() {
        if !modules.contains_key(used.module) {
            // A module that cannot be read is told of, with its line, when the files are hashed.
            let Ok(wasm) = fs::read(file.locate(used.module)) else { continue };
            modules.insert(used.module, inspect(&file.locate(used.module), &wasm)?);
        }
        let info: &ModuleInfo = &modules[used.module];
        let offered = match used.kind {
            FunctionKind::Task => &info.tasks,
            FunctionKind::Merge => &info.merges,
        };
        if !offered.iter().any(|name| name == used.function) {
            let (path, problem) = (file.path().to_owned(), used.not_found(offered));
            return Err(JobFileError::Manifest { path, problem }.into());
        }
    }
    Ok(())
}

fn inspect(path: &Path, wasm: &[u8]) -> Result<ModuleInfo> {
    let hint = "build the task crate for wasm32-unknown-unknown with the SDK of this version";
    let hinted = |line: String| Hinted::new(line, hint.into());
    check_module(wasm)
        .map_err(|error| hinted(error.to_string()))
        .with_context(|| format!("the module {} cannot be run", path.display()))
}
