//! How many units that do nothing one slot answers in a second: `cargo bench -p gleaner-sandbox`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use gleaner_protocol::{BlobRef, Floats, Limits, OnFailure};
use gleaner_sandbox::{Entry, Sandbox, SandboxConfig, Slot, SlotSpec, SlotUnit};
use serde_bytes::ByteBuf;

const UNITS: u32 = 100_000;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_ref().and_then(|word| word.to_str()) {
        Some("slot") => return gleaner_sandbox::slot_main(arguments),
        Some("compile") => return gleaner_sandbox::compile_main(arguments),
        Some("--bench") => {}
        _ => return ExitCode::SUCCESS,
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let slot = slot().await;
        for in_flight in [1, 64, 512] {
            let start = Instant::now();
            run(&slot, in_flight).await;
            let rate = f64::from(UNITS) / start.elapsed().as_secs_f64();
            println!("{in_flight:4} in flight: {rate:8.0} units/s");
        }
        slot.kill().await;
    });
    ExitCode::SUCCESS
}

/// A slot for a task that writes one byte.
async fn slot() -> Slot {
    let folder = tempfile::tempdir().expect("a folder");
    let wasm = wat::parse_str(
        r#"(module
             (import "gleaner_1" "output_write" (func $output_write (param i32 i32)))
             (memory (export "memory") 1)
             (func (export "gleaner_1:task:run") (result i32)
               (call $output_write (i32.const 0) (i32.const 1))
               (i32.const 0)))"#,
    )
    .expect("a module");
    let path = folder.path().join("task.wasm");
    std::fs::write(&path, &wasm).expect("writes");
    let program = PathBuf::from("/proc/self/exe");
    let config = SandboxConfig::new(program, folder.path().join("compiled"));
    let sandbox = Sandbox::new(config).expect("a sandbox");
    let spec = SlotSpec {
        module: sandbox.compile(BlobRef::of(&wasm), Floats::Plain, &path).await.expect("compiles"),
        entry: Entry::Task("run".to_owned()),
        parameters: vec![],
        files: vec![],
        limits: Limits::default(),
        on_failure: OnFailure::Stop,
    };
    sandbox.spawn(spec).await.expect("a slot")
}

async fn run(slot: &Slot, in_flight: u32) {
    let runs = (0..in_flight).map(|_| {
        let slot = slot.clone();
        tokio::spawn(async move {
            for item in 0..UNITS / in_flight {
                let items = vec![ByteBuf::from(vec![0x80])];
                slot.run(SlotUnit { first_item: u64::from(item), items, seeds: vec![1] }).await;
            }
        })
    });
    for run in runs.collect::<Vec<_>>() {
        run.await.expect("answers");
    }
}
