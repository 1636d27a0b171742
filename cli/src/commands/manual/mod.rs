//! `gleaner manual`: what a package of the program holds beside it.

mod page;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Command, CommandFactory, ValueEnum};
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
    for shell in Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut command.clone(), "gleaner", completions)?;
    }
    let mut command = command.disable_help_subcommand(true);
    command.build();
    write_pages(&command, pages)
}

/// The page of `command`, and those of the commands below it.
fn write_pages(command: &Command, folder: &Path) -> std::io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        write_pages(below, folder)?;
    }
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    fs::write(folder.join(format!("{name}.1")), page::of(command)?)
}
