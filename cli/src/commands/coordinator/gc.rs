//! `gleaner coordinator gc`.

use anyhow::Result;
use gleaner_coordinator::store::Compacted;
use gleaner_coordinator::upkeep::{Collected, collect};
use serde_json::json;

use super::upkeep::at_work;
use crate::commands::Context;
use crate::failure::{Exit, Interrupted};
use crate::words;

/// Gives back to the disk what the folder of a stopped coordinator has no use for.
pub async fn run(context: &Context) -> Result<Exit> {
    let folder = context.coordinator_data();
    let work = move |told: &mut (dyn FnMut(_) + Send)| Ok(collect(&folder, told)?);
    let collected = at_work(context, work, || {
        let line = "interrupted; what was removed was used by nobody".into();
        Interrupted::new(line, "run it again".into())
    })
    .await?;
    let Collected { blobs, blob_bytes, store: Compacted { before, after } } = collected;
    let value = json!({
        "blobs_removed": blobs,
        "blob_bytes_removed": blob_bytes,
        "store_bytes_before": before,
        "store_bytes": after,
    });
    context.printer.result(&value, || {
        vec![
            format!("files  {blobs} with {} removed", words::bytes(blob_bytes)),
            format!("store  {}, which was {}", words::bytes(after), words::bytes(before)),
        ]
    })?;
    Ok(Exit::Done)
}
