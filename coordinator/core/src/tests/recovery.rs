//! Restarts: what the records say, and what workers come back with.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::{
    Block, FirstNumbers, Occasion, RecoveredJob, RecoveredMovement, RecoveredStage, RemovedJob,
};

/// Sums records up as a store does.
pub(crate) fn recover(records: &[Record]) -> Recovered {
    let mut jobs: BTreeMap<JobId, RecoveredJob> = BTreeMap::new();
    let mut removed = Vec::new();
    let mut items_of = BTreeMap::new();
    let mut opinions = Vec::new();
    let mut cpu = BTreeMap::new();
    for record in records.iter().cloned() {
        match record {
            Record::JobAccepted { job, submission, owner, spec, retry_of, at } => {
                let stages = vec![RecoveredStage::default(); spec.stages.len()];
                let recovered = RecoveredJob {
                    job,
                    submission,
                    owner,
                    spec,
                    retry_of,
                    submitted_at: at,
                    priority: None,
                    paused_at: None,
                    movement: None,
                    end: None,
                    stages,
                };
                assert!(jobs.insert(job, recovered).is_none(), "{job} was taken twice");
            }
            Record::StageOpened { job, opening, .. } => {
                let stage = stage_of(&mut jobs, job, opening.stage);
                stage.items = Some(opening.items);
                stage.unit_items_max = opening.unit_items_max;
                stage.made = opening.made;
            }
            Record::AnswersKept { job, run } => {
                let stage = stage_of(&mut jobs, job, run.stage);
                stage.items_settled += run.items.len();
                stage.kept.push(run);
            }
            Record::BlockCut { job, block } => {
                stage_of(&mut jobs, job, block.stage).blocks.push(block);
            }
            Record::AttemptOpened { attempt } => {
                let stage = stage_of_unit(&jobs, attempt);
                stage_of(&mut jobs, attempt.unit.job, stage).attempts.push(attempt);
            }
            Record::ResultAccepted { opinion, .. } => {
                cpu.insert(opinion.attempt, opinion.cpu);
                opinions.push(opinion);
            }
            Record::AttemptInconclusive { attempt, worker, cpu, .. } => {
                let stage = stage_of_unit(&jobs, attempt);
                let stage = stage_of(&mut jobs, attempt.unit.job, stage);
                let known = stage.inconclusive.iter().any(|(known, _)| *known == attempt);
                assert!(!known, "{attempt} ended without an answer twice");
                stage.inconclusive.push((attempt, worker));
                stage.attempts_inconclusive += 1;
                stage.cpu_unanswered += cpu;
            }
            Record::UnitSettled { stage, items, attempt } => {
                let twice = items_of.insert(attempt.unit, items);
                assert!(twice.is_none(), "{} settled twice", attempt.unit);
                let stage = stage_of(&mut jobs, attempt.unit.job, stage);
                stage.settled.push(attempt.unit.number);
                stage.items_settled += items.len();
                stage.units_settled += 1;
                stage.cpu += cpu[&attempt];
            }
            Record::ItemSettled { stage, item, unit, attempt } => {
                let items = ItemRange { start: item, end: item + 1 };
                let twice = items_of.insert(unit, items);
                assert!(twice.is_none(), "{unit} settled twice");
                let stage = stage_of(&mut jobs, unit.job, stage);
                stage.settled.push(unit.number);
                stage.items_settled += 1;
                stage.units_settled += 1;
                let attempt = attempt.map(|number| AttemptId { unit, number });
                stage.cpu += attempt.map_or(Duration::ZERO, |attempt| cpu[&attempt]);
            }
            Record::UnitReplaced { stage, unit } => {
                let empty = ItemRange { start: 0, end: 0 };
                let twice = items_of.insert(unit, empty);
                assert!(twice.is_none(), "{unit} replaced after it was settled");
                stage_of(&mut jobs, unit.job, stage).settled.push(unit.number);
            }
            Record::ItemsFailed { stage, unit, failed } => {
                let items = failed.iter().map(|failed| failed.items.len()).sum::<u64>();
                stage_of(&mut jobs, unit.job, stage).items_failed += items;
            }
            Record::StageDone { job, stage, outputs } => {
                stage_of(&mut jobs, job, stage).outputs = Some(outputs);
            }
            Record::JobPaused { job, at } => {
                let job = jobs.get_mut(&job).expect("only a known job is paused");
                assert!(job.paused_at.replace(at).is_none(), "{} was paused twice", job.job);
            }
            Record::JobResumed { job } => {
                let job = jobs.get_mut(&job).expect("only a known job is resumed");
                assert!(job.paused_at.take().is_some(), "{} was resumed twice", job.job);
            }
            Record::PrioritySet { job, priority } => {
                jobs.get_mut(&job).expect("a known job").priority = Some(priority);
            }
            Record::JobMoved { job, at } => {
                let movement = RecoveredMovement { moved_at: at, stall_told: false };
                jobs.get_mut(&job).expect("a known job").movement = Some(movement);
            }
            Record::NoticeDue { job, notice } => {
                let movement = &mut jobs.get_mut(&job).expect("a known job").movement;
                if let (Occasion::Stalled, Some(movement)) = (notice.occasion, movement) {
                    movement.stall_told = true;
                }
            }
            Record::JobEnded { job, end, at } => {
                let job = jobs.get_mut(&job).expect("only a known job ends");
                assert!(job.end.is_none(), "{} ended twice", job.job);
                job.end = Some((end, at));
                job.paused_at = None;
            }
            Record::JobRemoved { job, submission, owner } => {
                let gone = jobs.remove(&job).expect("only a known job is removed");
                assert!(gone.end.is_some(), "{job} was removed while it ran");
                removed.push(RemovedJob { job, submission, owner });
            }
        }
    }
    for opinion in opinions {
        if !items_of.contains_key(&opinion.unit()) && jobs.contains_key(&opinion.unit().job) {
            let stage = stage_of_unit(&jobs, opinion.attempt);
            stage_of(&mut jobs, opinion.unit().job, stage).opinions.push(opinion);
        }
    }
    for stage in jobs.values_mut().flat_map(|job| &mut job.stages) {
        stage.settled.sort_unstable();
    }
    Recovered { jobs: jobs.into_values().collect(), removed, ..Recovered::default() }
}

