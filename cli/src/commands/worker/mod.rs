//! `gleaner worker`: a file for each command.

mod join;
mod leave;
mod projects;
mod start;
mod work;

use anyhow::Result;
use clap::Subcommand;

use super::Context;
use crate::failure::Exit;

/// What can be said after `gleaner worker`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Meet the project of a ticket, join it if you like it, and work for it
    #[command(
        after_help = "It shows who runs the project, what for, and what it would do here, and asks.\n\n\
                      Example:\n  gleaner worker join gleaner1…"
    )]
    Join(join::Arguments),
    /// Lend this machine until it is stopped
    #[command(after_help = "Example:\n  gleaner worker start --slots 4")]
    Start(start::Arguments),
    /// List the projects that were joined
    #[command(after_help = "Example:\n  gleaner worker projects")]
    Projects,
    /// Forget a project
    #[command(after_help = "Example:\n  gleaner worker leave planets")]
    Leave(leave::Arguments),
}

/// Runs one of them.
///
/// # Errors
/// The command's own.
pub async fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::Join(arguments) => join::run(context, arguments).await,
        Command::Start(arguments) => start::run(context, arguments).await,
        Command::Projects => projects::run(context),
        Command::Leave(arguments) => leave::run(context, arguments),
    }
}
