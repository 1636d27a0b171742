use std::collections::BTreeMap;
use std::num::NonZeroU32;

use expect_test::{Expect, expect};
use gleaner_protocol::{Bins, TopOrder, wire};
use proptest::prelude::*;
use serde::Serialize;

use super::super::limits::{CATEGORIES_MAX, NUMBER_FIELDS_MAX};
use super::*;

fn file() -> RelativeName {
    "out".parse().expect("a name")
}

fn sum() -> Reducer {
    Reducer::Sum { file: file() }
}

fn min() -> Reducer {
    Reducer::Min { file: file() }
}

fn max() -> Reducer {
    Reducer::Max { file: file() }
}

fn histogram(field: Option<&str>, bins: Option<(f64, f64, u32)>) -> Reducer {
    let count = |count| NonZeroU32::new(count).expect("not zero");
    let bins = bins.map(|(low, high, bins)| Bins { low, high, count: count(bins) });
    Reducer::Histogram { file: file(), field: field.map(str::to_owned), bins }
}

fn top(field: &str, records: u32, order: TopOrder) -> Reducer {
    let records = NonZeroU32::new(records).expect("not zero");
    Reducer::Top { file: file(), field: field.into(), records, order, columns: None }
}

fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    wire::encode(value)
}

/// What a reducer makes of outputs by their items, fed in the order given.
fn summary(reducer: &Reducer, outputs: &[(u64, Vec<u8>)]) -> Result<String, String> {
    let (_, mut summary) = Summary::of(reducer);
    let words = |(item, fault): (u64, OutputFault)| format!("item {item}: {fault}");
    for (item, output) in outputs {
        summary.push(*item, &[], output).map_err(|fault| words((*item, fault)))?;
    }
    let text = summary.finish().map_err(words)?;
    Ok(String::from_utf8(text).expect("text"))
}

fn check(reducer: Reducer, outputs: &[Vec<u8>], expected: Expect) {
    let outputs: Vec<_> = (0..).zip(outputs.iter().cloned()).collect();
    let found = summary(&reducer, &outputs).unwrap_or_else(|words| format!("{words}\n"));
    expected.assert_eq(&found.replace("\r\n", "\n"));
}

#[derive(Serialize)]
struct Point {
    energy: f64,
    hits: Option<u32>,
    position: Position,
}

#[derive(Serialize)]
struct Position {
    x: f64,
    path: Vec<i64>,
}

fn point(energy: f64, hits: Option<u32>, x: f64, path: &[i64]) -> Vec<u8> {
    encode(&Point { energy, hits, position: Position { x, path: path.to_vec() } })
}

