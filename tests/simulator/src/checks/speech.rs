//! Nothing is said that a crash could make untrue: what comes out of the coordinator's core is
//! compared with what is durable at that moment.

use gleaner_coordinator_core::{Action, Grant, JobSnapshot, Reply, StageState};
use gleaner_protocol::{AttemptId, JobId, StageIndex, WithdrawReason, WorkerId};

use crate::store::{Presence, Store, StoredJob};

pub(super) fn check(action: &Action, store: &Store) {
    match action {
        Action::Persist { .. } | Action::JobChanged { .. } | Action::Notify => {}
        Action::Grant { grants, .. } => {
            for grant in grants {
                check_grant(grant, store);
            }
        }
        Action::Acknowledge { worker, attempts } => {
            for attempt in attempts {
                check_acknowledged(*worker, *attempt, store);
            }
        }
        Action::Withdraw { attempts, reason: WithdrawReason::JobEnded, .. } => {
            for attempt in attempts {
                let job =
                    store.job(attempt.unit.job).expect("a withdrawn attempt's job is durable");
                assert!(job.row().end.is_some(), "{attempt} withdrawn of a job that goes on");
            }
        }
        Action::Withdraw { .. } => {}
        Action::Reduce { job, stage, items } => check_reduced(*job, *stage, *items, store),
        Action::Reply { reply, .. } => check_reply(reply, store),
    }
}

fn check_grant(grant: &Grant, store: &Store) {
    let claims = &grant.claims;
    let AttemptId { unit, number } = claims.attempt;
    let job = store.job(unit.job).expect("a lease is of a durable job");
    let stage = job.stage(claims.stage);
    let block = stage.block_of(unit.number).expect("a lease's unit is durable before it is sent");
    assert_eq!(block.items_of(unit.number), claims.items, "{} has other items", claims.attempt);
    let quorum = job.row().spec.quorum.get();
    let opened = job.unit(unit.number).is_some_and(|unit| unit.was_opened(claims.attempt));
    let closed = stage.is_closed(unit.number);
    assert!(number <= quorum || opened || closed, "{} is not durable", claims.attempt);
}

fn check_acknowledged(worker: WorkerId, attempt: AttemptId, store: &Store) {
    let number = attempt.unit.number;
    let job = store.job(attempt.unit.job).expect("an acknowledged attempt's job is durable");
    let stage = job.stage_of(number).expect("an acknowledged attempt's unit is durable");
    if job.row().end.is_some() || job.stage(stage).is_closed(number) {
        return;
    }
    let recorded = job.unit(number).is_some_and(|unit| {
        unit.opinions.iter().any(|opinion| opinion.worker == worker)
            || unit.inconclusive.iter().any(|(known, _)| *known == attempt)
    });
    assert!(recorded, "{attempt} is acknowledged and not durable");
}

fn check_reduced(job: JobId, stage: StageIndex, items: u64, store: &Store) {
    let stored = store.job(job).expect("a reduced job is durable").stage(stage);
    assert!(stored.items.is_all_below(items), "{job}: {stage} is reduced with items missing");
}

fn check_reply(reply: &Reply, store: &Store) {
    match reply {
        Reply::Submitted(job) => {
            assert!(store.job(*job).is_some(), "{job} is answered as taken and not durable");
        }
        Reply::Job(snapshot) => check_snapshot(snapshot, store),
        Reply::Removed(job) | Reply::WasRemoved { job, .. } => {
            let presence = store.job(*job).map(StoredJob::presence);
            assert_eq!(presence, Some(Presence::Removed), "{job} may come back");
        }
        _ => {}
    }
}

/// Of a job that others know of, no more is told than is durable.
fn check_snapshot(snapshot: &JobSnapshot, store: &Store) {
    let stored = store.job(snapshot.job).expect("a job that is told of is durable");
    if let Some(end) = &snapshot.end {
        assert_eq!(Some(end), stored.row().end.as_ref(), "{} ended otherwise", snapshot.job);
    }
    for (told, stage) in snapshot.stages.iter().zip(stored.stages()) {
        let sums = stage.sums();
        assert!(told.items_settled <= sums.items_settled, "{}: {told:?}", snapshot.job);
        assert!(told.items_failed <= sums.items_failed, "{}: {told:?}", snapshot.job);
        assert!(told.state != StageState::Done || sums.outputs.is_some(), "{told:?}");
    }
}
