//! `gleaner priority`.

use anyhow::Result;
use clap::Args;
use gleaner_protocol::limits::PRIORITY_MAX;

use super::Context;
use crate::failure::{Exit, Hinted};
use crate::operands::{Job, whole};
use crate::words;

/// What `gleaner priority` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub job: Job,
    /// From -1000 to 1000; a job has 0 unless its manifest says otherwise
    #[arg(
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = whole(-PRIORITY_MAX, PRIORITY_MAX)
    )]
    pub priority: i32,
}

/// Orders a job among its submitter's. A repeat is as good.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let client = context.client()?;
    let job = context.job_id(&client, arguments.job.job).await?;
    let view = client.prioritise(job, arguments.priority).await?;
    if view.state.is_final() {
        let line = format!("{job} needs no priority any more: {}", words::ending(&view));
        let hint = format!("see `gleaner status {job}`");
        return Err(Hinted::new(line, hint).into());
    }
    let words = || vec![format!("{job} has priority {}", view.priority)];
    context.printer.result(&view, words)?;
    Ok(Exit::Done)
}
