//! Guests in text, one for each behaviour.

/// Every function of the interface, a memory with some words in it, and what most guests call.
const PRELUDE: &str = r#"
  (import "gleaner_1" "input_find" (func $input_find (param i32 i32) (result i32)))
  (import "gleaner_1" "input_len" (func $input_len (param i32) (result i64)))
  (import "gleaner_1" "input_read" (func $input_read (param i32 i64 i32 i32)))
  (import "gleaner_1" "item" (func $item (result i64)))
  (import "gleaner_1" "seed" (func $seed (result i64)))
  (import "gleaner_1" "output_write" (func $output_write (param i32 i32)))
  (import "gleaner_1" "progress" (func $progress (param f64)))
  (import "gleaner_1" "log" (func $log (param i32 i32 i32)))
  (import "gleaner_1" "fail" (func $fail (param i32 i32)))
  (import "gleaner_1" "panic" (func $panic (param i32 i32)))
  (memory (export "memory") 256)
  (data (i32.const 0) "hello, star and no star")
  ;; The input's bytes become output.
  (func $copy (param $input i32) (local $length i32)
    (local.set $length (i32.wrap_i64 (call $input_len (local.get $input))))
    (call $input_read (local.get $input) (i64.const 0) (i32.const 1024) (local.get $length))
    (call $output_write (i32.const 1024) (local.get $length)))
  ;; The first byte of the item's fields.
  (func $first (result i32)
    (call $input_read (i32.const 0) (i64.const 0) (i32.const 512) (i32.const 1))
    (i32.load8_u (i32.const 512)))
"#;

/// A module with the prelude and `body`.
pub fn module(body: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {PRELUDE} {body})")).expect("the guest is a module")
}

/// A module with one task `run` that executes `code` and is done.
pub fn task(code: &str) -> Vec<u8> {
    module(&format!(
        r#"(global $counter (mut i32) (i32.const 0))
           (table 1 funcref)
           (func $deep (param i64) (result i64)
             (i64.add (i64.const 1) (call $deep (i64.add (local.get 0) (i64.const 1)))))
           (func (export "gleaner_1:task:run") (result i32) {code} (i32.const 0))"#
    ))
}

/// What an item's number, seed and fields are.
pub const IDENTITY: &str = "
  (i64.store (i32.const 600) (call $item))
  (i64.store (i32.const 608) (call $seed))
  (call $output_write (i32.const 600) (i32.const 16))
  (call $copy (i32.const 0))";

/// Computes for ever when the first byte of the item's fields is 1.
pub const LOOP_WHEN_1: &str = "
  (if (i32.eq (call $first) (i32.const 1)) (then (loop $again (br $again))))
  (call $copy (i32.const 0))";

/// Computes for something like a fifth of a second.
pub const LONG: &str = "
  (local $n i64)
  (loop $again
    (local.set $n (i64.add (local.get $n) (i64.const 1)))
    (br_if $again (i64.lt_u (local.get $n) (i64.const 500000000))))
  (call $output_write (i32.const 0) (i32.const 5))";
