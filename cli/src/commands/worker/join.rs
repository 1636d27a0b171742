//! `gleaner worker join`.

use anyhow::Result;
use clap::Args;
use gleaner_protocol::Ticket;
use gleaner_worker::{Config, Visit, readable_address};
use serde_json::json;

use super::work::{Work, work};
use crate::commands::Context;
use crate::failure::{Exit, Hinted};
use crate::logging;
use crate::printer::{Form, Reply};

/// What `gleaner worker join` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The line of text that the project's operator sent
    #[arg(value_name = "TICKET")]
    pub ticket: Ticket,
    /// Join without being asked, as a script must
    #[arg(long)]
    pub yes: bool,
    /// Join, and leave the work to `gleaner worker start`
    #[arg(long)]
    pub no_start: bool,
    #[command(flatten)]
    pub work: Work,
}

/// Shows the project, asks, joins it and works for it.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let Arguments { ticket, yes, no_start, work: asked } = arguments;
    if !yes && !context.printer.can_ask() {
        let line = "joining needs a yes, and there is no terminal to ask on";
        let hint = "join in a terminal, or with --yes once the fingerprint was compared";
        return Err(Hinted::new(line.into(), hint.into()).into());
    }
    let config = asked.config(context);
    let addresses = ticket.addresses.clone();
    let visit = gleaner_worker::visit(&config, ticket).await?;
    if context.printer.form() == Form::Text {
        context.printer.result(&(), || description(&visit, &addresses, &config))?;
    }
    if !yes && context.printer.ask("Join this project? [y/N]")? == Reply::No {
        context.printer.note("not joined; nothing is remembered");
        return Ok(Exit::Failed);
    }
    let joined = visit.join().await?;
    let value = json!({
        "joined": joined.project,
        "fingerprint": joined.project.fingerprint(),
        "name": joined.name,
        "operator": joined.operator,
        "purpose": joined.purpose,
        "addresses": joined.addresses,
    });
    context.printer.result(&value, || {
        let mut lines = vec![format!("joined {}", joined.name)];
        if no_start {
            lines.push("next: gleaner worker start".into());
        }
        lines
    })?;
    if no_start {
        return Ok(Exit::Done);
    }
    logging::go_on_as_service();
    work(context, config).await
}

/// Who asks, what for, and what it means for this machine.
fn description(visit: &Visit, addresses: &[String], config: &Config) -> Vec<String> {
    const MIB: u64 = 1024 * 1024;
    let record = visit.record();
    let mut lines = vec![
        format!("project      {}", record.name),
        format!("operator     {}", record.operator),
        format!("purpose      {}", record.purpose),
        format!("fingerprint  {}", record.project.fingerprint()),
        format!("coordinator  {}", visit.coordinator()),
    ];
    let addresses =
        addresses.iter().map(|address| format!("  at         {}", readable_address(address)));
    lines.extend(addresses);
    let (slots, memory) = (config.slots, config.slot_memory_bytes / MIB);
    let disk = (config.blob_bytes_max + config.compiled_bytes_max) / MIB;
    lines.extend([
        String::new(),
        format!(
            "This machine would run the project's tasks, {slots} at a time, with up to {memory} MiB \
             of memory each"
        ),
        format!(
            "and up to {disk} MiB of disk in {}, when nothing else wants the processor.",
            config.data.display()
        ),
        "Each task is locked in: it can open no file, reach no network and start no program.".into(),
        "The coordinator gets results, how many tasks this machine takes and with how much memory,"
            .into(),
        "which of them run, what keeps one from running here (a full disk, say), its key and its"
            .into(),
        "network address; nothing else about the machine or about you.".into(),
        String::new(),
    ]);
    lines
}
