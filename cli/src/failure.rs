//! How a failure is told: one line, one hint, one exit code.

use std::process::ExitCode;

use gleaner_client::{ClientError, JobFileError, OpenError, ProjectsError};
use gleaner_worker::LeaveError;

use crate::downloads::DownloadError;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// The operation failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The job failed.
    JobFailed = 3,
    /// The job was cancelled.
    JobCancelled = 4,
    /// The coordinator cannot be reached.
    Unreachable = 5,
    /// The job is done, but some of its items failed.
    ItemsFailed = 6,
    /// The command was interrupted, as by Ctrl-C: 128 and the signal's number, as shells have it.
    Interrupted = 130,
}

impl Exit {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::JobFailed,
        Self::JobCancelled,
        Self::Unreachable,
        Self::ItemsFailed,
        Self::Interrupted,
    ];

    /// What the code means, as help and manual say it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "the operation failed",
            Self::Usage => "the command line is wrong",
            Self::JobFailed => "the job failed",
            Self::JobCancelled => "the job was cancelled",
            Self::Unreachable => "the coordinator cannot be reached",
            Self::ItemsFailed => "the job is done, but some of its items failed",
            Self::Interrupted => "interrupted, as by Ctrl-C",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error of the commands' own, with what to do.
#[derive(Debug, thiserror::Error)]
#[error("{line}")]
pub struct Hinted {
    line: String,
    hint: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Hinted {
    /// `line` names what, where and the limit; `hint` says what to do.
    pub fn new(line: String, hint: String) -> Self {
        Self { line, hint, source: None }
    }

    /// The same, with what led to it.
    pub fn with_source(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }
}

/// The user ended a command before it was through.
#[derive(Debug, thiserror::Error)]
#[error("{line}")]
pub struct Interrupted {
    line: String,
    hint: String,
}

impl Interrupted {
    /// `line` says what was interrupted and what goes on; `hint` how to go on with it.
    pub fn new(line: String, hint: String) -> Self {
        Self { line, hint }
    }
}

/// A failure as it is printed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub line: String,
    pub hint: Option<String>,
    pub exit: Exit,
}

/// `error` and its causes in one line, with the first hint that one of them has.
pub fn describe(error: &anyhow::Error) -> Failure {
    let mut line = String::new();
    for cause in error.chain() {
        let words = cause.to_string();
        // Some errors quote their cause; it is not said twice.
        if line.is_empty() {
            line = words;
        } else if !line.contains(&words) {
            line = format!("{line}: {words}");
        }
    }
    let exit = match error {
        error if error.chain().any(|cause| cause.is::<Interrupted>()) => Exit::Interrupted,
        error if error.chain().any(is_unreachable) => Exit::Unreachable,
        _ => Exit::Failed,
    };
    Failure { line, hint: error.chain().find_map(hint), exit }
}

fn is_unreachable(error: &(dyn std::error::Error + 'static)) -> bool {
    let is_open = |error: &OpenError| !matches!(error, OpenError::Projects(_));
    error.downcast_ref().is_some_and(is_open)
        || error.downcast_ref::<ClientError>().is_some_and(|error| {
            error.is_connection_loss() || matches!(error, ClientError::Open(_))
        })
}

fn hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<Hinted>() {
        return Some(error.hint.clone());
    }
    if let Some(error) = error.downcast_ref::<Interrupted>() {
        return Some(error.hint.clone());
    }
    if let Some(error) = error.downcast_ref::<ClientError>() {
        return error.hint();
    }
    if let Some(error) = error.downcast_ref::<DownloadError>() {
        return Some(error.hint().to_owned());
    }
    if let Some(error) = error.downcast_ref::<OpenError>() {
        return Some(error.hint());
    }
    if let Some(error) = error.downcast_ref::<gleaner_coordinator::StartError>() {
        return error.hint().map(str::to_owned);
    }
    if let Some(error) = error.downcast_ref::<gleaner_coordinator::RunError>() {
        return error.hint().map(str::to_owned);
    }
    if let Some(error) = error.downcast_ref::<gleaner_worker::VisitError>() {
        return error.hint().map(str::to_owned);
    }
    if let Some(error) = error.downcast_ref::<gleaner_worker::StartError>() {
        return error.hint().map(str::to_owned);
    }
    if let Some(error) = error.downcast_ref::<gleaner_worker::RunError>() {
        return Some(error.hint().to_owned());
    }
    if let Some(LeaveError::Unknown { .. } | LeaveError::Ambiguous { .. }) = error.downcast_ref() {
        return Some(
            "`gleaner worker projects` lists those there are, each with a fingerprint".into(),
        );
    }
    if let Some(error) = error.downcast_ref::<ProjectsError>() {
        return Some(error.hint());
    }
    error.downcast_ref::<JobFileError>().map(JobFileError::hint)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn causes_are_told_once_and_a_hint_is_found_among_them() {
        let cause = Hinted::new("the disk is full".into(), "make room".into());
        let error = anyhow::Error::from(cause).context("cannot write x: the disk is full");
        assert_eq!(
            describe(&error),
            Failure {
                line: "cannot write x: the disk is full".into(),
                hint: Some("make room".into()),
                exit: Exit::Failed
            }
        );
        let error = anyhow!("no entry").context("cannot read y");
        assert_eq!(describe(&error).line, "cannot read y: no entry");
    }

    #[test]
    fn an_interruption_has_its_own_code_and_says_how_to_go_on() {
        let failure = describe(&Interrupted::new("stopped".into(), "go on".into()).into());
        let hint = Some("go on".into());
        let expected = Failure { line: "stopped".into(), hint, exit: Exit::Interrupted };
        assert_eq!(failure, expected);
    }

    #[test]
    fn a_coordinator_that_is_not_there_has_its_own_code() {
        let error = OpenError::NotRunning { folder: "d".into() };
        assert_eq!(describe(&error.into()).exit, Exit::Unreachable);
    }
}
