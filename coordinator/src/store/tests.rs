mod answers;
mod members;
mod openings;
mod removal;
mod units;

use std::num::NonZeroU32;
use std::time::Duration;

use gleaner_coordinator_core::{
    Block, CutKind, FailureCause, JobEnd, KeptRun, Notice, Occasion, Opening, Opinion, Owner,
    RecoveredJob, RecoveredMovement, RecoveredStage, StageOutput,
};
use gleaner_protocol::api::MembersFate;
use gleaner_protocol::{
    Answers, AttemptId, BlobHash, BlobRef, FailedItems, FailureKind, Floats, Invitation,
    InvitationId, InvitationSecret, ItemRange, JobId, JobSpec, Limits, NotifyTarget, OnFailure,
    Outcome, Payload, Reducer, Splitter, StageIndex, StageSpec, StageTask, SubmissionId,
    SubmitterId, SubmitterTerms, Timestamp, UnitId, UnitSize, Value, ValueMap, WorkerId,
};
use serde_bytes::ByteBuf;

use super::*;

const JOB: JobId = JobId(1);
const SEARCH: StageIndex = StageIndex(0);
const REPORT: StageIndex = StageIndex(1);
const LATER: JobId = JobId(2);

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn items(start: u64, end: u64) -> ItemRange {
    ItemRange { start, end }
}

fn attempt(unit: u64, number: u32) -> AttemptId {
    AttemptId { unit: UnitId { job: JOB, number: unit }, number }
}

fn spec() -> JobSpec {
    let parameters = ValueMap::from([
        ("whole".to_owned(), Value::Float(2.0)),
        ("flags".to_owned(), Value::List(vec![Value::Bool(true), Value::Integer(-1)])),
    ]);
    let stage = |name: &str, splitter| StageSpec {
        name: name.to_owned(),
        task: StageTask {
            module: BlobRef::of(b"module"),
            function: "run".to_owned(),
            parameters: parameters.clone(),
            files: Vec::new(),
            limits: Limits::default(),
            seed: u64::MAX,
            floats: Floats::Plain,
            on_failure: OnFailure::Stop,
        },
        splitter,
        unit_size: UnitSize::Auto,
        unit_items_max: None,
        reducer: Reducer::Files,
    };
    let range = Splitter::Range { field: "n".to_owned(), start: 0, end: 100 };
    let after = Splitter::After { stage: SEARCH, field: "search".to_owned() };
    JobSpec {
        name: "planets".to_owned(),
        seed: u64::MAX,
        priority: 0,
        quorum: NonZeroU32::MIN,
        max_attempts: NonZeroU32::MIN,
        answers: Answers::Kept,
        keep: None,
        notify: gleaner_protocol::Notify::default(),
        stages: vec![stage("search", range), stage("report", after)],
    }
}

fn outcome(unit: u64) -> Outcome {
    Outcome::Completed {
        outputs: Payload::Inline(vec![ByteBuf::from(unit.to_le_bytes())]),
        failures: Vec::new(),
    }
}

fn opinion(unit: u64, number: u32) -> Opinion {
    Opinion {
        attempt: attempt(unit, number),
        worker: WorkerId([number as u8; 32]),
        answer: outcome(unit).answer(),
        class: outcome(unit).class(),
        cpu: Duration::from_micros(1500),
    }
}

fn accepted() -> Record {
    Record::JobAccepted {
        job: JOB,
        submission: SubmissionId(u128::MAX),
        owner: Owner::Operator,
        spec: spec(),
        retry_of: None,
        at: at(1000),
    }
}

fn opening(items: u64) -> Opening {
    Opening { stage: SEARCH, items, unit_items_max: None, made: None }
}

fn opened(job: JobId, items: u64) -> Record {
    let answers = spec().stages[0].answers_key(None);
    Record::StageOpened { job, opening: opening(items), answers, quorum: 1 }
}

fn block(first_unit: u64, units: u32) -> Block {
    let items = items(first_unit * 10, (first_unit + u64::from(units)) * 10);
    Block { stage: SEARCH, first_unit, units, items, unit_items: 10 }
}

