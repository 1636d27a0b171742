//! `gleaner coordinator invite`.

use anyhow::Result;

use super::Context;
use crate::arguments::Invite;
use crate::failure::Exit;
use crate::words;

/// Prints a ticket. On stdout it stands alone, so that it can be piped.
pub async fn run(context: &Context, arguments: Invite) -> Result<Exit> {
    let reply = context.client()?.invite(arguments.valid).await?;
    let until = words::local_time(&reply.expires_at);
    context.printer.result(&reply, || vec![reply.ticket.clone()])?;
    context.printer.note(&format!(
        "Whoever holds it can join until {until}: gleaner worker start --join TICKET"
    ));
    Ok(Exit::Done)
}
