//! Compiling children and the cache.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use gleaner_protocol::{BlobRef, Floats, Limits, OnFailure};
use gleaner_sandbox::{
    CompileError, CompileLimits, Entry, ModuleError, Sandbox, SandboxConfig, SlotSpec, SpawnError,
};
use libtest_mimic::Trial;

use crate::guests::task;
use crate::stage::{config, outputs, shared, spec, trial, try_compile, unit, write};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("a_module_that_breaks_a_rule_is_refused", refused),
        trial("a_file_with_another_hash_is_refused", wrong_hash),
        trial("a_module_that_exhausts_its_child_is_given_up", exhausted),
        trial("a_compiled_module_is_compiled_once", cached),
        trial("a_module_with_strict_floats_is_another_one", strict),
        trial("a_damaged_cache_entry_is_compiled_again", damaged),
        trial("a_program_that_is_not_there_is_an_error", no_program),
        trial("a_shared_file_that_is_not_there_is_named", no_file),
    ]
}

async fn refused() {
    let error = try_compile(&wat::parse_str("(module)").unwrap()).await.err().unwrap();
    assert!(matches!(error, CompileError::Refused(ModuleError::NoMemory)), "{error}");
    let bomb = format!("(func {} {})", "loop ".repeat(2000), "end ".repeat(2000));
    let bomb = crate::guests::module(&bomb);
    let error = try_compile(&bomb).await.err().unwrap();
    assert!(matches!(error, CompileError::Refused(ModuleError::LoopsTooDeep { .. })), "{error}");
}

async fn wrong_hash() {
    let (folder, sandbox) = shared();
    let (_, path) = write(folder.path(), &task("(nop)"));
    let other = BlobRef::of(b"something else");
    let error = sandbox.compile(other, Floats::Plain, &path).await.err().unwrap();
    assert!(matches!(error, CompileError::WrongHash { .. }), "{error}");
}

/// As many `if`s in a row as fit into a function need more memory than the child has.
async fn exhausted() {
    let folder = tempfile::tempdir().unwrap();
    let limits = CompileLimits { memory_bytes: 40 << 20, cpu: Duration::from_secs(20) };
    let sandbox = Sandbox::new(SandboxConfig { compile: limits, ..config(folder.path()) }).unwrap();
    let (blob, path) = write(folder.path(), &task(&"(if (i32.const 1) (then))".repeat(50_000)));
    let error = sandbox.compile(blob, Floats::Plain, &path).await.err().unwrap();
    assert!(matches!(error, CompileError::Exhausted { .. }), "{error}");
    let (blob, path) = write(folder.path(), &task(""));
    sandbox.compile(blob, Floats::Plain, &path).await.unwrap();
}

async fn cached() {
    let (folder, sandbox) = shared();
    let (blob, path) = write(folder.path(), &task("(nop) (nop)"));
    sandbox.compile(blob, Floats::Plain, &path).await.unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(sandbox.compile(blob, Floats::Plain, &path).await.unwrap().module(), blob.hash);
}

/// Zero by zero: on x86 the sign of the NaN is set, on aarch64 it is not.
async fn strict() {
    let wasm = task(
        "(f64.store (i32.const 0) (f64.div (f64.const 0) (f64.const 0)))
         (call $output_write (i32.const 0) (i32.const 8))",
    );
    let (folder, sandbox) = shared();
    let (blob, path) = write(folder.path(), &wasm);
    let plain_bits: u64 =
        if cfg!(target_arch = "x86_64") { 0xfff8_0000_0000_0000 } else { 0x7ff8_0000_0000_0000 };
    // Each from the compiler, then from the cache.
    for _ in 0..2 {
        for (floats, bits) in [(Floats::Plain, plain_bits), (Floats::Strict, 0x7ff8_0000_0000_0000)]
        {
            let module = sandbox.compile(blob, floats, &path).await.unwrap();
            let slot = sandbox.spawn(SlotSpec { module, ..spec(&wasm).await }).await.unwrap();
            assert_eq!(outputs(slot.run(unit(0, &[b""])).await), [bits.to_le_bytes()]);
        }
    }
}

async fn damaged() {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::new(config(folder.path())).unwrap();
    let (blob, path) =
        write(folder.path(), &task("(call $output_write (i32.const 0) (i32.const 5))"));
    sandbox.compile(blob, Floats::Plain, &path).await.unwrap();
    let entries: Vec<PathBuf> =
        fs::read_dir(folder.path().join("compiled")).unwrap().map(|e| e.unwrap().path()).collect();
    let [entry] = entries.as_slice() else { panic!("one entry: {entries:?}") };
    let whole = fs::read(entry).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(entry, damaged).unwrap();
    let module = sandbox.compile(blob, Floats::Plain, &path).await.unwrap();
    assert_eq!(fs::read(entry).unwrap(), whole, "compiled again, to the same bytes");
    let spec = SlotSpec {
        module,
        entry: Entry::Task("run".to_owned()),
        parameters: vec![],
        files: vec![],
        limits: Limits::default(),
        on_failure: OnFailure::Stop,
    };
    let slot = sandbox.spawn(spec).await.unwrap();
    assert_eq!(outputs(slot.run(unit(0, &[b""])).await), [b"hello"]);
}

async fn no_program() {
    let folder = tempfile::tempdir().unwrap();
    let program = PathBuf::from("/nowhere/gleaner");
    let error = Sandbox::new(SandboxConfig { program, ..config(folder.path()) }).err().unwrap();
    let words = error.to_string();
    assert!(words.starts_with("the program /nowhere/gleaner cannot be started"), "{words}");

    let program = PathBuf::from("/bin/true");
    let sandbox = Sandbox::new(SandboxConfig { program, ..config(folder.path()) }).unwrap();
    let error = sandbox.spawn(spec(&task("")).await).await.err().unwrap();
    assert!(matches!(error, SpawnError::NotReady { .. }), "{error}");
}

async fn no_file() {
    let files = vec![("star".to_owned(), PathBuf::from("/nowhere/star.csv"))];
    let error = shared().1.spawn(SlotSpec { files, ..spec(&task("")).await }).await.err().unwrap();
    let words = error.to_string();
    assert!(words.starts_with("the shared file `star` at /nowhere/star.csv cannot be"), "{words}");
}
