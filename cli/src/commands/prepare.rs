//! What `submit` and `run` do with a manifest before anything is sent or started.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use gleaner_client::{JobFile, JobFileError, PreparedJob};
use gleaner_protocol::Floats;
use gleaner_protocol::limits::MODULE_BYTES_MAX;
use gleaner_protocol::manifest::{FunctionKind, Setting};
use gleaner_sandbox::{ModuleInfo, check_module, function_name};

use super::Context;
use crate::downloads::{Downloads, Wanted};
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

/// A job that was found sound, and what its modules offer.
pub struct Checked {
    /// The job, its files hashed.
    pub job: PreparedJob,
    /// Its modules: where each is, and what is in it.
    pub modules: Vec<(PathBuf, ModuleInfo)>,
}

/// Reads and checks the manifest, fetches the files that it has from elsewhere, checks the modules it
/// names, and hashes its files.
///
/// # Errors
/// The first thing wrong.
pub fn prepare(context: &Context, source: &Source) -> Result<PreparedJob> {
    Ok(check(context, source)?.job)
}

/// As [`prepare`], and tells what the modules offer.
///
/// # Errors
/// The first thing wrong.
pub fn check(context: &Context, source: &Source) -> Result<Checked> {
    let mut settings = source.settings.clone();
    settings.extend(source.name.as_deref().map(Setting::of_name));
    let mut file = JobFile::read_with(&source.manifest, &settings)?;
    fetch(context, &mut file)?;
    let modules = check_modules(&file)?;
    Ok(Checked { job: file.prepare()?, modules })
}

/// Reads and checks one module.
///
/// # Errors
/// When it cannot be read or run; the second names the function at fault where it has a name.
pub fn check_module_file(path: &Path) -> Result<ModuleInfo> {
    let wasm = read(path).with_context(|| format!("cannot read the module {path:?}"))?;
    inspect(path, &wasm, Floats::Plain)
}

/// Fetches the files from elsewhere that are not here yet.
fn fetch(context: &Context, file: &mut JobFile) -> Result<()> {
    let downloads = Downloads::new(&context.data, context.printer);
    let mut fetched = BTreeMap::new();
    for (named, remote) in file.remote_files() {
        if fetched.contains_key(&remote.hash) {
            continue;
        }
        let wanted = Wanted { remote, key: named.key(), bytes_max: named.bytes_max() };
        let path = downloads.get(wanted).with_context(|| {
            let (manifest, position) = (file.path().display(), named.position());
            format!("{manifest}: {position}: `{}`", named.key())
        })?;
        fetched.insert(remote.hash.clone(), path);
    }
    for (hash, path) in fetched {
        file.add_fetched(hash, path);
    }
    Ok(())
}

/// Checks that each module can be run and has the functions that the manifest names.
fn check_modules(file: &JobFile) -> Result<Vec<(PathBuf, ModuleInfo)>> {
    let mut modules = BTreeMap::new();
    for used in file.functions() {
        let info = match modules.entry((used.module, used.floats)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let Some(path) = file.locate(used.module) else { continue };
                // A module that cannot be read is told of, with its line, when the files are hashed.
                let Ok(wasm) = read(&path) else { continue };
                entry.insert(inspect(&path, &wasm, used.floats)?)
            }
        };
        let offered = match used.kind {
            FunctionKind::Task => &info.tasks,
            FunctionKind::Merge => &info.merges,
            FunctionKind::Split => &info.splits,
        };
        if !offered.iter().any(|name| name == used.function) {
            let (path, problem) = (file.path().to_owned(), used.not_found(offered));
            return Err(JobFileError::Manifest { path, problem }.into());
        }
    }
    let located =
        modules.into_iter().filter_map(|((module, _), info)| Some((file.locate(module)?, info)));
    // One with plain and with strict floats is still one module.
    Ok(located.collect::<BTreeMap<_, _>>().into_iter().collect())
}

/// A module's bytes; of a file that is too long, one more than a module may have, for the check to
/// refuse.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut wasm = Vec::new();
    File::open(path)?.take(MODULE_BYTES_MAX + 1).read_to_end(&mut wasm)?;
    Ok(wasm)
}

fn inspect(path: &Path, wasm: &[u8], floats: Floats) -> Result<ModuleInfo> {
    let hint = "build the task crate with `gleaner build`, with the SDK of this version";
    check_module(wasm, floats)
        .map_err(|error| {
            let named = error.function().and_then(|function| function_name(wasm, function));
            let named = named.map(|name| format!(" (it is `{name}`)")).unwrap_or_default();
            Hinted::new(format!("{error}{named}"), hint.into())
        })
        .with_context(|| format!("the module {} cannot be run", path.display()))
}
