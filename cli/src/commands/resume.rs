//! `gleaner resume`.

use anyhow::Result;

use super::Context;
use crate::failure::{Exit, Hinted};
use crate::operands::Job;
use crate::words;

/// Lets a paused job go on. A repeat is as good.
pub async fn run(context: &Context, Job { job }: Job) -> Result<Exit> {
    let client = context.client()?;
    let job = context.job_id(&client, job).await?;
    let view = client.resume(job).await?;
    if view.state.is_final() {
        let line = format!("{job} cannot be resumed any more: {}", words::ending(&view));
        let hint = format!("see `gleaner status {job}`");
        return Err(Hinted::new(line, hint).into());
    }
    context.printer.result(&view, || vec![words::ending(&view)])?;
    Ok(Exit::Done)
}
