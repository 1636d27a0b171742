//! Backups made and restored.

use std::collections::BTreeMap;

use super::*;
use crate::project::{PROJECT_KEY_FILE, Project, wall_clock};

fn options(data: &Path, target: &Path) -> BackupOptions {
    BackupOptions { data: data.to_owned(), target: target.to_owned(), base: None }
}

fn backed_up(options: &BackupOptions) -> Result<Backup, BackupError> {
    back_up(options, &mut |_| {})
}

fn restored(backup: &Path, data: &Path) -> Result<Restored, RestoreError> {
    let (backup, data) = (backup.to_owned(), data.to_owned());
    let options = RestoreOptions { backup, data, network_folders: NetworkFolders::Refuse };
    restore(&options, &mut |_| {})
}

/// The bytes of every file below `folder`, by its path.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => drop(files.insert(path.clone(), fs::read(path).expect("a file"))),
            }
        }
    }
    files
}

#[tokio::test]
async fn a_backup_is_whole_and_what_is_restored_from_it_is_too() {
    let (data, place) = (coordinator().await, tempfile::tempdir().expect("a folder"));
    let target = place.path().join("monday");
    let Backup { folder, manifest, blobs_linked } =
        backed_up(&options(data.path(), &target)).expect("backed up");
    assert_eq!(folder, place.path().canonicalize().expect("there").join("monday"));
    assert_eq!((manifest.jobs, manifest.blobs, blobs_linked), (1, 3, 0));
    let verification = verify_backup(&target, &mut |_| {}).expect("it can be read");
    assert_eq!((verification.faults, verification.blobs), (vec![], 3));
    let left: Vec<_> = fs::read_dir(place.path()).expect("there").collect();
    assert_eq!(left.len(), 1, "nothing else is left: {left:?}");

    let new = place.path().join("new/coordinator");
    let Restored { manifest: said, has_project_key } = restored(&target, &new).expect("restored");
    assert_eq!((said, has_project_key), (manifest, true));
    assert_eq!(faults(&new), []);
    Project::load(&new, wall_clock()).expect("the project can be served");
    let before = Store::open(data.path()).expect("opens").0;
    let after = Store::open(&new).expect("opens").0;
    let (before, after) = (before.load().await, after.load().await);
    let (before, after) = (before.expect("reads"), after.expect("reads"));
    assert_eq!(before.jobs, after.jobs);
    assert_eq!((before.first.job, after.first.job), (JobId(1), JobId(1_000_001)));
}

#[cfg(unix)]
#[tokio::test]
async fn a_backup_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let (data, place) = (coordinator().await, tempfile::tempdir().expect("a folder"));
    let target = place.path().join("monday");
    backed_up(&options(data.path(), &target)).expect("backed up");
    let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&target), 0o700);
    for path in files(&target).keys() {
        assert_eq!(mode(path), 0o600, "{path:?}");
    }
}

#[tokio::test]
async fn a_backup_without_the_projects_key_can_be_served() {
    let (data, place) = (coordinator().await, tempfile::tempdir().expect("a folder"));
    fs::remove_file(data.path().join(PROJECT_KEY_FILE)).expect("taken away");
    let (target, new) = (place.path().join("monday"), place.path().join("new"));
    backed_up(&options(data.path(), &target)).expect("backed up");
    assert!(!restored(&target, &new).expect("restored").has_project_key);
    Project::load(&new, wall_clock()).expect("the project can be served");
}

#[tokio::test]
async fn blobs_that_an_earlier_backup_has_are_linked() {
    let (data, place) = (coordinator().await, tempfile::tempdir().expect("a folder"));
    let [monday, tuesday] = ["monday", "tuesday"].map(|day| place.path().join(day));
    backed_up(&options(data.path(), &monday)).expect("backed up");
    fs::remove_file(blob_path(&monday, OUTPUT)).expect("removed");
    let base = Some(monday.clone());
    let second = BackupOptions { base, ..options(data.path(), &tuesday) };
    assert_eq!(backed_up(&second).expect("backed up").blobs_linked, 2);
    fs::remove_dir_all(&monday).expect("removed");
    assert_eq!(verify_backup(&tuesday, &mut |_| {}).expect("it can be read").faults, []);
    let base = Some(data.path().to_owned());
    let third = BackupOptions { base, ..options(data.path(), &place.path().join("third")) };
    assert!(matches!(backed_up(&third), Err(BackupError::Base(ManifestError::Missing { .. }))));
}

#[tokio::test]
async fn a_backup_has_a_place_of_its_own() {
    let (data, place) = (coordinator().await, tempfile::tempdir().expect("a folder"));
    let told = |target: &Path| {
        let error = backed_up(&options(data.path(), target)).expect_err("refused");
        error.to_string()
    };
    assert!(told(&data.path().join("blobs/backup")).contains("the folder that it is to save"));
    assert!(told(place.path()).contains("is there already"));
    assert!(told(&place.path().join("not/there")).contains("there is no folder"));
    assert!(told(Path::new("/")).contains("is there already"));
    let mine = place.path().join("monday.unfinished");
    fs::create_dir(&mine).expect("made");
    fs::write(mine.join("diary"), "mine").expect("written");
    assert!(told(&place.path().join("monday")).contains("is in the way"));
    let empty = tempfile::tempdir().expect("a folder");
    let none = backed_up(&options(empty.path(), &place.path().join("none")));
    assert!(matches!(none, Err(BackupError::Project(_))), "{none:?}");
    assert_eq!(files(place.path()).len(), 1, "nothing was written");
}

