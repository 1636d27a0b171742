//! `gleaner status`.

use anyhow::Result;

use super::Context;
use crate::arguments::Job;
use crate::failure::Exit;
use crate::words;

/// Says where a job stands.
pub async fn run(context: &Context, Job { job }: Job) -> Result<Exit> {
    let view = context.client()?.job(job).await?;
    context.printer.result(&view, || words::job(&view))?;
    Ok(Exit::Done)
}