/// A result and, as a lab project does, its settlement at once.
fn settle(unit: u64) -> [Record; 2] {
    [
        Record::ResultAccepted {
            opinion: opinion(unit, 1),
            outcome: outcome(unit),
            log: String::new(),
        },
        Record::UnitSettled {
            stage: SEARCH,
            items: items(unit * 10, unit * 10 + 10),
            attempt: attempt(unit, 1),
        },
    ]
}

/// A job with units 0 to 5 cut, 0, 1 and 4 settled, and something said about the others.
fn half_done() -> Vec<Record> {
    let mut records = vec![
        accepted(),
        opened(JOB, 100),
        Record::BlockCut { job: JOB, block: block(0, 3) },
        Record::BlockCut { job: JOB, block: block(3, 3) },
    ];
    records.extend([4, 1, 0].into_iter().flat_map(settle));
    records.push(Record::AttemptOpened { attempt: attempt(1, 2) });
    records.push(Record::AttemptOpened { attempt: attempt(2, 2) });
    records.push(Record::ResultAccepted {
        opinion: opinion(2, 2),
        outcome: outcome(2),
        log: "item 20 info: half way\n".to_owned(),
    });
    for unit in [1, 3] {
        records.push(Record::AttemptInconclusive {
            attempt: attempt(unit, 3),
            worker: WorkerId([9; 32]),
            outcome: Outcome::HostMemory,
            cpu: Duration::from_micros(700),
            log: format!("item {unit}0 warn: short of memory\n"),
        });
    }
    records
}

fn half_done_recovered() -> RecoveredJob {
    let search = RecoveredStage {
        items: Some(100),
        unit_items_max: None,
        made: None,
        kept: Vec::new(),
        blocks: vec![block(0, 3), block(3, 3)],
        settled: vec![0, 1, 4],
        opinions: vec![opinion(2, 2)],
        attempts: vec![attempt(2, 2)],
        inconclusive: vec![(attempt(3, 3), WorkerId([9; 32]))],
        outputs: None,
        items_settled: 30,
        items_failed: 0,
        units_settled: 3,
        attempts_inconclusive: 2,
        cpu: Duration::from_micros(4500),
        cpu_unanswered: Duration::from_micros(1400),
    };
    RecoveredJob {
        job: JOB,
        submission: SubmissionId(u128::MAX),
        owner: Owner::Operator,
        spec: spec(),
        retry_of: None,
        submitted_at: at(1000),
        priority: None,
        paused_at: None,
        movement: None,
        end: None,
        stages: vec![search, RecoveredStage::default()],
    }
}

/// Undoes what newer versions than `version` made in the store of `folder`, which nobody holds.
fn go_back_to(folder: &Path, version: u32) {
    let undo = [
        (
            8,
            "ALTER TABLE stage DROP COLUMN cpu_unanswered_us; \
             ALTER TABLE inconclusive DROP COLUMN cpu_us;",
        ),
        (7, "DROP TABLE movement;"),
        (6, "DROP TABLE made_items;"),
        (
            5,
            "DROP TABLE retry; ALTER TABLE stage_answers DROP COLUMN quorum; \
             ALTER TABLE kept DROP COLUMN alone;",
        ),
        (4, "ALTER TABLE stage DROP COLUMN unit_items_max;"),
        (
            3,
            "DROP TABLE removed_job; DROP INDEX kept_by_source; DROP TABLE outcome_blob; \
             DROP TABLE unused_blob; DROP TABLE notice;",
        ),
    ];
    let connection = Connection::open(folder.join(FILE)).expect("opens");
    for (_, statements) in undo.iter().filter(|(made, _)| *made > version) {
        connection.execute_batch(statements).expect("goes back");
    }
    connection.pragma_update(None, "user_version", version).expect("is the older version");
}

