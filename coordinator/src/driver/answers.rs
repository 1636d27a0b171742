//! Which answers of earlier jobs a job can take over.

use gleaner_coordinator_core::{KeptRun, Opening};
use gleaner_protocol::{Answers, BlobHash, JobId, JobSpec, StageIndex};

use crate::store::{Question, Store, StoreError};

/// The answers to the stages that wait for no other, of a job that retries `retry_of`, if it does;
/// `items` are theirs.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn known_at_submission(
    store: &Store,
    spec: &JobSpec,
    items: &[Option<u64>],
    retry_of: Option<JobId>,
) -> Result<Vec<KeptRun>, StoreError> {
    let open = (0..).map(StageIndex).zip(items);
    let open = open.filter_map(|(stage, items)| Some((stage, (*items)?, None)));
    look_up(store, spec, open, retry_of).await
}

/// The answers to stages of `job` that come after one whose output is `output`.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn known_after(
    store: &Store,
    job: JobId,
    spec: &JobSpec,
    openings: &[Opening],
    output: Option<BlobHash>,
) -> Result<Vec<KeptRun>, StoreError> {
    let stages = openings.iter().map(|opening| {
        let Opening { stage, items, made, .. } = *opening;
        let splitter = &spec.stages[stage.0 as usize].splitter;
        (stage, items, splitter.read_from(output, made.map(|made| made.hash)))
    });
    let retry_of = store.retry_of(job).await?;
    look_up(store, spec, stages, retry_of).await
}

/// The answers to stages, each with its items and what they are read from, if it comes after another.
async fn look_up(
    store: &Store,
    spec: &JobSpec,
    stages: impl Iterator<Item = (StageIndex, u64, Option<BlobHash>)>,
    retry_of: Option<JobId>,
) -> Result<Vec<KeptRun>, StoreError> {
    let mut kept = Vec::new();
    if spec.answers == Answers::Fresh && retry_of.is_none() {
        return Ok(kept);
    }
    // A stage may have a million units: nobody waits behind such a look.
    let store = store.read_apart()?;
    for (stage, items, earlier) in stages {
        let key = spec.stages[stage.0 as usize].answers_key(earlier);
        let (quorum, answers) = (spec.quorum.get(), spec.answers);
        let question = Question { stage, key, items, quorum, first: retry_of, answers };
        kept.extend(store.kept_answers(question).await?);
    }
    Ok(kept)
}
