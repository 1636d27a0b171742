mod remote;
mod scripted;

use std::sync::Mutex;

use gleaner_coordinator_core::{Owner, Subject};
use gleaner_protocol::api::{
    AddSubmitterReply, AddSubmitterRequest, ApiError, InvitationState, InvitationView, InviteReply,
    InviteRequest, JobState, JobView, MembersFate, OutputFile, PriorityRequest, ProjectView,
    RevokeReply, RevokeRequest, RoomView, SubmitReply, SubmitRequest, SubmitterView, UnitLogs,
    UnitState, UnitView, UnitsPage, WhyView, WorkerView,
};
use gleaner_protocol::{
    BlobHash, BlobRef, InvitationId, ItemRange, JobId, ProjectId, SubmissionId, SubmitterId,
    SubmitterTerms, UnitId, WorkerId,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::*;
use scripted::Scripted;

const JOB: JobId = JobId(7);

/// Whose [`JOB`] is.
const ADA: SubmitterId = SubmitterId([1; 32]);

const INVITATION: InvitationId = InvitationId(3);

fn invitation(state: InvitationState) -> InvitationView {
    InvitationView {
        invitation: INVITATION,
        note: "for Bo".to_owned(),
        state,
        created_at: "2026-11-22T00:00:00Z".to_owned(),
        expires_at: "2026-11-23T00:00:00Z".to_owned(),
        uses_max: Some(3),
        members: Vec::new(),
    }
}

fn ada() -> SubmitterView {
    SubmitterView {
        name: "ada".to_owned(),
        submitter: ADA,
        terms: SubmitterTerms::default(),
        jobs_running: 1,
        storage_bytes: 24,
        added_at: "2026-11-22T00:00:00Z".to_owned(),
    }
}

struct Fixture {
    folder: tempfile::TempDir,
    server: Server,
    control: Arc<Scripted>,
    blobs: Blobs,
    token: String,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = Blobs::open(&folder.path().join("blobs")).expect("opens");
    let output = blobs.put("<svg onload='alert(1)'/>").await.expect("kept");
    let submitted = Mutex::default();
    let control = Arc::new(Scripted { version: watch::Sender::new(1), submitted, output });
    let server =
        Server::start(folder.path(), 0, control.clone(), blobs.clone()).await.expect("starts");
    let token = std::fs::read_to_string(folder.path().join("api-token")).expect("a token");
    let token = token.trim().to_owned();
    Fixture { folder, server, control, blobs, token }
}

impl Fixture {
    /// The answer to a request with good credentials.
    async fn ask(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let head = format!(
            "Host: {}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n",
            self.server.address(),
            self.token,
            body.len()
        );
        self.send(method, path, &head, body).await
    }

    async fn send(&self, method: &str, path: &str, head: &str, body: &[u8]) -> Answer {
        let stream = TcpStream::connect(self.server.address()).await.expect("connects");
        exchange(stream, method, path, head, body).await
    }

    /// The answer to a request of a submitter from elsewhere, without any credentials.
    async fn ask_from_elsewhere(
        &self,
        submitter: SubmitterId,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Answer {
        let (near, far) = tokio::io::duplex(1024);
        let door = self.server.remote_door();
        let serving = door.serve(submitter, far, CancellationToken::new());
        let head = format!("Host: project\r\nContent-Length: {}\r\n", body.len());
        tokio::join!(exchange(near, method, path, &head, body), serving).0
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
    head: &str,
    body: &[u8],
) -> Answer {
    let head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n{head}\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    // The server may answer, and close, before it has read everything.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("answered");
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer {
        status: status.expect("a status"),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

impl Answer {
    fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_str(&self.body).expect("the type of the contract")
    }

    /// Checks that it is an error in words with advice.
    fn fault(&self, status: u16) -> ApiError {
        assert_eq!(self.status, status, "{self:?}");
        let error: ApiError = serde_json::from_str(&self.body).expect("an error");
        assert!(error.hint.is_some(), "{error:?}");
        error
    }
}

#[tokio::test]
async fn every_route_answers_as_the_contract_says() {
    let fixture = fixture().await;
    let project: ProjectView = fixture.ask("GET", "/v1/project", b"").await.json();
    assert_eq!(project.name, "planets");
    let jobs: Vec<JobView> = fixture.ask("GET", "/v1/jobs", b"").await.json();
    assert_eq!(jobs, [fixture.control.view()]);
    let jobs: Vec<JobView> = fixture.ask("GET", "/v1/jobs?name=planets", b"").await.json();
    assert_eq!(jobs.len(), 1);
    let jobs: Vec<JobView> = fixture.ask("GET", "/v1/jobs?name=stars", b"").await.json();
    assert_eq!(jobs, []);
    fixture.ask("GET", "/v1/jobs?title=stars", b"").await.fault(400);
    let job: JobView = fixture.ask("GET", "/v1/jobs/job-7", b"").await.json();
    assert_eq!(job, fixture.control.view());
    let job: JobView = fixture.ask("POST", "/v1/jobs/job-7/cancel", b"").await.json();
    assert_eq!(job.state, JobState::Cancelled);
    fixture.ask("DELETE", "/v1/jobs/job-7", b"").await.fault(400);
    fixture.ask("DELETE", "/v1/jobs/job-8", b"").await.fault(404);
    let job: JobView = fixture.ask("POST", "/v1/jobs/job-7/pause", b"").await.json();
    assert_eq!(job.state, JobState::Paused);
    let job: JobView = fixture.ask("POST", "/v1/jobs/job-7/retry", b"").await.json();
    assert_eq!((job.job, job.retry_of), (JobId(8), Some(JOB)));
    fixture.ask("POST", "/v1/jobs/job-8/retry", b"").await.fault(404);
    let job: JobView = fixture.ask("POST", "/v1/jobs/job-7/resume", b"").await.json();
    assert_eq!(job.state, JobState::Running);
    let priority = br#"{"priority":-7}"#;
    let job: JobView = fixture.ask("POST", "/v1/jobs/job-7/priority", priority).await.json();
    assert_eq!(job.priority, -7);
    fixture.ask("POST", "/v1/jobs/job-7/priority", b"{}").await.fault(400);
    let files: Vec<OutputFile> = fixture.ask("GET", "/v1/jobs/job-7/output", b"").await.json();
    assert_eq!(files[0].hash, fixture.control.output.hash);
    let invite = br#"{"valid_seconds":60,"uses_max":3,"note":"Bo"}"#;
    let reply: InviteReply = fixture.ask("POST", "/v1/invitations", invite).await.json();
    assert_eq!((reply.ticket.as_str(), reply.uses_max), ("gleaner1-Bo-60", Some(3)));
    let reply: InviteReply =
        fixture.ask("POST", "/v1/invitations", br#"{"valid_seconds":1}"#).await.json();
    assert_eq!((reply.ticket.as_str(), reply.uses_max), ("gleaner1--1", None));
    let listed: Vec<InvitationView> = fixture.ask("GET", "/v1/invitations", b"").await.json();
    assert_eq!(listed, [invitation(InvitationState::Open)]);
    let revoke = br#"{"members":"remove"}"#;
    let path = "/v1/invitations/invitation-3/revoke";
    let reply: RevokeReply = fixture.ask("POST", path, revoke).await.json();
    assert_eq!(reply.invitation.state, InvitationState::Revoked);
    let room: RoomView = fixture.ask("GET", "/v1/room", b"").await.json();
    assert_eq!((room.storage_bytes_max, room.disk_bytes_free), (None, 1000));
    let error = fixture.ask("GET", "/v1/workers", b"").await.fault(503);
    assert_eq!(error.error, "the coordinator is stopping");
}

#[tokio::test]
async fn reports_are_sent_while_they_are_made_and_break_off_where_they_cannot_be() {
    let fixture = fixture().await;
    let table = fixture.ask("GET", "/v1/jobs/job-7/failed.csv", b"").await;
    assert_eq!(table.status, 200, "{table:?}");
    assert!(table.head.contains("filename=\"failed.csv\""), "{table:?}");
    assert!(
        table.body.contains("stage,item\r\n") && table.body.ends_with("0\r\n\r\n"),
        "{table:?}"
    );
    let partial = fixture.ask("GET", "/v1/jobs/job-7/partial", b"").await;
    assert!(partial.head.contains("content-type: application/vnd.gleaner.files"), "{partial:?}");
    // The script does not finish it: no last chunk.
    let broken = fixture.ask("GET", "/v1/jobs/job-7/provenance.json", b"").await;
    assert!(!broken.body.ends_with("0\r\n\r\n"), "{broken:?}");
    for report in ["failed.csv", "provenance.json", "partial"] {
        let path = format!("/v1/jobs/job-8/{report}");
        fixture.ask("GET", &path, b"").await.fault(404);
        let path = format!("/v1/jobs/job-7/{report}");
        let bob = SubmitterId([2; 32]);
        fixture.ask_from_elsewhere(bob, "GET", &path, b"").await.fault(404);
    }
}

#[tokio::test]
async fn units_and_their_logs_are_asked_for_by_page_stage_and_failure() {
    let fixture = fixture().await;
    let page: UnitsPage = fixture.ask("GET", "/v1/jobs/job-7/units", b"").await.json();
    let expected = (Some(UnitId { job: JOB, number: 0 }), UnitState::Waiting);
    assert_eq!((page.units[0].unit, page.units[0].state), expected);
    let path = "/v1/jobs/job-7/units?from=42&stage=search&failed=true";
    let page: UnitsPage = fixture.ask("GET", path, b"").await.json();
    let expected = (Some(UnitId { job: JOB, number: 42 }), UnitState::Failed);
    assert_eq!((page.units[0].unit, page.units[0].state), expected);
    assert_eq!(page.units[0].stage, "search");
    fixture.ask("GET", "/v1/jobs/job-7/units?from=x", b"").await.fault(400);
    let path = "/v1/jobs/job-7/units?from=9223372036854775808";
    let error = fixture.ask("GET", path, b"").await.fault(400);
    assert!(error.error.contains("at most 9223372036854775807"), "{error:?}");
    fixture.ask("GET", "/v1/jobs/job-8/units", b"").await.fault(404);
    let logs: UnitLogs = fixture.ask("GET", "/v1/units/unit-7.42/logs", b"").await.json();
    assert_eq!(logs.unit, UnitId { job: JOB, number: 42 });
    fixture.ask("GET", "/v1/units/unit-8.1/logs", b"").await.fault(404);
    let worker = WorkerId([3; 32]);
    for (path, subject) in [
        ("/v1/jobs/job-7/why".to_owned(), Subject::Job(JOB)),
        ("/v1/units/unit-7.42/why".to_owned(), Subject::Unit(UnitId { job: JOB, number: 42 })),
        (format!("/v1/workers/{worker}/why"), Subject::Worker(worker)),
    ] {
        let why: WhyView = fixture.ask("GET", &path, b"").await.json();
        assert_eq!(why.sentences, [format!("{subject:?}")]);
    }
    fixture.ask("GET", "/v1/jobs/job-8/why", b"").await.fault(404);
    fixture.ask("GET", "/v1/workers/me/why", b"").await.fault(404);
    fixture.ask("GET", "/v1/units/7.42/logs", b"").await.fault(404);
}

#[tokio::test]
async fn a_job_is_submitted_and_a_bad_one_refused_in_words() {
    let fixture = fixture().await;
    let mut request = SubmitRequest { submission: SubmissionId(5), job: crate::tests::job_spec() };
    let body = serde_json::to_vec(&request).expect("JSON");
    let reply: SubmitReply = fixture.ask("POST", "/v1/jobs", &body).await.json();
    assert_eq!(reply, SubmitReply { job: JOB });
    request.job.name = "bad".to_owned();
    let body = serde_json::to_vec(&request).expect("JSON");
    let error = fixture.ask("POST", "/v1/jobs", &body).await.fault(400);
    assert_eq!(error.error, "it is bad");
    assert_eq!(
        *fixture.control.submitted.lock().expect("no panic"),
        [(Owner::Operator, SubmissionId(5)); 2]
    );
}

#[tokio::test]
async fn a_request_waits_for_the_next_version_or_its_time() {
    let fixture = fixture().await;
    let at_once: JobView =
        fixture.ask("GET", "/v1/jobs/job-7?after=0&wait_ms=60000", b"").await.json();
    assert_eq!(at_once.version, 1);
    let timed_out: JobView =
        fixture.ask("GET", "/v1/jobs/job-7?after=1&wait_ms=1", b"").await.json();
    assert_eq!(timed_out.version, 1);
    let waiting = fixture.ask("GET", "/v1/jobs/job-7?after=1&wait_ms=60000", b"");
    let change = async {
        fixture.control.version.send_replace(2);
    };
    let (answer, ()) = tokio::join!(waiting, change);
    assert_eq!(answer.json::<JobView>().version, 2);
    fixture.ask("GET", "/v1/jobs/job-7?after=x", b"").await.fault(400);
    fixture.ask("GET", "/v1/jobs/job-8?after=0&wait_ms=60000", b"").await.fault(404);
}

#[tokio::test]
async fn blobs_are_kept_when_their_hash_is_right() {
    let fixture = fixture().await;
    let path = format!("/v1/blobs/{}", BlobHash::of(b"hello"));
    assert_eq!(fixture.ask("HEAD", &path, b"").await.status, 404);
    let error = fixture.ask("PUT", &path, b"help!").await.fault(400);
    assert!(error.error.starts_with("the bytes have the hash "), "{error:?}");
    assert_eq!(fixture.ask("HEAD", &path, b"").await.status, 404);
    for _ in 0..2 {
        assert_eq!(fixture.ask("PUT", &path, b"hello").await.status, 204);
        assert_eq!(fixture.ask("HEAD", &path, b"").await.status, 200);
    }
    assert_eq!(&fixture.blobs.read(BlobHash::of(b"hello")).await.expect("held")[..], b"hello");
    fixture.ask("PUT", "/v1/blobs/xyz", b"").await.fault(400);
    let head = format!(
        "Host: {}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n",
        fixture.server.address(),
        fixture.token,
        gleaner_protocol::limits::BLOB_BYTES_MAX + 1
    );
    fixture.send("PUT", &path, &head, b"").await.fault(413);
}

#[tokio::test]
async fn result_bytes_are_attachments_that_no_browser_runs() {
    let fixture = fixture().await;
    let path = "/v1/jobs/job-7/output/report/plots/f%C3%B6lded%201.svg";
    let answer = fixture.ask("GET", path, b"").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "<svg onload='alert(1)'/>"));
    for header in [
        "content-security-policy: sandbox",
        "x-content-type-options: nosniff",
        "content-type: application/octet-stream",
        "content-length: 24",
        "content-disposition: attachment; filename=\"f_lded 1.svg\"; \
         filename*=utf-8''f%c3%b6lded%201.svg",
    ] {
        assert!(answer.head.contains(header), "{header}\n{}", answer.head);
    }
    fixture.ask("GET", "/v1/jobs/job-7/output/report/other.svg", b"").await.fault(404);
}

#[tokio::test]
async fn what_is_not_understood_is_said_in_words() {
    let fixture = fixture().await;
    let error = fixture.ask("POST", "/v1/invitations", b"{\"valid_seconds\": -1}").await.fault(400);
    assert!(error.error.contains("line 1 column"), "{error:?}");
    let error = fixture.ask("POST", "/v1/invitations", b"{\"walid\": 1}").await.fault(400);
    assert!(error.error.contains("unknown field `walid`"), "{error:?}");
    let error = fixture.ask("POST", "/v1/invitations/3/revoke", b"{}").await.fault(404);
    assert!(error.error.contains("invitation-3"), "{error:?}");
    fixture.ask("GET", "/v2/jobs", b"").await.fault(404);
    fixture.ask("PATCH", "/v1/jobs/job-7", b"").await.fault(405);
    let error = fixture.ask("GET", "/v1/jobs/seven", b"").await.fault(404);
    assert!(error.error.contains("job-7"), "{error:?}");
    let error = fixture.ask("GET", "/v1/jobs/job-8", b"").await.fault(404);
    assert_eq!(error.error, "there is no job-8");
}

#[tokio::test]
async fn nobody_gets_past_the_walls() {
    let fixture = fixture().await;
    let port = fixture.server.address().port();
    let good_host = format!("Host: 127.0.0.1:{port}\r\n");
    let good_token = format!("Authorization: Bearer {}\r\n", fixture.token);
    let cases = [
        (format!("Host: localhost:{port}\r\n{good_token}"), 200),
        (format!("{good_host}{good_token}Origin: http://127.0.0.1:{port}\r\n"), 200),
        (good_host.clone(), 401),
        (format!("{good_host}Authorization: Bearer {}x\r\n", fixture.token), 401),
        (format!("{good_host}Authorization: Basic {}\r\n", fixture.token), 401),
        (format!("{good_host}{good_token}{good_token}"), 401),
        (format!("Host: evil.example:{port}\r\n{good_token}"), 403),
        (format!("Host: 127.0.0.1\r\n{good_token}"), 403),
        (format!("{good_host}{good_token}Origin: http://evil.example\r\n"), 403),
        (format!("{good_host}{good_token}Origin: https://127.0.0.1:{port}\r\n"), 403),
        (format!("{good_host}{good_token}Origin: null\r\n"), 403),
    ];
    for (head, status) in cases {
        for path in ["/v1/project", "/nowhere"] {
            let status = if (status, path) == (200, "/nowhere") { 404 } else { status };
            let answer = fixture.send("GET", path, &head, b"").await;
            assert_eq!(answer.status, status, "{head}");
            assert!(answer.head.contains("content-security-policy: sandbox"), "{}", answer.head);
            assert!(!answer.head.contains("access-control-"), "{}", answer.head);
            if status != 200 {
                answer.fault(status);
            }
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_token_is_the_owners_alone_and_the_address_goes_with_the_server() {
    use std::os::unix::fs::PermissionsExt;

    let fixture = fixture().await;
    let token_path = fixture.folder.path().join("api-token");
    let address_path = fixture.server.address_path();
    let mode = std::fs::metadata(&token_path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let address = std::fs::read_to_string(&address_path).expect("a file");
    assert_eq!(address, format!("{}\n", fixture.server.address()));
    assert!(fixture.server.address().ip().is_loopback());

    fixture.server.stop().await;
    assert!(!address_path.exists());
    let token = load_or_create_token(fixture.folder.path()).expect("a token");
    assert_eq!(token, fixture.token, "the token stays");

    std::fs::set_permissions(&token_path, PermissionsExt::from_mode(0o644)).expect("set");
    let error = load_or_create_token(fixture.folder.path()).expect_err("refused");
    assert!(matches!(error, CredentialError::Permissions { mode: 0o644, .. }), "{error}");
}

#[tokio::test]
async fn submitters_are_added_listed_and_removed() {
    let fixture = fixture().await;
    let request =
        AddSubmitterRequest { name: "bob".to_owned(), submitter: ADA, terms: ada().terms };
    let body = serde_json::to_vec(&request).expect("JSON");
    let reply: AddSubmitterReply = fixture.ask("POST", "/v1/submitters", &body).await.json();
    assert_eq!(reply.submitter.name, "bob");
    let list: Vec<SubmitterView> = fixture.ask("GET", "/v1/submitters", b"").await.json();
    assert_eq!(list, [ada()]);
    let gone = fixture.ask("POST", "/v1/submitters/ada/remove", b"").await;
    assert_eq!(gone.json::<SubmitterView>(), ada());
    let error = fixture.ask("POST", "/v1/submitters/%C3%A4/remove", b"").await.fault(404);
    assert_eq!(error.error, "there is no submitter \"ä\"");
}

#[tokio::test]
async fn stopping_ends_requests_that_wait() {
    let fixture = fixture().await;
    let mut stream = TcpStream::connect(fixture.server.address()).await.expect("connects");
    let head = format!(
        "GET /v1/jobs/job-7?after=1&wait_ms=60000 HTTP/1.1\r\nHost: {}\r\n\
         Authorization: Bearer {}\r\n\r\n",
        fixture.server.address(),
        fixture.token
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    // The request waits once somebody listens for the job's next version.
    while fixture.control.version.receiver_count() == 0 {
        tokio::task::yield_now().await;
    }
    fixture.server.stop().await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("answered");
    assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&answer));
}
