//! `gleaner coordinator submitter remove`.

use anyhow::Result;
use clap::Args;

use crate::commands::Context;
use crate::failure::Exit;

/// What `gleaner coordinator submitter remove` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The submitter, by the operator's name for it
    pub name: String,
}

/// Takes a submitter off the list.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let removed = context.coordinator()?.remove_submitter(&arguments.name).await?;
    context.printer.result(&removed, || vec![format!("{} is off the list", removed.name)])?;
    if removed.jobs_running > 0 {
        let jobs = removed.jobs_running;
        let words = format!("{jobs} of its jobs go on; `gleaner cancel JOB` ends one");
        context.printer.note(&words);
    }
    Ok(Exit::Done)
}
