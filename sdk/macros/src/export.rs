//! What the attributes generate.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Error, ItemFn, Result};

use crate::signature::{TaskArguments, merge_argument, split_arguments, task_arguments};

/// Which of the attributes.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Task,
    Merge,
    Split,
}

/// The function and its export; or the function and what is wrong with it, so that calls of it
/// are not errors too.
pub(crate) fn expand(kind: Kind, attribute: TokenStream, item: TokenStream) -> TokenStream {
    match try_expand(kind, attribute, &item) {
        Ok(export) => quote! { #item #export },
        Err(error) => {
            let error = error.into_compile_error();
            quote! { #item #error }
        }
    }
}

fn try_expand(kind: Kind, attribute: TokenStream, item: &TokenStream) -> Result<TokenStream> {
    if !attribute.is_empty() {
        return Err(Error::new(attribute.span(), "this attribute takes no arguments"));
    }
    let function: ItemFn = syn::parse2(item.clone()).map_err(|error| {
        let words = "this attribute goes on a function: `fn name(input: Input) -> Output { … }`";
        let mut error = error;
        error.combine(Error::new(item.span(), words));
        error
    })?;
    let name = function.sig.ident.unraw().to_string();
    let call = match kind {
        Kind::Task => task_call(&function, &quote! { ::gleaner_sdk::entry::run_task })?,
        Kind::Merge => merge_call(&function, &quote! { ::gleaner_sdk::entry::run_merge })?,
        Kind::Split => split_call(&function, &quote! { ::gleaner_sdk::entry::run_split })?,
    };
    let export_name = format!("gleaner_1:{}:{name}", kind.word());
    let native = match cfg!(feature = "native") {
        true => native(kind, &function, &name)?,
        false => quote! {},
    };
    Ok(quote! {
        const _: () = {
            #[allow(unsafe_code, dead_code, reason = "the name that the host calls it by")]
            #[cfg_attr(target_arch = "wasm32", unsafe(export_name = #export_name))]
            extern "C" fn export() -> i32 {
                #[allow(unused_imports, reason = "used when the function gives no Result")]
                use ::gleaner_sdk::entry::PlainOutput as _;
                #call
            }
        };
        #native
    })
}

/// The test by which `gleaner test` runs the function natively. Its name is what is looked for.
fn native(kind: Kind, function: &ItemFn, name: &str) -> Result<TokenStream> {
    let call = match kind {
        Kind::Task => task_call(function, &quote! { ::gleaner_sdk::native::serve_task })?,
        Kind::Merge => merge_call(function, &quote! { ::gleaner_sdk::native::serve_merge })?,
        Kind::Split => split_call(function, &quote! { ::gleaner_sdk::native::serve_split })?,
    };
    let test = format_ident!("gleaner_native_{}_{name}", kind.word());
    Ok(quote! {
        #[cfg(all(test, not(target_arch = "wasm32")))]
        #[::core::prelude::v1::test]
        #[allow(non_snake_case, reason = "the function's name is the author's")]
        fn #test() {
            #[allow(unused_imports, reason = "used when the function gives no Result")]
            use ::gleaner_sdk::entry::PlainOutput as _;
            #call
        }
    })
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Merge => "merge",
            Self::Split => "split",
        }
    }
}

/// Hands the task to `entry` as a closure over its input and the context.
fn task_call(function: &ItemFn, entry: &TokenStream) -> Result<TokenStream> {
    let arguments = task_arguments(function, "task")?;
    Ok(call_with_input(function, arguments, entry, |call| returned(function, call)))
}

/// Hands the split to `entry` as a closure that gives its items encoded: they may borrow from the
/// context, which is lent for the call.
fn split_call(function: &ItemFn, entry: &TokenStream) -> Result<TokenStream> {
    let arguments = split_arguments(function)?;
    let at = function.sig.output.span();
    Ok(call_with_input(function, arguments, entry, |call| {
        let returned = returned(function, call);
        quote_spanned! {at=> ::gleaner_sdk::entry::encode_items(#returned) }
    }))
}

/// Hands `entry` a closure over the function's input and the context; `finish` makes of the
/// function's call what the closure gives.
fn call_with_input(
    function: &ItemFn,
    arguments: TaskArguments,
    entry: &TokenStream,
    finish: impl FnOnce(TokenStream) -> TokenStream,
) -> TokenStream {
    let name = &function.sig.ident;
    let (input, arguments) = match arguments {
        TaskArguments::None => (None, quote! {}),
        TaskArguments::Context => (None, quote! { context }),
        TaskArguments::Input(input) => (Some(input), quote! { input }),
        TaskArguments::InputAndContext(input) => (Some(input), quote! { input, context }),
    };
    let (input_type, input_name) = match input {
        Some(input) => (quote! { #input }, quote! { input }),
        None => (quote! { ::gleaner_sdk::entry::NoInput }, quote! { _input }),
    };
    let finished = finish(quote! { #name(#arguments) });
    // The span of the input's type, so that a type that cannot be read is underlined.
    let run = quote_spanned! {input_type.span()=> #entry::<#input_type, _> };
    quote! {
        #run(|#input_name, context: &::gleaner_sdk::Context| {
            let _ = context;
            #finished
        })
    }
}

/// Hands the merge to `entry` as a closure over its two values.
fn merge_call(function: &ItemFn, entry: &TokenStream) -> Result<TokenStream> {
    let name = &function.sig.ident;
    let value = merge_argument(function)?;
    let returned = returned(function, quote! { #name(left, right) });
    let run = quote_spanned! {value.span()=> #entry::<#value, _> };
    Ok(quote! { #run(|left, right| { #returned }) })
}

/// The call's value as a `Result` with our error, underlining the function's output when its type
/// cannot be written.
fn returned(function: &ItemFn, call: TokenStream) -> TokenStream {
    let at = match &function.sig.output {
        syn::ReturnType::Default => function.sig.ident.span(),
        syn::ReturnType::Type(_, output) => output.span(),
    };
    quote_spanned! {at=>
        ::gleaner_sdk::entry::convert(::gleaner_sdk::entry::Returned(#call).into_result())
    }
}
