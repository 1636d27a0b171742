//! `gleaner jobs`.

use anyhow::Result;

use super::Context;
use crate::failure::Exit;
use crate::words;

/// Lists the jobs, newest first.
pub async fn run(context: &Context) -> Result<Exit> {
    let jobs = context.client()?.jobs().await?;
    context.printer.result(&jobs, || words::jobs(&jobs))?;
    Ok(Exit::Done)
}
