//! Submitters from elsewhere.

use super::*;

#[tokio::test]
async fn a_submitter_from_elsewhere_sees_and_changes_its_own_jobs_alone() {
    let fixture = fixture().await;
    let stranger = SubmitterId([2; 32]);
    let submit = SubmitRequest { submission: SubmissionId(5), job: crate::tests::job_spec() };
    let submit = serde_json::to_vec(&submit).expect("JSON");
    let output = "/v1/jobs/job-7/output/report/plots/f%C3%B6lded%201.svg";
    let mine: Vec<JobView> = fixture.ask_from_elsewhere(ADA, "GET", "/v1/jobs", b"").await.json();
    assert_eq!(mine, [fixture.control.view()]);
    let none: Vec<JobView> =
        fixture.ask_from_elsewhere(stranger, "GET", "/v1/jobs", b"").await.json();
    assert_eq!(none, []);
    for (method, path) in [
        ("GET", "/v1/jobs/job-7"),
        ("GET", "/v1/jobs/job%2D7"),
        ("GET", "/v1/jobs/job-7?after=0&wait_ms=1"),
        ("POST", "/v1/jobs/job-7/cancel"),
        ("GET", "/v1/jobs/job-7/output"),
        ("GET", output),
    ] {
        let answer = fixture.ask_from_elsewhere(ADA, method, path, b"").await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(answer.head.contains("content-security-policy: sandbox"), "{}", answer.head);
        let error = fixture.ask_from_elsewhere(stranger, method, path, b"").await.fault(404);
        assert_eq!(error.error, "there is no job-7", "another's job looks like none: {path}");
        assert_eq!(fixture.ask(method, path, b"").await.status, 200, "the operator's too: {path}");
    }
    let reply = fixture.ask_from_elsewhere(ADA, "POST", "/v1/jobs", &submit).await;
    assert_eq!(reply.json::<SubmitReply>(), SubmitReply { job: JOB });
    let submitted = fixture.control.submitted.lock().expect("no panic").clone();
    assert_eq!(submitted, [(Owner::Submitter(ADA), SubmissionId(5))]);
}

#[tokio::test]
async fn what_is_the_operators_is_refused_to_others_in_words() {
    let fixture = fixture().await;
    let invite = br#"{"valid_seconds":60}"#;
    for (method, path, body) in [
        ("POST", "/v1/invitations", &invite[..]),
        ("GET", "/v1/submitters", b""),
        ("POST", "/v1/submitters/ada/remove", b""),
        ("GET", "/v2/jobs", b""),
    ] {
        let error = fixture.ask_from_elsewhere(ADA, method, path, body).await.fault(403);
        assert_eq!(error.error, format!("{path} is for the coordinator's operator alone"));
    }
    let ok = fixture.ask_from_elsewhere(ADA, "GET", "/v1/project", b"").await;
    assert_eq!(ok.json::<ProjectView>().name, "planets");
}

#[tokio::test]
async fn blobs_from_elsewhere_keep_to_the_quota_and_the_hash() {
    let fixture = fixture().await;
    let bytes = [7; 101];
    for (length, status) in [(100, 204), (101, 403)] {
        let path = format!("/v1/blobs/{}", BlobHash::of(&bytes[..length]));
        let answer = fixture.ask_from_elsewhere(ADA, "PUT", &path, &bytes[..length]).await;
        assert_eq!(answer.status, status, "{answer:?}");
        let held = fixture.ask_from_elsewhere(ADA, "HEAD", &path, b"").await.status == 200;
        assert_eq!(held, status == 204);
    }
    let path = format!("/v1/blobs/{}", BlobHash::of(b"hello"));
    fixture.ask_from_elsewhere(ADA, "PUT", &path, b"help!").await.fault(400);
}

#[tokio::test]
async fn one_who_is_removed_is_cut_off_in_the_middle_of_a_request() {
    let fixture = fixture().await;
    let (mut near, far) = tokio::io::duplex(1024);
    let removed = CancellationToken::new();
    let door = fixture.server.remote_door();
    let serving = tokio::spawn({
        let removed = removed.clone();
        async move { door.serve(ADA, far, removed).await }
    });
    let head = b"GET /v1/jobs/job-7?after=1&wait_ms=60000 HTTP/1.1\r\nHost: project\r\n\r\n";
    near.write_all(head).await.expect("sent");
    while fixture.control.version.receiver_count() == 0 {
        tokio::task::yield_now().await;
    }
    removed.cancel();
    serving.await.expect("ends");
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await.expect("closed");
    assert_eq!(answer, b"", "there is no answer");
}
