//! `gleaner coordinator`: a file for each command.

mod backup;
mod gc;
mod init;
mod invite;
mod restore;
mod start;
mod submitter;
mod upkeep;
mod verify;

use anyhow::Result;
use clap::Subcommand;

use super::Context;
use crate::failure::Exit;

/// What can be said after `gleaner coordinator`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a project: its key, its record and this machine's own key
    #[command(
        after_help = "Example:\n  gleaner coordinator init --name planets --operator 'Ada, Astronomy' \\\n    --purpose 'looks for planets of nearby stars'"
    )]
    Init(init::Arguments),
    /// Run the coordinator until it is stopped
    #[command(after_help = "Example:\n  gleaner coordinator start")]
    Start(start::Arguments),
    /// Print a letter with a ticket that lets workers join
    #[command(
        after_help = "Example:\n  gleaner coordinator invite --valid 7d --uses 3 --note 'for Bo'\n  \
                      gleaner coordinator invite --list\n  \
                      gleaner coordinator invite --revoke invitation-3"
    )]
    Invite(invite::Arguments),
    /// Read all that the coordinator keeps, and tell what is damaged or missing
    #[command(
        after_help = "The store is read with all its records, and every file that a job needs, \
                      beside a coordinator that runs or not; nothing is changed. Each fault is told \
                      in a line: what, where, what to do; the exit code is 1 when there is one.\n\n\
                      Examples:\n  gleaner coordinator verify\n  \
                      gleaner coordinator verify --backup monday"
    )]
    Verify(verify::Arguments),
    /// Copy all that the coordinator keeps, while it works, into a new folder
    #[command(
        after_help = "The backup is of one moment, and there whole or not at all. It holds secrets: \
                      the coordinator's key, and the project's where it was not taken away. With \
                      --base, files that an earlier backup has take no room again.\n\n\
                      Examples:\n  gleaner coordinator backup monday\n  \
                      gleaner coordinator backup tuesday --base monday"
    )]
    Backup(backup::Arguments),
    /// Make the coordinator's folder anew from a backup
    #[command(
        after_help = "The folder must be empty or absent. Every file is compared with its hash. \
                      Jobs go on as they were at the backup, with the same workers; leases that \
                      were given since are not believed, and numbers begin anew beyond a \
                      million.\n\nExample:\n  gleaner coordinator restore monday"
    )]
    Restore(restore::Arguments),
    /// Give back to the disk what a stopped coordinator's folder has no use for
    #[command(
        after_help = "A coordinator at work removes by itself what removed jobs leave and files that \
                      nobody has used for a day. Its store's file stays as large as it ever was; \
                      this writes it anew, which takes as much room beside it and in \
                      /var/tmp, or the folder that SQLITE_TMPDIR names.\n\nExample:\n  \
                      gleaner coordinator gc"
    )]
    Gc,
    /// Say who may submit jobs from elsewhere
    #[command(
        subcommand,
        after_help = "Example:\n  gleaner coordinator submitter add ada submitter-… --jobs 3\n  \
                      gleaner coordinator submitter list"
    )]
    Submitter(submitter::Command),
}

/// Runs one of them.
///
/// # Errors
/// The command's own.
pub async fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::Init(arguments) => init::run(context, arguments),
        Command::Start(arguments) => start::run(context, arguments).await,
        Command::Invite(arguments) => invite::run(context, arguments).await,
        Command::Backup(arguments) => backup::run(context, arguments).await,
        Command::Restore(arguments) => restore::run(context, arguments).await,
        Command::Gc => gc::run(context).await,
        Command::Verify(arguments) => verify::run(context, arguments).await,
        Command::Submitter(command) => submitter::run(context, command).await,
    }
}
