//! `gleaner project sign`.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use crate::commands::Context;
use crate::failure::Exit;
use crate::operands::duration;
use crate::words;

/// What `gleaner project sign` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// How long the record holds, such as 90d
    #[arg(long, default_value = "365d", value_parser = duration)]
    pub valid: Duration,
}

/// Signs the project's record anew.
pub fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let record = gleaner_coordinator::sign(&context.coordinator_data(), arguments.valid)?;
    let millis = i64::try_from(record.expires_at.as_millis()).unwrap_or(i64::MAX);
    let expires_at = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX).to_string();
    let value = json!({
        "project": record.project,
        "name": record.name,
        "serial": record.serial,
        "expires_at": expires_at,
    });
    context.printer.result(&value, || {
        let until = words::local_time(&expires_at);
        vec![
            format!("record {} of {} holds until {until}", record.serial, record.name),
            "a coordinator that is running shows it from its next start".into(),
        ]
    })?;
    Ok(Exit::Done)
}
