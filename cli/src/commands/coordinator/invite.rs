//! `gleaner coordinator invite`.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::commands::Context;
use crate::failure::Exit;
use crate::operands::duration;
use crate::words;

/// What `gleaner coordinator invite` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// How long the ticket can be used, such as 12h or 7d
    #[arg(long, default_value = "7d", value_parser = duration)]
    pub valid: Duration,
}

/// Prints a ticket. On stdout it stands alone, so that it can be piped.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let reply = context.client()?.invite(arguments.valid).await?;
    let until = words::local_time(&reply.expires_at);
    context.printer.result(&reply, || vec![reply.ticket.clone()])?;
    context.printer.note(&format!(
        "Whoever holds it can join until {until}: gleaner worker start --join TICKET"
    ));
    Ok(Exit::Done)
}
