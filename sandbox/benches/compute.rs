//! A unit that computes, in a slot and in bare wasmtime, in turns:
//! `cargo bench -p gleaner-sandbox --bench compute -- SECONDS ROUNDS`.
//!
//! Both run in a process of their own at the same priority; bare wasmtime has its own defaults and
//! no walls. Prints the seconds of each round as JSON.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use gleaner_protocol::{BlobRef, Floats, Limits, Outcome};
use gleaner_sandbox::{Entry, Priority, Sandbox, SandboxConfig, Slot, SlotSpec, SlotUnit};
use serde_bytes::ByteBuf;
use wasmtime::{Engine, Instance, Module, Store};

/// How many steps of the kernel a machine of today takes in a second.
const STEPS_PER_SECOND: u64 = 600_000_000;

const ENTRY: &str = "gleaner_1:task:run";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let word = arguments.peek().and_then(|word| word.to_str()).unwrap_or_default().to_owned();
    match word.as_str() {
        "slot" => return gleaner_sandbox::slot_main(arguments.skip(1)),
        "compile" => return gleaner_sandbox::compile_main(arguments.skip(1)),
        _ => {}
    }
    let words: Vec<String> = arguments.filter_map(|word| word.into_string().ok()).collect();
    let numbers: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
    match (words.iter().any(|word| word == "--bench"), word.as_str(), numbers.as_slice()) {
        (_, "bare", [seconds]) => println!("{}", bare(&module(*seconds))),
        (true, _, [seconds, rounds]) => compare(*seconds, *rounds),
        (true, _, []) => compare(10, 5),
        _ => {}
    }
    ExitCode::SUCCESS
}

fn compare(seconds: u64, rounds: u64) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (slots, bares): (Vec<_>, Vec<_>) = runtime.block_on(async {
        let slot = slot(&module(seconds)).await;
        let mut times = Vec::new();
        for _ in 0..rounds {
            times.push((in_slot(&slot).await, in_child(seconds)));
        }
        times.into_iter().unzip()
    });
    println!("{{\"slot_seconds\":{slots:?},\"bare_seconds\":{bares:?}}}");
}

/// A generator (xorshift64), which no compiler can skip.
fn module(seconds: u64) -> Vec<u8> {
    let steps = seconds * STEPS_PER_SECOND;
    let text = format!(
        r#"(module
             (memory (export "memory") 1)
             (func (export "{ENTRY}") (result i32)
               (local $n i64) (local $x i64)
               (local.set $n (i64.const {steps}))
               (local.set $x (i64.const 88172645463325252))
               (loop $again
                 (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
                 (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
                 (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
                 (br_if $again (i64.ne (i64.const 0)
                   (local.tee $n (i64.sub (local.get $n) (i64.const 1))))))
               (i64.store (i32.const 0) (local.get $x))
               (i32.const 0)))"#
    );
    wat::parse_str(text).expect("a module")
}

async fn slot(wasm: &[u8]) -> Slot {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kernel.wasm");
    std::fs::write(&path, wasm).expect("writes");
    let program = PathBuf::from("/proc/self/exe");
    let mut config = SandboxConfig::new(program, folder.path().join("compiled"));
    config.priority = Priority::Normal;
    let sandbox = Sandbox::new(config).expect("a sandbox");
    let spec = SlotSpec {
        module: sandbox.compile(BlobRef::of(wasm), Floats::Plain, &path).await.expect("compiles"),
        entry: Entry::Task("run".to_owned()),
        parameters: vec![],
        files: vec![],
        limits: Limits::default(),
        on_failure: gleaner_protocol::OnFailure::Stop,
    };
    sandbox.spawn(spec).await.expect("a slot")
}

async fn in_slot(slot: &Slot) -> f64 {
    let items = vec![ByteBuf::from(vec![0x80])];
    let start = Instant::now();
    let answer = slot.run(SlotUnit { first_item: 0, items, seeds: vec![1] }).await;
    assert!(matches!(answer.outcome, Outcome::Completed { .. }), "{}", answer.outcome);
    start.elapsed().as_secs_f64()
}

fn in_child(seconds: u64) -> f64 {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).args(["bare", &seconds.to_string()]).output();
    let text = String::from_utf8(output.expect("a child").stdout).expect("text");
    text.trim().parse().expect("seconds")
}

/// The seconds that the call alone takes.
fn bare(wasm: &[u8]) -> f64 {
    let engine = Engine::default();
    let module = Module::new(&engine, wasm).expect("compiles");
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
    let run = instance.get_typed_func::<(), i32>(&mut store, ENTRY).expect("a function");
    let start = Instant::now();
    run.call(&mut store, ()).expect("it ends");
    start.elapsed().as_secs_f64()
}
