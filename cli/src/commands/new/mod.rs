//! `gleaner new`: a task crate that builds, tests and runs as it is.
//!
//! The SDK goes into the crate, as `vendor/gleaner-sdk`: the crate then builds on any machine that
//! it is copied or cloned to, with no registry but that of the SDK's own dependencies, and goes on
//! giving the same bytes when Gleaner here has become a newer one.

mod files;
mod sdk;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;

use super::Context;
use crate::failure::{Exit, Hinted};

/// What `gleaner new` is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The crate's name: lower-case letters, digits, `-` and `_`
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The folder to make [default: NAME]
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
}

/// The longest name of a crate: the registry's own limit.
const NAME_BYTES_MAX: usize = 64;

/// Names that mean something else to Rust: crates that are always there, Cargo's own folders and
/// words, the SDK, and keywords (The Rust Reference, "Keywords").
#[rustfmt::skip]
const RESERVED: &[&str] = &[
    "alloc", "core", "proc_macro", "std", "test", "build", "deps", "examples", "incremental",
    "gleaner_sdk", "gleaner_sdk_macros", "serde",
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Makes a task crate.
pub fn run(context: &Context, arguments: Arguments) -> Result<Exit> {
    let Arguments { name, path } = arguments;
    check_name(&name)?;
    let folder = path.unwrap_or_else(|| PathBuf::from(&name));
    make_folder(&folder)?;
    if let Err(error) = write(&folder, &files::of(&name)) {
        // It was made above, so nothing of the user's is in it.
        let _ = fs::remove_dir_all(&folder);
        return Err(error);
    }
    let value = json!({ "name": name, "folder": folder.display().to_string() });
    context.printer.result(&value, || {
        let folder = folder.display();
        vec![
            format!("made {folder}: a task, a merge, their tests, and a job of 100 items"),
            format!("next: cd {folder} && cargo test && gleaner build && gleaner run job.toml"),
        ]
    })?;
    Ok(Exit::Done)
}

/// Refuses what cannot name a crate, a module and a job alike.
fn check_name(name: &str) -> Result<()> {
    let refuse = |why: &str, hint: &str| {
        Err(Hinted::new(format!("{name:?} cannot name a task crate: {why}"), hint.into()).into())
    };
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    let rule = format!(
        "use 1 to {NAME_BYTES_MAX} lower-case letters a to z, digits, `-` and `_`, a letter first"
    );
    if name.is_empty() {
        return refuse("it is empty", &rule);
    }
    if name.len() > NAME_BYTES_MAX {
        return refuse(&format!("it has {} characters", name.len()), &rule);
    }
    if let Some(bad) = name.chars().find(|&c| !is_allowed(c)) {
        return refuse(&format!("it holds {bad:?}"), &rule);
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return refuse("it does not start with a letter", &rule);
    }
    if RESERVED.contains(&name.replace('-', "_").as_str()) {
        return refuse("the word is taken in Rust", "choose another, such as \"my-task\"");
    }
    Ok(())
}

fn make_folder(folder: &Path) -> Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let line = format!("{folder:?} is there already");
            let hint = "choose another name, or another folder with --path DIR";
            Err(Hinted::new(line, hint.into()).into())
        }
        made => made.with_context(|| format!("cannot make the folder {folder:?}")),
    }
}

fn write(folder: &Path, files: &[(String, String)]) -> Result<()> {
    for (name, text) in files {
        let path = folder.join(name);
        let parent = path.parent().expect("a file lies in a folder");
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("cannot write {path:?}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::failure::describe;

    fn check(name: &str, expected: Expect) {
        let failure = describe(&check_name(name).expect_err(name));
        expected.assert_eq(&format!("{}\n{}", failure.line, failure.hint.unwrap_or_default()));
    }

    #[test]
    fn names_that_fit_are_taken() {
        for name in ["pi", "my-task", "a_b", "x2", &"a".repeat(64)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn names_that_do_not_are_refused_with_the_rule() {
        check(
            "Pi",
            expect![[r#"
                "Pi" cannot name a task crate: it holds 'P'
                use 1 to 64 lower-case letters a to z, digits, `-` and `_`, a letter first"#]],
        );
        check(
            "../pi",
            expect![[r#"
                "../pi" cannot name a task crate: it holds '.'
                use 1 to 64 lower-case letters a to z, digits, `-` and `_`, a letter first"#]],
        );
        check(
            "2pi",
            expect![[r#"
                "2pi" cannot name a task crate: it does not start with a letter
                use 1 to 64 lower-case letters a to z, digits, `-` and `_`, a letter first"#]],
        );
        check(
            "gleaner-sdk",
            expect![[r#"
                "gleaner-sdk" cannot name a task crate: the word is taken in Rust
                choose another, such as "my-task""#]],
        );
        for name in ["", "ünï", "a b", "crate", "std", &"a".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
