//! The client against a small server that speaks the documented routes.

#![allow(clippy::unwrap_used, reason = "a test may panic wherever something is not as it set up")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path as UrlPath, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, head, post};
use axum::{Json, Router};
use gleaner_client::{
    Client, ClientError, JobFile, LocalBlob, OpenError, Removal, UnitsChoice, UnitsFilter, Upload,
    new_submission_id,
};
use gleaner_protocol::api::{
    ApiError, InvitationState, InvitationView, InviteReply, InviteRequest, JobState, JobView,
    MembersFate, OutputFile, PriorityRequest, ProjectView, RevokeReply, RevokeRequest, SubmitReply,
    SubmitRequest, UnitLogs, UnitState, UnitView, UnitsPage, WhyView, WorkerView,
};
use gleaner_protocol::{BlobHash, BlobRef, InvitationId, ItemRange, JobId, ProjectId, UnitId};
use tempfile::TempDir;

const TOKEN: &str = "secret-of-this-test";

/// What the server holds and has seen.
#[derive(Default)]
struct Held {
    blobs: BTreeMap<String, Bytes>,
    submissions: BTreeMap<String, JobId>,
    replies_to_lose: u32,
    output: Vec<u8>,
}

type Shared = Arc<Mutex<Held>>;

struct Server {
    data: TempDir,
    held: Shared,
}

impl Server {
    async fn start() -> Self {
        let held = Shared::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let data = TempDir::new().unwrap();
        write_endpoint(data.path(), listener.local_addr().unwrap(), TOKEN);
        let router = router(Arc::clone(&held));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { data, held }
    }

    fn client(&self) -> Client {
        Client::open(self.data.path()).unwrap()
    }
}

fn write_endpoint(data: &Path, address: SocketAddr, token: &str) {
    std::fs::write(data.join("api-address"), format!("{address}\n")).unwrap();
    std::fs::write(data.join("api-token"), format!("{token}\n")).unwrap();
}

fn router(held: Shared) -> Router {
    Router::new()
        .route("/v1/project", get(project))
        .route("/v1/blobs/{hash}", head(has_blob).put(put_blob))
        .route("/v1/jobs", get(jobs).post(submit))
        .route("/v1/jobs/{job}", get(job).delete(remove))
        .route("/v1/jobs/{job}/cancel", post(cancel))
        .route("/v1/jobs/{job}/pause", post(pause))
        .route("/v1/jobs/{job}/retry", post(retry))
        .route("/v1/jobs/{job}/resume", post(resume))
        .route("/v1/jobs/{job}/priority", post(prioritise))
        .route("/v1/jobs/{job}/output", get(output))
        .route("/v1/jobs/{job}/output/{stage}/{name}", get(output_bytes))
        .route("/v1/jobs/{job}/units", get(units))
        .route("/v1/units/{unit}/logs", get(logs))
        .route("/v1/jobs/{job}/why", get(why))
        .route("/v1/units/{unit}/why", get(why))
        .route("/v1/workers/{worker}/why", get(why))
        .route("/v1/workers", get(async || Json(Vec::<WorkerView>::new())))
        .route("/v1/invitations", get(invitations).post(invite))
        .route("/v1/invitations/{invitation}/revoke", post(revoke))
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn(authorise))
        .with_state(held)
}

async fn authorise(headers: HeaderMap, request: Request, next: Next) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    assert!(host.starts_with("127.0.0.1:"), "the host is named: {host}");
    match headers.get(header::AUTHORIZATION) {
        Some(value) if value == format!("Bearer {TOKEN}").as_str() => next.run(request).await,
        _ => error(StatusCode::UNAUTHORIZED, "a token is needed"),
    }
}

fn error(status: StatusCode, words: &str) -> Response {
    let error = ApiError { error: words.into(), hint: Some("do better".into()) };
    (status, Json(error)).into_response()
}

async fn project() -> Json<ProjectView> {
    Json(ProjectView {
        project: ProjectId([1; 32]),
        name: "stars".into(),
        operator: "us".into(),
        purpose: "to know".into(),
        record_expires_at: "2027-01-01T00:00:00Z".into(),
        addresses: vec![],
    })
}