/// Commits each record by itself and waits for the last.
async fn commit_all(store: &Store, commits: &mut Commits, records: Vec<Record>) {
    let last = Sequence(records.len() as u64);
    for (sequence, record) in (1..).zip(records) {
        store.commit(Sequence(sequence), vec![record]).await.expect("queued");
    }
    let mut durable = Sequence(0);
    while durable < last {
        let next = commits.next().await.expect("committed");
        assert!(next > durable, "{next:?} after {durable:?}");
        durable = next;
    }
}

fn told(text: &str, at_millis: u64) -> Record {
    let notice = gleaner_coordinator_core::Notice {
        occasion: gleaner_coordinator_core::Occasion::Stalled,
        target: gleaner_protocol::NotifyTarget::Url("http://a.example".into()),
        name: "planets".into(),
        items: 40,
        items_failed: 2,
        text: text.into(),
        at: at(at_millis),
    };
    Record::NoticeDue { job: JOB, notice }
}

fn later(quorum: u32, items: i64) -> JobSpec {
    let mut spec = spec();
    spec.quorum = NonZeroU32::new(quorum).expect("a quorum is at least one");
    spec.stages[0].splitter = Splitter::Range { field: "n".to_owned(), start: 0, end: items };
    spec
}

fn question(spec: &JobSpec, items: u64) -> Question {
    let key = spec.stages[0].answers_key(None);
    let (quorum, answers) = (spec.quorum.get(), spec.answers);
    Question { stage: SEARCH, key, items, quorum, first: None, answers }
}

fn run(items: ItemRange, units: std::ops::Range<u64>) -> KeptRun {
    let (first_unit, end_unit) = (units.start, units.end);
    KeptRun {
        stage: SEARCH,
        items,
        source: JOB,
        source_stage: SEARCH,
        cut: CutKind::First,
        first_unit,
        end_unit,
    }
}

fn terms(end: u64, uses_max: Option<u32>) -> InvitationTerms {
    InvitationTerms { expires_at: at(end), uses_max, note: "for Bo".to_owned() }
}

#[tokio::test]
async fn a_notice_waits_until_it_is_delivered_or_given_up_over_restarts() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    let [first, second] = [told("first", 2000), told("second", 3000)];
    commit_all(&store, &mut commits, vec![accepted(), first.clone(), second]).await;
    let DueNotices { due, next } = store.due_notices(at(2500)).await.expect("reads");
    let [stored] = &due[..] else { panic!("one is due: {due:?}") };
    assert_eq!((stored.tries, stored.submitter, next), (0, None, Some(at(3000))));
    assert_eq!(Record::NoticeDue { job: stored.job, notice: stored.notice.clone() }, first);

    let (due_at, failure) = (at(4000), "no".to_owned());
    store.note_notice(stored.id, NoticeFate::Again { due_at, failure }).await.expect("writes");
    assert!(store.has_untried_notices().await.expect("reads"));
    drop((store, commits));
    let (store, _commits) = Store::open(folder.path()).expect("opens");
    let due = store.due_notices(at(9000)).await.expect("reads").due;
    let seen: Vec<_> = due.iter().map(|due| (due.notice.text.as_str(), due.tries)).collect();
    assert_eq!(seen, [("second", 0), ("first", 1)]);
    store.note_notice(due[0].id, NoticeFate::Delivered).await.expect("writes");
    let failure = "nobody there".to_owned();
    store
        .note_notice(due[1].id, NoticeFate::GivenUp { failure: failure.clone() })
        .await
        .expect("writes");
    assert_eq!(store.due_notices(at(u32::MAX.into())).await.expect("reads"), DueNotices::default());
    assert!(!store.has_untried_notices().await.expect("reads"));
    assert_eq!(store.notices_given_up().await.expect("reads"), [(JOB, failure)]);
}

#[tokio::test]
async fn what_was_reported_durable_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    assert_eq!(store.load().await.expect("loads"), Recovered::default());
    commit_all(&store, &mut commits, half_done()).await;
    let expected = Recovered { jobs: vec![half_done_recovered()], ..Recovered::default() };
    assert_eq!(store.load().await.expect("loads"), expected);
    drop((store, commits));
    let (store, _commits) = Store::open(folder.path()).expect("opens again");
    assert_eq!(store.load().await.expect("loads"), expected);
}

