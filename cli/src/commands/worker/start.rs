//! `gleaner worker start`.

use anyhow::Result;
use clap::Args;

use super::work::{Work, work};
use crate::commands::Context;
use crate::failure::Exit;

/// What `gleaner worker start` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub work: Work,
}

/// Works for the projects that were joined until it is asked to stop.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    work(context, arguments.work.config(context)).await
}
