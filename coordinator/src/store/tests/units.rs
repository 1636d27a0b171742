//! Pages of units, logs, and what becomes of jobs that an older store holds.

use gleaner_protocol::OutcomeClass;

use super::*;

/// A completed attempt, as the store tells it.
fn completed(number: u32, log_bytes: u64) -> StoredAttempt {
    StoredAttempt {
        number,
        worker: WorkerId([number as u8; 32]),
        class: OutcomeClass::Completed,
        words: "completed".to_owned(),
        cpu: Some(Duration::from_micros(1500)),
        log_bytes,
    }
}

/// An attempt that a host had no memory for.
fn inconclusive(number: u32) -> StoredAttempt {
    StoredAttempt {
        number,
        worker: WorkerId([9; 32]),
        class: OutcomeClass::Inconclusive,
        words: Outcome::HostMemory.to_string(),
        cpu: Some(Duration::from_micros(700)),
        log_bytes: "item 10 warn: short of memory\n".len() as u64,
    }
}

fn told(number: u64, attempts: Vec<StoredAttempt>, settled_by: Option<u32>) -> UnitEntry {
    let items = items(number * 10, number * 10 + 10);
    UnitEntry::Told(StoredUnit {
        number,
        stage: SEARCH,
        items,
        attempts,
        settled_by,
        unanswered: None,
        items_failed: 0,
        failures: Vec::new(),
    })
}

fn untold(first_unit: u64, units: u64) -> UnitEntry {
    let items = items(first_unit * 10, (first_unit + units) * 10);
    UnitEntry::Untold { first_unit, units, unit_items: 10, stage: SEARCH, items }
}

fn query(from: u64, choice: UnitChoice) -> UnitsQuery {
    UnitsQuery { job: JOB, from, stage: None, choice }
}

#[tokio::test]
async fn units_are_told_in_their_order_with_what_came_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    commit_all(&store, &mut commits, half_done()).await;
    let all = [
        told(0, vec![completed(1, 0)], Some(1)),
        told(1, vec![completed(1, 0), inconclusive(3)], Some(1)),
        told(2, vec![completed(2, 23)], None),
        told(3, vec![inconclusive(3)], None),
        told(4, vec![completed(1, 0)], Some(1)),
        untold(5, 1),
        UnitEntry::Uncut { stage: SEARCH, items: items(60, 100) },
    ];
    let page = store.units(query(0, UnitChoice::All)).await.expect("reads");
    assert_eq!(page, StoredUnits { entries: all.to_vec(), next: None });
    let page = store.units(query(4, UnitChoice::All)).await.expect("reads");
    assert_eq!(page.entries, all[4..]);
    let page = store.units(query(0, UnitChoice::Troubled)).await.expect("reads");
    assert_eq!(page.entries, [all[1].clone(), all[3].clone()]);
    let other = UnitsQuery { stage: Some(REPORT), ..query(0, UnitChoice::All) };
    assert_eq!(store.units(other).await.expect("reads").entries, []);
    let nobodys = UnitsQuery { job: JobId(9), ..query(0, UnitChoice::All) };
    assert_eq!(store.units(nobodys).await.expect("reads").entries, []);
}

#[tokio::test]
async fn a_long_list_comes_in_pages_that_fit_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    let opened = opened(JOB, 30_000);
    let mut records = vec![accepted(), opened];
    records.extend((0..3).map(|n| Record::BlockCut { job: JOB, block: block(n * 1000, 1000) }));
    // Every second unit of the first two blocks is settled; the third was never touched.
    records.extend((0..2000).step_by(2).flat_map(settle));
    commit_all(&store, &mut commits, records).await;
    let mut next = Some(0);
    let (mut entries, mut pages) = (Vec::new(), 0);
    while let Some(from) = next {
        let page = store.units(query(from, UnitChoice::All)).await.expect("reads");
        assert!(page.entries.len() <= 1001, "a page has {} entries", page.entries.len());
        entries.extend(page.entries);
        (next, pages) = (page.next, pages + 1);
    }
    assert_eq!(pages, 3);
    let mut expected: Vec<_> = (0..2000)
        .map(|unit| match unit % 2 {
            0 => told(unit, vec![completed(1, 0)], Some(1)),
            _ => untold(unit, 1),
        })
        .collect();
    // The block that nobody touched is one run.
    expected.push(untold(2000, 1000));
    assert_eq!(entries, expected);
}

