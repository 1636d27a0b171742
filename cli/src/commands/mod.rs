//! A file for each command.

mod cancel;
mod coordinator_init;
mod coordinator_invite;
mod coordinator_start;
mod jobs;
mod prepare;
mod project_sign;
mod results;
mod run;
mod status;
mod submit;
mod watch;
mod worker_start;

use std::path::PathBuf;

use anyhow::Result;
use gleaner_client::{Client, OpenError};

use crate::arguments::{Command, CoordinatorCommand, ProjectCommand, WorkerCommand};
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
        Command::Coordinator(CoordinatorCommand::Init(init)) => {
            coordinator_init::run(context, init)
        }
        Command::Coordinator(CoordinatorCommand::Start(start)) => {
            coordinator_start::run(context, start).await
        }
        Command::Coordinator(CoordinatorCommand::Invite(invite)) => {
            coordinator_invite::run(context, invite).await
        }
        Command::Worker(WorkerCommand::Start(start)) => worker_start::run(context, start).await,
        Command::Project(ProjectCommand::Sign(sign)) => project_sign::run(context, sign),
        Command::Submit(submit) => submit::run(context, submit).await,
        Command::Jobs => jobs::run(context).await,
        Command::Status(job) => status::run(context, job).await,
        Command::Watch(job) => watch::run(context, job).await,
        Command::Results(results) => results::run(context, results).await,
        Command::Cancel(job) => cancel::run(context, job).await,
        Command::Run(run) => run::run(context, run).await,
    }
}
