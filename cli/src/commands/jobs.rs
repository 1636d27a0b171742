//! `gleaner jobs`.

use anyhow::Result;
use jiff::Timestamp;

use super::Context;
use crate::failure::Exit;
use crate::words;

/// Lists the jobs, newest first.
pub async fn run(context: &Context) -> Result<Exit> {
    let jobs = context.client()?.jobs().await?;
    context.printer.result(&jobs, || words::jobs(&jobs, Timestamp::now()))?;
    Ok(Exit::Done)
}
