//! `gleaner coordinator verify`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use gleaner_coordinator::upkeep::{Fault, Verification, verify, verify_backup};
use serde_json::{Value, json};

use super::upkeep::at_work;
use crate::commands::Context;
use crate::failure::{Exit, Interrupted};
use crate::words;

/// What `gleaner coordinator verify` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Verify this backup instead
    #[arg(long, value_name = "BACKUP")]
    pub backup: Option<PathBuf>,
}

/// Reads all that the coordinator needs, and tells what is wrong with it.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let folder = context.coordinator_data();
    let work = move |told: &mut (dyn FnMut(_) + Send)| match arguments.backup {
        Some(backup) => Ok(verify_backup(&backup, told)?),
        None => Ok(verify(&folder, told)?),
    };
    let verification = at_work(context, work, || {
        Interrupted::new("interrupted; nothing was changed".into(), "run it again".into())
    })
    .await?;
    context.printer.result(&value(&verification), || lines(&verification))?;
    Ok(if verification.faults_total == 0 { Exit::Done } else { Exit::Failed })
}

fn value(verification: &Verification) -> Value {
    let fault = |fault: &Fault| json!({ "kind": fault.kind(), "fault": fault.to_string(), "remedy": fault.remedy() });
    let Verification { faults, faults_total, jobs, outcomes, blobs, blob_bytes } = verification;
    json!({
        "faults": faults.iter().map(fault).collect::<Vec<_>>(),
        "faults_total": faults_total,
        "jobs": jobs,
        "outcomes": outcomes,
        "blobs": blobs,
        "blob_bytes": blob_bytes,
    })
}

fn lines(verification: &Verification) -> Vec<String> {
    let Verification { faults, faults_total, jobs, outcomes, blobs, blob_bytes } = verification;
    let line = |fault: &Fault| format!("{fault}; {}", fault.remedy());
    let mut lines: Vec<_> = faults.iter().map(line).collect();
    let more = faults_total - faults.len() as u64;
    if more > 0 {
        lines.push(format!("and {more} faults more"));
    }
    let read = format!(
        "read: jobs {jobs}, outcomes of attempts {outcomes}, blobs {blobs} with {}",
        words::bytes(*blob_bytes)
    );
    lines.push(match faults_total {
        0 => format!("no faults; {read}"),
        faults => format!("faults: {faults}; {read}"),
    });
    lines
}
