//! `gleaner logs`.

use anyhow::Result;
use clap::Args;
use gleaner_protocol::UnitId;

use super::Context;
use crate::failure::Exit;
use crate::operands::unit_id;
use crate::words;

/// What `gleaner logs` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The unit, as unit-7.42 or 7.42
    #[arg(value_parser = unit_id)]
    pub unit: UnitId,
}

/// Prints what a unit's tasks logged.
pub async fn run(context: &Context, Arguments { unit }: Arguments) -> Result<Exit> {
    let logs = context.client()?.logs(unit).await?;
    context.printer.result(&logs, || words::units::logs(&logs))?;
    if logs.attempts.is_empty() {
        context.printer.note(&format!("no attempt of {unit} has come back yet"));
    }
    Ok(Exit::Done)
}
