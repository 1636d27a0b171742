//! Which answers of earlier jobs a job can take over.

use gleaner_coordinator_core::{KeptRun, Opening};
use gleaner_protocol::{Answers, BlobHash, JobSpec, StageIndex};

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

/// The answers to stages that come after one whose output is `output`.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn known_after(
    store: &Store,
    spec: &JobSpec,
    openings: &[Opening],
    output: Option<BlobHash>,
) -> Result<Vec<KeptRun>, StoreError> {
    let stages = openings.iter().map(|opening| (opening.stage, opening.items));
    look_up(store, spec, stages, output).await
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