async fn has_blob(State(held): State<Shared>, UrlPath(hash): UrlPath<String>) -> StatusCode {
    match held.lock().unwrap().blobs.contains_key(&hash) {
        true => StatusCode::OK,
        false => StatusCode::NOT_FOUND,
    }
}

async fn put_blob(
    State(held): State<Shared>,
    UrlPath(hash): UrlPath<String>,
    bytes: Bytes,
) -> Response {
    if BlobHash::of(&bytes).to_string() != hash {
        return error(StatusCode::BAD_REQUEST, "the bytes have another hash");
    }
    held.lock().unwrap().blobs.insert(hash, bytes);
    StatusCode::NO_CONTENT.into_response()
}

fn view(job: JobId, version: u64, state: JobState) -> JobView {
    JobView {
        job,
        name: "a".into(),
        retry_of: None,
        retried_by: None,
        submitter: None,
        state,
        priority: 0,
        version,
        submitted_at: "2026-01-01T00:00:00Z".into(),
        ended_at: None,
        failure: None,
        failure_cause: None,
        kept_until: None,
        notify_failure: None,
        stages: vec![],
    }
}

async fn jobs(
    State(held): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Json<Vec<JobView>> {
    if let Some(name) = query.get("name") {
        assert_eq!(name, "a&b");
        return Json(vec![]);
    }
    let held = held.lock().unwrap();
    Json(held.submissions.values().map(|job| view(*job, 1, JobState::Running)).collect())
}

async fn submit(State(held): State<Shared>, Json(request): Json<SubmitRequest>) -> Response {
    let mut held = held.lock().unwrap();
    let next = JobId(held.submissions.len() as u64 + 1);
    let job = *held.submissions.entry(request.submission.to_string()).or_insert(next);
    if held.replies_to_lose > 0 {
        held.replies_to_lose -= 1;
        // A body that is shorter than announced: the connection breaks in the middle of the reply.
        return ([(header::CONTENT_LENGTH, "100")], broken_body()).into_response();
    }
    Json(SubmitReply { job }).into_response()
}

fn broken_body() -> axum::body::Body {
    struct Broken;
    impl http_body::Body for Broken {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
            std::task::Poll::Ready(Some(Err(std::io::ErrorKind::BrokenPipe.into())))
        }
    }
    axum::body::Body::new(Broken)
}

async fn job(
    UrlPath(job): UrlPath<String>,
    Query(query): Query<BTreeMap<String, u64>>,
) -> Response {
    let Ok(job) = job.parse() else { return error(StatusCode::BAD_REQUEST, "no job id") };
    if job == JobId(404) {
        return error(StatusCode::NOT_FOUND, "there is no job-404");
    }
    let version = query.get("after").map_or(1, |after| after + 1);
    assert_eq!(query.contains_key("after"), query.contains_key("wait_ms"));
    Json(view(job, version, JobState::Done)).into_response()
}

async fn remove(UrlPath(job): UrlPath<String>) -> Response {
    match job.as_str() {
        "job-7" => StatusCode::NO_CONTENT.into_response(),
        "job-9" => error(StatusCode::GONE, "job-9 was removed"),
        _ => error(StatusCode::BAD_REQUEST, "it has not ended"),
    }
}

async fn cancel(UrlPath(job): UrlPath<String>) -> Json<JobView> {
    Json(view(job.parse().unwrap(), 2, JobState::Cancelled))
}

fn output_file(bytes: &[u8]) -> OutputFile {
    OutputFile {
        stage: "stüge".into(),
        name: "deep/the file.csv".parse().unwrap(),
        bytes: bytes.len() as u64,
        hash: BlobHash::of(bytes),
    }
}

async fn output(State(held): State<Shared>) -> Json<Vec<OutputFile>> {
    Json(vec![output_file(&held.lock().unwrap().output)])
}

async fn output_bytes(
    State(held): State<Shared>,
    UrlPath((_, stage, name)): UrlPath<(String, String, String)>,
) -> Response {
    assert_eq!((stage.as_str(), name.as_str()), ("stüge", "deep/the file.csv"));
    held.lock().unwrap().output.clone().into_response()
}

async fn pause(UrlPath(job): UrlPath<JobId>) -> Json<JobView> {
    Json(view(job, 1, JobState::Paused))
}

