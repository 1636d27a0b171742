//! `gleaner submit`.

use anyhow::Result;
use clap::Args;
use gleaner_client::new_submission_id;
use gleaner_protocol::api::SubmitReply;

use super::prepare::{Source, prepare};
use super::watch::{conclude, follow};
use super::{Context, dry_run};
use crate::failure::Exit;

/// What `gleaner submit` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub source: Source,
    /// Follow the job until it ends
    #[arg(long)]
    pub wait: bool,
    /// Check everything, run a few items here and say what would happen, but submit nothing
    #[arg(long, conflicts_with = "wait")]
    pub dry_run: bool,
}

/// Checks a job here, hands it to the coordinator, and follows it if asked to.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let prepared = prepare(&arguments.source)?;
    let client = context.client()?;
    if arguments.dry_run {
        return dry_run::submission(context, &client, &prepared).await;
    }
    let job = client.submit_prepared(&prepared, new_submission_id()).await?;
    if arguments.wait {
        context.printer.note(&format!("{job} is submitted"));
        let view = follow(&client, &context.printer, job).await?;
        return conclude(&context.printer, &view);
    }
    context.printer.result(&SubmitReply { job }, || {
        vec![format!("{job} is submitted; follow it with `gleaner watch {job}`")]
    })?;
    Ok(Exit::Done)
}
