//! What a task can do, what it is told, and how its items end.

use std::time::Duration;

use gleaner_protocol::{FailureKind, Floats, Limits, OnFailure, Outcome, Payload, TrapKind};
use gleaner_sandbox::{Entry, SlotSpec, SlotUnit, SpawnError};
use libtest_mimic::Trial;
use serde_bytes::ByteBuf;

use crate::guests::{IDENTITY, module, task};
use crate::stage::{outputs, shared, slot, spec, trial, unit, until, write};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("a_task_gives_its_output", gives_output),
        trial("a_task_reads_fields_parameters_and_files", reads_inputs),
        trial("a_stepping_task_is_called_until_it_is_done", steps),
        trial("a_merge_takes_pairs", merges),
        trial("outputs_do_not_depend_on_how_items_are_grouped", grouping),
        trial("every_item_has_a_fresh_instance", fresh_instances),
        trial("nothing_an_item_wrote_is_left_for_the_next", nothing_left),
        trial("a_module_of_two_tables_runs", two_tables),
        trial("many_units_in_flight_are_answered_in_order", in_flight),
        trial("large_inputs_and_outputs_pass", large),
        trial("progress_and_log_are_told", progress_and_log),
        trial("each_trap_has_its_kind", traps),
        trial("a_trap_names_the_functions_it_happened_in", trap_functions),
        trial("failures_and_panics_keep_their_words", words),
        trial("calls_against_the_interface_are_explained", host_calls),
        trial("each_limit_has_its_outcome", limits),
        trial("growing_past_its_own_maximum_is_the_tasks_affair", own_maximum),
        trial("a_slot_goes_on_after_a_failed_unit", goes_on),
        trial("a_unit_goes_on_after_a_failed_item_where_its_job_does", leaves_out),
        trial("a_function_that_is_not_there_is_named", no_entry),
    ]
}

async fn gives_output() {
    let wasm = task("(call $output_write (i32.const 0) (i32.const 5))");
    let slot = slot(&wasm, Limits::default()).await;
    let answer = slot.run(unit(7, &[b"", b""])).await;
    assert!(answer.cpu > Duration::ZERO);
    assert_eq!(answer.log, "");
    assert_eq!(outputs(answer), [b"hello", b"hello"]);
    assert!(outputs(slot.run(unit(0, &[])).await).is_empty());
}

async fn reads_inputs() {
    let wasm = task(
        "(call $copy (i32.const 0)) (call $copy (i32.const 1))
         (call $copy (call $input_find (i32.const 7) (i32.const 4)))
         (i32.store (i32.const 0) (call $input_find (i32.const 0) (i32.const 5)))
         (call $output_write (i32.const 0) (i32.const 4))",
    );
    let path = shared().0.path().join("star.csv");
    std::fs::write(&path, "time,rv").unwrap();
    let files = vec![("other".to_owned(), path.clone()), ("star".to_owned(), path)];
    let slot = shared().1.spawn(SlotSpec { files, ..spec(&wasm).await }).await.unwrap();
    let expected = b"fields,parameterstime,rv\xff\xff\xff\xff";
    assert_eq!(outputs(slot.run(unit(0, &[b"fields,"])).await), [expected]);
}

async fn steps() {
    let wasm = module(
        r#"(global $steps (mut i32) (i32.const 0))
           (func (export "gleaner_1:task:run") (result i32)
             (call $output_write (global.get $steps) (i32.const 1))
             (global.set $steps (i32.add (global.get $steps) (i32.const 1)))
             (i32.lt_u (global.get $steps) (i32.const 5)))"#,
    );
    let slot = slot(&wasm, Limits::default()).await;
    assert_eq!(outputs(slot.run(unit(0, &[b"", b""])).await), [b"hello", b"hello"]);
}

