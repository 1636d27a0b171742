//! `gleaner worker start`.

use anyhow::{Context as _, Result};
use clap::Args;
use gleaner_protocol::Ticket;
use gleaner_worker::Config;
use serde_json::json;

use crate::commands::Context;
use crate::failure::Exit;
use crate::operands::Reach;
use crate::signals::StopRequests;

/// What `gleaner worker start` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Join the project of this ticket first
    #[arg(long, value_name = "TICKET")]
    pub join: Option<Ticket>,
    /// How many units to run at once [default: one for each CPU]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(gleaner_protocol::limits::SLOTS_MAX)))]
    pub slots: Option<u32>,
    /// The port for peers, UDP and TCP [default: any free one]
    #[arg(long)]
    pub port: Option<u16>,
    #[command(flatten)]
    pub reach: Reach,
}

/// Works for the projects that were joined until it is asked to stop.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let mut stop = StopRequests::listen()?;
    let data = context.worker_data();
    if let Some(ticket) = &arguments.join {
        gleaner_worker::join(&data, ticket)?;
    }
    let mut config = Config::new(&data, &context.program);
    config.slots = arguments.slots.unwrap_or(config.slots);
    config.port = arguments.port.unwrap_or(config.port);
    config.mdns = !(arguments.reach.no_mdns || arguments.reach.loopback);
    config.loopback_only = arguments.reach.loopback;
    let slots = config.slots;
    let mut worker = gleaner_worker::start(config).await?;
    introduce(context, arguments.join.as_ref(), slots)?;
    let ended = tokio::select! {
        ended = worker.stopped() => ended,
        asked = stop.next() => {
            asked?;
            context.printer.note("stopping; once more ends it at once");
            stop.or_at_once(worker.stop()).await;
            return Ok(Exit::Done);
        }
    };
    ended.context("the worker ended")?;
    Ok(Exit::Done)
}

fn introduce(context: &Context, joined: Option<&Ticket>, slots: u32) -> Result<()> {
    let data = context.worker_data();
    let value = json!({
        "slots": slots,
        "data": data,
        "joined": joined.map(|ticket| ticket.project),
    });
    context.printer.result(&value, || {
        let project = joined
            .map(|ticket| format!("joined  {} ({})", ticket.name, ticket.project.fingerprint()));
        let rest = [format!("slots   {slots}"), format!("data    {}", data.display())];
        project.into_iter().chain(rest).collect()
    })?;
    Ok(())
}
