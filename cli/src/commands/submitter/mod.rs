//! `gleaner submitter`: a file for each command.

mod key;

use anyhow::Result;
use clap::Subcommand;

use super::Context;
use crate::failure::Exit;

/// What can be said after `gleaner submitter`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the line to send to a project's operator
    #[command(
        after_help = "The key is made when there is none. Its secret stays in the data folder.\n\n\
                      Example:\n  gleaner submitter key"
    )]
    Key,
}

/// Runs one of them.
///
/// # Errors
/// The command's own.
pub fn run(context: &Context, command: &Command) -> Result<Exit> {
    match command {
        Command::Key => key::run(context),
    }
}
