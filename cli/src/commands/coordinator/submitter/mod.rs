//! `gleaner coordinator submitter`: a file for each command.

mod add;
mod list;
mod remove;

use anyhow::Result;
use clap::Subcommand;

use crate::commands::Context;
use crate::failure::Exit;

/// What can be said after `gleaner coordinator submitter`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Let a key submit jobs from elsewhere, or change what it may use
    #[command(
        after_help = "Prints the ticket to send to the submitter. Said again with the same name and \
                      key, it replaces weight and quotas.\n\n\
                      Example:\n  gleaner coordinator submitter add ada submitter-… --weight 2 --jobs 5 --storage 20GB"
    )]
    Add(add::Arguments),
    /// List those who may submit jobs from elsewhere, and what they use
    #[command(after_help = "Example:\n  gleaner coordinator submitter list")]
    List,
    /// Let a submitter in no more; requests under way end at once
    #[command(after_help = "Its jobs go on and stay the operator's to see and to cancel.\n\n\
                      Example:\n  gleaner coordinator submitter remove ada")]
    Remove(remove::Arguments),
}

/// Runs one of them.
///
/// # Errors
/// The command's own.
pub async fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::Add(arguments) => add::run(context, arguments).await,
        Command::List => list::run(context).await,
        Command::Remove(arguments) => remove::run(context, arguments).await,
    }
}
