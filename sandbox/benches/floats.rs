//! What `floats = "strict"` costs: `cargo bench -p gleaner-sandbox --bench floats`.
//!
//! Each kernel runs plain and strict in turns; the figure is the ratio of the medians.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use gleaner_protocol::{BlobRef, Floats, Limits};
use gleaner_sandbox::{Entry, Sandbox, SandboxConfig, Slot, SlotSpec, SlotUnit};
use serde_bytes::ByteBuf;

const ROUNDS: usize = 9;

/// What a kernel is called, its locals, and the body of a loop run `$n` times.
const KERNELS: [(&str, &str); 4] = [
    (
        "f64 in locals (logistic map)",
        "(local.set $x (f64.mul (f64.const 3.9)
           (f64.mul (local.get $x) (f64.sub (f64.const 1) (local.get $x)))))",
    ),
    (
        "f64 stored each step (a[i] = a[i] * b + c)",
        "(local.set $a (i32.and (i32.add (local.get $a) (i32.const 8)) (i32.const 0xfff8)))
         (f64.store (local.get $a) (f64.add (f64.const 0.5)
           (f64.mul (f64.const 0.25) (f64.load (local.get $a)))))",
    ),
    (
        "f64x2 stored each step (the same, two at once)",
        "(local.set $a (i32.and (i32.add (local.get $a) (i32.const 16)) (i32.const 0xfff0)))
         (v128.store (local.get $a) (f64x2.add (v128.const f64x2 0.5 0.5)
           (f64x2.mul (v128.const f64x2 0.25 0.25) (v128.load (local.get $a)))))",
    ),
    (
        "f32x4 in a local (a sum of products)",
        "(local.set $a (i32.and (i32.add (local.get $a) (i32.const 16)) (i32.const 0xfff0)))
         (local.set $v (f32x4.add (local.get $v)
           (f32x4.mul (v128.load (local.get $a)) (v128.load (local.get $a)))))",
    ),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_ref().and_then(|word| word.to_str()) {
        Some("slot") => return gleaner_sandbox::slot_main(arguments),
        Some("compile") => return gleaner_sandbox::compile_main(arguments),
        Some("--bench") => {}
        _ => return ExitCode::SUCCESS,
    }
    let folder = tempfile::tempdir().expect("a folder");
    let program = PathBuf::from("/proc/self/exe");
    let config = SandboxConfig::new(program, folder.path().join("compiled"));
    let sandbox = Sandbox::new(config).expect("a sandbox");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        println!("{:50} {:>10} {:>10} {:>7}", "", "plain", "strict", "ratio");
        for (name, kernel) in KERNELS {
            let path = folder.path().join("kernel.wasm");
            let wasm = module(kernel);
            std::fs::write(&path, &wasm).expect("writes");
            let plain = slot(&sandbox, &wasm, &path, Floats::Plain).await;
            let strict = slot(&sandbox, &wasm, &path, Floats::Strict).await;
            let (mut plains, mut stricts) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                plains.push(cpu(&plain).await);
                stricts.push(cpu(&strict).await);
            }
            let (plain, strict) = (median(plains), median(stricts));
            let ratio = strict.as_secs_f64() / plain.as_secs_f64();
            let milliseconds = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
            println!(
                "{name:50} {:>10} {:>10} {ratio:7.2}",
                milliseconds(plain),
                milliseconds(strict)
            );
        }
    });
    ExitCode::SUCCESS
}

fn module(kernel: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
             (memory (export "memory") 2)
             (func (export "gleaner_1:task:run") (result i32)
               (local $n i32) (local $a i32) (local $x f64) (local $v v128)
               (local.set $n (i32.const 20000000))
               (local.set $x (f64.const 0.3))
               (loop $again
                 {kernel}
                 (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
               ;; What was computed is kept, so that no compiler leaves it out.
               (f64.store (i32.const 65536) (local.get $x))
               (v128.store (i32.const 65552) (local.get $v))
               (i32.const 0)))"#
    );
    wat::parse_str(text).expect("a module")
}

async fn slot(sandbox: &Sandbox, wasm: &[u8], path: &std::path::Path, floats: Floats) -> Slot {
    let spec = SlotSpec {
        module: sandbox.compile(BlobRef::of(wasm), floats, path).await.expect("compiles"),
        entry: Entry::Task("run".to_owned()),
        parameters: vec![],
        files: vec![],
        limits: Limits::default(),
        on_failure: gleaner_protocol::OnFailure::Stop,
    };
    sandbox.spawn(spec).await.expect("a slot")
}

async fn cpu(slot: &Slot) -> Duration {
    let items = vec![ByteBuf::from(vec![0x80])];
    slot.run(SlotUnit { first_item: 0, items, seeds: vec![1] }).await.cpu
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