#[tokio::test]
async fn an_empty_folder_that_a_backup_left_before_it_had_its_lock_is_not_in_the_way() {
    let (data, place) = (coordinator().await, tempfile::tempdir().expect("a folder"));
    let left = place.path().join("monday.unfinished");
    fs::create_dir(&left).expect("made");
    backed_up(&options(data.path(), &place.path().join("monday"))).expect("backed up");
    assert!(!left.exists());
}

#[tokio::test]
async fn what_a_killed_backup_left_is_replaced_and_one_under_way_is_not_disturbed() {
    let (data, place) = (coordinator().await, tempfile::tempdir().expect("a folder"));
    let target = place.path().join("monday");
    let left = place.path().join("monday.unfinished");
    fs::create_dir(&left).expect("made");
    fs::write(left.join("store.sqlite"), "half").expect("written");
    let lock = gleaner_folder::FolderLock::take(&left).expect("free");
    let refused = backed_up(&options(data.path(), &target));
    let is_in_use = matches!(refused, Err(BackupError::Write(WriteError::InUse { .. })));
    assert!(is_in_use, "{refused:?}");
    drop(lock);
    backed_up(&options(data.path(), &target)).expect("backed up");
    assert!(!left.exists());
    assert_eq!(verify_backup(&target, &mut |_| {}).expect("it can be read").faults, []);
}

#[tokio::test]
async fn a_damaged_blob_is_in_no_backup() {
    let (data, place) = (coordinator().await, tempfile::tempdir().expect("a folder"));
    fs::write(blob_path(data.path(), OUTPUT), "an outpud").expect("written");
    let error = backed_up(&options(data.path(), &place.path().join("monday")));
    let error = error.expect_err("refused").to_string();
    assert!(error.contains("its bytes have changed") && error.contains("job-1"), "{error}");
    assert!(files(place.path()).is_empty(), "nothing of it is left");
}

#[tokio::test]
async fn every_damage_to_a_backup_is_found_and_nothing_is_restored_from_it() {
    let (data, place) = (coordinator().await, tempfile::tempdir().expect("a folder"));
    let (backup, new) = (place.path().join("monday"), place.path().join("new"));
    backed_up(&options(data.path(), &backup)).expect("backed up");
    let whole = files(&backup);
    for (path, bytes) in &whole {
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        for damaged in [Some(flipped), Some(bytes[..bytes.len() / 2].to_vec()), None] {
            match damaged {
                Some(damaged) => fs::write(path, damaged).expect("written"),
                None => fs::remove_file(path).expect("removed"),
            }
            if !path.ends_with("manifest.json") {
                let found = verify_backup(&backup, &mut |_| {}).expect("it can be read");
                assert!(!found.faults.is_empty(), "{path:?}");
                let error = restored(&backup, &new).expect_err("refused");
                assert!(matches!(error, RestoreError::Damaged { .. }), "{path:?}: {error}");
            }
            assert!(!new.exists(), "nothing is left");
            fs::write(path, bytes).expect("mended");
        }
    }
    restored(&backup, &new).expect("restored");
}

#[tokio::test]
async fn a_manifest_is_read_only_when_it_is_one_of_ours() {
    let (data, place) = (coordinator().await, tempfile::tempdir().expect("a folder"));
    let (backup, new) = (place.path().join("monday"), place.path().join("new"));
    backed_up(&options(data.path(), &backup)).expect("backed up");
    let path = backup.join("manifest.json");
    let text = fs::read_to_string(&path).expect("there");
    let told = |text: &str| {
        fs::write(&path, text).expect("written");
        restored(&backup, &new).expect_err("refused").to_string()
    };
    assert!(told("{").contains("is damaged"));
    assert!(told(&text.replace("\"form\": 1", "\"form\": 9")).contains("is of form 9"));
    let foreign = text.replace("\"host.key\"", "\"../host.key\"");
    assert!(told(&foreign).contains("names a file \"../host.key\", which no backup has"));
    fs::remove_file(&path).expect("removed");
    let none = restored(&backup, &new).expect_err("refused").to_string();
    assert!(none.contains("is no backup"), "{none}");
}

#[tokio::test]
async fn a_folder_with_something_in_it_is_not_restored_into() {
    let (data, place) = (coordinator().await, tempfile::tempdir().expect("a folder"));
    let backup = place.path().join("monday");
    backed_up(&options(data.path(), &backup)).expect("backed up");
    let refused = restored(&backup, data.path()).expect_err("refused");
    assert!(matches!(refused, RestoreError::NotEmpty { .. }), "{refused}");
    let empty = place.path().join("empty");
    fs::create_dir(&empty).expect("made");
    restored(&backup, &empty).expect("an empty folder will do");
    assert_eq!(faults(&empty), []);
}

#[test]
fn a_coordinator_that_was_never_started_has_nothing_to_back_up() {
    let (folder, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    init(folder.path(), init_options()).expect("made");
    let target = place.path().join("backup");
    let refused = backed_up(&options(folder.path(), &target));
    assert!(matches!(refused, Err(BackupError::NeverStarted { .. })), "{refused:?}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "and nothing is made");
}
