//! What the control API refuses, and in which words.

use gleaner_coordinator_core::{JobSnapshot, OverQuota, Owner, Reply};
use gleaner_protocol::api::{ApiError, JobView};
use gleaner_protocol::limits::NAME_BYTES_MAX;
use gleaner_protocol::{JobId, Notify, NotifyTarget, StageIndex, SubmitterTerms};

use super::submission::SubmissionError;
use super::submitters::{BLOBS_WAITING_MAX, NoRoom};
use crate::blobs::BlobError;
use crate::http::ControlError;
use crate::store::{AddSubmitterError, StoreError};

/// Names that a submitter cannot have, as they would be taken for the operator.
const NAMES_RESERVED: [&str; 2] = ["operator", "local"];

const STORAGE_HINT: &str = "submit what is smaller, or ask the coordinator's operator for more; \
                            ended jobs count too";

/// What a question about a job is answered with when the job is not there.
pub(super) fn not_there(reply: Reply) -> ControlError {
    match reply {
        Reply::UnknownJob(job) => ControlError::NoSuchJob(job),
        Reply::WasRemoved { job, .. } => ControlError::Removed(ApiError {
            error: format!("{job} was removed"),
            hint: Some("`gleaner jobs` lists the jobs there are".into()),
        }),
        other => unreachable!("a question about a job was answered with {other:?}"),
    }
}

pub(super) fn not_ended(job: JobId) -> ControlError {
    ControlError::Refused(ApiError {
        error: format!("{job} has not ended"),
        hint: Some(format!("cancel it first: `gleaner cancel {job}`")),
    })
}

fn still_runs(job: &JobView) -> ControlError {
    let (id, retried) = (job.job, job.retry_of);
    let of = retried.map(|retried| format!("; it retries {retried}")).unwrap_or_default();
    ControlError::Refused(ApiError {
        error: format!("{id} has not ended{of}"),
        hint: Some(format!(
            "follow it with `gleaner watch {id}`, or end it with `gleaner cancel {id}`"
        )),
    })
}

/// A job that lacks answers and will get no more may be taken up again.
pub(super) fn check_retry(job: &JobView) -> Result<(), ControlError> {
    if !job.state.is_final() {
        return Err(still_runs(job));
    }
    if job.lacks_answers() {
        return Ok(());
    }
    Err(ControlError::Refused(ApiError {
        error: format!("{} is done and no item of it failed: nothing is to be retried", job.job),
        hint: Some("to compute it anew, submit it with --fresh".into()),
    }))
}

pub(super) fn over_quota(name: &str, over: OverQuota) -> ControlError {
    let (error, hint) = match over {
        OverQuota::Jobs { running, max } => (
            format!("{name} has used up its quota of running jobs: {running} of {max}"),
            "wait for one to end (`gleaner jobs`), cancel one, or ask the coordinator's \
             operator for more",
        ),
        OverQuota::Storage { used, wanted, max } => (
            format!(
                "the job refers to {wanted} bytes that are new; the jobs of {name} refer to \
                 {used} already, and its quota is {max}"
            ),
            STORAGE_HINT,
        ),
    };
    ControlError::OverQuota(ApiError { error, hint: Some(hint.into()) })
}

pub(super) fn no_room(name: &str, bytes: u64, no_room: NoRoom) -> ControlError {
    let error = match no_room {
        NoRoom::Storage { used, waiting, max } => format!(
            "a blob of {bytes} bytes has no room: the jobs of {name} refer to {used} bytes, \
             {waiting} more were sent for jobs to come, and its quota is {max}"
        ),
        NoRoom::Blobs => {
            format!("{name} has sent {BLOBS_WAITING_MAX} blobs that no job refers to")
        }
    };
    ControlError::OverQuota(ApiError { error, hint: Some(STORAGE_HINT.into()) })
}

/// A command runs on this machine as its operator, so nobody else may name one.
pub(super) fn check_notify(owner: Owner, notify: &Notify) -> Result<(), ControlError> {
    let targets = [("on_done", &notify.on_done), ("on_stall", &notify.on_stall)];
    let command = targets.iter().find(|(_, target)| {
        owner != Owner::Operator && matches!(target, Some(NotifyTarget::Command(_)))
    });
    let Some((key, _)) = command else { return Ok(()) };
    let error = format!(
        "`notify.{key}` is a command, which would run on the coordinator's machine: only its \
         operator may submit one"
    );
    let hint = format!("give `notify.{key}` an address of http or https, or leave it out");
    Err(ControlError::Refused(ApiError { error, hint: Some(hint) }))
}

pub(super) fn check_name(name: &str) -> Result<(), ControlError> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    if fits && !NAMES_RESERVED.contains(&name) {
        return Ok(());
    }
    let error = format!("a submitter cannot be called {name:?}");
    let hint = format!(
        "a name has 1 to {NAME_BYTES_MAX} bytes and no control character, and is not {}",
        NAMES_RESERVED.join(" or ")
    );
    Err(ControlError::Refused(ApiError { error, hint: Some(hint) }))
}

