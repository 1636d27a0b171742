//! `gleaner watch`, and the following that `submit --wait` and `run` do.

use std::time::{Duration, Instant};

use anyhow::Result;
use gleaner_client::{Client, ClientError};
use gleaner_protocol::JobId;
use gleaner_protocol::api::{JobState, JobView};

use super::Context;
use crate::failure::Exit;
use crate::operands::Job;
use crate::printer::{Form, PrintError, Printer};
use crate::words;

/// How long to wait for a change before asking anew.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a coordinator may be away, as when it is restarted, before following is given up.
const ABSENCE_MAX: Duration = Duration::from_secs(60);

/// Between two attempts to reach a coordinator that is away.
const ABSENCE_PAUSE: Duration = Duration::from_secs(1);

/// The most drawings a second: a fast job changes thousands of times.
const CHANGE_PAUSE: Duration = Duration::from_millis(100);

/// Follows a job until it ends.
pub async fn run(context: &Context, Job { job }: Job) -> Result<Exit> {
    let client = context.client()?;
    let job = context.job_id(&client, job).await?;
    if context.printer.form() == Form::Json {
        let view =
            follow_with(&client, job, |_, view| context.printer.result(view, Vec::new)).await?;
        return Ok(exit(&view));
    }
    let view = follow(&client, &context.printer, job).await?;
    conclude(&context.printer, &view)
}

/// Shows the progress of `job` until it ends, and gives how.
pub async fn follow(client: &Client, printer: &Printer, job: JobId) -> Result<JobView> {
    let mut progress = printer.progress();
    let followed = follow_with(client, job, |note, view| {
        if let Some(note) = note {
            progress.note(printer, note);
        }
        progress.update(view);
        Ok(())
    })
    .await;
    progress.finish();
    followed
}

/// Prints how `job` ended, and gives the exit code that says so.
pub fn conclude(printer: &Printer, job: &JobView) -> Result<Exit> {
    let hint = format!("see `gleaner status {}` for its stages", job.job);
    match job.state {
        JobState::Done => printer.result(job, || vec![words::ending(job)])?,
        _ if printer.form() == Form::Json => printer.result(job, Vec::new)?,
        _ => printer.failure(&words::ending(job), Some(&hint)),
    }
    Ok(exit(job))
}

fn exit(job: &JobView) -> Exit {
    match job.state {
        JobState::Done => Exit::Done,
        JobState::Cancelled => Exit::JobCancelled,
        JobState::Failed | JobState::Running => Exit::JobFailed,
    }
}

/// Asks for one view after the other until the job has ended, and hands each to `show`, with a
/// remark when there is one.
async fn follow_with(
    client: &Client,
    job: JobId,
    mut show: impl FnMut(Option<&str>, &JobView) -> Result<(), PrintError>,
) -> Result<JobView> {
    let mut view = client.job(job).await?;
    show(None, &view)?;
    while !view.state.is_final() {
        let next = match client.job_after(job, view.version, PATIENCE).await {
            Err(error) if error.is_connection_loss() => {
                show(Some("the coordinator is away; waiting for it to come back"), &view)?;
                wait_for_return(client, job, error).await?
            }
            next => next?,
        };
        if next.version != view.version {
            show(None, &next)?;
        }
        view = next;
        if !view.state.is_final() {
            tokio::time::sleep(CHANGE_PAUSE).await;
        }
    }
    Ok(view)
}

/// The job as it stands once the coordinator is back.
async fn wait_for_return(
    client: &Client,
    job: JobId,
    mut last_error: ClientError,
) -> Result<JobView, ClientError> {
    let gone_at = Instant::now();
    while gone_at.elapsed() < ABSENCE_MAX {
        tokio::time::sleep(ABSENCE_PAUSE).await;
        match client.job(job).await {
            Err(error) if error.is_connection_loss() => last_error = error,
            answer => return answer,
        }
    }
    Err(last_error)
}
