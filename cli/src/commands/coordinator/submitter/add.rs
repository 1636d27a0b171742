//! `gleaner coordinator submitter add`.

use std::num::NonZeroU32;

use anyhow::Result;
use clap::Args;
use gleaner_protocol::api::AddSubmitterRequest;
use gleaner_protocol::{SubmitterId, SubmitterTerms};

use crate::commands::Context;
use crate::failure::Exit;
use crate::operands::{size, whole};
use crate::words::submitters;

/// What `gleaner coordinator submitter add` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to call the submitter
    pub name: String,
    /// Its key, as its `gleaner submitter key` prints it
    pub key: SubmitterId,
    /// Its share of the slots against the others', 1 to 1000; the operator's own is 1
    #[arg(
        long,
        value_name = "N",
        default_value = "1",
        value_parser = whole(1, SubmitterTerms::WEIGHT_MAX)
    )]
    pub weight: u32,
    /// The most jobs it may have running [default: no limit]
    #[arg(long, value_name = "N", value_parser = whole(0, u32::MAX))]
    pub jobs: Option<u32>,
    /// The most bytes of modules, inputs and outputs that its jobs may refer to, such as 20GB
    /// [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub storage: Option<u64>,
}

/// Puts a submitter on the list and prints its ticket. On stdout that stands alone, so that it can
/// be piped.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let Arguments { name, key: submitter, weight, jobs, storage } = arguments;
    let weight = NonZeroU32::new(weight).expect("the parser takes 1 and more");
    let terms = SubmitterTerms { weight, jobs_max: jobs, storage_bytes_max: storage };
    let request = AddSubmitterRequest { name, submitter, terms };
    let reply = context.coordinator()?.add_submitter(&request).await?;
    context.printer.result(&reply, || vec![reply.ticket.clone()])?;
    let (name, terms) = (&reply.submitter.name, submitters::terms(&terms));
    context.printer.note(&format!("{name} is on the list: {terms}"));
    context.printer.note("The line holds no secret. With it: gleaner use TICKET");
    Ok(Exit::Done)
}