pub(super) fn check_terms(terms: SubmitterTerms) -> Result<(), ControlError> {
    let refused = |error: String, hint: &str| {
        Err(ControlError::Refused(ApiError { error, hint: Some(hint.to_owned()) }))
    };
    let (weight, max) = (terms.weight.get(), SubmitterTerms::WEIGHT_MAX);
    if weight > max {
        let error = format!("the weight is {weight}; it must be 1 to {max}");
        return refused(error, "weights are shares: 2 gets twice the slots of 1");
    }
    if let Some(bytes) = terms.storage_bytes_max.filter(|bytes| i64::try_from(*bytes).is_err()) {
        let error = format!("the storage is {bytes} bytes; it must be at most {}", i64::MAX);
        return refused(error, "leave it out for no limit");
    }
    Ok(())
}

pub(super) fn not_added(error: AddSubmitterError) -> ControlError {
    let words = error.to_string();
    let hint = match error {
        AddSubmitterError::NameTaken { name, .. } => format!(
            "choose another name, or take that one off the list with `gleaner coordinator \
             submitter remove {name}`"
        ),
        AddSubmitterError::KeyListed { name } => {
            format!("`gleaner coordinator submitter add {name} KEY` changes what it may use")
        }
        AddSubmitterError::Store(error) => return store_failed(error),
    };
    ControlError::Refused(ApiError { error: words, hint: Some(hint) })
}

pub(super) fn submission_failed(error: &SubmissionError) -> ControlError {
    let told = error.to_api();
    match error {
        SubmissionError::Blob(_) | SubmissionError::Input(_) | SubmissionError::Split { .. } => {
            ControlError::Failed(told)
        }
        SubmissionError::Job(_)
        | SubmissionError::Record(_)
        | SubmissionError::BlobMissing { .. } => ControlError::Refused(told),
    }
}

/// What a full disk means for what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhileFull {
    /// It was not begun, and never will be.
    NotTaken,
    /// It waits for room with what it would change, and its answer with it.
    MayComeYet,
    /// It would have changed nothing.
    Unanswered,
}

pub(super) fn disk_full(full: &StoreError, asked: WhileFull) -> ControlError {
    let hint = match asked {
        WhileFull::NotTaken => "nothing was begun; ask again when there is room there",
        WhileFull::MayComeYet => {
            "it may yet be done once there is room there: look with `gleaner jobs` before you ask \
             again"
        }
        WhileFull::Unanswered => {
            "ask again when there is room there; running jobs then go on by themselves"
        }
    };
    ControlError::Failed(ApiError { error: full.to_string(), hint: Some(hint.to_owned()) })
}

pub(super) fn no_disk(error: BlobError) -> ControlError {
    let hint = Some("the coordinator's operator must look at its disk".to_owned());
    ControlError::Failed(ApiError { error: error.to_string(), hint })
}

pub(super) fn store_failed(error: StoreError) -> ControlError {
    let hint = Some("the coordinator's log says more; check its disk".to_owned());
    ControlError::Failed(ApiError { error: error.to_string(), hint })
}

pub(super) fn stage_of(job: &JobSnapshot, name: &str) -> Result<StageIndex, ControlError> {
    let mut stages = (0..).map(StageIndex).zip(&job.stages);
    if let Some((index, _)) = stages.find(|(_, stage)| stage.name == name) {
        return Ok(index);
    }
    let names: Vec<_> = job.stages.iter().map(|stage| stage.name.as_str()).collect();
    let error = format!("{} has no stage {name:?}", job.job);
    let hint = Some(format!("its stages are: {}", names.join(", ")));
    Err(ControlError::Refused(ApiError { error, hint }))
}

#[cfg(test)]
mod tests {
    use gleaner_coordinator_core::Question;
    use gleaner_protocol::JobId;

    use super::super::engine::Ask;
    use super::*;

    #[test]
    fn a_full_disk_says_what_becomes_of_what_was_asked() {
        let hint = |asked| {
            let full = StoreError::DiskFull { path: "store.sqlite".into() };
            let ControlError::Failed(told) = disk_full(&full, asked) else { panic!("it failed") };
            assert!(told.error.contains("is full"), "{told:?}");
            told.hint.expect("it says what to do")
        };
        assert!(hint(WhileFull::NotTaken).contains("nothing was begun"));
        let job = JobId(7);
        let orders = [Ask::Cancel(job), Ask::Pause(job), Ask::Resume(job), Ask::Remove(job)];
        for order in orders.into_iter().chain([Ask::Prioritise(job, 1)]) {
            let hint = hint(order.while_full());
            assert!(hint.contains("may yet be done"), "{order:?}: {hint}");
        }
        let question = Ask::Question(Question::Job(job)).while_full();
        assert!(hint(question).contains("ask again"));
    }
}
