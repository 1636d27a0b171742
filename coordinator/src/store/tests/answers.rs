//! Answers of earlier jobs.

use super::*;

/// A second job that asks the same of more items.
#[tokio::test]
async fn answers_are_found_by_their_question() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    commit_all(&store, &mut commits, half_done()).await;
    let find = async |spec: &JobSpec, items| {
        store.kept_answers(question(spec, items)).await.expect("reads")
    };
    let all = [run(items(0, 20), 0..2), run(items(40, 50), 4..5)];
    assert_eq!(find(&later(1, 200), 200).await, all);
    assert_eq!(find(&later(1, 45), 45).await, all[..1], "a unit that reaches beyond is no use");
    assert_eq!(find(&later(2, 200), 200).await, [], "one opinion does not serve a quorum of two");
    let mut other = later(1, 200);
    other.stages[0].task.seed = 1;
    assert_eq!(find(&other, 200).await, [], "another seed is another question");
}

#[tokio::test]
async fn units_of_which_an_item_failed_are_asked_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    let mut records = half_done();
    let unit = UnitId { job: JOB, number: 1 };
    let failed = vec![FailedItems::new(items(13, 14), FailureKind::Failed, "no star")];
    records.push(Record::ItemsFailed { stage: SEARCH, unit, failed });
    commit_all(&store, &mut commits, records).await;
    let mut going_on = later(1, 200);
    going_on.stages[0].task.on_failure = OnFailure::Continue;
    let found = store.kept_answers(question(&going_on, 200)).await.expect("reads");
    assert_eq!(found, [run(items(0, 10), 0..1), run(items(40, 50), 4..5)]);
}

/// A job that went on without an item of every other unit leaves as many gaps.
#[tokio::test]
async fn a_retry_takes_over_what_lies_between_thousands_of_gaps() {
    const RUNS: u64 = 5000;
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    // The last run is the longest.
    let (units, end) = (2 * RUNS + 2, 20 * RUNS + 20);
    let mut records = vec![accepted(), opened(JOB, end)];
    records.push(Record::BlockCut { job: JOB, block: block(0, units as u32) });
    records.extend((0..=RUNS).flat_map(|run| settle(2 * run)));
    records.extend(settle(units - 1));
    commit_all(&store, &mut commits, records).await;
    let others = question(&later(1, end as i64), end);
    let retry = Question { first: Some(JOB), ..others };
    let short = |number| run(items(20 * number, 20 * number + 10), 2 * number..2 * number + 1);
    let longest = run(items(20 * RUNS, end), 2 * RUNS..units);
    let all: Vec<_> = (0..RUNS).map(short).chain([longest]).collect();
    assert!(store.kept_answers(retry).await.expect("reads") == all, "a run is lost");
    let found = store.kept_answers(others).await.expect("reads");
    let (last, others) = found.split_last().expect("some are found");
    assert_eq!(*last, longest, "it is worth more than one before it");
    assert!(all.starts_with(others) && found.len() < all.len(), "{} are found", found.len());
}

#[tokio::test]
async fn results_taken_over_stand_between_the_stages_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    let mut records = half_done();
    records.push(Record::JobAccepted {
        job: LATER,
        submission: SubmissionId(2),
        owner: Owner::Operator,
        spec: later(1, 60),
        retry_of: None,
        at: at(2000),
    });
    let answers = later(1, 60).stages[0].answers_key(None);
    records.push(Record::StageOpened { job: LATER, opening: opening(60), answers, quorum: 1 });
    let runs = [run(items(0, 20), 0..2), run(items(40, 50), 4..5)];
    records.extend(runs.map(|run| Record::AnswersKept { job: LATER, run }));
    for (number, start) in [(0, 20), (1, 50)] {
        let attempt = AttemptId { unit: UnitId { job: LATER, number }, number: 1 };
        let opinion = Opinion { attempt, ..opinion(number, 1) };
        records.push(Record::ResultAccepted {
            opinion,
            outcome: outcome(number),
            log: String::new(),
        });
        let items = items(start, start + 10);
        records.push(Record::UnitSettled { stage: SEARCH, items, attempt });
    }
    commit_all(&store, &mut commits, records).await;
    let mut results = store.settled_results(LATER, SEARCH);
    let mut read = Vec::new();
    while let Some(unit) = results.next().await.expect("reads") {
        read.push((unit.items.start, unit.unit.job));
    }
    assert_eq!(read, [(0, JOB), (10, JOB), (20, LATER), (40, JOB), (50, LATER)]);
    let recovered = &store.load().await.expect("loads").jobs[1].stages[0];
    assert_eq!(recovered.kept, runs);
    assert_eq!(recovered.items_settled, 50);
}

/// A job that asks the same as the first one, took `runs` over and was cancelled.
fn taker(job: JobId, retry_of: Option<JobId>, runs: &[KeptRun]) -> Vec<Record> {
    let spec = later(1, 100);
    let answers = spec.stages[0].answers_key(None);
    let submission = SubmissionId(job.0.into());
    let owner = Owner::Operator;
    let mut records = vec![
        Record::JobAccepted { job, submission, owner, spec, retry_of, at: at(2000) },
        Record::StageOpened { job, opening: opening(100), answers, quorum: 1 },
    ];
    records.extend(runs.iter().map(|run| Record::AnswersKept { job, run: *run }));
    records.push(Record::JobEnded { job, end: JobEnd::Cancelled, at: at(3000) });
    records
}

