//! A coordinator that says what a test tells it to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gleaner_network::{
    BlobSource, HostKey, IncomingStreams, Node, NodeConfig, ProjectKey, WorkReceiver, WorkSender,
};
use gleaner_protocol::{
    AttemptId, BlobHash, BlobRef, Capacity, Epoch, Floats, ItemRange, JobId, Lease, LeaseClaims,
    LeaseKey, LeaseToken, Limits, OnFailure, Outcome, Payload, ProjectId, ProjectKind,
    ProjectRecord, SignedProjectRecord, StageIndex, StageTask, Ticket, Timestamp, ToCoordinator,
    ToWorker, UnitId, UnitResult, Value, ValueMap, WORK_PROTOCOL_VERSION, WorkerId, wire,
};
use gleaner_worker::Config;
use serde_bytes::ByteBuf;
use tempfile::TempDir;

/// `echo` gives its input back, `large` 200,000 bytes, `spin` never ends.
const MODULE: &str = r#"(module
  (import "gleaner_1" "input_len" (func $input_len (param i32) (result i64)))
  (import "gleaner_1" "input_read" (func $input_read (param i32 i64 i32 i32)))
  (import "gleaner_1" "output_write" (func $output_write (param i32 i32)))
  (memory (export "memory") 8)
  (data (i32.const 0) "\c6\00\03\0d\40")
  (func (export "gleaner_1:task:echo") (result i32)
    (local $length i32)
    (local.set $length (i32.wrap_i64 (call $input_len (i32.const 0))))
    (call $input_read (i32.const 0) (i64.const 0) (i32.const 16) (local.get $length))
    (call $output_write (i32.const 16) (local.get $length))
    (i32.const 0))
  (func (export "gleaner_1:task:large") (result i32)
    (call $output_write (i32.const 0) (i32.const 200005))
    (i32.const 0))
  (func (export "gleaner_1:task:spin") (result i32)
    (loop $forever (br $forever))
    (i32.const 0)))"#;

pub fn config(data: impl Into<PathBuf>) -> Config {
    let program = std::env::current_exe().expect("this program has a path");
    Config { slots: 1, loopback_only: true, mdns: false, ..Config::new(data, program) }
}

pub struct Coordinator {
    pub node: Node,
    incoming: IncomingStreams,
    project: ProjectKey,
    lease_key: LeaseKey,
    blobs: Arc<Served>,
    module: BlobRef,
    folder: TempDir,
}

/// Every blob in a folder, for everyone.
struct Served(PathBuf);

impl BlobSource for Served {
    fn open(&self, _: WorkerId, hash: BlobHash) -> Option<PathBuf> {
        Some(self.0.join(hash.to_string())).filter(|path| path.exists())
    }
}

/// One stream from the worker, after its hello.
pub struct Stream {
    pub worker: WorkerId,
    pub held: Vec<(LeaseClaims, LeaseToken)>,
    sender: WorkSender,
    receiver: WorkReceiver,
}

