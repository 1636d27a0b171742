//! `gleaner retry`.

use anyhow::Result;
use clap::Args;
use gleaner_client::Client;
use gleaner_protocol::JobId;
use gleaner_protocol::api::JobView;

use super::Context;
use super::watch::{conclude, follow, goes_on};
use crate::failure::Exit;
use crate::operands::{Job, JobRef};
use crate::signals::unless_interrupted;
use crate::words;

/// What `gleaner retry` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub job: Job,
    /// Follow the new job until it ends
    #[arg(long)]
    pub wait: bool,
}

/// Takes a job up again by a new one, and follows that if asked to. A repeat is as good.
pub async fn run(
    context: &Context,
    Arguments { job: Job { job }, wait }: Arguments,
) -> Result<Exit> {
    let client = context.client()?;
    let (job, retry) = retry_of(context, &client, job).await?;
    if wait {
        context.printer.note(&words::retry(&retry, job));
        let following = follow(&client, &context.printer, retry.job);
        let view = unless_interrupted(following, || goes_on(retry.job)).await?;
        return conclude(&context.printer, &view);
    }
    context.printer.result(&retry, || {
        [vec![words::retry(&retry, job)], words::after_retry(&retry)].concat()
    })?;
    Ok(Exit::Done)
}

/// The job that is meant and its retry. A name means the newest job that has it: that is the retry
/// itself when the command is repeated, which is as good while that one runs.
async fn retry_of(context: &Context, client: &Client, job: JobRef) -> Result<(JobId, JobView)> {
    let is_named = matches!(job, JobRef::Name(_));
    let job = context.job_id(client, job).await?;
    if is_named {
        let newest = client.job(job).await?;
        if let Some(retried) = newest.retry_of.filter(|_| !newest.state.is_final()) {
            return Ok((retried, newest));
        }
    }
    Ok((job, client.retry(job).await?))
}
