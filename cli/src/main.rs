//! `gleaner`: the one program for submitters, volunteers, task authors and operators.
//!
//! `main` → [`run`] → one file for each command in [`commands`]; [`printer`] alone prints, and what
//! it prints of strangers' words is escaped. The libraries below have typed errors; here they end
//! as one line that names what, where and the limit, one line with what to do, and an exit code
//! ([`failure::Exit`]). Deliberately absent: any logic that another program could want.

mod allocator;
mod arguments;
mod commands;
mod data_folder;
mod descriptors;
mod downloads;
mod failure;
mod logging;
mod operands;
mod output_folder;
mod page;
mod printer;
mod signals;
mod task_crate;
mod words;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::arguments::Arguments;
use crate::commands::Context;
use crate::failure::Exit;
use crate::printer::{Form, PrintError, Printer};

fn main() -> ExitCode {
    allocator::give_large_blocks_back();
    // Slots and compilers run locked down, with an empty environment and a stranger's code: they
    // are told apart before anything else is set up.
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(OsStr::to_str) {
        Some("slot") => return gleaner_sandbox::slot_main(arguments.collect::<Vec<OsString>>()),
        Some("compile") => {
            return gleaner_sandbox::compile_main(arguments.collect::<Vec<OsString>>());
        }
        _ => {}
    }
    descriptors::ask_for_enough();
    match Arguments::try_parse().and_then(Arguments::check) {
        Ok(arguments) => run(arguments).into(),
        Err(usage) => printer::usage(&usage).into(),
    }
}

fn run(arguments: Arguments) -> Exit {
    let printer = Printer::new(if arguments.json { Form::Json } else { Form::Text });
    let ended = start(arguments, printer);
    match ended {
        Ok(exit) => exit,
        // Whoever read the output has seen enough.
        Err(error) if PrintError::is_closed(&error) => Exit::Done,
        Err(error) => {
            let failure = failure::describe(&error);
            printer.failure(&failure.line, failure.hint.as_deref());
            failure.exit
        }
    }
}

fn start(arguments: Arguments, printer: Printer) -> Result<Exit> {
    logging::start(arguments.verbose, arguments.command.audience());
    let data = data_folder::find(arguments.data)?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let context = Context::new(data, arguments.project, program, printer);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let ended = runtime.block_on(commands::run(&context, arguments.command));
    runtime.block_on(context.close());
    ended
}
