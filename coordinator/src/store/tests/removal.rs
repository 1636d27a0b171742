//! Removed jobs: gone at once, swept in steps, and what others took over stays.

use gleaner_coordinator_core::RemovedJob;

use super::*;

const SUBMISSION: SubmissionId = SubmissionId(u128::MAX);

const REMOVED: RemovedJob = RemovedJob { job: JOB, submission: SUBMISSION, owner: Owner::Operator };

/// Every table that has rows of jobs.
const TABLES: [&str; 23] = [
    "job",
    "stage",
    "block",
    "attempt",
    "opinion",
    "inconclusive",
    "settled",
    "output",
    "made_items",
    "job_owner",
    "attempt_log",
    "job_failure",
    "stage_answers",
    "kept",
    "job_order",
    "settled_alone",
    "replaced",
    "failed",
    "failed_sum",
    "outcome_blob",
    "notice",
    "movement",
    "retry",
];

/// What the outputs of a large unit are a blob of.
fn large_output() -> BlobRef {
    BlobRef::of(b"large")
}

/// What the items are that a split function made.
fn made_items() -> BlobRef {
    BlobRef::of(b"made")
}

/// A job that has left something in every table and ended.
fn ended() -> Vec<Record> {
    let mut records = half_done();
    let unit = |number| UnitId { job: JOB, number };
    let outputs = Payload::Blob(large_output());
    records.extend([
        Record::BlockCut { job: JOB, block: block(6, 600) },
        Record::ResultAccepted {
            opinion: opinion(6, 1),
            outcome: Outcome::Completed { outputs, failures: Vec::new() },
            log: "a word\n".to_owned(),
        },
        Record::UnitSettled { stage: SEARCH, items: items(60, 70), attempt: attempt(6, 1) },
        Record::UnitReplaced { stage: SEARCH, unit: unit(5) },
        Record::ItemSettled { stage: SEARCH, item: 50, unit: unit(7), attempt: None },
        Record::ItemsFailed {
            stage: SEARCH,
            unit: unit(7),
            failed: vec![FailedItems::new(items(50, 51), FailureKind::Failed, "no star")],
        },
        Record::PrioritySet { job: JOB, priority: 3 },
        Record::JobMoved { job: JOB, at: at(1500) },
        Record::StageDone {
            job: JOB,
            stage: SEARCH,
            outputs: vec![StageOutput {
                name: "a.csv".parse().expect("a name"),
                blob: BlobRef::of(b"output"),
            }],
        },
    ]);
    records.extend((10..606).flat_map(settle));
    let opening =
        Opening { stage: REPORT, items: 1, unit_items_max: None, made: Some(made_items()) };
    let answers = spec().stages[1].answers_key(Some(made_items().hash));
    records.push(Record::StageOpened { job: JOB, opening, answers, quorum: 1 });
    let cause = FailureCause::Stage;
    let end = JobEnd::Failed { reason: "no input".to_owned(), cause };
    records.push(Record::JobEnded { job: JOB, end, at: at(2000) });
    records
}

fn removed(job: JobId, submission: SubmissionId) -> Record {
    Record::JobRemoved { job, submission, owner: Owner::Operator }
}

/// A job that takes over what the first one settled of its first items.
fn taker() -> Vec<Record> {
    let answers = later(1, 60).stages[0].answers_key(None);
    vec![
        Record::JobAccepted {
            job: LATER,
            submission: SubmissionId(2),
            owner: Owner::Operator,
            spec: later(1, 60),
            retry_of: Some(JOB),
            at: at(2000),
        },
        Record::StageOpened { job: LATER, opening: opening(60), answers, quorum: 1 },
        Record::AnswersKept { job: LATER, run: run(items(0, 20), 0..2) },
        Record::JobEnded { job: LATER, end: JobEnd::Cancelled, at: at(3000) },
    ]
}

/// Commits a removal after everything that the tests above commit.
async fn remove(store: &Store, commits: &mut Commits, job: JobId, submission: SubmissionId) {
    let sequence = Sequence(1_000_000 + job.0);
    store.commit(sequence, vec![removed(job, submission)]).await.expect("queued");
    while commits.next().await.expect("committed") < sequence {}
}

async fn sweep(store: &Store) -> usize {
    let mut steps = 0;
    while store.sweep_removed().await.expect("sweeps") == Swept::Some {
        steps += 1;
    }
    steps
}

fn rows(folder: &Path, job: JobId) -> Vec<(&'static str, u64)> {
    let connection = Connection::open(folder.join(FILE)).expect("opens");
    let count = |table: &&'static str| {
        let query = format!("SELECT count(*) FROM {table} WHERE job = ?1");
        let count = connection.query_row(&query, [job.0], |row| row.get(0)).expect("counts");
        (*table, count)
    };
    TABLES.iter().map(count).filter(|(_, count)| *count > 0).collect()
}

