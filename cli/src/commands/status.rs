//! `gleaner status`.

use anyhow::Result;
use jiff::Timestamp;

use super::Context;
use crate::failure::Exit;
use crate::operands::Job;
use crate::words;

/// Says where a job stands.
pub async fn run(context: &Context, Job { job }: Job) -> Result<Exit> {
    let client = context.client()?;
    let job = context.job_id(&client, job).await?;
    let view = client.job(job).await?;
    context.printer.result(&view, || words::job(&view, Timestamp::now()))?;
    Ok(Exit::Done)
}
