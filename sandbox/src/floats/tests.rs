//! A processor of another kind is played by a second rewriting, of what the first one gave: every
//! NaN that arithmetic gives gets other bits, as WebAssembly allows. Whatever shows then was not
//! made canonical.

use proptest::prelude::*;
use wasmtime::{Instance, Linker, Module, Store, Val};

use super::*;
use crate::check::check_module;
use crate::engine::{Effort, engine};
use gleaner_protocol::Floats;

/// The NaNs of three processors.
const PROCESSORS: [Edit; 3] = [
    |_, writer, operator, bytes| play(writer, operator, bytes, CANONICAL),
    |_, writer, operator, bytes| {
        play(writer, operator, bytes, Nans { narrow: 0xffc0_0000, wide: 0xfff8_0000_0000_0000 });
    },
    |_, writer, operator, bytes| {
        play(writer, operator, bytes, Nans { narrow: 0xffc1_2345, wide: 0x7ffa_0123_4567_89ab });
    },
];

fn play(writer: &mut Writer, operator: &Operator<'_>, bytes: &[u8], nans: Nans) {
    writer.code.extend_from_slice(bytes);
    match arithmetic(operator) {
        Some((Shape::Scalar, width)) => writer.replace_nan(width, nans),
        Some((Shape::Lanes, width)) => writer.replace_nan_lanes(width, nans),
        None => {}
    }
}

/// What arithmetic gives.
#[derive(Clone, Copy)]
enum Shape {
    Scalar,
    Lanes,
}

/// Floats as the names of instructions have them, and as WebAssembly's text does; the longer names
/// first.
const FLOATS: [(&str, &str, Shape, Width); 4] = [
    ("F32x4", "f32x4", Shape::Lanes, Width::F32),
    ("F64x2", "f64x2", Shape::Lanes, Width::F64),
    ("F32", "f32", Shape::Scalar, Width::F32),
    ("F64", "f64", Shape::Scalar, Width::F64),
];

/// The arithmetic of which the specification leaves a NaN's bits open, by both names and with its
/// operands. What is relaxed is of lanes alone.
const ARITHMETIC: [(&str, &str, usize); 15] = [
    ("Add", "add", 2),
    ("Sub", "sub", 2),
    ("Mul", "mul", 2),
    ("Div", "div", 2),
    ("Min", "min", 2),
    ("Max", "max", 2),
    ("Sqrt", "sqrt", 1),
    ("Ceil", "ceil", 1),
    ("Floor", "floor", 1),
    ("Trunc", "trunc", 1),
    ("Nearest", "nearest", 1),
    ("RelaxedMin", "relaxed_min", 2),
    ("RelaxedMax", "relaxed_max", 2),
    ("RelaxedMadd", "relaxed_madd", 3),
    ("RelaxedNmadd", "relaxed_nmadd", 3),
];

/// The same of conversions.
const CONVERSIONS: [&str; 4] = ["DemoteF64", "PromoteF32", "DemoteF64x2Zero", "PromoteLowF32x4"];

/// What an instruction gives whose NaNs are the processor's: known here by its name, from the
/// specification, and not from the table that is tested.
fn arithmetic(operator: &Operator<'_>) -> Option<(Shape, Width)> {
    let name = format!("{operator:?}");
    let name = name.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    let of = |(prefix, _, shape, width)| Some((name.strip_prefix(prefix)?, shape, width));
    let (rest, shape, width) = FLOATS.into_iter().find_map(of)?;
    let is_arithmetic = ARITHMETIC.iter().any(|(known, _, _)| *known == rest);
    (is_arithmetic || CONVERSIONS.contains(&rest)).then_some((shape, width))
}

/// How many bytes of memory programs use.
const MEMORY_BYTES: usize = 256;

/// A task of these instructions.
fn program(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
             (memory (export "memory") 1)
             (global $f (export "f") (mut f32) (f32.const 0))
             (global $d (export "d") (mut f64) (f64.const 0))
             (global $v (export "v") (mut v128) (v128.const i64x2 0 0))
             ;; Mixes a value into the last eight bytes, so that it shows whatever comes after.
             (func $show (param i64)
               (i64.store (i32.const 248) (i64.add (local.get 0)
                 (i64.mul (i64.load (i32.const 248)) (i64.const 0x9e3779b97f4a7c15)))))
             (func $show_v (param v128)
               (call $show (i64x2.extract_lane 0 (local.get 0)))
               (call $show (i64x2.extract_lane 1 (local.get 0))))
             (func $same_f (param f32) (result f32) (local.get 0))
             (func $same_d (param f64) (result f64) (local.get 0))
             (func $same_v (param v128) (result v128) (local.get 0))
             (func (export "gleaner_1:task:run") (result i32)
               (local $f f32) (local $d f64) (local $v v128) (local $i i32) (local $l i64)
               {body}
               i32.const 0))"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{body}"))
}

