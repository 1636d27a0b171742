//! `gleaner workers`.

use anyhow::Result;

use super::Context;
use crate::failure::Exit;
use crate::words;

/// Lists the workers connected, those with the most results first.
pub async fn run(context: &Context) -> Result<Exit> {
    let mut workers = context.client()?.workers().await?;
    workers.sort_by_key(|worker| (std::cmp::Reverse(worker.results), worker.worker));
    context.printer.result(&workers, || words::workers::table(&workers))?;
    Ok(Exit::Done)
}
