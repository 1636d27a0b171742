//! A page of the manual: what `--help` says, in the sections that manuals have.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::failure::Exit;

/// What of the environment commands heed, and why.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("GLEANER_DATA", "The data folder, where --data names none."),
    (
        "XDG_DATA_HOME",
        "The folder that the data folder `gleaner` lies in, where neither names one; \
         ~/.local/share if it is not set.",
    ),
    (
        "TMPDIR",
        "Where `gleaner run`, `gleaner test` and dry runs keep what they need until they end; /tmp \
         if it is not set.",
    ),
    (
        "RUST_LOG",
        "What is logged to stderr, such as `info` or `gleaner_worker=debug`; --verbose adds nothing \
         then.",
    ),
    ("USER", "Who `gleaner coordinator init` says runs the project, where --operator does not."),
    (
        "RUSTC",
        "The compiler that `gleaner build` and `gleaner test` look at for the target wasm32, where \
         it is not the first `rustc` in PATH.",
    ),
];

/// The page of `command`, which was built whole.
///
/// # Errors
/// None that memory does not give.
pub fn of(command: &Command) -> io::Result<Vec<u8>> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (words, examples) = parts(&help);
    let with_heading = command.clone().subcommand_help_heading("COMMANDS");
    let source = format!("gleaner {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(with_heading).source(source).manual("Gleaner");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    synopsis(command).to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    paragraphs(&words).to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.get_subcommands().any(|below| !below.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    as_typed(&examples).to_writer(&mut page)?;
    exit_status().to_writer(&mut page)?;
    environment().to_writer(&mut page)?;
    see_also(command).to_writer(&mut page)?;
    Ok(page)
}

/// What stands below a command's help: words, and the lines of examples. The exit codes have a
/// section of their own on every page.
fn parts(help: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut words, mut examples) = (Vec::new(), Vec::new());
    for block in help.split("\n\n").filter(|block| !block.is_empty()) {
        match block.split_once('\n') {
            Some((head, lines)) if head.starts_with("Example") => examples.extend(lines.lines()),
            Some((head, _)) if head.starts_with("Exit codes") => {}
            _ => words.extend(block.lines()),
        }
    }
    (words, examples)
}

fn synopsis(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let rest = usage.strip_prefix(name).unwrap_or(usage);
    let mut roff = section("SYNOPSIS");
    roff.text([bold(name), roman(rest)]);
    roff
}

fn paragraphs(words: &[&str]) -> Roff {
    let mut roff = Roff::new();
    for line in words {
        roff.control("PP", []).text([roman(*line)]);
    }
    roff
}

fn as_typed(lines: &[&str]) -> Roff {
    let mut roff = section("EXAMPLES");
    roff.control("nf", []);
    for line in lines {
        roff.text([roman(*line)]);
    }
    roff.control("fi", []);
    roff
}

fn exit_status() -> Roff {
    let mut roff = section("EXIT STATUS");
    for exit in Exit::ALL {
        entry(&mut roff, &(exit as u8).to_string(), exit.words());
    }
    roff
}

fn environment() -> Roff {
    let mut roff = section("ENVIRONMENT");
    for (name, words) in ENVIRONMENT {
        entry(&mut roff, name, words);
    }
    roff
}

/// The pages of the commands that `command` is below.
fn see_also(command: &Command) -> Roff {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let words: Vec<_> = name.split(' ').collect();
    if words.len() == 1 {
        return Roff::new();
    }
    let above = (1..words.len()).map(|count| format!("{}(1)", words[..count].join("-")));
    let mut roff = section("SEE ALSO");
    roff.text([roman(above.collect::<Vec<_>>().join(", "))]);
    roff
}

fn section(heading: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [heading]);
    roff
}

fn entry(roff: &mut Roff, name: &str, words: &str) {
    roff.control("TP", []).text([bold(name)]).text([roman(words)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_parted_into_words_and_examples() {
        let help = "One.\nTwo.\n\nExit codes:\n  0  done\n\nExamples, of two:\n  a\n  b";
        assert_eq!(parts(help), (vec!["One.", "Two."], vec!["  a", "  b"]));
        assert_eq!(parts(""), (vec![], vec![]));
    }
}
