//! `gleaner coordinator init`.

use std::env;

use anyhow::Result;
use clap::Args;
use gleaner_coordinator::InitOptions;
use serde_json::json;

use crate::commands::Context;
use crate::failure::Exit;
use crate::operands::DataPlace;

/// What `gleaner coordinator init` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The project's name, as volunteers see it
    #[arg(long, default_value = "lab")]
    pub name: String,
    /// Who runs it [default: this user's name]
    #[arg(long)]
    pub operator: Option<String>,
    /// What it computes, in a sentence
    #[arg(long, default_value = "not said yet")]
    pub purpose: String,
    #[command(flatten)]
    pub place: DataPlace,
}

/// Makes a project, and says where its key is and how to keep it.
pub fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let options = InitOptions {
        name: arguments.name,
        operator: arguments.operator.unwrap_or_else(this_user),
        purpose: arguments.purpose,
        network_folders: arguments.place.network_folders(),
    };
    let report = gleaner_coordinator::init(&context.coordinator_data(), options)?;
    let value = json!({
        "project": report.project,
        "fingerprint": report.project.fingerprint(),
        "coordinator": report.coordinator,
        "project_key": report.project_key_path.display().to_string(),
        "data": context.coordinator_data().display().to_string(),
    });
    context.printer.result(&value, || {
        vec![
            format!("project      {}", report.project),
            format!("fingerprint  {}", report.project.fingerprint()),
            format!("key          {}", report.project_key_path.display()),
            String::new(),
            "The key is the project: whoever has it can take the project over, and without it no \
             coordinator can be replaced."
                .into(),
            "Copy it now to a place off this machine, such as two USB sticks, readable by you alone."
                .into(),
            "The coordinator runs without it; it is needed for `gleaner project sign`.".into(),
            String::new(),
            "next: gleaner coordinator start".into(),
        ]
    })?;
    Ok(Exit::Done)
}

fn this_user() -> String {
    ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| env::var(name).ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "its operator".into())
}
