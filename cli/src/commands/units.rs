//! `gleaner units`.

use anyhow::Result;
use clap::Args;
use gleaner_client::{UnitsChoice, UnitsFilter};

use super::Context;
use crate::failure::Exit;
use crate::operands::Job;
use crate::printer::Form;
use crate::words;

/// What `gleaner units` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub job: Job,
    /// Only units with an attempt that failed or ended without an answer
    #[arg(long)]
    pub failed: bool,
    /// Only units of this stage
    #[arg(long, value_name = "NAME")]
    pub stage: Option<String>,
}

/// Lists a job's units, a page at a time, so that memory does not grow with the job.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let client = context.client()?;
    let job = context.job_id(&client, arguments.job.job).await?;
    let choice = if arguments.failed { UnitsChoice::Failed } else { UnitsChoice::All };
    let filter = UnitsFilter { stage: arguments.stage, choice };
    let mut next = Some(0);
    let mut seen = 0;
    while let Some(from) = next {
        let page = client.units(job, from, &filter).await?;
        seen += page.units.len();
        match context.printer.form() {
            Form::Json => {
                for unit in &page.units {
                    context.printer.result(unit, Vec::new)?;
                }
            }
            Form::Text if !page.units.is_empty() => {
                context.printer.result(&page, || words::units::table(&page.units))?;
            }
            Form::Text => {}
        }
        next = page.next;
    }
    if seen == 0 {
        let which = if arguments.failed { "no unit that failed" } else { "no units yet" };
        context.printer.note(&format!("{job} has {which}"));
    }
    Ok(Exit::Done)
}
