//! `gleaner rm`.

use anyhow::Result;
use clap::Args;
use gleaner_client::Removal;
use gleaner_protocol::JobId;
use gleaner_protocol::api::JobView;
use serde_json::json;

use super::Context;
use crate::failure::{Exit, Hinted};
use crate::operands::{JobRef, job_ref};
use crate::printer::Reply;
use crate::words;

/// What `gleaner rm` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The jobs, each as job-7, 7 or its name: of several of one name the newest
    #[arg(value_name = "JOB", required = true, value_parser = job_ref)]
    pub jobs: Vec<JobRef>,
    /// Remove without being asked, as a script must
    #[arg(long)]
    pub yes: bool,
}

/// Removes jobs that have ended. One that was removed before is as good; one that runs stays, and
/// so does every other then.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let Arguments { jobs, yes } = arguments;
    if !yes && !context.printer.can_ask() {
        let line = "removing needs a yes, and there is no terminal to ask on";
        let hint = "remove in a terminal, or with --yes";
        return Err(Hinted::new(line.into(), hint.into()).into());
    }
    let client = context.client()?;
    let mut found = Vec::new();
    for job in jobs {
        let job = context.job_id(&client, job).await?;
        found.push((job, client.job_unless_removed(job).await?));
    }
    let running = found.iter().filter_map(|(_, view)| view.as_ref());
    if let Some(running) = running.clone().find(|view| !view.state.is_final()) {
        let line = format!("{} has not ended; nothing was removed", running.job);
        let hint = format!("cancel it first: `gleaner cancel {}`", running.job);
        return Err(Hinted::new(line, hint).into());
    }
    if !yes && running.clone().next().is_some() && !confirmed(context, running)? {
        context.printer.note("nothing was removed");
        return Ok(Exit::Failed);
    }
    for (job, _) in found {
        tell(context, job, client.remove(job).await?)?;
    }
    Ok(Exit::Done)
}

fn confirmed<'a>(context: &Context, jobs: impl Iterator<Item = &'a JobView>) -> Result<bool> {
    for job in jobs {
        context.printer.note(&format!("{} ({})", words::ending(job), job.name));
    }
    let question = "Remove this for good, with outputs, answers and logs? [y/N]";
    Ok(context.printer.ask(question)? == Reply::Yes)
}

fn tell(context: &Context, job: JobId, removal: Removal) -> Result<()> {
    let (line, before) = match removal {
        Removal::Removed => (format!("{job} is removed"), false),
        Removal::RemovedBefore => (format!("{job} was removed before"), true),
    };
    let value = json!({ "job": job, "removed_before": before });
    Ok(context.printer.result(&value, || vec![line])?)
}
