use quote::quote;

use crate::export::{Kind, expand};

/// What the attribute says about a function that it refuses; empty when it takes it.
fn refusal(kind: Kind, item: proc_macro2::TokenStream) -> String {
    let expanded = expand(kind, quote!(), item).to_string();
    match expanded.split_once("compile_error ! {") {
        Some((_, rest)) => rest.split('"').nth(1).unwrap_or_default().to_owned(),
        None => String::new(),
    }
}

#[test]
fn signatures_that_fit_are_exported_by_their_name() {
    for item in [
        quote! { fn run() {} },
        quote! { pub fn run(input: Input) -> Output { input } },
        quote! { fn run(context: &Context) -> u64 { context.seed() } },
        quote! { fn run(Input { a }: Input, c: &gleaner_sdk::Context) -> Result<u8, Error> { a } },
        quote! { /** Documented. */ #[inline] fn r#run(input: Vec<u8>) -> usize { 0 } },
    ] {
        let expanded = expand(Kind::Task, quote!(), item.clone()).to_string();
        assert_eq!(refusal(Kind::Task, item), "");
        assert!(expanded.contains(r#""gleaner_1:task:run""#), "{expanded}");
    }
    let item = quote! { fn add(a: u64, b: u64) -> u64 { a + b } };
    let expanded = expand(Kind::Merge, quote!(), item).to_string();
    assert!(expanded.contains(r#""gleaner_1:merge:add""#), "{expanded}");
}

#[test]
fn a_split_is_exported_and_must_give_items() {
    for item in [
        quote! { fn tiles() -> Vec<Tile> { Vec::new() } },
        quote! { fn tiles(sky: Sky) -> Result<Vec<Tile>, Error> { sky.tiles() } },
        quote! { fn tiles(sky: Sky, c: &Context) -> impl Iterator<Item = Tile> { sky.tiles(c) } },
    ] {
        let expanded = expand(Kind::Split, quote!(), item.clone()).to_string();
        assert_eq!(refusal(Kind::Split, item), "");
        assert!(expanded.contains(r#""gleaner_1:split:tiles""#), "{expanded}");
    }
    for (item, words) in [
        (quote! { fn tiles(sky: Sky) {} }, "gives back the stage's items"),
        (quote! { async fn tiles() -> Vec<Tile> {} }, "a split is a plain function"),
        (quote! { fn tiles(a: A, b: B) -> Vec<Tile> {} }, "second argument of a split"),
        (quote! { fn tiles(a: A, c: &Context, d: D) -> Vec<Tile> {} }, "a split takes its input"),
        (quote! { fn tiles(a: &A) -> Vec<Tile> {} }, "take it by value"),
    ] {
        let refusal = refusal(Kind::Split, item.clone());
        assert!(refusal.contains(words), "{item}: {refusal}");
    }
}

#[test]
fn the_function_stays_even_when_it_is_refused() {
    let expanded = expand(Kind::Task, quote!(), quote! { async fn run() {} }).to_string();
    assert!(expanded.starts_with("async fn run () { }"), "{expanded}");
}

#[test]
fn a_task_that_does_not_fit_is_refused_in_words() {
    for (item, words) in [
        (quote! { async fn run() {} }, "remove `async`"),
        (quote! { unsafe fn run() {} }, "remove `unsafe`"),
        (quote! { extern "C" fn run() {} }, "remove `extern`"),
        (quote! { fn run<T>(input: T) {} }, "without type arguments"),
        (quote! { fn run<'a>(input: A<'a>) {} }, "without type arguments"),
        (quote! { fn run(&self) {} }, "make it a function"),
        (quote! { fn run(input: &Input) {} }, "take it by value"),
        (quote! { fn run(input: impl Read) {} }, "name it"),
        (quote! { fn run(context: Context) {} }, "write `context: &Context`"),
        (quote! { fn run(input: Input, context: Context) {} }, "write `context: &Context`"),
        (quote! { fn run(input: Input, context: &mut Context) {} }, "without `mut`"),
        (quote! { fn run(context: &Context, input: Input) {} }, "take it by value"),
        (quote! { fn run(a: u8, b: u8) {} }, "put the fields of the input into one struct"),
        (quote! { fn run(a: u8, c: &Context, b: u8) {} }, "no more"),
        (quote! { struct Input; }, "expected"),
    ] {
        let refusal = refusal(Kind::Task, item.clone());
        assert!(refusal.contains(words), "{item}: {refusal}");
    }
}

#[test]
fn a_merge_that_does_not_fit_is_refused_in_words() {
    for (item, words) in [
        (quote! { fn add(a: u64) -> u64 { a } }, "takes two values"),
        (quote! { fn add(a: u64, b: u32) -> u64 { a } }, "the same type"),
        (quote! { fn add(a: u64, b: u64) {} }, "gives back"),
        (quote! { fn add(a: &u64, b: &u64) -> u64 { 0 } }, "take it by value"),
    ] {
        let refusal = refusal(Kind::Merge, item.clone());
        assert!(refusal.contains(words), "{item}: {refusal}");
    }
}

#[test]
fn the_attributes_take_no_arguments() {
    let expanded = expand(Kind::Task, quote!(name = "x"), quote! { fn run() {} }).to_string();
    assert!(expanded.contains("this attribute takes no arguments"), "{expanded}");
}
