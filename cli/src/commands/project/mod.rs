//! `gleaner project`: a file for each command.

mod sign;

use anyhow::Result;
use clap::Subcommand;

use super::Context;
use crate::failure::Exit;

/// What can be said after `gleaner project`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sign the project's record anew, before it ends
    #[command(after_help = "Example:\n  gleaner project sign --valid 365d")]
    Sign(sign::Arguments),
}

/// Runs one of them.
///
/// # Errors
/// The command's own.
pub fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::Sign(arguments) => sign::run(context, arguments),
    }
}