async fn retry(UrlPath(job): UrlPath<JobId>) -> Json<JobView> {
    Json(JobView { retry_of: Some(job), ..view(JobId(8), 1, JobState::Running) })
}

async fn resume(UrlPath(job): UrlPath<JobId>) -> Json<JobView> {
    Json(view(job, 1, JobState::Running))
}

async fn prioritise(
    UrlPath(job): UrlPath<JobId>,
    Json(request): Json<PriorityRequest>,
) -> Json<JobView> {
    Json(JobView { priority: request.priority, ..view(job, 1, JobState::Running) })
}

async fn units(
    UrlPath(job): UrlPath<JobId>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Json<UnitsPage> {
    assert_eq!(query["from"], "42");
    let unit = UnitView {
        unit: Some(UnitId { job, number: 42 }),
        units: Some(1),
        stage: query.get("stage").cloned().unwrap_or_default(),
        items: ItemRange { start: 0, end: 1 },
        state: if query.contains_key("failed") { UnitState::Failed } else { UnitState::Waiting },
        attempts: vec![],
        items_failed: 0,
        failures: vec![],
    };
    Json(UnitsPage { units: vec![unit], next: Some(43) })
}

async fn why(UrlPath(subject): UrlPath<String>) -> Json<WhyView> {
    Json(WhyView { sentences: vec![subject] })
}

async fn logs(UrlPath(unit): UrlPath<UnitId>) -> Json<UnitLogs> {
    Json(UnitLogs { unit, attempts: vec![], items_failed: 0, failures: vec![] })
}

async fn invite(Json(request): Json<InviteRequest>) -> Json<InviteReply> {
    let InviteRequest { valid_seconds, uses_max, note } = request;
    let ticket = format!("gleaner1{note}{valid_seconds}");
    let expires_at = "2026-12-01T00:00:00Z".into();
    Json(InviteReply { invitation: InvitationId(3), ticket, expires_at, uses_max })
}

fn invitation(invitation: InvitationId, state: InvitationState) -> InvitationView {
    InvitationView {
        invitation,
        note: String::new(),
        state,
        created_at: "2026-11-30T00:00:00Z".into(),
        expires_at: "2026-12-01T00:00:00Z".into(),
        uses_max: None,
        members: Vec::new(),
    }
}

async fn invitations() -> Json<Vec<InvitationView>> {
    Json(vec![invitation(InvitationId(3), InvitationState::Open)])
}

async fn revoke(
    UrlPath(id): UrlPath<InvitationId>,
    Json(request): Json<RevokeRequest>,
) -> Json<RevokeReply> {
    assert_eq!(request.members, MembersFate::Remove);
    Json(RevokeReply { invitation: invitation(id, InvitationState::Revoked), removed: Vec::new() })
}

fn job_folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let manifest = "[job]\nname = \"a\"\n[[stage]]\nname = \"s\"\nmodule = \"m.wasm\"\n\
                    lines = { field = \"l\", file = \"words.txt\" }\nreduce = \"lines\"\n";
    std::fs::write(folder.path().join("job.toml"), manifest).unwrap();
    std::fs::write(folder.path().join("m.wasm"), b"\0asm").unwrap();
    std::fs::write(folder.path().join("words.txt"), vec![b'x'; 3_000_000]).unwrap();
    folder
}

#[tokio::test]
async fn a_job_file_is_sent_with_its_files_each_once() {
    let (server, folder) = (Server::start().await, job_folder());
    let job = JobFile::read(&folder.path().join("job.toml")).unwrap().prepare().unwrap();
    let submission = new_submission_id();
    let client = server.client();
    assert_eq!(client.submit_prepared(&job, submission).await.unwrap(), JobId(1));
    assert_eq!(client.submit_prepared(&job, submission).await.unwrap(), JobId(1));
    assert_eq!(client.submit_prepared(&job, new_submission_id()).await.unwrap(), JobId(2));
    assert_eq!(client.upload(&job.files[0]).await.unwrap(), Upload::Held);
    assert_eq!(client.jobs().await.unwrap().len(), 2);
    let held = server.held.lock().unwrap();
    let lengths: Vec<_> = held.blobs.values().map(Bytes::len).collect();
    assert!(lengths.len() == 2 && lengths.contains(&4) && lengths.contains(&3_000_000));
}

