//! Which answers of earlier jobs a job can take over.

use gleaner_coordinator_core::KeptRun;
use gleaner_protocol::{Answers, BlobHash, JobSpec, Splitter, StageIndex};

use crate::store::{Question, Store, StoreError};

/// The answers to the stages that wait for no other; `items` are theirs.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn known_at_submission(
    store: &Store,
    spec: &JobSpec,
    items: &[Option<u64>],
) -> Result<Vec<KeptRun>, StoreError> {
    let open = (0..).map(StageIndex).zip(items);
    let open = open.filter_map(|(stage, items)| Some((stage, (*items)?)));
    look_up(store, spec, open, None).await
}

/// The answers to the stages that come after `stage`, whose output is `output`.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn known_after(
    store: &Store,
    spec: &JobSpec,
    stage: StageIndex,
    output: Option<BlobHash>,
) -> Result<Vec<KeptRun>, StoreError> {
    let follows = |splitter: &Splitter| matches!(splitter, Splitter::After { stage: earlier, .. } if *earlier == stage);
    let next = (0..).map(StageIndex).zip(&spec.stages);
    let next = next.filter(|(_, next)| follows(&next.splitter)).map(|(index, _)| (index, 1));
    look_up(store, spec, next, output).await
}

async fn look_up(
    store: &Store,
    spec: &JobSpec,
    stages: impl Iterator<Item = (StageIndex, u64)>,
    earlier: Option<BlobHash>,
) -> Result<Vec<KeptRun>, StoreError> {
    let mut kept = Vec::new();
    if spec.answers == Answers::Fresh {
        return Ok(kept);
    }
    for (stage, items) in stages {
        let key = spec.stages[stage.0 as usize].answers_key(earlier);
        let question = Question { stage, key, items, quorum: spec.quorum.get() };
        kept.extend(store.kept_answers(question).await?);
    }
    Ok(kept)
}