/// What a program leaves in its memory and its globals.
fn left_by(wasm: &[u8]) -> Vec<u8> {
    let engine = engine(Effort::Optimised).expect("an engine");
    let module = Module::new(&engine, wasm).expect("a valid module");
    let mut store = Store::new(&engine, ());
    let instance: Instance =
        Linker::new(&engine).instantiate(&mut store, &module).expect("an instance");
    let run = instance.get_typed_func::<(), i32>(&mut store, "gleaner_1:task:run");
    run.expect("a task").call(&mut store, ()).expect("no program traps");
    let memory = instance.get_memory(&mut store, "memory").expect("a memory");
    let mut left = memory.data(&store)[..MEMORY_BYTES].to_vec();
    for name in ["f", "d", "v"] {
        let global = instance.get_global(&mut store, name).expect("a global");
        match global.get(&mut store) {
            Val::F32(bits) => left.extend(bits.to_le_bytes()),
            Val::F64(bits) => left.extend(bits.to_le_bytes()),
            Val::V128(bits) => left.extend(bits.as_u128().to_le_bytes()),
            other => panic!("a global of another type: {other:?}"),
        }
    }
    left
}

/// What a program leaves on each of the processors.
fn left_everywhere(wasm: &[u8]) -> [Vec<u8>; 3] {
    PROCESSORS.map(|edit| left_by(&rewrite(wasm, edit).expect("rewritten")))
}

fn strict(wasm: &[u8]) -> Vec<u8> {
    check_module(wasm, Floats::Strict).expect("valid before and after");
    make_strict(wasm).expect("rewritten")
}

/// A NaN that the processor chooses, of each type.
const NARROW: &str = "f32.const 0 f32.const 0 f32.div";
const WIDE: &str = "f64.const 0 f64.const 0 f64.div";
const NARROW_LANES: &str = "v128.const i64x2 0 0 v128.const i64x2 0 0 f32x4.div";
const WIDE_LANES: &str = "v128.const i64x2 0 0 v128.const i64x2 0 0 f64x2.div";

/// A program for each instruction of arithmetic that has it give a NaN, and shows it.
fn all_arithmetic() -> Vec<String> {
    let mut programs = Vec::new();
    for (_, text, shape, width) in FLOATS {
        let (nan, store) = match (shape, width) {
            (Shape::Scalar, Width::F32) => (NARROW, "f32.store"),
            (Shape::Scalar, Width::F64) => (WIDE, "f64.store"),
            (Shape::Lanes, Width::F32) => (NARROW_LANES, "v128.store"),
            (Shape::Lanes, Width::F64) => (WIDE_LANES, "v128.store"),
        };
        for (_, name, operands) in ARITHMETIC {
            if matches!(shape, Shape::Lanes) || !name.starts_with("relaxed") {
                let operands = vec![nan; operands].join(" ");
                programs.push(format!("i32.const 0 {operands} {text}.{name} {store}"));
            }
        }
    }
    programs
}

