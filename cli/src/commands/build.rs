//! `gleaner build`: a task crate to its module.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::Context;
use super::prepare::check_module_file;
use crate::failure::Exit;
use crate::task_crate::TaskCrate;
use crate::words;

/// What `gleaner build` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The crate's folder
    #[arg(value_name = "DIR", default_value = ".")]
    pub folder: PathBuf,
    /// The crate's Cargo.toml, in place of its folder
    #[arg(long, value_name = "PATH", conflicts_with = "folder")]
    pub manifest_path: Option<PathBuf>,
    /// More arguments for `cargo build`
    #[arg(last = true, value_name = "CARGO ARGUMENTS")]
    pub cargo: Vec<OsString>,
}

/// Compiles a task crate, and says what its module offers.
pub fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let path = arguments.manifest_path.as_ref().unwrap_or(&arguments.folder);
    let built = TaskCrate::at(path)?.build(&arguments.cargo)?;
    if built.places.is_empty() {
        context
            .printer
            .note("no job.toml beside the crate names this module; it stays where it is");
    }
    let place = built.places.first().unwrap_or(&built.module);
    let info = check_module_file(place)?;
    let shown = from_here(place);
    let value = json!({ "module": place.display().to_string(), "info": info });
    context.printer.result(&value, || words::module::summary(&shown, &info))?;
    Ok(Exit::Done)
}

/// The path as somebody here would say it.
fn from_here(path: &Path) -> PathBuf {
    let here = std::env::current_dir().ok().and_then(|here| here.canonicalize().ok());
    let below = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    below.unwrap_or_else(|| path.to_owned())
}
