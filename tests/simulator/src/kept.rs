//! Answers of earlier jobs that serve a later one, looked up as the SQLite store does.

use gleaner_coordinator_core::{CutKind, KeptRun};
use gleaner_protocol::{Answers, ItemRange, JobId, JobSpec, StageIndex};

use crate::store::{Presence, Store, StoredJob, StoredStage};

/// A stage that asks what an earlier one may have asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) spec: &'a JobSpec,
    pub(crate) stage: StageIndex,
    pub(crate) items: u64,
    /// The job to ask first, with those that it retries.
    pub(crate) first: Option<JobId>,
}

/// The answers there are for a stage, those of the job that is retried first.
pub(crate) fn kept_answers(store: &Store, question: Question<'_>) -> Vec<KeptRun> {
    let mut kept = Vec::new();
    let chain = std::iter::successors(question.first, |job| store.job(*job)?.row().retry_of);
    for source in chain.filter_map(|job| store.job(job)) {
        fill_gaps(&mut kept, answers_of(source, question, Origin::Retried, store));
    }
    if question.spec.answers == Answers::Kept {
        for source in store.jobs() {
            if source.row().spec.quorum >= question.spec.quorum {
                fill_gaps(&mut kept, answers_of(source, question, Origin::Other, store));
            }
        }
    }
    kept
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// All that a retried job has is passed on.
    Retried,
    /// What is left of removed jobs stays its own.
    Other,
}

fn answers_of(
    source: &StoredJob,
    question: Question<'_>,
    origin: Origin,
    store: &Store,
) -> Vec<KeptRun> {
    if source.presence() == Presence::Removed {
        return Vec::new();
    }
    let asked = &question.spec.stages[question.stage.0 as usize].task;
    let stages = (0..).map(StageIndex).zip(&source.row().spec.stages);
    // No two stages have one seed unless they are the same.
    let same = stages.filter(|(_, stage)| stage.task.seed == asked.seed);
    let is_there = |run: &KeptRun| {
        let job = store.job(run.source);
        origin == Origin::Retried || job.is_some_and(|job| job.presence() == Presence::Kept)
    };
    let runs = same.flat_map(|(index, _)| {
        let stage = source.stage(index);
        let taken_over = stage.sums().kept.iter().copied().filter(is_there);
        let runs = settled_runs(source.row().job, index, stage).chain(taken_over);
        runs.collect::<Vec<_>>()
    });
    let runs = runs.filter(|run| run.items.end <= question.items);
    runs.map(|run| KeptRun { stage: question.stage, ..run }).collect()
}

/// What a stage has settled, as runs of consecutive units of one block.
fn settled_runs(
    source: JobId,
    source_stage: StageIndex,
    stage: &StoredStage,
) -> impl Iterator<Item = KeptRun> {
    stage.blocks_by_cut().flat_map(move |(cut, block)| {
        stage.answered.runs_within(block.first_unit..block.end_unit()).map(move |units| {
            let (start, end) = (block.items_of(units.start), block.items_of(units.end - 1));
            KeptRun {
                stage: source_stage,
                items: ItemRange { start: start.start, end: end.end },
                source,
                source_stage,
                cut,
                first_unit: units.start,
                end_unit: units.end,
            }
        })
    })
}

/// Adds those of `more` that overlap nothing, in the order of their items.
fn fill_gaps(kept: &mut Vec<KeptRun>, more: Vec<KeptRun>) {
    for run in more {
        let after = kept.partition_point(|known| known.items.end <= run.items.start);
        if kept.get(after).is_none_or(|known| run.items.end <= known.items.start) {
            kept.insert(after, run);
        }
    }
}

/// Takes over only what was answered, as it was.
///
/// # Panics
/// When a run that the core took over is not what its source has.
pub(crate) fn check_kept(store: &Store, job: &StoredJob, run: &KeptRun) {
    let source = store.job(run.source).expect("answers are of a job that was taken");
    let stage = source.stage(run.source_stage);
    let seed =
        |job: &StoredJob, stage: StageIndex| job.row().spec.stages[stage.0 as usize].task.seed;
    assert_eq!(
        seed(source, run.source_stage),
        seed(job, run.stage),
        "{run:?} answers another stage"
    );
    let mut next = run.items.start;
    for unit in run.first_unit..run.end_unit {
        assert!(stage.answered.contains(unit), "unit {unit} of {run:?} has no answer");
        let items = stage.block_of(unit).expect("an answered unit was cut").items_of(unit);
        assert_eq!(items.start, next, "{run:?} has other items than its units");
        next = items.end;
    }
    assert_eq!(next, run.items.end, "{run:?} has other items than its units");
    let cut = stage.cut_of(run.first_unit);
    assert!(cut == Some(run.cut), "{run:?} is of {cut:?}");
}

/// Which cut a block is of, from the end of the items that were cut before it.
pub(crate) fn cut_after(end: u64, items: ItemRange) -> CutKind {
    if items.start >= end { CutKind::First } else { CutKind::Alone }
}
