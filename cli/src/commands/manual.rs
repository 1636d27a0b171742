//! `gleaner manual`: what a package of the program holds beside it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;
use serde_json::json;

use super::Context;
use crate::failure::Exit;

/// What `gleaner manual` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The folder; `man1/` and `completions/` are made in it
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// Writes a page for each command, and what shells complete.
pub fn run(context: &Context, arguments: &Arguments) -> Result<Exit> {
    let (pages, completions) =
        (arguments.folder.join("man1"), arguments.folder.join("completions"));
    for folder in [&pages, &completions] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {folder:?}"))?;
    }
    let written = write(&pages, &completions);
    written.with_context(|| format!("cannot write into {:?}", arguments.folder))?;
    let value = json!({
        "pages": pages.display().to_string(),
        "completions": completions.display().to_string(),
    });
    context.printer.result(&value, || {
        vec![
            format!("pages        {}", pages.display()),
            format!("completions  {}", completions.display()),
        ]
    })?;
    Ok(Exit::Done)
}

fn write(pages: &Path, completions: &Path) -> std::io::Result<()> {
    let command = crate::arguments::Arguments::command();
    clap_mangen::generate_to(command.clone(), pages)?;
    for shell in Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut command.clone(), "gleaner", completions)?;
    }
    Ok(())
}
