//! `gleaner submit`.

use anyhow::Result;
use clap::Args;
use gleaner_client::{ClientError, new_submission_id, submission_id_of};
use gleaner_protocol::api::SubmitReply;
use gleaner_protocol::{Answers, SubmissionId};

use super::prepare::{Source, prepare};
use super::watch::{conclude, follow, goes_on};
use super::{Context, dry_run};
use crate::failure::{Exit, Hinted, Interrupted};
use crate::signals::unless_interrupted;

/// What `gleaner submit` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub source: Source,
    /// Follow the job until it ends
    #[arg(long)]
    pub wait: bool,
    /// Call this submission NAME: repeated with the same job, it gives the job that was taken the
    /// first time, whatever became of the first command
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub submission: Option<String>,
    /// Compute everything anew, even what an earlier job has answered
    #[arg(long)]
    pub fresh: bool,
    /// Check everything, run a few items here and say what would happen, but submit nothing
    #[arg(long, conflicts_with = "wait")]
    pub dry_run: bool,
}

/// Checks a job here, hands it to the coordinator, and follows it if asked to.
pub async fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let mut prepared = prepare(context, &arguments.source)?;
    if arguments.fresh {
        prepared.spec.answers = Answers::Fresh;
    }
    let client = context.client()?;
    if arguments.dry_run {
        return dry_run::submission(context, &client, &prepared).await;
    }
    let submission = submission_id(arguments.submission.as_deref());
    let submitting = async {
        let submitted = client.submit_prepared(&prepared, submission).await;
        submitted.map_err(|error| not_known(error, submission))
    };
    let job = unless_interrupted(submitting, || cut_short(submission)).await?;
    if arguments.wait {
        context.printer.note(&format!("{job} is submitted"));
        let following = follow(&client, &context.printer, job);
        let view = unless_interrupted(following, || goes_on(job)).await?;
        return conclude(&context.printer, &view);
    }
    context.printer.result(&SubmitReply { job }, || {
        vec![format!("{job} is submitted; follow it with `gleaner watch {job}`")]
    })?;
    Ok(Exit::Done)
}

/// The submission that a user named, in words or by its id; a new one otherwise.
fn submission_id(name: Option<&str>) -> SubmissionId {
    match name {
        None => new_submission_id(),
        Some(name) => name.parse().unwrap_or_else(|_| submission_id_of(name)),
    }
}

fn cut_short(submission: SubmissionId) -> Interrupted {
    let line = "interrupted while the job was submitted".into();
    Interrupted::new(line, repeat(submission))
}

fn repeat(submission: SubmissionId) -> String {
    format!(
        "the job may have been taken: repeat the command with --submission {submission}, and it \
         is not taken twice"
    )
}

/// After a lost reply the job may have been taken: a repeat under the same name tells.
fn not_known(error: ClientError, submission: SubmissionId) -> anyhow::Error {
    if !error.may_have_submitted() {
        return error.into();
    }
    let line = "it is not known whether the job was taken".into();
    Hinted::new(line, repeat(submission)).with_source(error).into()
}