#[test]
fn wherever_a_nan_can_show_it_is_canonical() {
    let cases = [
        format!("i32.const 0 {NARROW} f32.store"),
        format!("i32.const 0 {WIDE} f64.store"),
        format!("i32.const 0 {WIDE} f64.neg f64.store"),
        format!("i32.const 0 {NARROW} call $same_f f32.store"),
        format!("i32.const 0 {WIDE} block (param f64) (result f64) end f64.store"),
        format!("i32.const 0 f64.const 1 {WIDE} local.tee $d local.get $i select f64.store"),
        format!("i32.const 0 {NARROW} f64.promote_f32 f64.store"),
        format!("i32.const 0 {WIDE} f32.demote_f64 f32.store"),
        format!("i32.const 0 {NARROW} i32.reinterpret_f32 i32.store"),
        format!("i32.const 0 {WIDE} i64.reinterpret_f64 i64.store"),
        format!("i32.const 0 f32.const 1 {NARROW} f32.copysign f32.store"),
        format!("i32.const 0 f64.const 1 {WIDE} f64.copysign f64.store"),
        format!("{NARROW} global.set $f"),
        format!("{WIDE} global.set $d"),
        format!("{NARROW_LANES} global.set $v"),
        format!("i32.const 0 {NARROW} f32x4.splat v128.store"),
        format!("i32.const 0 {WIDE} f64x2.splat v128.store"),
        format!("i32.const 0 v128.const i64x2 0 0 {NARROW} f32x4.replace_lane 1 v128.store"),
        format!("i32.const 0 v128.const i64x2 0 0 {WIDE} f64x2.replace_lane 1 v128.store"),
        format!("i32.const 0 {NARROW_LANES} v128.store"),
        format!("i32.const 0 {WIDE_LANES} v128.store"),
        format!("i32.const 0 {WIDE_LANES} f64x2.abs v128.store"),
        format!("i32.const 0 {NARROW_LANES} f64x2.promote_low_f32x4 v128.store"),
        format!("i32.const 0 {WIDE_LANES} f32x4.demote_f64x2_zero v128.store"),
        // Lanes of one width taken for those of another are bits.
        format!("i32.const 0 {NARROW_LANES} f64x2.neg v128.store"),
        format!("i32.const 0 {NARROW_LANES} i32x4.extract_lane 3 i32.store"),
        format!("i32.const 0 {NARROW_LANES} f32x4.extract_lane 3 f32.store"),
        format!("i32.const 0 {WIDE_LANES} i8x16.bitmask i32.store"),
        format!("i32.const 0 {WIDE_LANES} call $same_v v128.store"),
        format!("i32.const 0 {WIDE_LANES} {WIDE_LANES} f64x2.add v128.store"),
        format!(
            "i32.const 0 {NARROW_LANES} {NARROW_LANES} {NARROW_LANES} f32x4.relaxed_madd v128.store"
        ),
        format!("i32.const 0 {NARROW_LANES} v128.store64_lane 1"),
        format!("i32.const 0 block (result f64) {WIDE} br 0 end f64.store"),
        format!("i32.const 0 block (result v128) {WIDE_LANES} br 0 end v128.store"),
        // What is before the end of a block is not all that comes out of it.
        format!(
            "i32.const 0 block (result f64) {WIDE} i32.const 1 br_if 0 drop f64.const 1 end f64.store"
        ),
        format!("i32.const 0 block (result f32) {NARROW} i32.const 1 br_table 0 0 end f32.store"),
        format!(
            "i32.const 0 block (result v128) {NARROW_LANES} i32.const 1 br_if 0 drop
             v128.const i64x2 1 1 end v128.store"
        ),
        format!("i32.const 0 i32.const 0 if (result f64) f64.const 1 else {WIDE} end f64.store"),
    ];
    for body in cases.into_iter().chain(all_arithmetic()) {
        let wasm = program(&body);
        let plain = left_everywhere(&wasm);
        assert!(plain.iter().any(|left| *left != plain[0]), "nothing shows without it: {body}");
        let strict = left_everywhere(&strict(&wasm));
        assert!(strict.iter().all(|left| *left == strict[0]), "{body}");
    }
}

#[test]
fn a_nan_of_this_processor_becomes_the_canonical_one() {
    let wide = program(&format!("i32.const 0 {WIDE} f64.store"));
    let narrow = program(&format!("i32.const 0 {NARROW} f32.store"));
    if cfg!(target_arch = "x86_64") {
        assert_eq!(left_by(&wide)[..8], 0xfff8_0000_0000_0000_u64.to_le_bytes());
        assert_eq!(left_by(&narrow)[..4], 0xffc0_0000_u32.to_le_bytes());
    }
    assert_eq!(left_by(&strict(&wide))[..8], CANONICAL.wide.to_le_bytes());
    assert_eq!(left_by(&strict(&narrow))[..4], CANONICAL.narrow.to_le_bytes());
}