fn stage_of(
    jobs: &mut BTreeMap<JobId, RecoveredJob>,
    job: JobId,
    stage: StageIndex,
) -> &mut RecoveredStage {
    &mut jobs.get_mut(&job).expect("a known job").stages[stage.0 as usize]
}

fn stage_of_unit(jobs: &BTreeMap<JobId, RecoveredJob>, attempt: AttemptId) -> StageIndex {
    let stages = jobs[&attempt.unit.job].stages.iter();
    let mut blocks = stages.flat_map(|stage| &stage.blocks);
    let contains = |block: &&Block| block.contains(attempt.unit.number);
    blocks.find(contains).expect("a unit is cut before it is spoken of").stage
}

/// The lab after a crash: what was durable, and the workers with what they hold.
pub(crate) fn restart(lab: Lab) -> Lab {
    let now = lab.now + Duration::from_secs(1);
    let mut after = Lab::recovered(recover(&lab.durable), Epoch(2), now);
    after.durable = lab.durable;
    after.held = lab.held;
    after.requests = 1000;
    after
}

#[test]
fn a_crash_of_the_coordinator_loses_no_computing() {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(2, 1, 1));
    let worker = lab.connect(1, 2);
    let grants = lab.held[&worker].clone();
    lab.answer(worker, &grants[0], right(&grants[0]));

    let mut lab = restart(lab);
    let other = lab.connect(2, 4);
    assert!(lab.held.get(&other).is_none_or(Vec::is_empty), "units wait for their holders");
    lab.connect(1, 0);
    lab.advance(Duration::from_secs(20));
    assert!(lab.held[&other].is_empty(), "an adopted lease stands after the grace");
    lab.answer(worker, &grants[1], right(&grants[1]));
    assert_eq!(lab.reductions, [(job, SEARCH)]);
}

#[test]
fn what_nobody_comes_back_with_is_handed_out_after_the_grace() {
    let mut lab = Lab::new();
    lab.submit(job_spec(1, 1, 1));
    let lost = lab.connect(1, 1);
    let old = lab.lease(lost);

    let mut lab = restart(lab);
    let other = lab.connect(2, 1);
    let grace_end = lab.core.poll_timeout().expect("the grace has an end");
    lab.advance(grace_end.saturating_since(lab.now));
    let new = lab.lease(other);
    assert_eq!(new.claims.attempt.number, old.claims.attempt.number + 1, "numbers never recur");
    assert_eq!(new.claims.epoch, Epoch(2));
}

#[test]
fn a_forged_lease_is_not_adopted() {
    let mut lab = Lab::new();
    lab.submit(job_spec(1, 1, 1));
    let worker = lab.connect(1, 1);
    let thief = super::worker(3);
    let stolen = lab.lease(worker);
    let mut lab = restart(lab);
    let held = vec![(stolen.claims.clone(), stolen.token)];
    lab.feed(Event::WorkerConnected { worker: thief, held });
    let claims = gleaner_protocol::LeaseClaims { worker: thief, ..stolen.claims };
    lab.feed(Event::WorkerConnected { worker: thief, held: vec![(claims, stolen.token)] });
    let said = lab.said();
    assert_eq!(said.matches("withdraw w3: attempt-1.0.1 (UnknownLease)").count(), 2, "{said}");
}

