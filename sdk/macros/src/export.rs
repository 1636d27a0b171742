//! What the attributes generate.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Error, ItemFn, Result};

use crate::signature::{TaskArguments, merge_argument, task_arguments};

/// Which of the two attributes.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Task,
    Merge,
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
    let (export_name, call) = match kind {
        Kind::Task => (format!("gleaner_1:task:{name}"), task_call(&function)?),
        Kind::Merge => (format!("gleaner_1:merge:{name}"), merge_call(&function)?),
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
    })
}

fn task_call(function: &ItemFn) -> Result<TokenStream> {
    let name = &function.sig.ident;
    let (input, arguments) = match task_arguments(function)? {
        TaskArguments::None => (None, quote! {}),
        TaskArguments::Context => (None, quote! { context }),
        TaskArguments::Input(input) => (Some(input), quote! { input }),
        TaskArguments::InputAndContext(input) => (Some(input), quote! { input, context }),
    };
    let (input_type, input_name) = match input {
        Some(input) => (quote! { #input }, quote! { input }),
        None => (quote! { ::gleaner_sdk::entry::NoInput }, quote! { _input }),
    };
    let returned = returned(function, quote! { #name(#arguments) });
    // The span of the input's type, so that a type that cannot be read is underlined.
    let run =
        quote_spanned! {input_type.span()=> ::gleaner_sdk::entry::run_task::<#input_type, _> };
    Ok(quote! {
        #run(|#input_name, context: &::gleaner_sdk::Context| {
            let _ = context;
            #returned
        })
    })
}

fn merge_call(function: &ItemFn) -> Result<TokenStream> {
    let name = &function.sig.ident;
    let value = merge_argument(function)?;
    let returned = returned(function, quote! { #name(left, right) });
    let run = quote_spanned! {value.span()=> ::gleaner_sdk::entry::run_merge::<#value, _> };
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