#[tokio::test]
async fn a_pause_and_a_priority_are_kept_until_they_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    let paused = Record::JobPaused { job: JOB, at: at(1500) };
    let priority = Record::PrioritySet { job: JOB, priority: -3 };
    commit_all(&store, &mut commits, vec![accepted(), paused.clone(), priority.clone()]).await;
    let job = &store.load().await.expect("loads").jobs[0];
    assert_eq!((job.paused_at, job.priority), (Some(at(1500)), Some(-3)));
    drop((store, commits));

    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    let ended = Record::JobEnded { job: JOB, end: JobEnd::Cancelled, at: at(2000) };
    let resumed = Record::JobResumed { job: JOB };
    let records = vec![accepted(), priority, paused.clone(), resumed, paused, ended];
    commit_all(&store, &mut commits, records).await;
    let job = &store.load().await.expect("loads").jobs[0];
    assert_eq!((job.paused_at, job.priority), (None, Some(-3)), "what has ended is not paused");
}

#[tokio::test]
async fn a_movement_and_that_its_end_was_told_are_kept() {
    let notice = |occasion| Record::NoticeDue {
        job: JOB,
        notice: Notice {
            occasion,
            target: NotifyTarget::Command(vec!["tell".to_owned()]),
            name: "planets".to_owned(),
            items: 0,
            items_failed: 0,
            text: "nothing was settled".to_owned(),
            at: at(2000),
        },
    };
    let moved = |millis| Record::JobMoved { job: JOB, at: at(millis) };
    let cases = [
        (vec![], None),
        (vec![notice(Occasion::Stalled)], None),
        (vec![moved(1000), moved(1500)], Some((1500, false))),
        (vec![moved(1500), notice(Occasion::Done)], Some((1500, false))),
        (vec![moved(1500), notice(Occasion::Stalled)], Some((1500, true))),
        (vec![moved(1500), notice(Occasion::Stalled), moved(2500)], Some((2500, false))),
    ];
    for (records, expected) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, mut commits) = Store::open(folder.path()).expect("opens");
        commit_all(&store, &mut commits, [vec![accepted()], records.clone()].concat()).await;
        let movement = store.load().await.expect("loads").jobs[0].movement;
        let expected = expected
            .map(|(moved_at, stall_told)| RecoveredMovement { moved_at: at(moved_at), stall_told });
        assert_eq!(movement, expected, "{records:?}");
    }
}

#[tokio::test]
async fn an_ended_job_keeps_its_outputs_and_sums() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    let outputs: Vec<_> = ["z.csv", "a/b.svg"]
        .map(|name| StageOutput {
            name: name.parse().expect("a name"),
            blob: BlobRef::of(name.as_bytes()),
        })
        .into();
    let cause = FailureCause::Task { unit: 4 };
    let end = JobEnd::Failed { reason: "item 3 failed: no data".to_owned(), cause };
    let mut records = half_done();
    records.push(Record::StageDone { job: JOB, stage: SEARCH, outputs: outputs.clone() });
    records.push(Record::StageDone { job: JOB, stage: REPORT, outputs: Vec::new() });
    records.push(Record::JobEnded { job: JOB, end: end.clone(), at: at(2000) });
    commit_all(&store, &mut commits, records).await;
    let job = &store.load().await.expect("loads").jobs[0];
    assert_eq!(job.end, Some((end, at(2000))));
    assert_eq!(job.stages[0].outputs, Some(outputs));
    assert_eq!(job.stages[1].outputs, Some(Vec::new()));
    assert_eq!(job.stages[0].items_settled, 30);
    assert!(job.stages[0].settled.is_empty(), "units of ended jobs are not read");
}

