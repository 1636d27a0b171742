//! Every item counts once, by an answer that is its own; settled and ended are final.

use gleaner_coordinator_core::{FailureCause, JobEnd, Opinion, Record};
use gleaner_protocol::{
    AttemptId, FailedItems, FailureKind, ItemRange, JobId, OnFailure, StageIndex, UnitId,
};

use crate::kept::check_kept;
use crate::store::{Presence, Store, StoredJob};
use crate::workload::Work;

pub(super) fn check(record: &Record, store: &Store) {
    if let Some(job) = job_of(record).and_then(|job| store.job(job)) {
        let id = job.row().job;
        if let Record::JobRemoved { .. } = record {
            assert!(job.row().end.is_some(), "{id} is removed while it runs");
            return assert_eq!(job.presence(), Presence::Kept, "{id} is removed once more");
        }
        assert!(job.row().end.is_none(), "{id} has ended, and yet {record:?}");
        assert!(!matches!(record, Record::JobAccepted { .. }), "{record:?} once more");
        if let Record::AnswersKept { run, .. } = record {
            check_kept(store, job, run);
        }
        check_of_job(record, job);
    }
}

fn check_of_job(record: &Record, job: &StoredJob) {
    match record {
        Record::ResultAccepted { opinion, .. } => check_opinion(opinion, job),
        Record::UnitSettled { stage, items, attempt } => {
            check_settled(job, *stage, *items, *attempt);
        }
        Record::ItemSettled { stage, item, unit, attempt: Some(number) } => {
            let items = ItemRange { start: *item, end: item + 1 };
            check_settled(job, *stage, items, AttemptId { unit: *unit, number: *number });
        }
        Record::ItemSettled { stage, unit, attempt: None, .. } => {
            check_given_up(job, *stage, *unit);
        }
        Record::ItemsFailed { stage, failed, .. } => check_failed(job, *stage, failed),
        Record::JobEnded { end, .. } => check_end(job, end),
        _ => {}
    }
}

fn job_of(record: &Record) -> Option<JobId> {
    match record {
        Record::JobAccepted { job, .. }
        | Record::StageOpened { job, .. }
        | Record::AnswersKept { job, .. }
        | Record::BlockCut { job, .. }
        | Record::StageDone { job, .. }
        | Record::JobPaused { job, .. }
        | Record::JobResumed { job }
        | Record::PrioritySet { job, .. }
        | Record::JobEnded { job, .. }
        | Record::JobRemoved { job, .. } => Some(*job),
        Record::AttemptOpened { attempt }
        | Record::AttemptInconclusive { attempt, .. }
        | Record::UnitSettled { attempt, .. } => Some(attempt.unit.job),
        Record::ResultAccepted { opinion, .. } => Some(opinion.unit().job),
        Record::ItemSettled { unit, .. }
        | Record::UnitReplaced { unit, .. }
        | Record::ItemsFailed { unit, .. } => Some(unit.job),
        _ => None,
    }
}

fn work(job: &StoredJob, stage: StageIndex) -> Work {
    Work::of(&job.row().spec.stages[stage.0 as usize].task)
}

fn check_opinion(opinion: &Opinion, job: &StoredJob) {
    let unit = opinion.unit();
    let stage = job.stage_of(unit.number).expect("an accepted result is of a unit that was cut");
    let stored = job.stage(stage);
    assert!(!stored.is_closed(unit.number), "{opinion:?} comes after its unit was settled");
    let items =
        stored.block_of(unit.number).expect("its stage has its block").items_of(unit.number);
    let right = work(job, stage).outcome(items);
    assert_eq!(opinion.answer, right.answer(), "{opinion:?} is not what its items answer");
    let mut others = job.unit(unit.number).into_iter().flat_map(|unit| &unit.opinions);
    assert!(others.all(|other| other.worker != opinion.worker), "{opinion:?} counts twice");
}

fn check_settled(job: &StoredJob, stage: StageIndex, items: ItemRange, attempt: AttemptId) {
    let number = attempt.unit.number;
    let block = job.stage(stage).block_of(number).expect("a settled unit was cut");
    assert_eq!(block.items_of(number), items, "{attempt} settles other items than its own");
    let unit = job.unit(number).expect("a settled unit has opinions");
    let chosen = unit.opinions.iter().find(|opinion| opinion.attempt == attempt);
    let answer = chosen.expect("a unit settles by an opinion").answer;
    let agreeing = unit.opinions.iter().filter(|opinion| opinion.answer == answer).count();
    assert!(agreeing >= quorum(job), "{attempt} settles with {agreeing} agreeing");
}

fn check_given_up(job: &StoredJob, stage: StageIndex, unit: UnitId) {
    let task = &job.row().spec.stages[stage.0 as usize].task;
    assert_eq!(task.on_failure, OnFailure::Continue, "{unit} is given up in a job that stops");
    assert_unanswered(job, unit.number);
}

fn assert_unanswered(job: &StoredJob, unit: u64) {
    let tried = job.unit(unit).map_or(0, |unit| unit.inconclusive.len());
    let max = job.row().spec.max_attempts.get() as usize;
    assert!(tried >= max, "unit {unit} is given up after {tried} of {max} attempts");
}

fn check_failed(job: &StoredJob, stage: StageIndex, failed: &[FailedItems]) {
    let own = failed.iter().filter(|failed| failed.kind == FailureKind::Failed);
    for item in own.flat_map(|failed| failed.items.start..failed.items.end) {
        assert!(work(job, stage).fails(item), "item {item} counts as failed and has an answer");
    }
}

fn check_end(job: &StoredJob, end: &JobEnd) {
    match end {
        JobEnd::Done => check_done(job),
        JobEnd::Cancelled => {}
        JobEnd::Failed { cause: FailureCause::Task { unit }, .. } => {
            let stage = job.stage_of(*unit).expect("the unit at fault was cut");
            let block = job.stage(stage).block_of(*unit).expect("its stage has its block");
            let items = block.items_of(*unit);
            let mut items = items.start..items.end;
            assert!(items.any(|item| work(job, stage).fails(item)), "unit {unit} has an answer");
        }
        JobEnd::Failed { cause: FailureCause::NoAnswer { unit }, .. } => {
            assert_unanswered(job, *unit);
        }
        JobEnd::Failed { reason, .. } => panic!("nobody lies and every disk can be read: {reason}"),
    }
}

fn check_done(job: &StoredJob) {
    for (index, stage) in (0..).map(StageIndex).zip(job.stages()) {
        let id = job.row().job;
        let items = stage.sums().items.expect("a stage that is done was opened");
        assert!(stage.sums().outputs.is_some(), "{id} is done without the output of {index}");
        assert!(stage.items.is_all_below(items), "{id} is done with items of {index} missing");
        let failing = (0..items).filter(|item| work(job, index).fails(*item)).count() as u64;
        let failed = stage.sums().items_failed;
        assert!(failed >= failing, "{id}: {failed} items failed where {failing} must");
    }
}

fn quorum(job: &StoredJob) -> usize {
    job.row().spec.quorum.get() as usize
}
