//! Who may join and who may submit.

use super::*;

#[tokio::test]
async fn a_valid_invitation_makes_a_member_for_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _commits) = Store::open(folder.path()).expect("opens");
    let (old, new) = (WorkerId([1; 32]), WorkerId([2; 32]));
    let good = Some(Invitation { secret: InvitationSecret([7; 16]) });
    let bad = Some(Invitation { secret: InvitationSecret([8; 16]) });
    store.invite(InvitationSecret([7; 16]), at(0), terms(100, None)).await.expect("durable");
    let cases = [
        (old, None, 50, Admission::Denied(Denial::NotInvited)),
        (old, bad, 50, Admission::Denied(Denial::Unknown)),
        (old, good, 99, Admission::Admitted),
        (old, None, 99, Admission::Member),
        (old, good, 1000, Admission::Member),
        (new, good, 100, Admission::Denied(Denial::Expired)),
    ];
    for (worker, invitation, now, expected) in cases {
        let asked = store.would_admit(worker, invitation, at(now)).await.expect("told");
        let admission = store.admit(worker, invitation, at(now)).await.expect("told");
        assert_eq!(admission, expected, "{worker} {invitation:?} at {now}");
        assert_eq!(asked, expected, "asking changes nothing and tells the same");
    }
    assert_eq!(store.members().await.expect("reads"), [old]);
}

#[tokio::test]
async fn the_list_of_submitters_has_each_key_and_each_name_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _commits) = Store::open(folder.path()).expect("opens");
    let (ada, bob) = (SubmitterId([1; 32]), SubmitterId([2; 32]));
    let terms = SubmitterTerms { jobs_max: Some(3), ..SubmitterTerms::default() };
    let add = async |key, name: &str, terms, now| {
        store.add_submitter(key, name.to_owned(), terms, at(now)).await
    };
    let first = add(ada, "ada", SubmitterTerms::default(), 10).await.expect("added");
    assert_eq!((first.added_at, first.removed_at), (at(10), None));
    let changed = add(ada, "ada", terms, 20).await.expect("changed");
    assert_eq!((changed.terms, changed.added_at), (terms, at(10)));

    let error = add(bob, "ada", terms, 30).await.expect_err("the name is taken");
    assert_eq!(error.to_string(), format!("\"ada\" is on the list with another key, {ada}"));
    let error = add(ada, "bob", terms, 30).await.expect_err("the key has a name");
    assert_eq!(error.to_string(), "this key is on the list as \"ada\"");

    let remove = async |name: &str, now| {
        store.remove_submitter(name.to_owned(), at(now)).await.expect("told")
    };
    assert_eq!(remove("bob", 40).await, None);
    let removed = remove("ada", 40).await.expect("it was there");
    assert_eq!((removed.submitter, removed.removed_at), (ada, Some(at(40))));
    assert_eq!(remove("ada", 50).await, None, "it is gone");

    add(bob, "ada", terms, 60).await.expect("the name is free");
    let again = add(ada, "ada the first", terms, 70).await.expect("the key too");
    assert_eq!((again.added_at, again.removed_at), (at(70), None));
    let names = store.submitters().await.expect("reads");
    let names: Vec<_> =
        names.iter().map(|stored| (stored.name.as_str(), stored.submitter)).collect();
    assert_eq!(names, [("ada", bob), ("ada the first", ada)]);
}

#[tokio::test]
async fn jobs_keep_their_owner_and_owners_their_terms() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut commits) = Store::open(folder.path()).expect("opens");
    let ada = SubmitterId([1; 32]);
    let terms = SubmitterTerms { storage_bytes_max: Some(1 << 40), ..SubmitterTerms::default() };
    store.add_submitter(ada, "ada".to_owned(), terms, at(0)).await.expect("added");
    let mut record = accepted();
    let Record::JobAccepted { owner, .. } = &mut record else { unreachable!("it is one") };
    *owner = Owner::Submitter(ada);
    commit_all(&store, &mut commits, vec![record]).await;
    store.remove_submitter("ada".to_owned(), at(9)).await.expect("removed");
    drop((store, commits));
    let (store, _commits) = Store::open(folder.path()).expect("opens again");
    let recovered = store.load().await.expect("loads");
    assert_eq!(recovered.submitters, [(ada, terms)]);
    assert_eq!(recovered.jobs[0].owner, Owner::Submitter(ada));
}