#[test]
fn what_is_no_processors_choice_stays() {
    let cases = [
        "i32.const 0 f64.const -nan:0x8000000001234 f64.store",
        "i32.const 0 f32.const -inf f32.store",
        "i32.const 0 i64.const -1 f64.reinterpret_i64 f64.store",
        "i64.const 8 drop i32.const 0 i32.const 8 f64.load f64.store",
        "i32.const 0 f64.const 1 f64.const -nan f64.copysign f64.store",
        "i32.const 0 v128.const i64x2 -1 -1 v128.store",
        "i32.const 0 v128.const i64x2 -1 -1 f64x2.neg v128.store",
        "i32.const 0 v128.const i64x2 -1 -1 f32x4.extract_lane 1 f32.store",
        "i32.const 0 v128.const i64x2 -1 -1 f64x2.extract_lane 1 f64.store",
        "i32.const 0 f64.const 1 f64.const -3 f64.div f64.store",
        "i32.const 0 v128.const f32x4 1 2 3 -0.0 v128.const f32x4 3 3 3 3 f32x4.div v128.store",
    ];
    for body in cases.into_iter().map(str::to_owned).chain(all_that_keep_bits()) {
        let wasm = program(&body);
        assert_eq!(left_by(&strict(&wasm)), left_by(&wasm), "{body}");
    }
}

/// A program for each instruction on lanes of floats that gives bits of its own: those that it
/// takes, or integers, which look like NaNs here.
fn all_that_keep_bits() -> Vec<String> {
    let (odd, zero) = ("v128.const i64x2 -2 -3", "v128.const i64x2 0 0");
    let mut programs = Vec::new();
    for lanes in ["f32x4", "f64x2"] {
        for name in ["abs", "neg"] {
            programs.push(format!("i32.const 0 {odd} {lanes}.{name} v128.store"));
        }
        for name in ["pmin", "pmax"] {
            programs.push(format!("i32.const 0 {odd} {odd} {lanes}.{name} v128.store"));
        }
        for name in ["eq", "ne", "lt", "gt", "le", "ge"] {
            programs.push(format!("i32.const 0 {zero} {zero} {lanes}.{name} v128.store"));
            let one = "v128.const i64x2 0x3ff000003f800000 0x3ff000003f800000";
            programs.push(format!("i32.const 0 {zero} {one} {lanes}.{name} v128.store"));
            programs.push(format!("i32.const 0 {one} {zero} {lanes}.{name} v128.store"));
        }
    }
    let minus_one =
        [("f32x4", "v128.const f32x4 -1 -1 -1 -1"), ("f64x2", "v128.const f64x2 -1 -1")];
    for (lanes, minus_one) in minus_one {
        let zero = if lanes == "f64x2" { "_zero" } else { "" };
        for name in ["trunc_sat", "relaxed_trunc"] {
            let name = format!("i32x4.{name}_{lanes}_s{zero}");
            programs.push(format!("i32.const 0 {minus_one} {name} v128.store"));
        }
    }
    programs
}

#[test]
fn names_stay_and_what_speaks_of_places_goes() {
    let mut wasm = program(&format!("i32.const 0 {WIDE} f64.store"));
    wasm.extend([0, 6, 5, b'p', b'l', b'a', b'c', b'e']);
    let custom = |wasm: &[u8]| -> Vec<String> {
        let payloads = Parser::new(0).parse_all(wasm).map(|payload| payload.expect("valid"));
        payloads
            .filter_map(|payload| match payload {
                Payload::CustomSection(section) => Some(section.name().to_owned()),
                _ => None,
            })
            .collect()
    };
    assert_eq!(custom(&wasm), ["name", "place"]);
    assert_eq!(custom(&strict(&wasm)), ["name"]);
}

#[test]
fn a_module_that_grows_over_the_limit_is_refused() {
    let reinterprets = "i32.const 0 f32.reinterpret_i32 i32.reinterpret_f32 drop ".repeat(200);
    let shows = "f32.const 0 f32.const 0 f32.div i32.reinterpret_f32 drop ".repeat(60_000);
    check_module(&program(&reinterprets), Floats::Strict).expect("not too long");
    let error = check_module(&program(&shows), Floats::Strict).expect_err("too long");
    assert!(
        matches!(&error, ModuleError::Strict(inner)
            if matches!(**inner, ModuleError::FunctionTooLarge { function: 5, .. })),
        "{error}"
    );
    check_module(&program(&shows), Floats::Plain).expect("short enough as it is");
}

