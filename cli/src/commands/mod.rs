//! A file for each command.

pub mod build;
mod cancel;
pub mod check;
pub mod coordinator;
pub mod dry_run;
mod jobs;
pub mod new;
mod prepare;
pub mod project;
pub mod results;
pub mod run;
mod status;
pub mod submit;
mod watch;
pub mod worker;

use std::path::PathBuf;

use anyhow::Result;
use gleaner_client::{Client, OpenError};

use crate::arguments::Command;
use crate::failure::Exit;
use crate::printer::Printer;

/// What every command is given.
pub struct Context {
    /// The data folder.
    pub data: PathBuf,
    /// This program's own file, which slots and compilers are started from.
    pub program: PathBuf,
    /// Where to print.
    pub printer: Printer,
}

impl Context {
    fn coordinator_data(&self) -> PathBuf {
        self.data.join("coordinator")
    }

    fn worker_data(&self) -> PathBuf {
        self.data.join("worker")
    }

    fn client(&self) -> Result<Client, OpenError> {
        Client::open(&self.coordinator_data())
    }
}

/// Runs `command`.
///
/// # Errors
/// Whatever goes wrong, typed where it was noticed, so that `failure` can tell what to do.
pub async fn run(context: &Context, command: Command) -> Result<Exit> {
    match command {
        Command::Coordinator(command) => coordinator::run(context, command).await,
        Command::Worker(command) => worker::run(context, command).await,
        Command::Project(command) => project::run(context, command),
        Command::Submit(submit) => submit::run(context, submit).await,
        Command::Jobs => jobs::run(context).await,
        Command::Status(job) => status::run(context, job).await,
        Command::Watch(job) => watch::run(context, job).await,
        Command::Results(results) => results::run(context, results).await,
        Command::Cancel(job) => cancel::run(context, job).await,
        Command::Run(run) => run::run(context, run).await,
        Command::New(new) => new::run(context, new),
        Command::Build(build) => build::run(context, build),
        Command::Check(check) => check::run(context, check),
    }
}
