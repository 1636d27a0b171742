//! `gleaner coordinator backup`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use gleaner_coordinator::upkeep::{Backup, BackupOptions, back_up};
use serde_json::json;

use super::upkeep::at_work;
use crate::commands::Context;
use crate::failure::{Exit, Interrupted};
use crate::words;

/// What `gleaner coordinator backup` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The folder to make, best on another disk
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// An earlier backup on the same disk: files that it has are linked, not copied
    #[arg(long, value_name = "BACKUP")]
    pub base: Option<PathBuf>,
}

/// Backs the coordinator's folder up, whether it runs or not.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let Arguments { folder, base } = arguments;
    let options = BackupOptions { data: context.coordinator_data(), target: folder, base };
    let name = options.target.display().to_string();
    let work = move |told: &mut (dyn FnMut(_) + Send)| Ok(back_up(&options, told)?);
    let backup = at_work(context, work, || {
        let line = format!("interrupted; there is no backup {name}");
        let hint = "run it again: it removes what is left of this one".into();
        Interrupted::new(line, hint)
    })
    .await?;
    tell(context, &backup)?;
    Ok(Exit::Done)
}

fn tell(context: &Context, backup: &Backup) -> Result<()> {
    let Backup { folder, manifest, blobs_linked } = backup;
    let value = json!({
        "folder": folder.display().to_string(),
        "manifest": manifest,
        "blobs_linked": blobs_linked,
    });
    context.printer.result(&value, || {
        let (blobs, bytes) = (manifest.blobs, words::bytes(manifest.blob_bytes));
        vec![
            format!("backup       {}", folder.display()),
            format!("project      {}, with jobs {}", manifest.name, manifest.jobs),
            format!("blobs        {blobs} with {bytes}, {blobs_linked} of them linked"),
        ]
    })?;
    context.printer.note(
        "it holds the keys of this coordinator, and of the project where they were not taken away: \
         keep it as you keep these",
    );
    Ok(())
}
