//! `gleaner use`.

use anyhow::Result;
use clap::Args;
use gleaner_client::{KnownProject, LOCAL};
use gleaner_protocol::Ticket;
use serde_json::json;

use super::Context;
use crate::failure::Exit;
use crate::words::submitters::{self, Local};

/// What `gleaner use` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A ticket of the project, its name when it is known here, or `local` for the coordinator of
    /// this machine
    #[arg(value_name = "TICKET|NAME", value_parser = choice)]
    pub choice: Option<Choice>,
    /// What to call the project here [default: its own name]
    #[arg(long, requires = "choice")]
    pub name: Option<String>,
}

/// What to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A project that may be new here.
    Ticket(Ticket),
    /// One that is known, or `local`.
    Name(String),
}

/// Chooses a project, or lists them.
pub fn run(context: &Context, arguments: &Arguments) -> Result<Exit> {
    let projects = context.projects();
    match &arguments.choice {
        Some(Choice::Ticket(ticket)) => {
            let known = projects.add(ticket, arguments.name.as_deref())?;
            // Made now, so that a disk that cannot hold it is told of here.
            let key = projects.key()?.id();
            let KnownProject { name, project, .. } = &known;
            let value = json!({ "name": name, "project": project, "submitter": key });
            context
                .printer
                .result(&value, || vec![format!("{name} ({}) is in use", project.fingerprint())])?;
            context.printer.note(&format!("its operator knows you as {key}"));
        }
        Some(Choice::Name(name)) => {
            projects.choose(name)?;
            context
                .printer
                .result(&json!({ "name": name }), || vec![format!("{} is in use", shown(name))])?;
        }
        None => {
            let known = projects.list()?;
            let local = match projects.in_use()? {
                None => Local::InUse,
                Some(_) => Local::Idle,
            };
            context.printer.result(&known, || submitters::projects(&known, local))?;
        }
    }
    Ok(Exit::Done)
}

fn shown(name: &str) -> &str {
    if name == LOCAL { "the coordinator of this machine" } else { name }
}

/// What starts like a ticket is one, whole or damaged.
fn choice(text: &str) -> Result<Choice, gleaner_protocol::TicketError> {
    match text.trim().starts_with("gleaner1") {
        true => text.parse().map(Choice::Ticket),
        false => Ok(Choice::Name(text.to_owned())),
    }
}
