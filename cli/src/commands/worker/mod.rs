//! `gleaner worker`: a file for each command.

mod start;

use anyhow::Result;
use clap::Subcommand;

use super::Context;
use crate::failure::Exit;

/// What can be said after `gleaner worker`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Work until it is stopped
    #[command(after_help = "The first time with a ticket; the project is remembered.\n\n\
                      Example:\n  gleaner worker start --join gleaner1…\n  gleaner worker start --slots 2")]
    Start(start::Arguments),
}

/// Runs one of them.
///
/// # Errors
/// The command's own.
pub async fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::Start(arguments) => start::run(context, arguments).await,
    }
}