/// Instructions with what they take from the stack and give to it: `f`, `d`, `v`, `i` and `l` are
/// the types, `a` is an address for a store.
const INSTRUCTIONS: &[(&str, &str, &str)] = &[
    ("i32.const 0", "", "a"),
    ("i32.const 16", "", "a"),
    ("i32.const 40", "", "a"),
    ("f32.store", "af", ""),
    ("f32.store offset=64", "af", ""),
    ("f64.store", "ad", ""),
    ("f64.store offset=80", "ad", ""),
    ("v128.store offset=96", "av", ""),
    ("v128.store64_lane 1", "av", ""),
    ("i32.store offset=8", "ai", ""),
    ("i64.store offset=8", "al", ""),
    ("i32.const 16 f32.load", "", "f"),
    ("i32.const 40 f64.load", "", "d"),
    ("i32.const 96 v128.load", "", "v"),
    ("f32.const nan", "", "f"),
    ("f32.const -inf", "", "f"),
    ("f32.const 0", "", "f"),
    ("f32.const 0 f32.const 0 f32.div", "", "f"),
    ("f64.const 0 f64.const 0 f64.div", "", "d"),
    ("v128.const i64x2 0 0 v128.const i64x2 0 0 f32x4.div", "", "v"),
    ("v128.const i64x2 0 0 v128.const i64x2 0 0 f64x2.div", "", "v"),
    ("i32.reinterpret_f32 i64.extend_i32_u call $show", "f", ""),
    ("i64.reinterpret_f64 call $show", "d", ""),
    ("call $show_v", "v", ""),
    ("call $show", "l", ""),
    ("i64.extend_i32_u call $show", "i", ""),
    ("f64.const -nan:0x8000000001234", "", "d"),
    ("f64.const inf", "", "d"),
    ("f64.const -0.0", "", "d"),
    ("v128.const f32x4 0 inf nan -1.5", "", "v"),
    ("v128.const f64x2 -inf 0", "", "v"),
    ("i32.const -7", "", "i"),
    ("i64.const -1", "", "l"),
    ("f32.add", "ff", "f"),
    ("f32.sub", "ff", "f"),
    ("f32.mul", "ff", "f"),
    ("f32.div", "ff", "f"),
    ("f32.min", "ff", "f"),
    ("f32.copysign", "ff", "f"),
    ("f32.sqrt", "f", "f"),
    ("f32.nearest", "f", "f"),
    ("f32.neg", "f", "f"),
    ("f32.abs", "f", "f"),
    ("f32.lt", "ff", "i"),
    ("f64.add", "dd", "d"),
    ("f64.sub", "dd", "d"),
    ("f64.mul", "dd", "d"),
    ("f64.div", "dd", "d"),
    ("f64.max", "dd", "d"),
    ("f64.copysign", "dd", "d"),
    ("f64.sqrt", "d", "d"),
    ("f64.floor", "d", "d"),
    ("f64.neg", "d", "d"),
    ("f64.abs", "d", "d"),
    ("f64.ne", "dd", "i"),
    ("f32.demote_f64", "d", "f"),
    ("f64.promote_f32", "f", "d"),
    ("i32.reinterpret_f32", "f", "i"),
    ("i64.reinterpret_f64", "d", "l"),
    ("f32.reinterpret_i32", "i", "f"),
    ("f64.reinterpret_i64", "l", "d"),
    ("f64.convert_i32_s", "i", "d"),
    ("i32.trunc_sat_f64_s", "d", "i"),
    ("i64.trunc_sat_f32_u", "f", "l"),
    ("i64.xor", "ll", "l"),
    ("i32.add", "ii", "i"),
    ("f32x4.add", "vv", "v"),
    ("f32x4.sub", "vv", "v"),
    ("f32x4.div", "vv", "v"),
    ("f32x4.max", "vv", "v"),
    ("f32x4.pmin", "vv", "v"),
    ("f32x4.sqrt", "v", "v"),
    ("f32x4.neg", "v", "v"),
    ("f32x4.eq", "vv", "v"),
    ("f32x4.relaxed_madd", "vvv", "v"),
    ("f32x4.relaxed_min", "vv", "v"),
    ("f32x4.splat", "f", "v"),
    ("f32x4.extract_lane 2", "v", "f"),
    ("f32x4.replace_lane 1", "vf", "v"),
    ("f32x4.demote_f64x2_zero", "v", "v"),
    ("f32x4.convert_i32x4_s", "v", "v"),
    ("f64x2.add", "vv", "v"),
    ("f64x2.mul", "vv", "v"),
    ("f64x2.div", "vv", "v"),
    ("f64x2.min", "vv", "v"),
    ("f64x2.pmax", "vv", "v"),
    ("f64x2.trunc", "v", "v"),
    ("f64x2.abs", "v", "v"),
    ("f64x2.lt", "vv", "v"),
    ("f64x2.relaxed_nmadd", "vvv", "v"),
    ("f64x2.splat", "d", "v"),
    ("f64x2.extract_lane 1", "v", "d"),
    ("f64x2.replace_lane 0", "vd", "v"),
    ("f64x2.promote_low_f32x4", "v", "v"),
    ("i32x4.trunc_sat_f32x4_s", "v", "v"),
    ("i32x4.trunc_sat_f64x2_s_zero", "v", "v"),
    ("i32x4.add", "vv", "v"),
    ("v128.xor", "vv", "v"),
    ("v128.bitselect", "vvv", "v"),
    ("i8x16.shuffle 0 17 2 19 4 21 6 23 8 25 10 27 12 29 14 31", "vv", "v"),
    ("i32x4.extract_lane 2", "v", "i"),
    ("i64x2.extract_lane 1", "v", "l"),
    ("i8x16.bitmask", "v", "i"),
    ("select", "ffi", "f"),
    ("select", "ddi", "d"),
    ("select", "vvi", "v"),
    ("call $same_f", "f", "f"),
    ("call $same_d", "d", "d"),
    ("call $same_v", "v", "v"),
    ("block (param f64) (result f64) f64.neg end", "d", "d"),
    ("block (param v128) (result v128) end", "v", "v"),
    ("block (param f32) (result f32) br 0 end", "f", "f"),
    ("block (param f64 i32) (result f64) br_if 0 f64.sqrt end", "di", "d"),
    ("block (param f64 i32) (result f64) br_if 0 drop f64.const 1 end", "di", "d"),
    ("block (param v128 i32) (result v128) br_if 0 f64x2.neg end", "vi", "v"),
    ("block (param v128 i32) (result v128) br_if 0 f32x4.sqrt end", "vi", "v"),
    (
        "block (param f32 i32) (result f32) block (param f32 i32) (result f32) br_table 0 1 end \
         f32.abs end",
        "fi",
        "f",
    ),
    ("if (result f64) f64.const 0 f64.const 0 f64.div else f64.const 1 end", "i", "d"),
    ("local.set $f", "f", ""),
    ("local.set $d", "d", ""),
    ("local.set $v", "v", ""),
    ("local.tee $f", "f", "f"),
    ("local.tee $d", "d", "d"),
    ("local.tee $v", "v", "v"),
    ("local.get $f", "", "f"),
    ("local.get $d", "", "d"),
    ("local.get $v", "", "v"),
    ("global.set $f", "f", ""),
    ("global.set $d", "d", ""),
    ("global.set $v", "v", ""),
    ("global.get $f", "", "f"),
    ("global.get $d", "", "d"),
];