async fn merges() {
    let wasm = module(
        r#"(func (export "gleaner_1:merge:join") (result i32)
             (call $copy (i32.const 1)) (call $copy (i32.const 0))
             (if (i64.ne (call $seed) (i64.const 0)) (then unreachable))
             (i32.const 0))"#,
    );
    let entry = Entry::Merge("join".to_owned());
    let slot = shared().1.spawn(SlotSpec { entry, ..spec(&wasm).await }).await.unwrap();
    let items = ["left", "right ", "a", "b "].map(|value| ByteBuf::from(value.as_bytes())).into();
    let answer = slot.run(SlotUnit { first_item: 0, items, seeds: vec![] }).await;
    assert_eq!(outputs(answer), [b"right left".to_vec(), b"b a".to_vec()]);
}

async fn grouping() {
    let slot = slot(&task(IDENTITY), Limits::default()).await;
    let fields: Vec<Vec<u8>> = (0..24u8).map(|item| vec![item; item as usize]).collect();
    let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
    let whole = outputs(slot.run(unit(100, &fields)).await);
    assert_eq!(whole[3], [&103u64.to_le_bytes()[..], &1030u64.to_le_bytes(), &[3; 3]].concat());
    for size in [1, 2, 5, 7] {
        let mut parts = Vec::new();
        for (index, part) in fields.chunks(size).enumerate() {
            let first = 100 + (index * size) as u64;
            parts.extend(outputs(slot.run(unit(first, part)).await));
        }
        assert_eq!(parts, whole, "in units of {size}");
    }
}

async fn fresh_instances() {
    let wasm = task(
        "(global.set $counter (i32.add (global.get $counter) (i32.const 1)))
         (i32.store (i32.const 0) (global.get $counter))
         (i32.store (i32.const 4) (i32.add (i32.load (i32.const 2000)) (i32.const 1)))
         (i32.store (i32.const 2000) (i32.load (i32.const 4)))
         (call $output_write (i32.const 0) (i32.const 8))",
    );
    let slot = slot(&wasm, Limits::default()).await;
    for _ in 0..2 {
        assert_eq!(outputs(slot.run(unit(0, &[&b""[..]; 3])).await), [[1, 0, 0, 0, 1, 0, 0, 0]; 3]);
    }
}

/// Few pages are put back by copying, many are given back to the system, and a memory that has grown
/// shrinks again.
async fn nothing_left() {
    // Adds up all bytes beyond the first page, what the table has and how large it is, then writes
    // as many pages as the field says, the last of them grown, and fills the table.
    let wasm = module(
        r#"(table 1 funcref)
           (elem declare func $run)
           (func $run (export "gleaner_1:task:run") (result i32)
             (local $at i32) (local $sum i32) (local $end i32)
             (local.set $at (i32.const 65536))
             (local.set $end (i32.mul (memory.size) (i32.const 65536)))
             (loop $read
               (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $at))))
               (local.set $at (i32.add (local.get $at) (i32.const 1)))
               (br_if $read (i32.lt_u (local.get $at) (local.get $end))))
             (i32.store (i32.const 600) (local.get $sum))
             (i32.store (i32.const 604) (memory.size))
             (i32.store (i32.const 608) (ref.is_null (table.get 0 (i32.const 0))))
             (i32.store (i32.const 612) (table.size 0))
             (call $output_write (i32.const 600) (i32.const 16))
             (drop (memory.grow (i32.const 1)))
             (i32.store8 (local.get $end) (i32.const 7))
             (memory.fill (i32.const 65536) (i32.const 7)
               (i32.mul (call $first) (i32.const 65536)))
             (drop (table.grow 0 (ref.null func) (i32.const 9)))
             (table.set 0 (i32.const 0) (ref.func $run))
             (i32.const 0))"#,
    );
    let slot = slot(&wasm, Limits::default()).await;
    let fresh = [0u32, 256, 1, 1].map(u32::to_le_bytes).concat();
    let found = outputs(slot.run(unit(0, &[&[1], &[200], &[3], &[255], &[0]])).await);
    assert_eq!(found, vec![fresh; 5]);
}

async fn two_tables() {
    let wasm = module(
        r#"(table 1 funcref) (table $other 3 funcref)
           (func (export "gleaner_1:task:run") (result i32)
             (i32.store8 (i32.const 600) (table.size $other))
             (call $output_write (i32.const 600) (i32.const 1))
             (i32.const 0))"#,
    );
    let slot = slot(&wasm, Limits::default()).await;
    assert_eq!(outputs(slot.run(unit(0, &[b"", b""])).await), [[3], [3]]);
}

