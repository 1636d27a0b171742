//! `gleaner schema`.

use anyhow::Result;
use clap::Args;
use gleaner_protocol::api::OPENAPI;
use serde_json::Value;

use super::Context;
use crate::failure::Exit;

/// What `gleaner schema` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// That of the control API: an OpenAPI 3.1 document, as `GET /v1/openapi.json` gives it
    #[arg(long, required = true)]
    pub api: bool,
}

/// Prints a schema, for programs that make or check what it describes.
pub fn run(context: &Context, _arguments: Arguments) -> Result<Exit> {
    let document: Value = serde_json::from_str(OPENAPI).expect("a test reads it");
    context.printer.result(&document, || OPENAPI.lines().map(str::to_owned).collect())?;
    Ok(Exit::Done)
}