impl Coordinator {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let network =
            NodeConfig { port: 0, loopback_only: true, mdns: false, ..NodeConfig::default() };
        let (node, incoming) = Node::start(&HostKey::generate(), network).await.unwrap();
        let blobs = Arc::new(Served(folder.path().join("blobs")));
        std::fs::create_dir(&blobs.0).unwrap();
        node.serve_blobs(blobs.clone());
        let project = ProjectKey::create(&folder.path().join("project.key")).unwrap();
        let lease_key = LeaseKey::new([7; 32]);
        let module = blobs.put(&wat::parse_str(MODULE).unwrap());
        Self { node, incoming, project, lease_key, blobs, module, folder }
    }

    /// A folder of a worker that has joined this coordinator's project.
    pub fn joined(&self) -> PathBuf {
        let data = self.folder.path().join("worker");
        let (project, addresses) = (self.project.id(), self.node.addresses());
        let ticket = Ticket { project, name: "test".into(), addresses, invitation: None };
        gleaner_worker::join(&data, &ticket).unwrap();
        data
    }

    pub fn project(&self) -> ProjectId {
        self.project.id()
    }

    pub fn put_blob(&self, bytes: &[u8]) -> BlobRef {
        self.blobs.put(bytes)
    }

    pub fn record(&self, serial: u64, coordinators: Vec<WorkerId>) -> SignedProjectRecord {
        self.project.sign(&ProjectRecord {
            project: self.project.id(),
            serial,
            name: "test".into(),
            operator: "a test".into(),
            purpose: "to be tested".into(),
            kind: ProjectKind::Lab,
            coordinators,
            expires_at: Timestamp::from_millis(u64::MAX),
            successor: None,
        })
    }

    /// The same folder, its worker joined anew by a ticket that leads to `other` too.
    pub fn joined_with(&self, other: &Self) -> PathBuf {
        let data = self.folder.path().join("worker");
        let addresses = [other.node.addresses(), self.node.addresses()].concat();
        let project = self.project.id();
        let ticket = Ticket { project, name: "test".into(), addresses, invitation: None };
        gleaner_worker::join(&data, &ticket).unwrap();
        data
    }

    /// The next stream, its hello heard and not answered.
    pub async fn hear(&mut self) -> Stream {
        self.hear_for(self.project.id()).await
    }

    /// The same, of a worker that wants another project.
    pub async fn hear_for(&mut self, wanted: ProjectId) -> Stream {
        let (worker, stream) = self.incoming.next().await.expect("the node lives");
        let (sender, mut receiver) = stream.split();
        match receiver.receive::<ToCoordinator>().await.unwrap() {
            Some(ToCoordinator::Hello { project, held, .. }) => {
                assert_eq!(project, wanted);
                Stream { worker, held, sender, receiver }
            }
            other => panic!("a hello comes first, not {other:?}"),
        }
    }

    /// The next stream, welcomed.
    pub async fn accept(&mut self) -> Stream {
        let mut stream = self.hear().await;
        stream.welcome(self.record(1, vec![self.node.id()])).await;
        stream
    }

    pub fn task(&self, function: &str) -> StageTask {
        self.task_of(self.module, function)
    }

    pub fn task_of(&self, module: BlobRef, function: &str) -> StageTask {
        StageTask {
            module,
            function: function.into(),
            parameters: ValueMap::new(),
            files: Vec::new(),
            limits: Limits::default(),
            seed: 1,
            floats: Floats::Plain,
            on_failure: OnFailure::Stop,
        }
    }

    /// A lease of one item.
    pub fn lease(&self, worker: WorkerId, unit: u64, stage: u32, inputs: Payload) -> Lease {
        let claims = LeaseClaims {
            worker,
            attempt: attempt(unit),
            stage: StageIndex(stage),
            items: ItemRange { start: unit, end: unit + 1 },
            input: BlobHash([1; 32]),
            epoch: Epoch(1),
        };
        let token = self.lease_key.seal(&claims);
        Lease { claims, token, inputs, duration: Duration::from_secs(60) }
    }

    /// Leases of units that echo their own numbers.
    pub async fn lease_echoes(&self, stream: &mut Stream, units: std::ops::Range<u64>) {
        stream.tell_task(0, self.task("echo")).await;
        let lease = |unit| self.lease(stream.worker, unit, 0, Payload::Inline(vec![item(unit)]));
        let leases = units.map(lease).collect();
        stream.say(ToWorker::Leases { leases }).await;
    }

    pub fn assert_is_ours(&self, result: &UnitResult) {
        assert!(self.lease_key.verifies(&result.claims, &result.token));
    }
}

impl Served {
    fn put(&self, bytes: &[u8]) -> BlobRef {
        let blob = BlobRef::of(bytes);
        std::fs::write(self.0.join(blob.hash.to_string()), bytes).unwrap();
        blob
    }
}

impl Stream {
    pub async fn say(&mut self, message: ToWorker) {
        self.sender.send(&message).await.unwrap();
    }

    pub async fn welcome(&mut self, record: SignedProjectRecord) {
        let heartbeat_interval = Duration::from_millis(100);
        self.say(ToWorker::Welcome {
            version: WORK_PROTOCOL_VERSION,
            record,
            epoch: Epoch(1),
            heartbeat_interval,
        })
        .await;
    }

    pub async fn tell_task(&mut self, stage: u32, task: StageTask) {
        self.say(ToWorker::Task { job: JobId(1), stage: StageIndex(stage), task }).await;
    }

    pub async fn acknowledge(&mut self, attempts: Vec<AttemptId>) {
        self.say(ToWorker::Acknowledge { attempts }).await;
    }

    /// The next message; none when the worker has closed the stream.
    pub async fn next(&mut self) -> Option<ToCoordinator> {
        self.receiver.receive().await.ok().flatten()
    }

    /// Waits for what `wanted` picks and passes over everything else.
    pub async fn find<T>(&mut self, mut wanted: impl FnMut(ToCoordinator) -> Option<T>) -> T {
        loop {
            let message = self.next().await.expect("the worker goes on talking");
            if let Some(found) = wanted(message) {
                return found;
            }
        }
    }

    pub async fn request(&mut self) -> Capacity {
        self.find(|message| match message {
            ToCoordinator::Request(capacity) => Some(capacity),
            _ => None,
        })
        .await
    }

    /// Results of `count` different attempts, in the order of their units.
    pub async fn results(&mut self, count: usize) -> Vec<UnitResult> {
        let mut found = BTreeMap::new();
        while found.len() < count {
            let results = self
                .find(|message| match message {
                    ToCoordinator::Results { results } => Some(results),
                    _ => None,
                })
                .await;
            found.extend(results.into_iter().map(|result| (result.claims.attempt, result)));
        }
        found.into_values().collect()
    }
}

pub fn attempt(unit: u64) -> AttemptId {
    AttemptId { unit: UnitId { job: JobId(1), number: unit }, number: 1 }
}

/// An item's fields.
pub fn item(number: u64) -> ByteBuf {
    let fields = ValueMap::from([("n".to_owned(), Value::Integer(number as i64))]);
    ByteBuf::from(wire::encode(&fields))
}

pub fn echoed(result: &UnitResult) -> bool {
    let expected = vec![item(result.claims.items.start)];
    result.outcome
        == Outcome::Completed { outputs: Payload::Inline(expected), failures: Vec::new() }
}

pub fn exists(path: &Path) -> bool {
    path.try_exists().unwrap()
}