#[test]
fn sums_are_of_each_number_in_the_outputs() {
    check(
        sum(),
        &[encode(&2), encode(&-5), encode(&u64::MAX)],
        expect![[r#"
        {"count":3,"sum":18446744073709551612}
    "#]],
    );
    check(
        sum(),
        &[encode(&0.1), encode(&0.2), encode(&-0.3), encode(&1)],
        expect![[r#"
        {"count":4,"sum":1.0}
    "#]],
    );
    let points = [
        point(1e100, Some(2), 0.5, &[1, 2]),
        point(1.0, None, f64::INFINITY, &[3]),
        point(-1e100, Some(3), 0.25, &[]),
    ];
    check(
        sum(),
        &points,
        expect![[r#"
        {"energy":{"count":3,"sum":1.0},"hits":{"count":2,"sum":5},"position.path.0":{"count":2,"sum":4},"position.path.1":{"count":1,"sum":2},"position.x":{"count":3,"sum":"Infinity"}}
    "#]],
    );
    check(
        sum(),
        &[encode(&()), encode(&())],
        expect![[r#"
        {"count":0,"sum":0}
    "#]],
    );
}

#[test]
fn extremes_name_the_lowest_item_that_has_them() {
    let values = [encode(&1.5), encode(&f64::NAN), encode(&-2), encode(&-2.0), encode(&7)];
    check(
        min(),
        &values,
        expect![[r#"
        {"count":4,"nan":1,"min":-2,"item":2}
    "#]],
    );
    check(
        max(),
        &values,
        expect![[r#"
        {"count":4,"nan":1,"max":7,"item":4}
    "#]],
    );
    check(
        max(),
        &[encode(&f64::NAN)],
        expect![[r#"
        {"count":0,"nan":1,"max":null,"item":null}
    "#]],
    );
    let points = [point(1.0, None, 3.0, &[]), point(2.0, Some(9), -3.0, &[])];
    check(
        min(),
        &points,
        expect![[r#"
        {"energy":{"count":2,"nan":0,"min":1.0,"item":0},"hits":{"count":1,"nan":0,"min":9,"item":1},"position.x":{"count":2,"nan":0,"min":-3.0,"item":1}}
    "#]],
    );
}

#[test]
fn a_histogram_counts_by_bins_or_each_value() {
    let values = [0.0, 0.24, 0.25, 0.5, 1.0, -0.1, f64::NAN, f64::INFINITY].map(|x| encode(&x));
    check(
        histogram(None, Some((0.0, 1.0, 2))),
        &values,
        expect![[r#"
        {"count":7,"nan":1,"under":1,"over":2,"bins":[{"low":0.0,"high":0.5,"count":3},{"low":0.5,"high":1.0,"count":1}]}
    "#]],
    );
    let path = histogram(Some("position.path"), Some((0.0, 10.0, 1)));
    check(
        path,
        &[point(0.0, None, 0.0, &[1, 2, 10])],
        expect![[r#"
        {"count":3,"nan":0,"under":0,"over":1,"bins":[{"low":0.0,"high":10.0,"count":2}]}
    "#]],
    );
    let values = [encode("b"), encode(&2), encode("a"), encode(&true), encode(&["a", "a"])];
    check(
        histogram(None, None),
        &[&values[..], &[encode(&()), encode(&-1)]].concat(),
        expect![[r#"
        {"count":7,"categories":[{"value":true,"count":1},{"value":-1,"count":1},{"value":2,"count":1},{"value":"a","count":3},{"value":"b","count":1}]}
    "#]],
    );
}

#[test]
fn top_keeps_the_best_records_with_their_items() {
    let record = |power: f64, star: &'static str| {
        #[derive(Serialize)]
        struct Peak {
            star: &'static str,
            power: f64,
        }
        encode(&[Peak { star, power }, Peak { star, power: power - 1.0 }])
    };
    let outputs = [record(3.0, "a"), record(5.0, "b"), encode(&()), record(5.0, "d")];
    check(
        top("power", 3, TopOrder::Greatest),
        &outputs,
        expect![[r#"
        item,star,power
        1,b,5.0
        3,d,5.0
        1,b,4.0
    "#]],
    );
    check(
        top("power", 2, TopOrder::Least),
        &outputs,
        expect![[r#"
        item,star,power
        0,a,2.0
        0,a,3.0
    "#]],
    );
    let nested = [point(f64::NAN, None, 1.0, &[]), point(1.0, Some(2), 4.0, &[])];
    check(
        top("position.x", 1, TopOrder::Greatest),
        &nested,
        expect![[r#"
        item,energy,hits,position
        1,1.0,2,"{""x"":4.0,""path"":[]}"
    "#]],
    );
    check(top("energy", 9, TopOrder::Greatest), &nested[..1], expect![""]);
}

#[test]
fn what_cannot_be_summed_up_names_its_item_and_field() {
    let text = BTreeMap::from([("a", BTreeMap::from([("b", "x")]))]);
    check(
        sum(),
        &[encode(&text)],
        expect![[r#"
        item 0: its field "a.b" is text, and `sum` takes numbers; leave the field out or make it a number
    "#]],
    );
    check(
        min(),
        &[encode(&true)],
        expect![[r#"
        item 0: its output is or holds a boolean, and `min` takes numbers; leave the field out or make it a number
    "#]],
    );
    let one = BTreeMap::from([("a", 1)]);
    check(
        sum(),
        &[encode(&1), encode(&one)],
        expect![[r#"
        item 1: its output and an earlier one are a number and a record or list; `sum` takes outputs of one kind
    "#]],
    );
    let clash = [vec![0x82], encode("a"), vec![0x81], encode("b"), vec![1], encode("a.b"), vec![2]];
    check(
        sum(),
        &[clash.concat()],
        expect![[r#"
        item 0: its record has the field "a.b" twice
    "#]],
    );
    check(
        sum(),
        &[encode(&vec![0; NUMBER_FIELDS_MAX + 1])],
        expect![[r#"
        item 0: with it the outputs have more than 4096 number fields; return fewer
    "#]],
    );
    check(
        sum(),
        &[encode(&BTreeMap::from([("x".repeat(2000), 1)]))],
        expect![[r#"
        item 0: it has a field whose name, with those around it, has 2000 bytes; at most 1024
    "#]],
    );
    check(
        sum(),
        &[[vec![0x91; 64], vec![1]].concat()],
        expect![[r#"
        item 0: its output nests more than 64 values in each other
    "#]],
    );
    check(
        histogram(Some("b"), None),
        &[encode(&one)],
        expect![[r#"
        item 0: its output has no field "b", which `histogram` is told to look at; name another one, or return `None` there
    "#]],
    );
    check(
        histogram(None, None),
        &[encode(&1.5)],
        expect![[r#"
        item 0: it gives a floating-point number to count, and `histogram` without bins counts whole numbers, booleans and text; give it `bins`, `low` and `high` for floating-point numbers
    "#]],
    );
    check(
        histogram(None, Some((0.0, 1.0, 1))),
        &[encode("x")],
        expect![[r#"
        item 0: its output is or holds text, and `histogram` takes numbers; leave the field out or make it a number
    "#]],
    );
    check(
        histogram(None, None),
        &[encode(&"x".repeat(300))],
        expect![[r#"
        item 0: it gives a text of 300 bytes to count; at most 256
    "#]],
    );
    let many: Vec<u32> = (0..=CATEGORIES_MAX as u32).collect();
    check(
        histogram(None, None),
        &[encode(&many)],
        expect![[r#"
        item 0: with it there are more than 65536 different values to count; use bins, or `lines`
    "#]],
    );
    check(
        top("a", 1, TopOrder::Least),
        &[encode(&7)],
        expect![[r#"
        item 0: its output is or holds a whole number, and `top` takes a record or a list of records; return a struct with named fields, or use `reduce = "lines"`
    "#]],
    );
    check(
        top("a", 1, TopOrder::Least),
        &[encode(&[1])],
        expect![[r#"
        item 0: its output is or holds a whole number, and `top` takes a record or a list of records; return a struct with named fields, or use `reduce = "lines"`
    "#]],
    );
    let long = BTreeMap::from([("a", vec![1; 9000])]);
    check(
        top("a", 1, TopOrder::Least),
        &[encode(&long)],
        expect![[r#"
        item 0: it has a record of 9006 bytes, and `top` ranks records of at most 8192
    "#]],
    );
    let other = BTreeMap::from([("a", 1), ("c", 2)]);
    check(
        top("a", 5, TopOrder::Least),
        &[encode(&one), encode(&other)],
        expect![[r#"
        item 1: its record has the field "c", which the first record has not; give every record the same fields (`None` where there is nothing)
    "#]],
    );
}

/// An output that every reducer of numbers takes, whatever stands in it.
fn output() -> impl Strategy<Value = Vec<u8>> {
    let float = prop_oneof![
        6 => prop::num::f64::NORMAL,
        2 => (-3_i32..4).prop_map(f64::from),
        1 => prop::num::f64::ANY,
    ];
    let hits = prop::option::of(0_u32..4);
    (float.clone(), hits, float, prop::collection::vec(any::<i64>(), 0..3))
        .prop_map(|(energy, hits, x, path)| point(energy, hits, x, &path))
}

proptest! {
    #[test]
    fn summaries_do_not_show_the_order_in_which_items_came(
        outputs in prop::collection::vec(output(), 0..30),
        order in any::<prop::sample::Index>(),
    ) {
        let reducers = [
            sum(),
            min(),
            max(),
            histogram(Some("position.x"), Some((-2.0, 2.0, 7))),
            histogram(Some("hits"), None),
            top("energy", 4, TopOrder::Greatest),
            top("position.x", 4, TopOrder::Least),
        ];
        let outputs: Vec<_> = (0..).zip(outputs).collect();
        let mut other = outputs.clone();
        other.rotate_left(order.index(outputs.len().max(1)).min(outputs.len()));
        other.reverse();
        let half = other.len() / 2;
        other[half..].reverse();
        for reducer in reducers {
            prop_assert_eq!(summary(&reducer, &outputs), summary(&reducer, &other));
        }
    }

    #[test]
    fn no_bytes_make_a_summary_panic(bytes: Vec<u8>) {
        for reducer in [sum(), max(), histogram(None, None), top("a", 1, TopOrder::Least)] {
            let _ = summary(&reducer, &[(0, bytes.clone()), (1, bytes.clone())]);
        }
    }
}
