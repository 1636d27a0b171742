//! `gleaner cancel`.

use anyhow::Result;
use gleaner_protocol::api::JobState;

use super::Context;
use crate::failure::{Exit, Hinted};
use crate::operands::Job;
use crate::words;

/// Ends a job. One that was cancelled before stays so, which is as good.
pub async fn run(context: &Context, Job { job }: Job) -> Result<Exit> {
    let client = context.client()?;
    let job = context.job_id(&client, job).await?;
    let view = client.cancel(job).await?;
    if view.state != JobState::Cancelled {
        let line = format!("{job} cannot be cancelled any more: {}", words::ending(&view));
        let hint = format!("see `gleaner status {job}`");
        return Err(Hinted::new(line, hint).into());
    }
    context.printer.result(&view, || vec![words::ending(&view)])?;
    Ok(Exit::Done)
}
