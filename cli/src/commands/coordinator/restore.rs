//! `gleaner coordinator restore`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use gleaner_coordinator::upkeep::{RestoreOptions, Restored, restore};
use serde_json::json;

use super::upkeep::at_work;
use crate::commands::Context;
use crate::failure::{Exit, Interrupted};
use crate::operands::DataPlace;
use crate::words;

/// What `gleaner coordinator restore` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The folder that `gleaner coordinator backup` made
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
    #[command(flatten)]
    pub place: DataPlace,
}

/// Makes the coordinator's folder from a backup.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let options = RestoreOptions {
        backup: arguments.backup,
        data: context.coordinator_data(),
        network_folders: arguments.place.network_folders(),
    };
    let work = move |told: &mut (dyn FnMut(_) + Send)| Ok(restore(&options, told)?);
    let restored = at_work(context, work, || {
        let hint = "run it again: it removes what is left of this one".into();
        Interrupted::new("interrupted; nothing was restored".into(), hint)
    })
    .await?;
    tell(context, &restored)?;
    Ok(Exit::Done)
}

fn tell(context: &Context, restored: &Restored) -> Result<()> {
    let Restored { manifest, has_project_key } = restored;
    let data = context.coordinator_data().display().to_string();
    let value = json!({ "data": data, "manifest": manifest, "project_key": has_project_key });
    context.printer.result(&value, || {
        vec![
            format!("project      {}, with jobs {}", manifest.name, manifest.jobs),
            format!("as it was    {}", words::local_time(&manifest.made_at)),
            format!("data         {data}"),
            String::new(),
            "What was computed since is computed again. Jobs submitted, invitations given and \
             workers admitted since are gone; invitations, members and submitters that were \
             removed since are back: look through `gleaner coordinator invite --list` and \
             `gleaner coordinator submitter list`."
                .into(),
            "The coordinator that this was a backup of must not run any more.".into(),
            "next: gleaner coordinator start".into(),
        ]
    })?;
    if !has_project_key {
        let line = "the project's key was kept elsewhere, and is not needed but for signing";
        context.printer.note(line);
    }
    Ok(())
}