#[tokio::test]
async fn a_unit_tells_its_first_failed_items_and_how_many_there_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    let mut records = vec![accepted(), opened(JOB, 30_000)];
    records.extend((0..3).map(|n| Record::BlockCut { job: JOB, block: block(n * 1000, 1000) }));
    let failed = |unit: u64| {
        let kind = FailureKind::Failed;
        let each = (0..12).map(|n| unit * 10 + n % 10 + n / 10 * 20_000);
        let failed = each.map(|item| FailedItems::new(items(item, item + 1), kind, "no star"));
        let unit = UnitId { job: JOB, number: unit };
        Record::ItemsFailed { stage: SEARCH, unit, failed: failed.collect() }
    };
    records.extend((0..60).map(failed));
    commit_all(&store, &mut commits, records).await;
    let unit = store.unit(UnitId { job: JOB, number: 7 }).await.expect("reads").expect("is there");
    let told: Vec<_> = unit.failures.iter().map(|failure| failure.items.start).collect();
    assert_eq!((unit.items_failed, told), (12, (70..80).collect()));
    assert_eq!(unit.failures[0].message, "no star");
    let (mut next, mut units) = (Some(0), Vec::new());
    while let Some(from) = next {
        let page = store.units(query(from, UnitChoice::Troubled)).await.expect("reads");
        assert!(page.entries.len() <= 25, "a page tells of {} units", page.entries.len());
        units.extend(page.entries.iter().map(|entry| match entry {
            UnitEntry::Told(unit) => unit.number,
            other => panic!("{other:?} is no unit that failed"),
        }));
        next = page.next;
    }
    assert_eq!(units, (0..60).collect::<Vec<_>>());
}

#[tokio::test]
async fn logs_are_told_of_each_attempt_that_came_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    commit_all(&store, &mut commits, half_done()).await;
    let logs = async |unit| {
        let logs = store.logs(UnitId { job: JOB, number: unit }).await.expect("reads");
        let told = |log: StoredLog| (log.attempt.number, log.words, log.log);
        logs.map(|logs| logs.into_iter().map(told).collect::<Vec<_>>())
    };
    let completed = |number, log: &str| (number, "completed".to_owned(), log.to_owned());
    assert_eq!(logs(2).await, Some(vec![completed(2, "item 20 info: half way\n")]));
    let words = Outcome::HostMemory.to_string();
    let short = (3, words, "item 10 warn: short of memory\n".to_owned());
    assert_eq!(logs(1).await, Some(vec![completed(1, ""), short]));
    assert_eq!(logs(5).await, Some(Vec::new()));
    assert_eq!(logs(6).await, None, "it is not cut yet");
}

