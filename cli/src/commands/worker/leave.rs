//! `gleaner worker leave`.

use anyhow::Result;
use clap::Args;
use gleaner_worker::Presence;
use serde_json::json;

use crate::commands::Context;
use crate::failure::Exit;

/// What `gleaner worker leave` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The project, by its name, its fingerprint or its key
    #[arg(value_name = "PROJECT")]
    pub joined: String,
}

/// Forgets a project.
pub fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let (left, presence) = gleaner_worker::leave(&context.worker_data(), &arguments.joined)?;
    let is_running = presence == Presence::Running;
    let value =
        json!({ "left": left.project, "name": left.name, "worker_still_works_for_it": is_running });
    context.printer.result(&value, || {
        let next = match presence {
            Presence::Running => "the worker that runs still works for it; stop and start it",
            Presence::AtRest => "results that its coordinator has not taken yet are given up",
        };
        vec![format!("left {} ({})", left.name, left.project.fingerprint()), next.into()]
    })?;
    Ok(Exit::Done)
}