async fn in_flight() {
    let slot = slot(&task("(call $copy (i32.const 0))"), Limits::default()).await;
    let runs = (0..2000u32).map(|number| {
        let slot = slot.clone();
        tokio::spawn(async move { slot.run(unit(0, &[&number.to_le_bytes()])).await })
    });
    for (number, run) in (0..2000u32).zip(runs.collect::<Vec<_>>()) {
        assert_eq!(outputs(run.await.unwrap()), [number.to_le_bytes()]);
    }
}

async fn large() {
    let slot = slot(&task("(call $copy (i32.const 0))"), Limits::default()).await;
    let items: Vec<Vec<u8>> = (0..4u8).map(|item| vec![item; 3_000_000]).collect();
    let items: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
    assert_eq!(outputs(slot.run(unit(0, &items)).await), items);
}

async fn progress_and_log() {
    let wasm = task(
        "(call $log (i32.const 2) (i32.const 7) (i32.const 4))
         (if (i64.eq (call $item) (i64.const 6))
           (then (loop $again (call $progress (f64.const 0.5)) (br $again))))",
    );
    let limits = Limits { host_calls: u64::MAX, ..Limits::default() };
    let slot = slot(&wasm, limits).await;
    let answer = slot.run(unit(4, &[b"", b""])).await;
    assert_eq!(answer.log, "item 4 warn: star\nitem 5 warn: star\n");
    let running = slot.clone();
    let run = tokio::spawn(async move { running.run(unit(5, &[b"", b""])).await });
    until("the second of two items is half done", || slot.progress() == 0.75).await;
    slot.kill().await;
    let status = "it was ended by its worker".to_owned();
    assert_eq!(run.await.unwrap().outcome, Outcome::SlotCrashed { status });
}

async fn traps() {
    let cases = [
        ("unreachable", TrapKind::Unreachable),
        ("(drop (i32.load (i32.const -4)))", TrapKind::MemoryOutOfBounds),
        ("(drop (i32.div_s (i32.const 1) (i32.const 0)))", TrapKind::Arithmetic),
        ("(drop (i32.trunc_f64_s (f64.const nan)))", TrapKind::Arithmetic),
        ("(drop (call_indirect (result i32) (i32.const 0)))", TrapKind::BadIndirectCall),
        ("(drop (call_indirect (result i32) (i32.const 9)))", TrapKind::BadIndirectCall),
    ];
    for (code, kind) in cases {
        let slot = slot(&task(code), Limits::default()).await;
        let outcome = slot.run(unit(3, &[b""])).await.outcome;
        assert_eq!(outcome, Outcome::Trapped { item: 3, kind, message: String::new() }, "{code}");
    }
}

/// By the module's name section, which is a stranger's: it may hold anything.
async fn trap_functions() {
    let wasm = module(&format!(
        r#"(func $_ZN7planets4fold17h0123456789abcdefE unreachable)
           (func ${} (call $_ZN7planets4fold17h0123456789abcdefE))
           (func $panic_at (call $panic (i32.const 16) (i32.const 7)) (call ${0}))
           (func $run (export "gleaner_1:task:run") (result i32)
             (if (i64.eq (call $item) (i64.const 0)) (then (call ${0})))
             (call $panic_at) (i32.const 0))"#,
        "x".repeat(1000)
    ));
    for floats in [Floats::Plain, Floats::Strict] {
        let (folder, sandbox) = shared();
        let (blob, path) = write(folder.path(), &wasm);
        let compiled = sandbox.compile(blob, floats, &path).await.unwrap();
        let slot = SlotSpec { module: compiled, ..spec(&wasm).await };
        let slot = sandbox.spawn(slot).await.unwrap();
        let long = "x".repeat(120);
        for (item, message) in [
            (0, format!("in planets::fold, called by {long}, called by run")),
            (
                1,
                format!(
                    "no star, in planets::fold, called by {long}, called by panic_at, called by run"
                ),
            ),
        ] {
            let outcome = slot.run(unit(item, &[b""])).await.outcome;
            assert_eq!(outcome, Outcome::Trapped { item, kind: TrapKind::Unreachable, message });
        }
    }
}

