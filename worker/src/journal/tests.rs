use std::sync::Mutex;

use gleaner_protocol::{
    AttemptId, BlobHash, Epoch, ItemRange, JobId, LeaseClaims, LeaseKey, Outcome, StageIndex,
    UnitId, WorkerId,
};

use super::*;

const PROJECT: ProjectId = ProjectId([1; 32]);

fn key(unit: u64) -> AttemptKey {
    let unit = UnitId { job: JobId(1), number: unit };
    AttemptKey { project: PROJECT, attempt: AttemptId { unit, number: 1 } }
}

fn result(unit: u64) -> UnitResult {
    let claims = LeaseClaims {
        worker: WorkerId([1; 32]),
        attempt: key(unit).attempt,
        stage: StageIndex(0),
        items: ItemRange { start: 0, end: 1 },
        input: BlobHash([2; 32]),
        epoch: Epoch(1),
    };
    let token = LeaseKey::new([3; 32]).seal(&claims);
    let outcome = Outcome::Failed { item: unit, message: "x".repeat(2_000) };
    UnitResult { claims, token, outcome, cpu: Duration::from_millis(5), log: "said".into() }
}

/// A journal, what was left in it, and where its reports go.
fn open(path: &Path) -> (Journal, Vec<u64>, mpsc::Receiver<(AttemptKey, Place)>) {
    let (reports, reported) = mpsc::channel();
    let (journal, left) = Journal::open(path, move |keys, place| {
        keys.into_iter().for_each(|key| reports.send((key, place)).unwrap_or(()));
    })
    .unwrap();
    for (project, found) in &left {
        assert_eq!((project, found), (&PROJECT, &result(found.claims.attempt.unit.number)));
    }
    (journal, left.iter().map(|(_, r)| r.claims.attempt.unit.number).collect(), reported)
}

#[test]
fn results_are_there_after_a_restart_until_they_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.db");
    let (journal, left, reported) = open(&path);
    assert!(left.is_empty());
    for unit in 0..3 {
        journal.keep(key(unit), Arc::new(result(unit)));
        assert_eq!(reported.recv().unwrap(), (key(unit), Place::Disk));
    }
    journal.forget(key(1));
    let (found, read) = mpsc::channel();
    let then = Box::new(move |results| drop(found.send(results)));
    journal.read(vec![key(0), key(1), key(7)], then);
    assert_eq!(read.recv().unwrap(), [result(0)]);
    drop(journal);
    let (_journal, left, _) = open(&path);
    assert_eq!(left, [0, 2]);
}

#[test]
fn a_result_that_the_disk_does_not_take_stays_in_memory_and_is_tried_again() {
    let database = Connection::open_in_memory().unwrap();
    prepare(&database).unwrap();
    let used: u32 = database.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    database.pragma_update(None, "max_page_count", used).unwrap();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&reports);
    let on_kept = Box::new(move |keys: Vec<_>, place| {
        told.lock().unwrap().extend(keys.into_iter().map(|key| (key, place)));
    });
    let mut writer = Writer::new(database, HashMap::new(), on_kept).unwrap();
    let keep = |unit| BTreeMap::from([(key(unit), Some(Arc::new(result(unit))))]);
    // The last page takes no more than two of these.
    assert_eq!((0..4).map(|unit| writer.commit(keep(unit))).last(), Some(Place::Memory));
    assert_eq!(reports.lock().unwrap().last(), Some(&(key(3), Place::Memory)));
    assert_eq!(writer.read(key(3)), Some(result(3)));
    writer.database.pragma_update(None, "max_page_count", 1_000).unwrap();
    assert_eq!(writer.commit(BTreeMap::new()), Place::Disk);
    assert!(writer.unwritten.is_empty());
    assert_eq!(writer.read(key(3)), Some(result(3)));
    assert_eq!(reports.lock().unwrap().len(), 4, "each result is reported once");
}

#[test]
fn results_that_an_earlier_version_left_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.db");
    let tables = "CREATE TABLE results (project BLOB NOT NULL, attempt BLOB NOT NULL, \
                  result BLOB NOT NULL, PRIMARY KEY (project, attempt)); PRAGMA user_version = 1;";
    let database = Connection::open(&path).unwrap();
    database.execute_batch(tables).unwrap();
    for unit in 0..2 {
        let values =
            params![PROJECT.0, wire::encode(&key(unit).attempt), wire::encode(&result(unit))];
        database.execute("INSERT INTO results VALUES (?1, ?2, ?3)", values).unwrap();
    }
    drop(database);
    let (journal, left, reported) = open(&path);
    assert_eq!(left, [0, 1]);
    journal.forget(key(0));
    journal.keep(key(2), Arc::new(result(2)));
    assert_eq!(reported.recv().unwrap(), (key(2), Place::Disk));
    drop(journal);
    assert_eq!(open(&path).1, [1, 2]);
}

#[test]
fn a_damaged_result_is_given_up_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.db");
    let (journal, _, reported) = open(&path);
    for unit in 0..2 {
        journal.keep(key(unit), Arc::new(result(unit)));
        reported.recv().unwrap();
    }
    drop(journal);
    let database = Connection::open(&path).unwrap();
    assert_eq!(database.execute("UPDATE result SET result = x'c1' WHERE row = 1", []), Ok(1));
    assert_eq!(open(&path).1, [1]);
    let rows = database.query_row("SELECT count(*) FROM result", [], |row| row.get::<_, u32>(0));
    assert_eq!(rows, Ok(1));
}

#[test]
fn a_database_of_a_later_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.db");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", SCHEMA + 1).unwrap();
    let error = Journal::open(&path, |_, _| {}).unwrap_err();
    assert!(matches!(error, JournalError::Later { .. }), "{error}");
}