#[tokio::test]
async fn jobs_that_failed_before_causes_were_kept_get_theirs() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = Connection::open(folder.path().join(FILE)).expect("opens");
    old.execute_batch(include_str!("../schema_1.sql")).expect("an older store");
    old.pragma_update(None, "user_version", 1).expect("set");
    let spec = gleaner_protocol::wire::encode(&spec());
    let reasons = [
        "unit-1.0 (items 0..10): item 3 failed: no data",
        "unit-2.4: 5 attempts ended without an answer, the last one: no memory",
        "stage `report`: its results cannot be put together",
    ];
    for (job, reason) in (1_u64..).zip(reasons) {
        let statement = "INSERT INTO job (job, submission, spec, submitted_at, ended, failure, \
                         ended_at) VALUES (?1, ?2, ?3, 0, 'failed', ?4, 1)";
        let submission = u128::from(job).to_be_bytes();
        old.execute(statement, params![job, submission, spec, reason]).expect("written");
        for stage in 0..2 {
            old.execute("INSERT INTO stage (job, stage) VALUES (?1, ?2)", params![job, stage])
                .expect("written");
        }
    }
    old.execute_batch(
        "INSERT INTO opinion VALUES (1, 0, 1, x'00', x'00', 'failure', 0, x'00');
         INSERT INTO settled VALUES (1, 0, 0, 1, 0, 10);
         INSERT INTO inconclusive VALUES (2, 3, 1, x'00', x'00'), (2, 4, 1, x'00', x'00'),
            (2, 4, 2, x'00', x'00'), (3, 0, 1, x'00', x'00');",
    )
    .expect("written");
    drop(old);
    let (store, _commits) = Store::open(folder.path()).expect("opens");
    let causes = store.load().await.expect("loads").jobs.into_iter().map(|job| match job.end {
        Some((JobEnd::Failed { cause, .. }, _)) => cause,
        other => panic!("{} ended as {other:?}", job.job),
    });
    let expected =
        [FailureCause::Task { unit: 0 }, FailureCause::NoAnswer { unit: 4 }, FailureCause::Stage];
    assert_eq!(causes.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn failed_items_come_in_pages_that_fit_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    let unit = |number| UnitId { job: JOB, number };
    let failed = |start, end| {
        FailedItems::new(items(start, end), FailureKind::Failed, &format!("no {start}"))
    };
    let many = (0..1000).map(|item| failed(item * 2, item * 2 + 1)).collect();
    let mut records = half_done();
    records.push(Record::ItemsFailed { stage: REPORT, unit: unit(9), failed: vec![failed(0, 4)] });
    records.push(Record::ItemsFailed { stage: SEARCH, unit: unit(3), failed: many });
    commit_all(&store, &mut commits, records).await;
    let (mut told, mut stage, mut item) = (Vec::new(), SEARCH, 0);
    loop {
        let page = store.failures(JOB, stage, item).await.expect("reads");
        let Some(last) = page.last() else { break };
        assert!(page.len() < 1000, "it is a page");
        (stage, item) = (last.stage, last.items.end);
        told.extend(page);
    }
    assert_eq!(told.len(), 1001);
    assert!(told[..1000].iter().map(|failure| failure.items.start).eq((0..1000).map(|n| n * 2)));
    let expected = StoredFailure {
        stage: REPORT,
        items: items(0, 4),
        unit: unit(9),
        kind: "failed".to_owned(),
        message: "no 0".to_owned(),
    };
    assert_eq!(told[1000], expected);
    assert_eq!(store.failures(JobId(9), SEARCH, 0).await.expect("reads"), []);
}

#[tokio::test]
async fn who_gave_an_answer_is_told_apart_from_who_did_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    let second = Opinion { worker: WorkerId([7; 32]), ..opinion(0, 2) };
    let other = Opinion { answer: outcome(9).answer(), worker: WorkerId([8; 32]), ..opinion(0, 3) };
    let accepted = |opinion, unit| {
        let (outcome, log) = (outcome(unit), String::new());
        Record::ResultAccepted { opinion, outcome, log }
    };
    let mut records = half_done();
    records.extend([accepted(second, 0), accepted(other, 9)]);
    commit_all(&store, &mut commits, records).await;
    let apart = store.read_apart().expect("opens");
    let work = apart.work(JOB, SEARCH, CutKind::First, 0, 2).await.expect("reads");
    let expected = SettledWork {
        unit: 0,
        items: items(0, 10),
        answer: Some(outcome(0).answer()),
        agreed: vec![WorkerId([1; 32]), WorkerId([7; 32])],
        disagreed: vec![WorkerId([8; 32])],
        without_answer: Vec::new(),
    };
    assert_eq!(work.first(), Some(&expected));
    assert_eq!(work[1].without_answer, [WorkerId([9; 32])]);
    assert_eq!(work.len(), 2);
    let rest = apart.work(JOB, SEARCH, CutKind::First, 2, 100).await.expect("reads");
    assert_eq!(rest.iter().map(|work| work.unit).collect::<Vec<_>>(), [4]);
    assert_eq!(apart.work(JOB, SEARCH, CutKind::Alone, 0, 100).await.expect("reads"), []);
    let submitted = store.submitted(JOB).await.expect("reads").expect("it is there");
    assert_eq!(submitted.spec, spec());
    assert_eq!(store.submitted(JobId(9)).await.expect("reads"), None);
}
