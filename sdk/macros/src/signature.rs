//! Which functions can be tasks, merges and splits, and in what words others are refused.

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Error, FnArg, ItemFn, Result, ReturnType, Type};

/// What a task or a split function takes.
pub(crate) enum TaskArguments {
    /// Nothing.
    None,
    /// The context.
    Context,
    /// The input.
    Input(Type),
    /// The input and the context.
    InputAndContext(Type),
}

/// What a task, or a split, takes.
///
/// # Errors
/// When it is no plain function, or takes something else.
pub(crate) fn task_arguments(function: &ItemFn, kind: &str) -> Result<TaskArguments> {
    check_plain(function, kind)?;
    match argument_types(function)?.as_slice() {
        [] => Ok(TaskArguments::None),
        [only] if is_context(only)? => Ok(TaskArguments::Context),
        [input] => check_input(input).map(TaskArguments::Input),
        [input, context] => {
            let input = check_input(input)?;
            if !is_context(context)? {
                return Err(Error::new(
                    context.span(),
                    format!(
                        "the second argument of a {kind} is `context: &Context`; \
                         put the fields of the input into one struct"
                    ),
                ));
            }
            Ok(TaskArguments::InputAndContext(input))
        }
        [_, _, extra, ..] => Err(Error::new(
            extra.span(),
            format!(
                "a {kind} takes its input and `context: &Context`, no more; \
                 put the fields of the input into one struct"
            ),
        )),
    }
}

/// What a split takes: what a task does.
///
/// # Errors
/// When it is no plain function, takes something else, or gives nothing back.
pub(crate) fn split_arguments(function: &ItemFn) -> Result<TaskArguments> {
    let arguments = task_arguments(function, "split")?;
    if matches!(function.sig.output, ReturnType::Default) {
        return Err(Error::new(
            function.sig.ident.span(),
            "a split gives back the stage's items: `-> Vec<Item>`, where `Item` is a struct",
        ));
    }
    Ok(arguments)
}

/// The type of both arguments of a merge.
///
/// # Errors
/// When it is no plain function, or takes something else than two values of one type.
pub(crate) fn merge_argument(function: &ItemFn) -> Result<Type> {
    check_plain(function, "merge")?;
    if matches!(function.sig.output, ReturnType::Default) {
        return Err(Error::new(
            function.sig.ident.span(),
            "a merge gives back what it combined: `fn combine(a: T, b: T) -> T`",
        ));
    }
    match argument_types(function)?.as_slice() {
        [left, right] if is_same(left, right) => check_input(left),
        [_, right] => Err(Error::new(
            right.span(),
            "both arguments of a merge have the same type, that of the task's output",
        )),
        _ => Err(Error::new(
            function.sig.paren_token.span.join(),
            "a merge takes two values: `fn combine(a: T, b: T) -> T`",
        )),
    }
}

fn check_plain(function: &ItemFn, kind: &str) -> Result<()> {
    let signature = &function.sig;
    let refuse = |at: proc_macro2::Span, what: &str| {
        Err(Error::new(at, format!("a {kind} is a plain function: {what}")))
    };
    if let Some(token) = &signature.asyncness {
        return refuse(token.span(), "there is nothing to wait for in a slot, remove `async`");
    }
    if let syn::Safety::Unsafe(token) = &signature.safety {
        return refuse(token.span(), "remove `unsafe`");
    }
    if let Some(abi) = &signature.abi {
        return refuse(abi.span(), "the export is generated, remove `extern`");
    }
    if !signature.generics.params.is_empty() {
        return refuse(
            signature.generics.span(),
            "it is called by its name, without type arguments",
        );
    }
    if let Some(variadic) = &signature.variadic {
        return refuse(variadic.span(), "it has a fixed number of arguments");
    }
    Ok(())
}

fn argument_types(function: &ItemFn) -> Result<Vec<Type>> {
    function
        .sig
        .inputs
        .iter()
        .map(|argument| match argument {
            FnArg::Typed(argument) => Ok((*argument.ty).clone()),
            FnArg::Receiver(receiver) => Err(Error::new(
                receiver.span(),
                "a method cannot be called by its name alone: make it a function",
            )),
        })
        .collect()
}

/// Whether an argument is the context, by its written name: `&Context` with any path before it.
fn is_context(argument: &Type) -> Result<bool> {
    match argument {
        Type::Reference(reference) if names_context(&reference.elem) => {
            match reference.mutability {
                None => Ok(true),
                Some(token) => Err(Error::new(
                    token.span(),
                    "the context is shared: write `context: &Context`, without `mut`",
                )),
            }
        }
        Type::Path(_) if names_context(argument) => Err(Error::new(
            argument.span(),
            "the context is lent for the call: write `context: &Context`",
        )),
        _ => Ok(false),
    }
}

/// Whether two types are written alike.
fn is_same(left: &Type, right: &Type) -> bool {
    left.to_token_stream().to_string() == right.to_token_stream().to_string()
}

fn names_context(argument: &Type) -> bool {
    let Type::Path(path) = argument else { return false };
    path.path.segments.last().is_some_and(|segment| segment.ident == "Context")
}

fn check_input(input: &Type) -> Result<Type> {
    match input {
        Type::Reference(_) => Err(Error::new(
            input.span(),
            "a function owns its input: take it by value, without `&`",
        )),
        Type::ImplTrait(_) => Err(Error::new(
            input.span(),
            "the type of the input decides how it is read: name it instead of `impl`",
        )),
        input if names_context(input) => Err(Error::new(
            input.span(),
            "the context is the last argument, and lent: write `context: &Context`",
        )),
        input => Ok(input.clone()),
    }
}
