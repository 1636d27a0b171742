//! A file for each command.

pub mod build;
mod cancel;
pub mod check;
pub mod coordinator;
pub mod dry_run;
mod jobs;
pub mod logs;
pub mod manual;
pub mod new;
mod pause;
mod prepare;
pub mod priority;
pub mod project;
pub mod results;
mod resume;
pub mod retry;
pub mod rm;
pub mod run;
pub mod schema;
mod status;
pub mod submit;
pub mod submitter;
pub mod test;
pub mod units;
pub mod use_project;
mod watch;
pub mod why;
pub mod worker;
mod workers;

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::Result;
use gleaner_client::{Client, LOCAL, OpenError, Projects};
use gleaner_protocol::JobId;

use crate::arguments::Command;
use crate::failure::{Exit, Hinted};
use crate::operands::JobRef;
use crate::printer::Printer;

/// What every command is given.
pub struct Context {
    /// The data folder.
    pub data: PathBuf,
    /// The project named for this one command, if one was.
    project: Option<String>,
    /// This program's own file, which slots and compilers are started from.
    pub program: PathBuf,
    /// Where to print.
    pub printer: Printer,
    /// The client of a project elsewhere, so that it can be closed.
    remote: OnceLock<Client>,
}

impl Context {
    /// The context of a command that speaks to the project called `project`, or to the one in use.
    pub fn new(data: PathBuf, project: Option<String>, program: PathBuf, printer: Printer) -> Self {
        Self { data, project, program, printer, remote: OnceLock::new() }
    }

    /// Says good-bye to a coordinator elsewhere that was spoken to.
    pub async fn close(&self) {
        if let Some(client) = self.remote.get() {
            client.close().await;
        }
    }

    fn coordinator_data(&self) -> PathBuf {
        self.data.join("coordinator")
    }

    fn worker_data(&self) -> PathBuf {
        self.data.join("worker")
    }

    /// The projects elsewhere that this user speaks to.
    fn projects(&self) -> Projects {
        Projects::at(&self.data.join("submitter"))
    }

    /// The coordinator of this machine, for what is its operator's alone.
    fn coordinator(&self) -> Result<Client, OpenError> {
        Client::open(&self.coordinator_data())
    }

    /// The coordinator of the project that is named for this command, or else in use.
    fn client(&self) -> Result<Client, OpenError> {
        let projects = self.projects();
        let name = match &self.project {
            Some(name) => Some(name.clone()),
            None => projects.in_use()?,
        };
        match name.filter(|name| name != LOCAL) {
            None => self.coordinator(),
            Some(name) => {
                let client = Client::open_project(projects, &name)?;
                Ok(self.remote.get_or_init(|| client).clone())
            }
        }
    }

    /// The id of a job: the newest one when it is called by its name, one's own before those of other
    /// submitters, with a remark when there are others.
    async fn job_id(&self, client: &Client, job: JobRef) -> Result<JobId> {
        let name = match job {
            JobRef::Id(id) => return Ok(id),
            JobRef::Name(name) => name,
        };
        let jobs = client.jobs_named(&name).await?;
        // An operator sees every submitter's jobs, and means those of this machine.
        let own = jobs.iter().find(|job| job.submitter.is_none());
        let Some(newest) = own.or(jobs.first()).map(|job| job.job) else {
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
        Command::Use(arguments) => use_project::run(context, &arguments),
        Command::Submitter(command) => submitter::run(context, &command),
        Command::Submit(submit) => submit::run(context, submit).await,
        Command::Schema(schema) => schema::run(context, schema),
        Command::Workers => workers::run(context).await,
        Command::Jobs => jobs::run(context).await,
        Command::Status(job) => status::run(context, job).await,
        Command::Watch(job) => watch::run(context, job).await,
        Command::Results(results) => results::run(context, results).await,
        Command::Units(units) => units::run(context, units).await,
        Command::Logs(logs) => logs::run(context, logs).await,
        Command::Why(why) => why::run(context, why).await,
        Command::Pause(job) => pause::run(context, job).await,
        Command::Resume(job) => resume::run(context, job).await,
        Command::Priority(priority) => priority::run(context, priority).await,
        Command::Cancel(job) => cancel::run(context, job).await,
        Command::Retry(retry) => retry::run(context, retry).await,
        Command::Rm(rm) => rm::run(context, rm).await,
        Command::Run(run) => Box::pin(run::run(context, run)).await,
        Command::New(new) => new::run(context, new),
        Command::Build(build) => build::run(context, build),
        Command::Manual(manual) => manual::run(context, &manual),
        Command::Check(check) => check::run(context, check),
        Command::Test(test) => Box::pin(test::run(context, test)).await,
    }
}