async fn words() {
    let fails = task(
        "(if (i64.eq (call $item) (i64.const 1)) (then (call $fail (i32.const 16) (i32.const 7))))",
    );
    let slot1 = slot(&fails, Limits::default()).await;
    let outcome = slot1.run(unit(0, &[b"", b"", b""])).await.outcome;
    assert_eq!(outcome, Outcome::Failed { item: 1, message: "no star".to_owned() });
    assert_eq!(outcome.to_string(), "item 1 failed: no star");

    let panics = task("(call $panic (i32.const 16) (i32.const 7)) unreachable");
    let slot2 = slot(&panics, Limits::default()).await;
    let outcome = slot2.run(unit(0, &[b""])).await.outcome;
    let message = "no star".to_owned();
    assert_eq!(outcome, Outcome::Trapped { item: 0, kind: TrapKind::Unreachable, message });
}

async fn host_calls() {
    let cases = [
        (
            "(call $output_write (i32.const -1) (i32.const 2))",
            "output_write: addresses 4294967295 to 4294967297 of a memory of 16777216 bytes",
        ),
        (
            "(call $input_read (i32.const 0) (i64.const 2) (i32.const 0) (i32.const 3))",
            "input_read: 3 bytes from 2 of input 0, which has 4",
        ),
        (
            "(call $input_read (i32.const 1) (i64.const -1) (i32.const 0) (i32.const 1))",
            "input_read: 1 bytes from -1 of input 1, which has 10",
        ),
        ("(drop (call $input_len (i32.const 2)))", "input 2 was asked for; there are 0 to 1"),
        (
            "(call $log (i32.const 9) (i32.const 0) (i32.const 1))",
            "log: level 9; levels are 1 (error) to 5 (trace)",
        ),
        ("(return (i32.const 7))", "it returned 7; a step returns 0 (done) or 1 (again)"),
    ];
    for (code, message) in cases {
        let slot = slot(&task(code), Limits::default()).await;
        let outcome = slot.run(unit(0, &[b"four"])).await.outcome;
        let message = message.to_owned();
        assert_eq!(outcome, Outcome::Trapped { item: 0, kind: TrapKind::HostCall, message });
    }
}

async fn limits() {
    let forever = |call: &str| task(&format!("(loop $again {call} (br $again))"));
    let limits = Limits {
        memory_bytes: 32 << 20,
        output_bytes: 100,
        log_bytes: 50,
        host_calls: 5000,
        cpu: Duration::from_millis(20),
        wall: Duration::from_secs(3600),
    };
    let item = 2;
    let cases = [
        (
            task("(drop (memory.grow (i32.const 300)))"),
            Outcome::MemoryExceeded { item, limit_bytes: 32 << 20 },
        ),
        (
            forever("(call $output_write (i32.const 0) (i32.const 30))"),
            Outcome::OutputExceeded { item, limit_bytes: 100 },
        ),
        (
            forever("(call $log (i32.const 1) (i32.const 0) (i32.const 20))"),
            Outcome::LogExceeded { item, limit_bytes: 50 },
        ),
        (forever("(drop (call $seed))"), Outcome::HostCallsExceeded { item, limit: 5000 }),
        (
            forever("(drop (memory.grow (i32.const 1)))"),
            Outcome::MemoryExceeded { item, limit_bytes: 32 << 20 },
        ),
        (forever(""), Outcome::CpuExceeded { limit_ms: 20 }),
        // It asks to be called again, and again.
        (task("(return (i32.const 1))"), Outcome::CpuExceeded { limit_ms: 20 }),
        (task("(drop (call $deep (i64.const 0)))"), Outcome::StackOverflow { item }),
    ];
    for (wasm, expected) in cases {
        let slot = slot(&wasm, limits).await;
        assert_eq!(slot.run(unit(2, &[b""])).await.outcome, expected);
    }
    let limits = Limits { wall: Duration::from_millis(30), ..Limits::default() };
    let slot = slot(&forever(""), limits).await;
    let outcome = slot.run(unit(0, &[b""])).await.outcome;
    assert_eq!(outcome, Outcome::WallExceeded { limit_ms: 30 });
}

