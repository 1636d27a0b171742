//! Records: whole, tampered with, expired, of others.

use gleaner_protocol::{ProjectKind, Signature, WorkerId, wire};

use super::*;
use crate::ProjectKey;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn key() -> ProjectKey {
    let folder = tempfile::tempdir().unwrap();
    ProjectKey::create(&folder.path().join("project-key")).unwrap()
}

fn record(project: ProjectId) -> ProjectRecord {
    ProjectRecord {
        project,
        serial: 3,
        name: "planets".into(),
        operator: "the observatory".into(),
        purpose: "looks for planets".into(),
        kind: ProjectKind::Lab,
        coordinators: vec![WorkerId([7; 32])],
        expires_at: Timestamp::from_millis(1_000_001),
        successor: None,
    }
}

#[test]
fn a_signed_record_is_believed_until_it_ends() {
    let key = key();
    let (record, signed) = (record(key.id()), key.sign(&record(key.id())));
    assert_eq!(verify_record(&signed, key.id(), NOW).unwrap(), record);
    let error = verify_record(&signed, key.id(), record.expires_at).unwrap_err();
    assert!(matches!(error, RecordError::Expired { serial: 3, .. }), "{error}");
    assert!(error.to_string().contains("gleaner project sign"), "{error}");
}

#[test]
fn another_key_another_signature_and_other_bytes_are_refused() {
    let (key, other) = (key(), key());
    let signed = key.sign(&record(key.id()));
    let by_other = other.sign(&record(other.id()));
    let mut tampered = signed.clone();
    *tampered.record.last_mut().unwrap() ^= 1;
    let mut resigned = signed.clone();
    resigned.signature = by_other.signature;
    let zero = SignedProjectRecord { signature: Signature([0; 64]), ..signed.clone() };
    for (signed, project) in [
        (&tampered, key.id()),
        (&resigned, key.id()),
        (&zero, key.id()),
        (&signed, other.id()),
        (&by_other, key.id()),
        (&signed, ProjectId([0xff; 32])),
    ] {
        let error = verify_record(signed, project, NOW).unwrap_err();
        assert!(matches!(error, RecordError::Signature { .. }), "{error}");
    }
}

#[test]
fn a_signature_over_something_else_is_no_record() {
    let key = key();
    for (bytes, expected) in [
        (wire::encode("no record"), "cannot be read"),
        (vec![0; RECORD_BYTES_MAX + 1], "at most 16384 are allowed"),
        (wire::encode(&record(ProjectId([1; 32]))), "is about project-"),
    ] {
        let signed = key.sign_bytes(bytes);
        let error = verify_record(&signed, key.id(), NOW).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
#[should_panic(expected = "a project signs its own records only")]
fn another_projects_record_is_not_signed() {
    key().sign(&record(ProjectId([1; 32])));
}