#[tokio::test]
async fn an_invitation_is_used_as_often_as_it_may_be_and_is_taken_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _commits) = Store::open(folder.path()).expect("opens");
    let [first, second, third] = [1, 2, 3].map(|key| WorkerId([key; 32]));
    let [twice, other] = [7, 8].map(|key| InvitationSecret([key; 16]));
    let by = |secret| Some(Invitation { secret });
    let made = store.invite(twice, at(1), terms(100, Some(2))).await.expect("durable");
    assert_eq!(made, InvitationId(1));
    let made = store.invite(other, at(2), terms(100, None)).await.expect("durable");
    assert_eq!(made, InvitationId(2));
    for (worker, now) in [(first, 10), (second, 20), (first, 30)] {
        let admission = store.admit(worker, by(twice), at(now)).await.expect("told");
        assert!(!matches!(admission, Admission::Denied(_)), "{worker} is {admission:?}");
    }
    let used_up = Admission::Denied(Denial::UsedUp { uses_max: 2 });
    assert_eq!(store.admit(third, by(twice), at(40)).await.expect("told"), used_up);

    let listed = store.invitations().await.expect("reads");
    let members: Vec<_> = listed.iter().map(|stored| stored.members.clone()).collect();
    assert_eq!(members, [vec![], vec![(first, at(10)), (second, at(20))]]);
    assert_eq!(listed[1].terms, terms(100, Some(2)));

    let keep = store.revoke(InvitationId(1), MembersFate::Keep, at(50)).await.expect("durable");
    let (revoked, removed) = keep.expect("there is such an invitation");
    assert_eq!((revoked.revoked_at, removed), (Some(at(50)), vec![]));
    assert_eq!(store.admit(first, None, at(60)).await.expect("told"), Admission::Member);
    let denied = Admission::Denied(Denial::Revoked);
    assert_eq!(store.admit(third, by(twice), at(60)).await.expect("told"), denied);

    let remove = store.revoke(InvitationId(1), MembersFate::Remove, at(70)).await.expect("durable");
    let (revoked, removed) = remove.expect("there is such an invitation");
    assert_eq!((revoked.revoked_at, removed), (Some(at(50)), vec![first, second]));
    assert_eq!(store.admit(first, by(twice), at(80)).await.expect("told"), denied);
    let nobody = store.revoke(InvitationId(3), MembersFate::Keep, at(90)).await.expect("told");
    assert_eq!(nobody, None);
}

#[tokio::test]
async fn an_invitation_is_revoked_with_those_who_came_by_it_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _commits) = Store::open(folder.path()).expect("opens");
    let (secret, worker) = (InvitationSecret([7; 16]), WorkerId([1; 32]));
    let made = store.invite(secret, at(0), terms(100, None)).await.expect("durable");
    let invitation = Some(Invitation { secret });
    store.admit(worker, invitation, at(10)).await.expect("told");
    let connection = Connection::open(folder.path().join(FILE)).expect("opens");
    let fault = "CREATE TRIGGER fault BEFORE DELETE ON member BEGIN SELECT raise(ABORT, 'no'); END";
    connection.execute_batch(fault).expect("made");
    let failed = store.revoke(made, MembersFate::Remove, at(20)).await;
    assert!(matches!(failed, Err(StoreError::Sqlite { .. })), "{failed:?}");
    let listed = store.invitations().await.expect("reads");
    assert_eq!((listed[0].revoked_at, listed[0].members.len()), (None, 1));
    connection.execute_batch("DROP TRIGGER fault").expect("dropped");
    let revoked = store.revoke(made, MembersFate::Remove, at(30)).await.expect("durable");
    let (revoked, removed) = revoked.expect("there is such an invitation");
    assert_eq!((revoked.revoked_at, removed), (Some(at(30)), vec![worker]));
}

#[test]
fn invitations_of_the_first_version_can_be_used_by_any_number() {
    let folder = tempfile::tempdir().expect("a folder");
    let connection = Connection::open(folder.path().join(FILE)).expect("opens");
    connection.execute_batch(include_str!("../schema_1.sql")).expect("made");
    let insert = "INSERT INTO invitation (secret_hash, created_at, expires_at) VALUES (?1, 1, 100)";
    connection.execute(insert, [[7; 32]]).expect("made");
    connection.pragma_update(None, "user_version", 1).expect("set");
    drop(connection);
    let (store, _commits) = Store::open(folder.path()).expect("opens");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let listed = runtime.block_on(store.invitations()).expect("reads");
    let [stored] = listed.as_slice() else { panic!("one invitation is {listed:?}") };
    assert_eq!((stored.invitation, stored.terms.uses_max), (InvitationId(1), None));
}

#[tokio::test]
async fn a_request_that_no_column_holds_fails_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _commits) = Store::open(folder.path()).expect("opens");
    let beyond = store.revoke(InvitationId(u64::MAX), MembersFate::Keep, at(0)).await;
    assert!(matches!(beyond, Err(StoreError::Sqlite { .. })), "{beyond:?}");
    let invited = store.invite(InvitationSecret([7; 16]), at(0), terms(100, None)).await;
    invited.expect("the store goes on");
}