async fn own_maximum() {
    let wasm = wat::parse_str(
        r#"(module
             (import "gleaner_1" "output_write" (func $output_write (param i32 i32)))
             (memory (export "memory") 1 2)
             (func (export "gleaner_1:task:run") (result i32)
               (i32.store (i32.const 0) (memory.grow (i32.const 5)))
               (i32.store (i32.const 4) (memory.grow (i32.const 1)))
               (call $output_write (i32.const 0) (i32.const 8))
               (i32.const 0)))"#,
    )
    .unwrap();
    let slot = slot(&wasm, Limits::default()).await;
    assert_eq!(outputs(slot.run(unit(0, &[b""])).await), [[255, 255, 255, 255, 1, 0, 0, 0]]);
}

async fn goes_on() {
    let wasm = task(
        "(if (i32.eq (call $first) (i32.const 1)) (then unreachable))
         (call $copy (i32.const 0))",
    );
    let slot = slot(&wasm, Limits::default()).await;
    let process = slot.process_id();
    let large = vec![2; 1_000_000];
    for _ in 0..3 {
        let trapped = slot.run(unit(0, &[b"\0", b"\x01", &large, b"x"])).await.outcome;
        assert!(matches!(trapped, Outcome::Trapped { item: 1, .. }), "{trapped}");
        assert_eq!(outputs(slot.run(unit(0, &[b"\x02", b"\x03"])).await), [b"\x02", b"\x03"]);
    }
    assert_eq!(slot.process_id(), process);
}

async fn leaves_out() {
    // Items that begin with 1 trap after they have written; those with 2 write too much; one with
    // 3 overflows its stack, which is no answer.
    let wasm = task(
        "(call $copy (i32.const 0))
         (if (i32.eq (call $first) (i32.const 1)) (then unreachable))
         (if (i32.eq (call $first) (i32.const 2)) (then (loop (call $copy (i32.const 0)) (br 0))))
         (if (i32.eq (call $first) (i32.const 3)) (then (drop (call $deep (i64.const 0)))))",
    );
    let limits = Limits { output_bytes: 1000, ..Limits::default() };
    let spec = SlotSpec { limits, on_failure: OnFailure::Continue, ..spec(&wasm).await };
    let slot = shared().1.spawn(spec).await.unwrap();
    let items: [&[u8]; 5] = [b"a", b"\x01", b"b", b"\x02", b"c"];
    let trapped = FailureKind::Trapped(TrapKind::Unreachable);
    for cut in 1..=items.len() {
        let mut found = (Vec::new(), Vec::new());
        for (position, part) in items.chunks(cut).enumerate() {
            let answer = slot.run(unit((position * cut) as u64, part)).await;
            let Outcome::Completed { outputs: Payload::Inline(outputs), failures } = answer.outcome
            else {
                panic!("not completed: {}", answer.outcome)
            };
            found.0.extend(outputs.into_iter().map(ByteBuf::into_vec));
            found.1.extend(failures.into_iter().map(|failure| (failure.item, failure.kind)));
        }
        assert_eq!(found.0, [&b"a"[..], b"", b"b", b"", b"c"], "in units of {cut}");
        assert_eq!(found.1, [(1, trapped), (3, FailureKind::OutputExceeded)], "in units of {cut}");
    }
    let overflow = slot.run(unit(7, &[b"\x01", b"\x03", b"a"])).await.outcome;
    assert_eq!(overflow, Outcome::StackOverflow { item: 8 });
    assert_eq!(outputs(slot.run(unit(0, &[b"d"])).await), [b"d"]);
}

async fn no_entry() {
    let entry = Entry::Task("walk".to_owned());
    let spec = SlotSpec { entry, ..spec(&task("")).await };
    let error = shared().1.spawn(spec).await.err().unwrap();
    assert!(matches!(error, SpawnError::NoEntry(_)));
    assert_eq!(error.to_string(), "the module has no task function `walk`");
}
