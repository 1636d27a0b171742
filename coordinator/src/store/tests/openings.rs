//! What is kept of a stage's items when it opens.

use super::*;

#[tokio::test]
async fn what_was_found_when_a_stage_opened_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    let made = Some(BlobRef::of(b"made"));
    let opening = Opening { stage: REPORT, items: 7, unit_items_max: NonZeroU32::new(3), made };
    let answers = BlobHash([3; 32]);
    let records = vec![
        accepted(),
        opened(JOB, 100),
        Record::StageOpened { job: JOB, opening, answers, quorum: 1 },
    ];
    commit_all(&store, &mut commits, records).await;
    drop((store, commits));
    let (store, _commits) = Store::open(folder.path()).expect("opens again");
    let stages = &store.load().await.expect("loads").jobs[0].stages;
    let found = |stage: &RecoveredStage| (stage.items, stage.unit_items_max, stage.made);
    let found: Vec<_> = stages.iter().map(found).collect();
    assert_eq!(found, [(Some(100), None, None), (Some(7), NonZeroU32::new(3), made)]);
}

#[tokio::test]
async fn stages_of_an_older_store_have_the_units_that_their_specification_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    commit_all(&store, &mut commits, half_done()).await;
    drop((store, commits));
    go_back_to(folder.path(), 3);
    let (store, _commits) = Store::open(folder.path()).expect("opens");
    let mut job = half_done_recovered();
    // Nobody wrote it down then.
    job.stages[0].cpu_unanswered = Duration::ZERO;
    let expected = Recovered { jobs: vec![job], ..Recovered::default() };
    assert_eq!(store.load().await.expect("loads"), expected);
}