/// The instructions that these numbers choose among those that fit the stack, and at the end all
/// that is on it shown.
fn body(choices: &[u16]) -> String {
    let mut stack = String::new();
    let mut body = Vec::new();
    for choice in choices {
        let fitting: Vec<_> =
            INSTRUCTIONS.iter().filter(|(_, takes, _)| stack.ends_with(takes)).collect();
        let (taking, free): (Vec<_>, Vec<_>) =
            fitting.into_iter().partition(|(_, takes, _)| !takes.is_empty());
        // Or values would pile up that nothing takes.
        let among = if choice % 4 > 0 && !taking.is_empty() { taking } else { free };
        let (text, takes, gives) = among[usize::from(choice / 4) % among.len()];
        stack.truncate(stack.len() - takes.len());
        stack.push_str(gives);
        body.push(text);
    }
    for left in stack.chars().rev() {
        body.push(match left {
            'f' => "i32.reinterpret_f32 i64.extend_i32_u call $show",
            'd' => "i64.reinterpret_f64 call $show",
            'v' => "call $show_v",
            'i' => "i64.extend_i32_u call $show",
            'l' => "call $show",
            _ => "drop",
        });
    }
    body.join("\n")
}

proptest! {
    #[test]
    fn no_program_of_floats_shows_which_processor_runs_it(
        choices in prop::collection::vec(any::<u16>(), 1..120)
    ) {
        let body = body(&choices);
        let left = left_everywhere(&strict(&program(&body)));
        prop_assert_eq!(&left[0], &left[1], "{}", body);
        prop_assert_eq!(&left[0], &left[2], "{}", body);
    }
}
