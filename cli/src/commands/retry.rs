//! `gleaner retry`.

use anyhow::Result;
use clap::Args;

use super::Context;
use super::watch::{conclude, follow, goes_on};
use crate::failure::Exit;
use crate::operands::Job;
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
    let job = context.job_id(&client, job).await?;
    let retry = client.retry(job).await?;
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
