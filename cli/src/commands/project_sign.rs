//! `gleaner project sign`.

use anyhow::Result;
use jiff::Timestamp;
use serde_json::json;

use super::Context;
use crate::arguments::Sign;
use crate::failure::Exit;
use crate::words;

/// Signs the project's record anew.
pub fn run(context: &Context, arguments: Sign) -> Result<Exit> {
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
