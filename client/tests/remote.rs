//! The client from elsewhere, against coordinators that lie.

#![allow(clippy::unwrap_used, reason = "a test may panic wherever something is not as it set up")]

use std::sync::Arc;

use gleaner_client::{Client, ClientError, Projects, RemoteError};
use gleaner_network::{
    ApiBytes, ApiGate, HostKey, IncomingApiStreams, Node, NodeConfig, ProjectKey,
};
use gleaner_protocol::{
    API_STREAM_VERSION, ApiGreeting, ApiHello, ApiRefusal, ProjectKind, ProjectRecord,
    SignedProjectRecord, Ticket, Timestamp, WorkerId,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PROJECT: &str = r#"{"project":"project-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","name":"stars","operator":"us","purpose":"to know","record_expires_at":"2027-01-01T00:00:00Z","addresses":[]}"#;

struct Everybody;

impl ApiGate for Everybody {
    fn admits(&self, _: WorkerId) -> bool {
        true
    }
}

/// A coordinator that says what a test wants, and one who has its ticket.
struct Lab {
    folder: TempDir,
    key: ProjectKey,
    node: Node,
    incoming: IncomingApiStreams,
}

impl Lab {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let key = ProjectKey::create(&folder.path().join("project.key")).unwrap();
        let config =
            NodeConfig { port: 0, loopback_only: true, mdns: false, ..NodeConfig::default() };
        let (node, _) = Node::start(&HostKey::generate(), config).await.unwrap();
        let incoming = node.accept_api(Arc::new(Everybody));
        let lab = Self { folder, key, node, incoming };
        let (project, addresses) = (lab.key.id(), lab.node.addresses());
        let ticket = Ticket { project, name: "stars".into(), addresses, invitation: None };
        lab.projects().add(&ticket, None).unwrap();
        lab
    }

    fn projects(&self) -> Projects {
        Projects::at(&self.folder.path().join("submitter"))
    }

    fn client(&self) -> Client {
        Client::open_project(self.projects(), "stars").unwrap()
    }

    fn record(&self, serial: u64) -> ProjectRecord {
        ProjectRecord {
            project: self.key.id(),
            serial,
            name: "stars".into(),
            operator: "us".into(),
            purpose: "to know".into(),
            kind: ProjectKind::Lab,
            coordinators: vec![self.node.id()],
            expires_at: Timestamp::from_millis(u64::MAX),
            successor: None,
        }
    }

    fn welcome(&self, record: &ProjectRecord) -> ApiGreeting {
        ApiGreeting::Welcome { version: API_STREAM_VERSION, record: self.key.sign(record) }
    }

    /// Answers the next stream's hello with `greeting`, and gives what comes after it.
    async fn greet(&mut self, greeting: &ApiGreeting) -> ApiBytes {
        let mut stream = self.incoming.next().await.unwrap();
        let hello: ApiHello = stream.receive().await.unwrap().unwrap();
        assert_eq!(hello, ApiHello { version: API_STREAM_VERSION, project: self.key.id() });
        stream.send(greeting).await.unwrap();
        stream.into_bytes()
    }

    /// The client's error when a coordinator greets it so; nothing may have been asked.
    async fn refused(&mut self, client: &Client, greeting: &ApiGreeting) -> RemoteError {
        let asked = async {
            let mut bytes = Vec::new();
            // The client drops the stream, which breaks it or ends it.
            let _ = self.greet(greeting).await.read_to_end(&mut bytes).await;
            bytes
        };
        let (answer, asked) = tokio::join!(client.project(), asked);
        assert_eq!(asked, b"", "something was sent to a coordinator that has not proved itself");
        match answer.unwrap_err() {
            ClientError::Remote { project, source } => {
                assert_eq!(project, "stars");
                *source
            }
            other => panic!("{other:?}"),
        }
    }

    /// Lets the client ask for the project, and answers.
    async fn accepted(&mut self, client: &Client, greeting: &ApiGreeting) {
        let serve = async {
            let mut stream = self.greet(greeting).await;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            assert!(head.starts_with("GET /v1/project HTTP/1.1\r\n"), "{head}");
            assert!(!head.to_lowercase().contains("authorization"), "{head}");
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{PROJECT}", PROJECT.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            stream
        };
        let (answer, _stream) = tokio::join!(client.project(), serve);
        assert_eq!(answer.unwrap().name, "stars");
    }
}

#[tokio::test]
async fn a_coordinator_that_proves_to_be_the_projects_is_asked() {
    let mut lab = Lab::new().await;
    let (client, welcome) = (lab.client(), lab.welcome(&lab.record(1)));
    lab.accepted(&client, &welcome).await;
    lab.accepted(&client, &welcome).await;
    client.close().await;
}

#[tokio::test]
async fn nothing_is_asked_of_one_that_does_not() {
    let mut lab = Lab::new().await;
    let client = lab.client();
    let other = ProjectKey::create(&lab.folder.path().join("other.key")).unwrap();
    let forged = SignedProjectRecord {
        record: lab.key.sign(&lab.record(1)).record,
        signature: other.sign(&ProjectRecord { project: other.id(), ..lab.record(1) }).signature,
    };
    let forged = ApiGreeting::Welcome { version: API_STREAM_VERSION, record: forged };
    let error = lab.refused(&client, &forged).await;
    assert!(matches!(error, RemoteError::Record(_)), "{error}");

    let ended = ProjectRecord { expires_at: Timestamp::from_millis(1), ..lab.record(1) };
    let error = lab.refused(&client, &lab.welcome(&ended)).await;
    assert!(matches!(error, RemoteError::Record(_)), "{error}");

    let of_others = ProjectRecord { coordinators: vec![WorkerId([7; 32])], ..lab.record(1) };
    let error = lab.refused(&client, &lab.welcome(&of_others)).await;
    assert!(matches!(error, RemoteError::NotNamed { .. }), "{error}");
    assert!(!error.is_connection_loss(), "trying again does not help");
}

#[tokio::test]
async fn a_record_older_than_one_seen_is_refused_by_the_next_process_too() {
    let mut lab = Lab::new().await;
    let client = lab.client();
    lab.accepted(&client, &lab.welcome(&lab.record(5))).await;
    for client in [client, lab.client()] {
        let error = lab.refused(&client, &lab.welcome(&lab.record(4))).await;
        assert!(matches!(error, RemoteError::Older { offered: 4, seen: 5 }), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_says_which_key_to_send_to_the_operator() {
    let mut lab = Lab::new().await;
    let client = lab.client();
    let refusal = ApiGreeting::Refused(ApiRefusal::NotASubmitter);
    let error = lab.refused(&client, &refusal).await;
    let key = lab.projects().key().unwrap().id().to_string();
    assert!(error.hint().unwrap().contains(&key), "{:?}", error.hint());
    assert!(!error.is_connection_loss());
}
