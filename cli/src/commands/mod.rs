//! A file for each command.

pub mod build;
mod cancel;
pub mod check;
pub mod coordinator;
pub mod dry_run;
mod jobs;
pub mod logs;
pub mod new;
mod prepare;
pub mod project;
pub mod results;
pub mod run;
mod status;
pub mod submit;
pub mod units;
mod watch;
pub mod worker;

use std::path::PathBuf;

use anyhow::Result;
use gleaner_client::{Client, OpenError};
use gleaner_protocol::JobId;

use crate::arguments::Command;
use crate::failure::{Exit, Hinted};
use crate::operands::JobRef;
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

    /// The id of a job: the newest one when it is called by its name, with a remark when there are
    /// others.
    async fn job_id(&self, client: &Client, job: JobRef) -> Result<JobId> {
        let name = match job {
            JobRef::Id(id) => return Ok(id),
            JobRef::Name(name) => name,
        };
        let jobs = client.jobs_named(&name).await?;
        let Some(newest) = jobs.first().map(|job| job.job) else {
            let line = format!("there is no job called {name:?}");
            return Err(Hinted::new(line, "`gleaner jobs` lists the jobs there are".into()).into());
        };
        if jobs.len() > 1 {
            self.printer.note(&format!("{} jobs are called {name}; this is {newest}", jobs.len()));
        }
        Ok(newest)
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
        Command::Units(units) => units::run(context, units).await,
        Command::Logs(logs) => logs::run(context, logs).await,
        Command::Cancel(job) => cancel::run(context, job).await,
        Command::Run(run) => run::run(context, run).await,
        Command::New(new) => new::run(context, new),
        Command::Build(build) => build::run(context, build),
        Command::Check(check) => check::run(context, check),
    }
}
