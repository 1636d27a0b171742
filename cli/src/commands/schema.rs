//! `gleaner schema`.

use anyhow::Result;
use clap::Args;
use gleaner_protocol::api::OPENAPI;
use gleaner_protocol::manifest::SCHEMA;
use serde_json::Value;

use super::Context;
use crate::failure::Exit;

/// What `gleaner schema` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// That of the control API: an OpenAPI 3.1 document, as `GET /v1/openapi.json` gives it
    /// [default: that of the manifest, a JSON Schema]
    #[arg(long)]
    pub api: bool,
}

/// Prints a schema, for editors and programs that make or check what it describes.
pub fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let text = if arguments.api { OPENAPI } else { SCHEMA };
    let document: Value = serde_json::from_str(text).expect("a test reads it");
    context.printer.result(&document, || text.lines().map(str::to_owned).collect())?;
    Ok(Exit::Done)
}