#[tokio::test]
async fn a_job_that_asks_nobody_else_has_what_the_jobs_before_it_have() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    let [retry, later_retry] = [JobId(2), JobId(3)];
    let records = [half_done(), taker(retry, Some(JOB), &[]), taker(later_retry, Some(retry), &[])];
    commit_all(&store, &mut commits, records.concat()).await;
    let fresh = Question { answers: Answers::Fresh, ..question(&later(1, 100), 100) };
    let all = [run(items(0, 20), 0..2), run(items(40, 50), 4..5)];
    for first in [JOB, retry, later_retry] {
        let question = Question { first: Some(first), ..fresh };
        assert_eq!(store.kept_answers(question).await.expect("reads"), all, "{first}");
    }
    assert_eq!(store.kept_answers(fresh).await.expect("reads"), []);
    let other = Question { first: Some(retry), key: BlobHash([9; 32]), ..fresh };
    assert_eq!(store.kept_answers(other).await.expect("reads"), [], "that is another question");
    let recovered = store.load().await.expect("loads").jobs;
    let chain: Vec<_> = recovered.iter().map(|job| job.retry_of).collect();
    assert_eq!(chain, [None, Some(JOB), Some(retry)]);
    for (job, retried) in [JOB, retry, later_retry].into_iter().zip(chain) {
        assert_eq!(store.retry_of(job).await.expect("reads"), retried, "{job}");
    }
}

#[tokio::test]
async fn what_a_retried_job_took_over_outlives_those_it_took_it_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    let taken = [run(items(0, 20), 0..2)];
    let submission = SubmissionId(u128::MAX);
    let records = [
        half_done(),
        vec![Record::JobEnded { job: JOB, end: JobEnd::Cancelled, at: at(1500) }],
        taker(LATER, None, &taken),
        vec![Record::JobRemoved { job: JOB, submission, owner: Owner::Operator }],
    ];
    commit_all(&store, &mut commits, records.concat()).await;
    while store.sweep_removed().await.expect("sweeps") == Swept::Some {}
    let others = question(&later(1, 100), 100);
    assert_eq!(store.kept_answers(others).await.expect("reads"), [], "it was removed");
    let retry = Question { first: Some(LATER), ..others };
    assert_eq!(store.kept_answers(retry).await.expect("reads"), taken);
}

#[tokio::test]
async fn items_cut_out_once_more_are_taken_over_but_for_those_without_an_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    commit_all(&store, &mut commits, cut_once_more()).await;
    let alone = KeptRun { cut: CutKind::Alone, ..run(items(10, 19), 3..12) };
    let runs = [run(items(0, 10), 0..1), alone, run(items(20, 30), 2..3)];
    let found = store.kept_answers(question(&later(1, 100), 100)).await.expect("reads");
    assert_eq!(found, runs);
    let found = store.kept_answers(question(&later(1, 15), 15)).await.expect("reads");
    let first = KeptRun { cut: CutKind::Alone, ..run(items(10, 15), 3..8) };
    assert_eq!(found, [runs[0], first]);

    // What was committed before stands in one sequence with what comes now.
    let sequence = Sequence(1_000_000);
    store.commit(sequence, taker(LATER, None, &runs)).await.expect("queued");
    while commits.next().await.expect("committed") < sequence {}
    assert_eq!(store.load().await.expect("loads").jobs[1].stages[0].kept, runs);
    let mut results = store.settled_results(LATER, SEARCH);
    let mut read = Vec::new();
    while let Some(unit) = results.next().await.expect("reads") {
        assert!(unit.outcome.is_some() && unit.unit.job == JOB, "{unit:?}");
        read.push((unit.items.start, unit.unit.number));
    }
    let alone = (10..19).map(|item| (item, item - 7));
    assert!(read.into_iter().eq([(0, 0)].into_iter().chain(alone).chain([(20, 2)])));
}

#[tokio::test]
async fn answers_are_passed_on_by_however_many_jobs() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    let all = [run(items(0, 20), 0..2), run(items(40, 50), 4..5)];
    let mut records = half_done();
    records.extend((2..80).flat_map(|job| taker(JobId(job), None, &all)));
    commit_all(&store, &mut commits, records).await;
    let found = store.kept_answers(question(&later(1, 100), 100)).await.expect("reads");
    assert_eq!(found, all);
}

#[tokio::test]
async fn quorums_of_answers_are_known_after_a_migration() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    let mut records = half_done();
    let Record::JobAccepted { spec, .. } = &mut records[0] else { unreachable!("it is one") };
    *spec = later(2, 100);
    commit_all(&store, &mut commits, records).await;
    drop((store, commits));
    go_back_to(folder.path(), 4);
    let (store, _commits) = Store::open(folder.path()).expect("opens");
    for (quorum, runs) in [(1, 2), (2, 2), (3, 0)] {
        let found = store.kept_answers(question(&later(quorum, 100), 100)).await.expect("reads");
        assert_eq!(found.len(), runs, "with a quorum of {quorum}");
    }
    assert_eq!(store.load().await.expect("loads").jobs[0].retry_of, None);
}
