//! Keys on disk: made once, private, never overwritten.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_host_key_is_made_once_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-key");
    let made = HostKey::load_or_create(&path).unwrap();
    assert_eq!(HostKey::load_or_create(&path).unwrap().id(), made.id());
    assert_eq!(HostKey::load(&path).unwrap().id(), made.id());
    let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{mode:o}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn two_processes_that_make_a_host_key_get_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-key");
    let ids: Vec<_> = std::thread::scope(|scope| {
        let load = || HostKey::load_or_create(&path).unwrap().id();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[test]
fn a_project_key_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("project-key");
    let missing = ProjectKey::load(&path).unwrap_err();
    assert_eq!(missing.to_string(), format!("there is no project key at {}", path.display()));
    let key = ProjectKey::create(&path).unwrap();
    let error = ProjectKey::create(&path).unwrap_err();
    assert!(matches!(&error, KeyError::Exists { path: found } if *found == path), "{error}");
    assert_eq!(ProjectKey::load(&path).unwrap().id(), key.id());
}

#[test]
fn a_key_that_others_may_read_is_refused_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-key");
    HostKey::load_or_create(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = HostKey::load_or_create(&path).unwrap_err();
    assert!(matches!(error, KeyError::Permissions { mode: 0o644, .. }), "{error}");
    assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
}

#[test]
fn a_damaged_or_foreign_key_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    ProjectKey::create(&path).unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    assert!(matches!(HostKey::load_or_create(&path), Err(KeyError::Damaged { .. })), "foreign");
    let cut = &whole[..whole.len() - 3];
    let (head, tail) = whole.split_at(whole.find(':').unwrap() + 5);
    let swapped = format!("{head}{}", tail.replacen('a', "b", 1).replacen('q', "r", 1));
    for damaged in ["", "\u{fffd}", cut, swapped.as_str()] {
        fs::write(&path, damaged).unwrap();
        assert!(matches!(ProjectKey::load(&path), Err(KeyError::Damaged { .. })), "{damaged}");
        assert!(matches!(HostKey::load_or_create(&path), Err(KeyError::Damaged { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
    }
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nowhere").join("host-key");
    let error = HostKey::load_or_create(&path).unwrap_err();
    assert!(matches!(error, KeyError::Io { .. }), "{error}");
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn secrets_are_not_printed() {
    let key = HostKey::generate();
    assert_eq!(format!("{key:?}"), format!("HostKey({}, secret)", key.id()));
}
