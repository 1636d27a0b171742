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
        at: at(2000),
    });
    let answers = later(1, 60).stages[0].answers_key(None);
    records.push(Record::StageOpened { job: LATER, opening: opening(60), answers });
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
