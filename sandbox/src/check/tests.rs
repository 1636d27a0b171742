use super::*;

/// A module with one task, and `extra` in it.
fn module(extra: &str) -> Vec<u8> {
    let text = format!(
        r#"(module {extra}
             (memory (export "memory") 1)
             (func (export "gleaner_1:task:run") (result i32) (i32.const 0)))"#
    );
    wat::parse_str(text).expect("the text is a module")
}

fn check_module(wasm: &[u8]) -> Result<ModuleInfo, ModuleError> {
    super::check_module(wasm, Floats::Plain)
}

fn check(wasm: &[u8], expected: &str) {
    let error = check_module(wasm).expect_err(expected);
    assert_eq!(error.to_string(), expected);
}

fn check_text(text: &str, expected: &str) {
    check(&wat::parse_str(text).expect("the text is a module"), expected);
}

#[test]
fn a_task_is_accepted_and_told() {
    let wasm = module(
        r#"(import "gleaner_1" "seed" (func (result i64)))
           (func (export "gleaner_1:merge:join") (result i32) (i32.const 0))
           (func (export "gleaner_1:split:tiles") (result i32) (i32.const 0))"#,
    );
    let info = check_module(&wasm).expect("a task");
    assert_eq!(info.tasks, ["run"]);
    assert_eq!(info.merges, ["join"]);
    assert_eq!(info.splits, ["tiles"]);
    assert_eq!((info.memory_bytes_min, info.functions), (65_536, 4));
    assert_eq!((info.imports, info.bytes), (vec!["seed".to_owned()], wasm.len() as u64));
    assert_eq!(info.memory_bytes_max, None);
}

#[test]
fn what_functions_compute_with_is_counted() {
    let wasm = module(
        r#"(func (result f64) (f64.const 1))
           (func (result v128) (i32x4.splat (i32.const 1)))
           (func (result v128) (f32x4.splat (f32.const 1)))"#,
    );
    let info = check_module(&wasm).expect("a task");
    assert_eq!((info.functions_with_floats, info.functions_with_vectors), (2, 2));
}

#[test]
fn an_error_in_a_function_tells_which() {
    let error = check_module(&module("(func) (func $first) (start $first)")).expect_err("a start");
    assert_eq!(error.function(), Some(1));
    assert_eq!(check_module(b"\0asm").expect_err("no module").function(), None);
}

#[test]
fn every_function_of_the_interface_can_be_imported() {
    for function in interface::FUNCTIONS {
        let list = |types: &[wasmparser::ValType], word: &str| {
            types.iter().map(|ty| format!("({word} {ty})")).collect::<String>()
        };
        let parameters = list(function.parameters, "param");
        let results = list(function.results, "result");
        let name = function.name;
        check_module(&module(&format!(
            r#"(import "gleaner_1" "{name}" (func {parameters} {results}))"#
        )))
        .expect(name);
    }
}

