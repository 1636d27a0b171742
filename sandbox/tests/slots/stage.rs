//! What every test starts with: a sandbox, a slot, a unit; and waiting for a condition.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use gleaner_protocol::{BlobRef, Floats, Limits, OnFailure, Outcome, Payload};
use gleaner_sandbox::{
    CompileError, CompiledModule, Entry, Sandbox, SandboxConfig, Slot, SlotAnswer, SlotSpec,
    SlotUnit,
};
use libtest_mimic::Trial;
use serde_bytes::ByteBuf;
use tempfile::TempDir;

/// How long a condition may take to come true: the machine may be busy, and slots yield.
const PATIENCE: Duration = Duration::from_secs(180);

/// A test that needs a runtime.
pub fn trial<F: Future<Output = ()>>(
    name: &'static str,
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { tokio::time::timeout(PATIENCE, test()).await })?;
        Ok(())
    })
}

/// The folder and the sandbox that tests share.
pub fn shared() -> &'static (TempDir, Sandbox) {
    static SHARED: OnceLock<(TempDir, Sandbox)> = OnceLock::new();
    SHARED.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::new(config(folder.path())).unwrap();
        (folder, sandbox)
    })
}

/// This very program, even when its file has been replaced meanwhile.
pub fn config(folder: &Path) -> SandboxConfig {
    SandboxConfig::new(PathBuf::from("/proc/self/exe"), folder.join("compiled"))
}

/// Writes `wasm` into `folder` under its hash.
pub fn write(folder: &Path, wasm: &[u8]) -> (BlobRef, PathBuf) {
    let blob = BlobRef::of(wasm);
    let path = folder.join(format!("{}.wasm", blob.hash));
    std::fs::write(&path, wasm).unwrap();
    (blob, path)
}

pub async fn try_compile(wasm: &[u8]) -> Result<CompiledModule, CompileError> {
    let (folder, sandbox) = shared();
    let (blob, path) = write(folder.path(), wasm);
    sandbox.compile(blob, Floats::Plain, &path).await
}

/// What a slot for `wasm` is started with.
pub async fn spec(wasm: &[u8]) -> SlotSpec {
    SlotSpec {
        module: try_compile(wasm).await.unwrap(),
        entry: Entry::Task("run".to_owned()),
        parameters: b"parameters".to_vec(),
        files: Vec::new(),
        limits: Limits::default(),
        on_failure: OnFailure::Stop,
    }
}

/// A slot for `wasm` with `limits`.
pub async fn slot(wasm: &[u8], limits: Limits) -> Slot {
    let spec = SlotSpec { limits, ..spec(wasm).await };
    shared().1.spawn(spec).await.unwrap()
}

/// The items from `first` on with these fields, their seeds being ten times their numbers.
pub fn unit(first: u64, items: &[&[u8]]) -> SlotUnit {
    SlotUnit {
        first_item: first,
        items: items.iter().map(|item| ByteBuf::from(*item)).collect(),
        seeds: (first..).take(items.len()).map(|item| item * 10).collect(),
    }
}

/// The outputs of a unit that was completed.
pub fn outputs(answer: SlotAnswer) -> Vec<Vec<u8>> {
    match answer.outcome {
        Outcome::Completed { outputs: Payload::Inline(outputs), failures }
            if failures.is_empty() =>
        {
            outputs.into_iter().map(ByteBuf::into_vec).collect()
        }
        other => panic!("not completed: {other}"),
    }
}

/// Waits until `condition` holds; a failure names it.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