#[tokio::test]
async fn a_lost_reply_to_a_submission_makes_no_second_job() {
    let (server, folder) = (Server::start().await, job_folder());
    let job = JobFile::read(&folder.path().join("job.toml")).unwrap().prepare().unwrap();
    server.held.lock().unwrap().replies_to_lose = 2;
    let answer = server.client().submit_prepared(&job, new_submission_id()).await;
    assert_eq!(answer.unwrap(), JobId(1));
    let held = server.held.lock().unwrap();
    assert_eq!((held.submissions.len(), held.replies_to_lose), (1, 0));
}

#[tokio::test]
async fn a_file_that_changed_after_it_was_hashed_is_refused() {
    let server = Server::start().await;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    let blob = BlobRef::of(b"before");
    std::fs::write(&path, b"behind").unwrap();
    let changed = server.client().upload(&LocalBlob { path: path.clone(), blob }).await;
    assert!(matches!(changed, Err(ClientError::FileRefused { status: 400, .. })), "{changed:?}");
    std::fs::write(&path, b"be").unwrap();
    let shorter = server.client().upload(&LocalBlob { path, blob }).await;
    assert!(matches!(shorter, Err(ClientError::File { .. })), "{shorter:?}");
}

#[tokio::test]
async fn an_output_appears_whole_and_verified_or_not_at_all() {
    let server = Server::start().await;
    let client = server.client();
    server.held.lock().unwrap().output = vec![7; 1_000_000];
    let [file] = client.output(JobId(1)).await.unwrap().try_into().unwrap();
    let folder = TempDir::new().unwrap();
    let destination = folder.path().join("out.csv");
    client.download(JobId(1), &file, &destination).await.unwrap();
    assert_eq!(std::fs::read(&destination).unwrap(), vec![7; 1_000_000]);

    for wrong in [vec![8; 1_000_000], vec![7; 999_999], vec![7; 1_000_001]] {
        server.held.lock().unwrap().output = wrong;
        let missing = folder.path().join("other.csv");
        let answer = client.download(JobId(1), &file, &missing).await;
        assert!(matches!(answer, Err(ClientError::WrongBytes { .. })), "{answer:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn every_other_route_has_its_method() {
    let server = Server::start().await;
    let client = server.client();
    assert_eq!(client.project().await.unwrap().name, "stars");
    assert_eq!(client.job(JobId(7)).await.unwrap().job, JobId(7));
    let later = client.job_after(JobId(7), 41, Duration::from_secs(1)).await.unwrap();
    assert_eq!(later.version, 42);
    assert_eq!(client.cancel(JobId(7)).await.unwrap().state, JobState::Cancelled);
    assert_eq!(client.remove(JobId(7)).await.unwrap(), Removal::Removed);
    assert_eq!(client.remove(JobId(9)).await.unwrap(), Removal::RemovedBefore);
    let refused = client.remove(JobId(8)).await;
    assert!(matches!(refused, Err(ClientError::Refused { status: 400, .. })), "{refused:?}");
    assert!(client.workers().await.unwrap().is_empty());
    let wanted = InviteRequest { valid_seconds: 60, uses_max: Some(3), note: "bo".into() };
    let invited = client.invite(&wanted).await.unwrap();
    assert_eq!((invited.ticket.as_str(), invited.uses_max), ("gleaner1bo60", Some(3)));
    assert_eq!(client.invitations().await.unwrap()[0].state, InvitationState::Open);
    let revoked = client.revoke(InvitationId(3), MembersFate::Remove).await.unwrap();
    assert_eq!(revoked.invitation, invitation(InvitationId(3), InvitationState::Revoked));
    assert_eq!(client.pause(JobId(7)).await.unwrap().state, JobState::Paused);
    let retry = client.retry(JobId(7)).await.unwrap();
    assert_eq!((retry.job, retry.retry_of), (JobId(8), Some(JobId(7))));
    assert_eq!(client.resume(JobId(7)).await.unwrap().state, JobState::Running);
    assert_eq!(client.prioritise(JobId(7), -7).await.unwrap().priority, -7);
    let page = client.units(JobId(7), 42, &UnitsFilter::default()).await.unwrap();
    assert_eq!((page.units[0].state, page.next), (UnitState::Waiting, Some(43)));
    let filter = UnitsFilter { stage: Some("stüge".into()), choice: UnitsChoice::Failed };
    let page = client.units(JobId(7), 42, &filter).await.unwrap();
    assert_eq!((page.units[0].state, page.units[0].stage.as_str()), (UnitState::Failed, "stüge"));
    let unit = UnitId { job: JobId(7), number: 42 };
    assert_eq!(client.logs(unit).await.unwrap().unit, unit);
    assert_eq!(client.why_job(JobId(7)).await.unwrap().sentences, ["job-7"]);
    assert_eq!(client.why_unit(unit).await.unwrap().sentences, ["unit-7.42"]);
    let worker = gleaner_protocol::WorkerId([1; 32]);
    assert_eq!(client.why_worker(worker).await.unwrap().sentences, [worker.to_string()]);
    assert!(client.jobs_named("a&b").await.unwrap().is_empty());
}

#[tokio::test]
async fn errors_are_told_apart() {
    let server = Server::start().await;
    let client = server.client();
    let refused = client.job(JobId(404)).await.unwrap_err();
    assert_eq!(refused.to_string(), "there is no job-404");
    assert_eq!(refused.hint().as_deref(), Some("do better"));

    let address_file = server.data.path().join("api-address");
    let address = std::fs::read_to_string(&address_file).unwrap().trim().parse().unwrap();
    write_endpoint(server.data.path(), address, "another");
    let unauthorised = client.project().await.unwrap_err();
    assert!(matches!(unauthorised, ClientError::Unauthorised { .. }), "{unauthorised:?}");

    // A port that was free a moment ago, and that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    write_endpoint(server.data.path(), free, TOKEN);
    let unreachable = client.project().await.unwrap_err();
    assert!(matches!(unreachable, ClientError::Unreachable { .. }), "{unreachable:?}");

    std::fs::remove_file(address_file).unwrap();
    let gone = client.project().await.unwrap_err();
    assert!(matches!(gone, ClientError::Open(OpenError::NotRunning { .. })), "{gone:?}");
    assert!(gone.is_connection_loss() && unreachable.is_connection_loss());
}

#[tokio::test]
async fn an_answer_that_is_not_the_apis_is_malformed() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let data = TempDir::new().unwrap();
    write_endpoint(data.path(), listener.local_addr().unwrap(), TOKEN);
    let router = Router::new()
        .route("/v1/project", get(async || "hello"))
        .route("/v1/jobs", get(async || (StatusCode::BAD_GATEWAY, "a proxy")));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = Client::open(data.path()).unwrap();
    for error in [client.project().await.unwrap_err(), client.jobs().await.unwrap_err()] {
        assert!(matches!(error, ClientError::Malformed { .. }), "{error:?}");
    }
}

#[test]
fn a_folder_without_a_coordinator_says_how_to_start_one() {
    let folder = TempDir::new().unwrap();
    let nowhere = Client::open(&folder.path().join("nowhere")).unwrap_err();
    assert!(nowhere.hint().contains("gleaner coordinator init"), "{}", nowhere.hint());
    let asleep = Client::open(folder.path()).unwrap_err();
    assert_eq!(asleep.hint(), "start it with `gleaner coordinator start`");
}

#[test]
fn the_token_is_sent_to_loopback_only() {
    let folder = TempDir::new().unwrap();
    write_endpoint(folder.path(), "192.0.2.1:4748".parse().unwrap(), TOKEN);
    assert!(matches!(Client::open(folder.path()), Err(OpenError::Damaged { .. })));
}

#[test]
fn a_missing_file_is_named_with_the_line_that_names_it() {
    let folder = job_folder();
    std::fs::remove_file(folder.path().join("words.txt")).unwrap();
    let error = JobFile::read(&folder.path().join("job.toml")).unwrap().prepare().unwrap_err();
    let words = error.to_string();
    assert!(words.contains("line 6, column 31: `stage.s.lines.file` names"), "{words}");
}