#[tokio::test]
async fn the_records_of_a_commit_are_there_together_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    // A repeated record breaks the second commit after its first record was written.
    let second = vec![opened(JOB, 7), accepted()];
    commit_all(&store, &mut commits, vec![accepted()]).await;
    store.commit(Sequence(2), second).await.expect("queued");
    let error = commits.next().await.expect_err("refused");
    assert!(matches!(error, StoreError::Sqlite { .. }), "{error}");
    let again = commits.next().await.expect_err("still refused");
    assert_eq!(again.to_string(), error.to_string());
    let error = loop {
        // The writer may still be on its way out; it takes nothing more either way.
        if let Err(error) = store.commit(Sequence(3), Vec::new()).await {
            break error;
        }
    };
    assert!(matches!(error, StoreError::Failed { .. }), "{error}");
    drop((store, commits));
    let (store, _commits) = Store::open(folder.path()).expect("opens again");
    assert_eq!(store.load().await.expect("loads").jobs[0].stages[0].items, None);
}

#[tokio::test]
async fn settled_results_come_in_the_order_of_items_over_many_pages() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    let units = 300;
    let mut records = vec![accepted(), Record::BlockCut { job: JOB, block: block(0, units) }];
    records.extend((0..u64::from(units)).rev().flat_map(settle));
    commit_all(&store, &mut commits, records).await;
    let mut results = store.settled_results(JOB, SEARCH);
    for unit in 0..u64::from(units) {
        let expected = SettledUnit {
            unit: UnitId { job: JOB, number: unit },
            items: items(unit * 10, unit * 10 + 10),
            outcome: Some(outcome(unit)),
        };
        assert_eq!(results.next().await.expect("reads"), Some(expected));
    }
    assert_eq!(results.next().await.expect("reads"), None);
    let mut none = store.settled_results(JOB, REPORT);
    assert_eq!(none.next().await.expect("reads"), None);
}

/// Unit 1 of three found no answer; of its items cut out once more, 10 to 19, the last found none
/// again.
fn cut_once_more() -> Vec<Record> {
    let unit = |number| UnitId { job: JOB, number };
    let block_of_items =
        Block { stage: SEARCH, first_unit: 3, units: 10, items: items(10, 20), unit_items: 1 };
    let mut records = vec![
        accepted(),
        opened(JOB, 30),
        Record::BlockCut { job: JOB, block: block(0, 3) },
        Record::UnitReplaced { stage: SEARCH, unit: unit(1) },
        Record::BlockCut { job: JOB, block: block_of_items },
    ];
    records.extend([2, 0].into_iter().flat_map(settle));
    for number in (3..12).rev() {
        let opinion = Opinion { attempt: attempt(number, 1), ..opinion(number, 1) };
        records.push(Record::ResultAccepted {
            opinion,
            outcome: outcome(number),
            log: String::new(),
        });
        let (item, unit) = (number + 7, unit(number));
        records.push(Record::ItemSettled { stage: SEARCH, item, unit, attempt: Some(1) });
    }
    let failed = vec![FailedItems::new(items(19, 20), FailureKind::Unanswered, "no answer")];
    records.push(Record::ItemsFailed { stage: SEARCH, unit: unit(12), failed });
    let (item, unit) = (19, unit(12));
    records.push(Record::ItemSettled { stage: SEARCH, item, unit, attempt: None });
    records
}

#[tokio::test]
async fn items_cut_out_once_more_lie_between_the_units_and_count_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    commit_all(&store, &mut commits, cut_once_more()).await;
    let mut results = store.settled_results(JOB, SEARCH);
    let mut next_item = 0;
    let mut unanswered = Vec::new();
    while let Some(unit) = results.next().await.expect("reads") {
        assert_eq!(unit.items.start, next_item);
        next_item = unit.items.end;
        if unit.outcome.is_none() {
            unanswered.push(unit.items);
        }
    }
    assert_eq!((next_item, unanswered), (30, vec![items(19, 20)]));
    let stage = store.load().await.expect("loads").jobs.remove(0).stages.remove(0);
    assert_eq!(stage.settled, (0..13).collect::<Vec<_>>());
    assert_eq!((stage.items_settled, stage.items_failed, stage.units_settled), (30, 1, 12));
}

