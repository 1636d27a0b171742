mod backups;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gleaner_coordinator_core::{
    Block, JobEnd, Opening, Opinion, Owner, Record, Sequence, StageOutput,
};
use gleaner_folder::NetworkFolders;
use gleaner_protocol::{
    AttemptId, BlobHash, BlobRef, ItemRange, JobId, Outcome, Payload, StageIndex, SubmissionId,
    Timestamp, UnitId, WorkerId,
};
use rusqlite::Connection;
use serde_bytes::ByteBuf;
use tempfile::TempDir;

use super::*;
use crate::blobs::{Blobs, path_in};
use crate::driver::BLOBS_FOLDER;
use crate::project::{InitOptions, init};
use crate::store::{self, BlobUse, Store};
use crate::tests::job_spec;

const JOB: JobId = JobId(1);
const STAGE: StageIndex = StageIndex(0);
const OUTPUTS: &[u8] = b"outputs of a unit";
const OUTPUT: &[u8] = b"an output";

pub(super) fn init_options() -> InitOptions {
    InitOptions {
        name: "planets".into(),
        operator: "Ada".into(),
        purpose: "tests".into(),
        network_folders: NetworkFolders::Refuse,
    }
}

/// The folder of a coordinator with a job that is done, of two units: the outputs of one are in a
/// blob.
pub(super) async fn coordinator() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    init(folder.path(), init_options()).expect("made");
    let blobs = Blobs::open(&folder.path().join(BLOBS_FOLDER)).expect("opens");
    for bytes in [&b"module"[..], OUTPUTS, OUTPUT] {
        blobs.put(bytes).await.expect("kept");
    }
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    store.commit(Sequence(1), records()).await.expect("queued");
    commits.next().await.expect("durable");
    folder
}

fn records() -> Vec<Record> {
    let spec = job_spec();
    let opening = Opening { stage: STAGE, items: 10, unit_items_max: None, made: None };
    let answers = spec.stages[0].answers_key(None);
    let items = ItemRange { start: 0, end: 10 };
    let block = Block { stage: STAGE, first_unit: 0, units: 2, items, unit_items: 5 };
    let submission = SubmissionId(7);
    let (at, owner) = (Timestamp::from_millis(1000), Owner::Operator);
    let inline = vec![ByteBuf::from("row"); 5];
    let blob = Payload::Blob(BlobRef::of(OUTPUTS));
    let settled = [settled(0, Payload::Inline(inline)), settled(1, blob)];
    let name = "search.txt".parse().expect("a name");
    let outputs = vec![StageOutput { name, blob: BlobRef::of(OUTPUT) }];
    let before = vec![
        Record::JobAccepted { job: JOB, submission, owner, spec, retry_of: None, at },
        Record::StageOpened { job: JOB, opening, answers, quorum: 1 },
        Record::BlockCut { job: JOB, block },
    ];
    let after = vec![
        Record::StageDone { job: JOB, stage: STAGE, outputs },
        Record::JobEnded { job: JOB, end: JobEnd::Done, at },
    ];
    [before, settled.concat(), after].concat()
}

fn settled(unit: u64, outputs: Payload) -> Vec<Record> {
    let attempt = AttemptId { unit: UnitId { job: JOB, number: unit }, number: 1 };
    let outcome = Outcome::Completed { outputs, failures: Vec::new() };
    let opinion = Opinion {
        attempt,
        worker: WorkerId([3; 32]),
        answer: outcome.answer(),
        class: outcome.class(),
        cpu: Duration::from_millis(1),
    };
    let items = ItemRange { start: unit * 5, end: unit * 5 + 5 };
    vec![
        Record::ResultAccepted { opinion, outcome, log: String::new() },
        Record::UnitSettled { stage: STAGE, items, attempt },
    ]
}

pub(super) fn blob_path(folder: &Path, bytes: &[u8]) -> PathBuf {
    path_in(&folder.join(BLOBS_FOLDER), BlobHash::of(bytes))
}

fn faults(folder: &Path) -> Vec<Fault> {
    let verification = verify(folder, &mut |_| {}).expect("it can be read");
    assert_eq!(verification.faults_total, verification.faults.len() as u64);
    verification.faults
}

fn change(folder: &Path, statement: &str) {
    let store = Connection::open(folder.join(store::FILE)).expect("opens");
    store.pragma_update(None, "foreign_keys", false).expect("set");
    assert!(store.execute(statement, []).expect("runs") > 0, "{statement}");
}

#[tokio::test]
async fn a_folder_without_faults_is_read_whole() {
    let folder = coordinator().await;
    let mut steps = Vec::new();
    let verification = verify(folder.path(), &mut |progress| steps.push(progress));
    let bytes = (b"module".len() + OUTPUTS.len() + OUTPUT.len()) as u64;
    let expected =
        Verification { jobs: 1, outcomes: 2, blobs: 3, blob_bytes: bytes, ..Default::default() };
    assert_eq!(verification.expect("it can be read"), expected);
    assert_eq!(steps.last(), Some(&Progress { step: Step::Blobs, done: bytes, of: bytes }));
}

