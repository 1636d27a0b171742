//! `gleaner submitter key`.

use anyhow::Result;
use serde_json::json;

use crate::commands::Context;
use crate::failure::Exit;

/// Prints this user's public key. On stdout it stands alone, so that it can be piped.
pub fn run(context: &Context) -> Result<Exit> {
    let key = context.projects().key()?.id();
    context.printer.result(&json!({ "submitter": key }), || vec![key.to_string()])?;
    context.printer.note(&format!(
        "Send it to the project's operator, who runs: gleaner coordinator submitter add NAME {key}"
    ));
    Ok(Exit::Done)
}