#[tokio::test]
async fn each_opening_has_a_greater_epoch_and_the_same_lease_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let claims = gleaner_protocol::LeaseClaims {
        worker: WorkerId([1; 32]),
        attempt: attempt(1, 1),
        stage: SEARCH,
        items: items(0, 1),
        input: gleaner_protocol::BlobHash::of(b""),
        epoch: Epoch(1),
    };
    let mut tokens = Vec::new();
    for opening in 1..4 {
        let (store, _commits) = Store::open(folder.path()).expect("opens");
        assert_eq!(store.epoch(), Epoch(opening));
        tokens.push(store.lease_key().seal(&claims));
    }
    assert!(tokens.iter().all(|token| *token == tokens[0]));
}

#[tokio::test]
async fn a_second_coordinator_is_refused_by_the_folders_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let _first = Store::open(folder.path()).expect("opens");
    let error = Store::open(folder.path()).expect_err("refused");
    let expected = format!(
        "the folder {:?} is in use by a running coordinator (process {}); stop it, or choose \
         another folder with --data",
        folder.path(),
        std::process::id()
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_full_disk_is_told_and_loses_nothing_that_was_durable() {
    let folder = tempfile::tempdir().expect("a folder");
    let path: Arc<Path> = folder.path().join(FILE).into();
    let lock = FolderLock::take(folder.path()).expect("free");
    let connection = schema::open_writer(&path).expect("opens");
    let pages: u32 =
        connection.pragma_query_value(None, "page_count", |row| row.get(0)).expect("a number");
    connection.pragma_update(None, "max_page_count", pages + 20).expect("set");
    let (store, mut commits) = Store::start(lock, path, connection).expect("starts");
    commit_all(&store, &mut commits, half_done()).await;
    let large = Outcome::Refused { reason: "x".repeat(500_000) };
    let log = String::new();
    let record = Record::ResultAccepted { opinion: opinion(5, 1), outcome: large, log };
    store.commit(Sequence(1000), vec![record]).await.expect("queued");
    let error = store.until_full().await;
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    let refused = store.invite(InvitationSecret([7; 16]), at(0), terms(100, None)).await;
    assert!(matches!(refused, Err(StoreError::DiskFull { .. })), "{refused:?}");
    drop((store, commits));
    let (store, _commits) = Store::open(folder.path()).expect("opens again");
    let expected = Recovered { jobs: vec![half_done_recovered()], ..Recovered::default() };
    assert_eq!(store.load().await.expect("loads"), expected);
}

#[test]
fn a_log_whose_index_finds_no_room_is_on_a_full_disk() {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
    let error = rusqlite::Error::SqliteFailure(code, None);
    let told = StoreError::of_sqlite(Path::new("store.sqlite"), error);
    assert!(matches!(told, StoreError::DiskFull { .. }), "{told}");
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_READ);
    let error = rusqlite::Error::SqliteFailure(code, None);
    let told = StoreError::of_sqlite(Path::new("store.sqlite"), error);
    assert!(matches!(told, StoreError::Sqlite { .. }), "{told}");
}

#[test]
fn a_damaged_store_and_a_newer_one_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(FILE), [b'x'; 8192]).expect("written");
    let error = Store::open(folder.path()).expect_err("refused");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");

    let folder = tempfile::tempdir().expect("a folder");
    drop(Store::open(folder.path()).expect("opens"));
    let connection = Connection::open(folder.path().join(FILE)).expect("opens");
    connection.pragma_update(None, "user_version", 1000).expect("set");
    let error = Store::open(folder.path()).expect_err("refused");
    assert!(matches!(error, StoreError::TooNew { found: 1000, .. }), "{error}");
}

#[test]
fn gaps_are_what_is_cut_and_not_settled() {
    let check = |settled: &[u64], expected: &[(u64, u64)]| {
        let mut second = block(7, 2);
        second.first_unit = 7;
        assert_eq!(load::gaps(&[block(0, 3), second], settled), expected, "{settled:?}");
    };
    check(&[], &[(0, 3), (7, 9)]);
    check(&[0, 1, 2, 7, 8], &[]);
    check(&[1, 8], &[(0, 1), (2, 3), (7, 8)]);
    check(&[0, 7], &[(1, 3), (8, 9)]);
}
