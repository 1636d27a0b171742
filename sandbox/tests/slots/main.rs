//! Slots and compiling children as they are used: real processes, started from this very program.
#![allow(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod behaviour;
mod compiling;
mod guests;
mod processes;
mod stage;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let subcommand = arguments.peek().and_then(|word| word.to_str()).unwrap_or_default().to_owned();
    match subcommand.as_str() {
        "slot" => gleaner_sandbox::slot_main(arguments.skip(1)),
        "compile" => gleaner_sandbox::compile_main(arguments.skip(1)),
        "stand-in" => processes::stand_in(arguments.skip(1)),
        _ => libtest_mimic::run(&Arguments::from_args(), trials()).exit_code(),
    }
}

fn trials() -> Vec<Trial> {
    let mut trials = behaviour::trials();
    trials.extend(compiling::trials());
    trials.extend(processes::trials());
    trials
}
