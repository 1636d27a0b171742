//! `gleaner why`.

use anyhow::Result;
use clap::Args;
use gleaner_client::Client;
use gleaner_protocol::WorkerId;
use gleaner_protocol::api::WhyView;

use super::Context;
use crate::failure::{Exit, Hinted};
use crate::operands::{Subject, subject};

/// What `gleaner why` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A job (job-7, 7 or its name), a unit (unit-7.42 or 7.42), or a worker by the first letters
    /// of its key (worker-abcdef)
    #[arg(value_name = "WHAT", value_parser = subject)]
    pub subject: Subject,
}

/// Says why something is as it is.
pub async fn run(context: &Context, Arguments { subject }: Arguments) -> Result<Exit> {
    let client = context.client()?;
    let why = match subject {
        Subject::Job(job) => client.why_job(context.job_id(&client, job).await?).await?,
        Subject::Unit(unit) => client.why_unit(unit).await?,
        Subject::Worker(letters) => why_worker(&client, &letters).await?,
    };
    context.printer.result(&why, || why.sentences.clone())?;
    Ok(Exit::Done)
}

/// A worker by its key, whole or as far as it tells it from the others connected.
async fn why_worker(client: &Client, letters: &str) -> Result<WhyView> {
    if let Ok(worker) = letters.parse::<WorkerId>() {
        return Ok(client.why_worker(worker).await?);
    }
    let workers = client.workers().await?;
    let mut alike =
        workers.iter().map(|view| view.worker).filter(|id| id.to_string().starts_with(letters));
    match (alike.next(), alike.next()) {
        (Some(worker), None) => Ok(client.why_worker(worker).await?),
        (found, _) => {
            let how_many = if found.is_some() { "more than one worker" } else { "no worker" };
            let line = format!("the key of {how_many} connected begins with {letters}");
            Err(Hinted::new(line, "`gleaner workers` lists those connected".into()).into())
        }
    }
}