#[test]
fn a_reduction_under_way_begins_again() {
    let mut lab = Lab::new();
    let job = lab.submit(job_spec(1, 1, 1));
    let worker = lab.connect(1, 1);
    let grant = lab.lease(worker);
    lab.answer(worker, &grant, right(&grant));
    let mut lab = restart(lab);
    lab.drain();
    assert_eq!(lab.reductions, [(job, SEARCH)]);
}

#[test]
fn a_replaced_unit_stays_so_over_a_restart_and_its_items_settle_alone() {
    let mut lab = Lab::new();
    let job = lab.submit(going_on(4, 2, 1));
    let only = lab.connect(1, 1);
    for _ in 0..2 {
        let grant = lab.lease(only);
        lab.answer(only, &grant, Outcome::HostMemory);
        lab.offer(only, 1);
    }
    assert_eq!(lab.lease(only).claims.items.len(), 1, "its items are tried once more");

    let mut lab = restart(lab);
    lab.connect(1, 9);
    lab.advance(Duration::from_secs(20));
    while let Some(grant) = lab.held[&only].first().cloned() {
        let outcome = match grant.claims.items.start {
            1 => Outcome::StackOverflow { item: 1 },
            _ => right(&grant),
        };
        lab.answer(only, &grant, outcome);
        lab.offer(only, 9);
    }
    assert_eq!(lab.reductions, [(job, SEARCH)]);
    let stage = lab.job(job).stages.remove(0);
    assert_eq!((stage.items_settled, stage.items_failed, stage.units_settled), (4, 1, 3));

    let mut lab = restart(lab);
    lab.drain();
    assert_eq!(lab.reductions, [(job, SEARCH)], "the stage is complete for a restart, too");
    assert_eq!(lab.job(job).stages[0].items_failed, 1);
}

/// The lab after it was restored from a backup that holds what was durable up to `backed_up`: its
/// key is another one, and its numbers begin beyond those of the lost one.
fn restored(lab: &Lab, backed_up: usize, epoch: Epoch) -> Lab {
    let first = FirstNumbers { job: JobId(1001), attempt: 1001 };
    let recovered = Recovered { first, ..recover(&lab.durable[..backed_up]) };
    let mut after = Lab::recovered(Recovered::default(), epoch, lab.now);
    let key = LeaseKey::new([8; 32]);
    after.core = Core::recover(Config::default(), key, epoch, recovered, lab.now);
    after.durable = lab.durable[..backed_up].to_vec();
    after.requests = 1000;
    after
}

#[test]
fn what_a_lost_store_gave_since_its_backup_is_neither_believed_nor_given_again() {
    let mut lost = Lab::new();
    lost.submit(job_spec(8, 1, 1));
    let worker = lost.connect(1, 2);
    let answered = lost.lease(worker);
    lost.answer(worker, &answered, right(&answered));
    let backed_up = lost.durable.len();
    lost.submit(job_spec(8, 1, 1));
    lost.offer(worker, 9);
    let held = lost.held[&worker].clone();
    assert!(held.iter().any(|grant| grant.claims.attempt.unit.job == JobId(2)), "it took a job");

    let mut lab = restored(&lost, backed_up, Epoch(1_000_001));
    let named = held.iter().map(|grant| (grant.claims.clone(), grant.token)).collect();
    lab.feed(Event::WorkerConnected { worker, held: named });
    for grant in &held {
        lab.answer(worker, grant, right(grant));
    }
    let said = lab.said();
    assert_eq!(said.matches("(UnknownLease)").count(), 2 * held.len(), "{said}");
    assert!(!said.contains("acknowledge"), "{said}");

    assert_eq!(lab.submit(job_spec(1, 1, 1)), JobId(1001));
    lab.offer(worker, 20);
    lab.advance(Duration::from_secs(20));
    let given = attempts(&lab, worker);
    assert_eq!(given.len(), 8, "all but what was settled before the backup, and the new job");
    let is_new = |attempt: &AttemptId| attempt.unit.job > JobId(1000) || attempt.number > 1000;
    assert!(given.iter().all(is_new), "{given:?}");

    let mut again = restored(&lab, lab.durable.len(), Epoch(1_000_002));
    let other = again.connect(2, 20);
    again.advance(Duration::from_secs(20));
    let given_again = attempts(&again, other);
    assert_eq!(given_again.len(), 8, "its holder did not come back");
    assert!(given.is_disjoint(&given_again), "{given_again:?}");
}

fn attempts(lab: &Lab, worker: WorkerId) -> BTreeSet<AttemptId> {
    lab.held[&worker].iter().map(|grant| grant.claims.attempt).collect()
}