#[tokio::test]
async fn a_removed_job_is_gone_at_once_and_swept_in_steps() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    commit_all(&store, &mut commits, ended()).await;
    let unused: Vec<_> = TABLES
        .into_iter()
        .filter(|table| !["job_owner", "kept", "notice", "retry"].contains(table))
        .collect();
    let found: Vec<_> = rows(folder.path(), JOB).into_iter().map(|(table, _)| table).collect();
    assert_eq!(found, unused, "every table is swept here");
    remove(&store, &mut commits, JOB, SUBMISSION).await;
    let recovered = store.load().await.expect("loads");
    assert_eq!((recovered.jobs, recovered.removed), (Vec::new(), vec![REMOVED]));
    let found = store.kept_answers(question(&later(1, 200), 200)).await.expect("reads");
    assert_eq!(found, [], "its answers are offered to nobody");
    assert!(!rows(folder.path(), JOB).is_empty(), "nothing is swept in the commit itself");
    let steps = sweep(&store).await;
    assert!(steps > 4, "six hundred units are more than a step may take: {steps}");
    assert_eq!(rows(folder.path(), JOB), []);
    let blobs = [BlobRef::of(b"module"), BlobRef::of(b"output"), made_items(), large_output()];
    let mut named: Vec<_> = blobs.map(|blob| blob.hash).into();
    named.sort_unstable();
    assert_eq!(store.unused_blobs(None).await.expect("reads"), named);
    assert_eq!(store.unused_blobs(Some(named[1])).await.expect("reads"), named[2..]);
    store.forget_unused(named).await.expect("forgotten");
    assert_eq!(store.unused_blobs(None).await.expect("reads"), []);
    assert_eq!(store.load().await.expect("loads").removed, [REMOVED], "it is remembered");
}

#[tokio::test]
async fn answers_that_another_job_took_over_stay_as_long_as_it_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    commit_all(&store, &mut commits, [ended(), taker()].concat()).await;
    remove(&store, &mut commits, JOB, SUBMISSION).await;
    sweep(&store).await;
    let left: Vec<_> = rows(folder.path(), JOB).into_iter().map(|(table, _)| table).collect();
    assert_eq!(
        left,
        ["job", "stage", "block", "opinion", "settled", "settled_alone", "outcome_blob"]
    );
    let large = vec![large_output().hash];
    assert_eq!(store.outcome_blobs(large.clone()).await.expect("asks"), large);
    let mut results = store.settled_results(LATER, SEARCH);
    for unit in 0..2 {
        let result = results.next().await.expect("reads").expect("an answer taken over");
        assert_eq!(result.outcome, Some(outcome(unit)));
    }
    remove(&store, &mut commits, LATER, SubmissionId(2)).await;
    sweep(&store).await;
    assert_eq!((rows(folder.path(), JOB), rows(folder.path(), LATER)), (vec![], vec![]));
    assert_eq!(store.outcome_blobs(large).await.expect("asks"), []);
}

#[tokio::test]
async fn whoever_is_to_be_told_of_a_removed_job_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    let notice = Notice {
        occasion: Occasion::Cancelled,
        target: NotifyTarget::Command(vec!["tell".to_owned()]),
        name: "planets".to_owned(),
        items: 0,
        items_failed: 0,
        text: "it was cancelled".to_owned(),
        at: at(2000),
    };
    let ended = Record::JobEnded { job: JOB, end: JobEnd::Cancelled, at: at(2000) };
    let records = vec![accepted(), ended, Record::NoticeDue { job: JOB, notice }];
    commit_all(&store, &mut commits, records).await;
    remove(&store, &mut commits, JOB, SUBMISSION).await;
    sweep(&store).await;
    let due = store.due_notices(at(3000)).await.expect("reads").due;
    assert_eq!(due.len(), 1, "it is told of still");
    let failure = "nobody answers".to_owned();
    store.note_notice(due[0].id, NoticeFate::GivenUp { failure }).await.expect("noted");
    sweep(&store).await;
    assert_eq!(rows(folder.path(), JOB), []);
}

#[tokio::test]
async fn a_sweep_that_is_interrupted_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut store, mut commits) = Store::open(folder.path()).expect("opens");
    commit_all(&store, &mut commits, ended()).await;
    remove(&store, &mut commits, JOB, SUBMISSION).await;
    while store.sweep_removed().await.expect("sweeps") == Swept::Some {
        drop((store, commits));
        (store, commits) = Store::open(folder.path()).expect("opens again");
        assert_eq!(store.load().await.expect("loads").removed, [REMOVED]);
    }
    assert_eq!(rows(folder.path(), JOB), []);
    assert_eq!(store.unused_blobs(None).await.expect("reads").len(), 4);
}

#[tokio::test]
async fn blobs_of_results_are_known_after_a_migration() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    commit_all(&store, &mut commits, ended()).await;
    drop((store, commits));
    go_back_to(folder.path(), 2);
    let (store, _commits) = Store::open(folder.path()).expect("opens");
    let large = vec![large_output().hash];
    let asked = [large.clone(), vec![BlobHash::of(b"another")]].concat();
    assert_eq!(store.outcome_blobs(asked).await.expect("asks"), large);
}