#[test]
fn imports_outside_the_interface_are_named() {
    check(
        &module(r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32)))"#),
        "it imports `fd_write` from `wasi_snapshot_preview1` (a function), which is no part of \
         the interface `gleaner_1`: build it for wasm32-unknown-unknown with the SDK, without \
         what needs an operating system or a browser",
    );
    check(
        &module(r#"(import "gleaner_1" "seed" (global (mut i64)))"#),
        "it imports `seed` from `gleaner_1` (a global), which is no part of the interface \
         `gleaner_1`: build it for wasm32-unknown-unknown with the SDK, without what needs an \
         operating system or a browser",
    );
    check(
        &module(r#"(import "gleaner_1" "seed" (func (param i32) (result i64)))"#),
        "it imports `seed` as (i32) -> i64; the interface has () -> i64",
    );
}

#[test]
fn shapes_that_tasks_cannot_have_are_refused() {
    let task = r#"(func (export "gleaner_1:task:run") (result i32) (i32.const 0))"#;
    check(b"", "it is no WebAssembly module: it begins with \"\" instead of \"\\0asm\"");
    check(
        b"#!/bin/sh\necho",
        "it is no WebAssembly module: it begins with \"#!/bin/s\" instead of \"\\0asm\"",
    );
    check(
        b"\x7fELF\x02\x01\x01",
        "it is no WebAssembly module: it begins with \"\\x7fELF\\x02\\x01\\x01\" instead of \
         \"\\0asm\"",
    );
    check(
        b"\0asm\x0d\0\x01\0",
        "it is a WebAssembly component; a task is a core module, built for wasm32-unknown-unknown",
    );
    check(b"\0asm", "not valid WebAssembly for a task, at byte 4: unexpected end-of-file");
    check_text(&format!("(module {task})"), "it does not export its memory as `memory`");
    check_text(
        r#"(module (memory (export "memory") 1))"#,
        "it exports no task: nothing named `gleaner_1:task:NAME`",
    );
    check_text(
        &format!(r#"(module (memory (export "memory") 1) (memory 1) {task})"#),
        "it has 2 memories; the limit is 1",
    );
    check_text(
        &format!(r#"(module (memory (export "memory") 1 2 shared) {task})"#),
        "its memory is shared between threads: build it without `atomics`",
    );
    check_text(
        &format!(r#"(module (memory (export "memory") i64 1) {task})"#),
        "its memory has 64-bit addresses: build it for wasm32",
    );
    check(
        &module("(func $first) (start $first)"),
        "it has a start function (function 0), which tasks cannot have",
    );
    check(
        &module("(table 2000000 funcref)"),
        "table 0 starts with 2000000 entries; the limit is 1048576",
    );
}

#[test]
fn exports_of_another_type_are_refused() {
    check(
        &module(r#"(func (export "gleaner_1:task:odd") (param i32))"#),
        "its export `gleaner_1:task:odd` is a function (i32); a task, merge or split is a \
         function () -> i32",
    );
    check(
        &module(r#"(global (export "gleaner_1:merge:odd") i32 (i32.const 0))"#),
        "its export `gleaner_1:merge:odd` is no function; a task, merge or split is a function \
         () -> i32",
    );
    check(
        &module(r#"(func (export "gleaner_1:task:") (result i32) (i32.const 0))"#),
        "its export `gleaner_1:task:` has a name of 0 bytes; names have 1 to 128",
    );
}

#[test]
fn compile_bombs_are_refused_by_their_shape() {
    let nested = |open: &str, depth: usize| {
        module(&format!("(func {} {})", open.repeat(depth), "end ".repeat(depth)))
    };
    assert!(check_module(&nested("loop ", LOOP_DEPTH_MAX as usize)).is_ok());
    assert!(matches!(
        check_module(&nested("loop ", 2000)),
        Err(ModuleError::LoopsTooDeep { function: 0, max: LOOP_DEPTH_MAX, .. })
    ));
    assert!(check_module(&nested("block ", NESTING_DEPTH_MAX as usize)).is_ok());
    assert!(matches!(
        check_module(&nested("i32.const 1 if ", NESTING_DEPTH_MAX as usize + 1)),
        Err(ModuleError::NestingTooDeep { function: 0, max: NESTING_DEPTH_MAX, .. })
    ));
    let long = module(&format!("(func {})", "nop ".repeat(FUNCTION_BYTES_MAX as usize)));
    assert!(matches!(check_module(&long), Err(ModuleError::FunctionTooLarge { .. })));
}

/// Every start of a whole module breaks off somewhere, and says so without a panic.
#[test]
fn a_module_that_breaks_off_is_invalid_wherever_it_does() {
    let whole = module(r#"(import "gleaner_1" "seed" (func (result i64)))"#);
    check_module(&whole).expect("a task");
    for length in 8..whole.len() {
        let error = check_module(&whole[..length]).expect_err("a part");
        let words = error.to_string();
        // The code comes last; what ends between two sections lacks at least that.
        assert!(
            ["not valid", "exports no task", "export its memory"].iter().any(|w| words.contains(w)),
            "{length}: {words}"
        );
    }
}

#[test]
fn features_that_tasks_cannot_have_are_invalid() {
    for extra in ["(func (param externref))", "(tag)", "(type (struct))"] {
        assert!(
            matches!(check_module(&module(extra)), Err(ModuleError::Invalid { .. })),
            "{extra}"
        );
    }
}

#[test]
fn what_current_compilers_emit_is_accepted() {
    let wasm = module(
        r#"(table 1 funcref)
           (func $simd (result v128) (f32x4.relaxed_madd
             (v128.const i64x2 0 0) (v128.const i64x2 0 0) (v128.const i64x2 0 0)))
           (func (result i32 i32) (i32.const 1) (i32.const 2))
           (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))
           (func (result i32) (i32.extend8_s (i32.const 0)))
           (func (result i32) (i32.trunc_sat_f64_s (f64.const 0)))"#,
    );
    check_module(&wasm).expect("a task");
}
