//! The attributes on every signature they take: the expansion compiles, and the function stays.

use gleaner_sdk::entry::{answer_merge, answer_split, answer_task, encode_items};
use gleaner_sdk::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    number: f64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Output {
    root: f64,
}

#[task]
fn root(input: Input, context: &Context) -> Result<Output, Error> {
    context.progress(1.0);
    if input.number == 13.0 {
        return Err(Error::new("13 is unlucky"));
    }
    Ok(Output { root: input.number.sqrt() })
}

#[task]
fn plain(Input { number }: Input) -> f64 {
    number
}

#[task]
fn parsed(input: Input) -> Result<i8, std::num::ParseIntError> {
    input.number.to_string().parse()
}

#[task]
fn draw(context: &Context) -> u32 {
    context.rng().next_u32()
}

#[task]
fn nothing() {}

type Fallible<T> = Result<T, Error>;

#[task]
fn aliased(input: Input) -> Fallible<f64> {
    Ok(input.number)
}

#[task]
fn r#type() -> Files {
    Files::new()
}

#[task]
#[deny(unsafe_code)]
fn in_a_strict_crate(_input: Input, _context: &gleaner_sdk::Context) -> Bytes {
    Bytes::new()
}

#[merge]
fn add(a: f64, b: f64) -> f64 {
    a + b
}

#[merge]
fn join(a: String, b: String) -> Result<String, Error> {
    Ok(a + &b)
}

#[split]
fn numbers(input: Input) -> Vec<Output> {
    vec![Output { root: input.number }, Output { root: f64::NAN }]
}

#[split]
fn lent(_input: Input, context: &Context) -> impl Iterator<Item = Output> {
    (0..3).map(|root| Output { root: root as f64 + context.seed() as f64 })
}

#[split]
fn unlucky() -> Result<Vec<Output>, Error> {
    Err(Error::new("none today"))
}

fn pack<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("it encodes")
}

fn item(number: f64) -> Vec<u8> {
    pack(&std::collections::BTreeMap::from([("number", number)]))
}

const NO_PARAMETERS: [u8; 1] = [0x80];

#[test]
fn a_task_is_called_natively_as_it_stands() {
    let context = Context::for_test();
    assert_eq!(root(Input { number: 9.0 }, &context), Ok(Output { root: 3.0 }));
    assert_eq!(plain(Input { number: 9.0 }), 9.0);
    assert_eq!(parsed(Input { number: 7.0 }), Ok(7));
    assert_eq!(aliased(Input { number: 7.0 }), Ok(7.0));
    assert_eq!(draw(&context), draw(&context));
    assert_eq!(r#type(), Files::new());
    assert!(in_a_strict_crate(Input { number: 0.0 }, &context).is_empty());
    nothing();
    assert_eq!(add(1.0, 2.0), 3.0);
    assert_eq!(join("a".into(), "b".into()), Ok("ab".into()));
}

#[test]
fn an_answer_is_one_value_with_named_fields_or_the_reason() {
    let context = Context::for_test();
    assert_eq!(
        answer_task(&NO_PARAMETERS, &item(9.0), &context, root),
        Ok(pack(&Output { root: 3.0 }))
    );
    assert_eq!(
        answer_task(&NO_PARAMETERS, &item(13.0), &context, root),
        Err(Error::new("13 is unlucky"))
    );
    assert_eq!(
        answer_task(&item(1.0), &NO_PARAMETERS, &context, root),
        Ok(pack(&Output { root: 1.0 }))
    );
    let error = answer_task(&NO_PARAMETERS, &NO_PARAMETERS, &context, root).expect_err("no field");
    assert_eq!(error.to_string(), "input: missing field `number`");
}

#[test]
fn a_nan_made_by_a_task_has_canonical_bits() {
    let negative_root = answer_task(&NO_PARAMETERS, &item(-1.0), &Context::for_test(), root);
    let canonical = Output { root: f64::from_bits(gleaner_sdk::canonical::NAN_64) };
    assert_eq!(negative_root, Ok(pack(&canonical)));
}

#[test]
fn a_merge_names_the_side_it_cannot_read() {
    let sum = answer_merge(&pack(&1.0), &pack(&2.0), |a, b| Ok(add(a, b)));
    assert_eq!(sum, Ok(pack(&3.0)));
    let error = answer_merge(&pack(&1.0), &pack("x"), |a, b| Ok(add(a, b))).expect_err("no number");
    assert!(error.to_string().starts_with("right value: "), "{error}");
}

#[test]
fn a_split_gives_a_list_of_records() {
    let context = Context::for_test().with_seed(2);
    let encoded = |items: Vec<Output>| encode_items(Ok(items));
    assert_eq!(
        answer_split(&item(9.0), &NO_PARAMETERS, &context, |input, _| encoded(numbers(input))),
        Ok([b"\xdd\0\0\0\x02".to_vec(), pack(&Output { root: 9.0 }), nan()].concat())
    );
    let lent: Vec<_> = lent(Input { number: 0.0 }, &context).map(|item| item.root).collect();
    assert_eq!(lent, [2.0, 3.0, 4.0]);
    assert_eq!(encode_items(unlucky()), Err(Error::new("none today")));
    let error = encode_items(Ok(vec![1, 2])).expect_err("numbers are no records");
    assert!(error.to_string().starts_with("item 0 of the split is no record"), "{error}");
}

fn nan() -> Vec<u8> {
    pack(&Output { root: f64::from_bits(gleaner_sdk::canonical::NAN_64) })
}

#[test]
fn files_and_bytes_are_bin() {
    let mut files = Files::new();
    files.add("a/b.txt", "x");
    assert_eq!(pack(&files), b"\x81\xa7a/b.txt\xc4\x01x");
    assert_eq!(pack(&Bytes::from(b"x".to_vec())), b"\xc4\x01x");
}