#[tokio::test]
async fn every_damage_to_a_blob_is_told_with_what_it_is_for() {
    let attempt = AttemptId { unit: UnitId { job: JOB, number: 1 }, number: 1 };
    let name = "search.txt".to_owned();
    let flipped = |path: &Path| {
        let mut bytes = fs::read(path).expect("there");
        bytes[2] ^= 1;
        fs::write(path, &bytes).expect("written");
        BlobFault::Content { found: BlobHash::of(&bytes) }
    };
    let missing = |path: &Path| {
        fs::remove_file(path).expect("removed");
        BlobFault::Missing
    };
    let cut = |path: &Path| {
        fs::write(path, "a").expect("written");
        BlobFault::Length { bytes: 1, expected: OUTPUT.len() as u64 }
    };
    type Damage = fn(&Path) -> BlobFault;
    let cases: [(&[u8], Damage, BlobUse); 3] = [
        (b"module", flipped, BlobUse::Job(JOB)),
        (OUTPUTS, missing, BlobUse::Outcome(attempt)),
        (OUTPUT, cut, BlobUse::Output { job: JOB, stage: STAGE, name }),
    ];
    let folder = coordinator().await;
    for (bytes, damage, used) in cases {
        let path = blob_path(folder.path(), bytes);
        let found = damage(&path);
        let hash = BlobHash::of(bytes);
        let expected = Fault::Blob { hash, path: path.clone(), found, used };
        assert!(expected.remedy().contains("gleaner rm job-1"));
        assert_eq!(faults(folder.path()), [expected]);
        fs::write(path, bytes).expect("mended");
    }
    assert_eq!(faults(folder.path()), []);
}

#[tokio::test]
async fn a_store_that_was_cut_off_or_overwritten_is_damaged() {
    let folder = coordinator().await;
    let path = folder.path().join(store::FILE);
    let whole = fs::read(&path).expect("there");
    let mut overwritten = whole.clone();
    let middle = whole.len() / 2;
    overwritten[middle..middle + 4096].fill(0xAA);
    let cut_off = [&whole[..whole.len() / 2], &whole[..100], &[]];
    for bytes in cut_off.into_iter().chain([&b"no store at all"[..], &overwritten[..]]) {
        fs::write(&path, bytes).expect("written");
        let faults = faults(folder.path());
        let is_store = |fault: &Fault| matches!(fault, Fault::Store { .. });
        assert!(!faults.is_empty() && faults.iter().all(is_store), "{faults:?}");
    }
    fs::write(&path, &whole).expect("mended");
    assert_eq!(faults(folder.path()), []);
}

#[tokio::test]
async fn records_that_contradict_themselves_are_told() {
    for (statement, told) in [
        ("UPDATE job SET spec = x'00'", "job-1: its specification cannot be read"),
        ("UPDATE opinion SET outcome = x'c0' WHERE unit = 0", "attempt-1.0.1: its answer cannot"),
        ("UPDATE opinion SET answer = zeroblob(32) WHERE unit = 1", "is not the one that was acc"),
        ("UPDATE opinion SET class = 'failure' WHERE unit = 0", "its answer is filed as"),
        ("DELETE FROM outcome_blob", "attempt-1.1.1: the blob of its outputs is not the one"),
        ("DELETE FROM opinion WHERE unit = 0", "the table `settled`: 1 rows refer to a `opinion`"),
        ("UPDATE block SET units = 1", "unit-1.1: it is in `settled`, and was never cut"),
        ("UPDATE stage SET units_settled = 9", "it says that 9 units and 10 items are settled"),
        ("UPDATE stage SET done = 0", "job-1: it is done, and a stage of it is not"),
        ("UPDATE job SET ended = 'sold'", "a start: "),
    ] {
        let folder = coordinator().await;
        change(folder.path(), statement);
        let faults: Vec<_> = faults(folder.path()).iter().map(Fault::to_string).collect();
        assert!(faults.iter().any(|fault| fault.contains(told)), "{statement}: {faults:#?}");
    }
}

#[tokio::test]
async fn a_key_that_is_gone_is_told_and_a_folder_without_a_store_is_none() {
    let folder = coordinator().await;
    fs::remove_file(folder.path().join("host.key")).expect("removed");
    assert!(matches!(&faults(folder.path())[..], [Fault::Project { .. }]));
    fs::remove_file(folder.path().join(store::FILE)).expect("removed");
    let refused = verify(folder.path(), &mut |_| {});
    assert!(matches!(refused, Err(VerifyError::NoStore { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_store_of_another_version_is_refused_with_what_to_do() {
    let folder = coordinator().await;
    let version = |version: u32| {
        let store = Connection::open(folder.path().join(store::FILE)).expect("opens");
        store.pragma_update(None, "user_version", version).expect("set");
        verify(folder.path(), &mut |_| {})
    };
    let older = version(store::VERSION - 1);
    assert!(matches!(older, Err(VerifyError::Older { .. })), "{older:?}");
    let newer = version(store::VERSION + 1);
    let newer = newer.expect_err("refused").to_string();
    assert!(newer.contains("update this program"), "{newer}");
}
