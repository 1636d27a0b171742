//! `gleaner coordinator submitter list`.

use anyhow::Result;

use crate::commands::Context;
use crate::failure::Exit;
use crate::words;

/// Lists the submitters.
pub async fn run(context: &Context) -> Result<Exit> {
    let submitters = context.coordinator()?.submitters().await?;
    context.printer.result(&submitters, || words::submitters::listing(&submitters))?;
    Ok(Exit::Done)
}
