//! What can be said on the command line.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::commands::{
    build, check, coordinator, logs, manual, new, priority, project, results, retry, rm, run,
    schema, submit, submitter, test, units, use_project, why, worker,
};
use crate::failure::Exit;
use crate::logging::Audience;
use crate::operands::Job;

/// Where help shows the options that are no command's own.
const EVERY_COMMAND: &str = "Options of every command";

/// Turns idle computers into one large, trustworthy computer.
#[derive(Debug, Parser)]
#[command(name = "gleaner", version, after_help = overview(), max_term_width = 100)]
pub struct Arguments {
    /// The data folder; `coordinator/` and `worker/` lie in it [default: what GLEANER_DATA says, or
    /// gleaner in the user's data folder]
    #[arg(
        long,
        value_name = "DIR",
        global = true,
        hide_default_value = true,
        help_heading = EVERY_COMMAND
    )]
    pub data: Option<PathBuf>,
    /// Speak to this project, once; `local` is the coordinator of this machine [default: the one
    /// in use, see `gleaner use`]
    #[arg(
        long,
        value_name = "NAME",
        global = true,
        hide_default_value = true,
        help_heading = EVERY_COMMAND
    )]
    pub project: Option<String>,
    /// Print JSON, for programs
    #[arg(long, global = true, help_heading = EVERY_COMMAND)]
    pub json: bool,
    /// Log more to stderr; twice for each attempt, three times for each message (RUST_LOG has the
    /// last word)
    #[arg(short, long, action = clap::ArgAction::Count, global = true, help_heading = EVERY_COMMAND)]
    pub verbose: u8,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make, start, share and look after a project's coordinator
    #[command(
        subcommand,
        after_help = "Example:\n  gleaner coordinator init --name planets\n  gleaner coordinator start"
    )]
    Coordinator(coordinator::Command),
    /// Lend this machine to projects
    #[command(subcommand, after_help = "Example:\n  gleaner worker join gleaner1…")]
    Worker(worker::Command),
    /// Look after a project's key
    #[command(subcommand, after_help = "Example:\n  gleaner project sign --valid 365d")]
    Project(project::Command),
    /// Choose the project that jobs are submitted to
    #[command(after_help = "Without an argument: list the projects, the one in use marked.\n\n\
                      Example:\n  gleaner use gleaner1…\n  gleaner use planets\n  gleaner use local")]
    Use(use_project::Arguments),
    /// Show the key by which coordinators elsewhere know you
    #[command(subcommand, after_help = "Example:\n  gleaner submitter key")]
    Submitter(submitter::Command),
    /// Hand a job to the coordinator
    #[command(after_help = "Examples:\n  gleaner submit job.toml --dry-run\n  \
                      gleaner submit job.toml --wait\n  \
                      gleaner submit job.toml --name fine --set stage.search.parameters.oversampling=16.0")]
    Submit(submit::Arguments),
    /// List the jobs, newest first
    #[command(after_help = "Example:\n  gleaner jobs")]
    Jobs,
    /// Print the schema of what programs read and write
    #[command(after_help = "Examples:\n  gleaner schema > job.schema.json\n  \
                              gleaner schema --api > gleaner-api.json")]
    Schema(schema::Arguments),
    /// List the workers that are connected
    #[command(after_help = "Example:\n  gleaner workers")]
    Workers,
    /// Say where a job stands
    #[command(after_help = "Example:\n  gleaner status job-7")]
    Status(Job),
    /// Follow a job until it ends
    #[command(
        after_help = "On a terminal: a page that is kept up to date; p pauses the job, q leaves the page.\n\
                      Elsewhere: a line now and then. With --json: one line of JSON for each \
                      change.\n\nExample:\n  gleaner watch job-7"
    )]
    Watch(Job),
    /// Fetch a job's results: its output, what failed, what made it
    #[command(
        after_help = "Outputs are put into DIR/STAGE/NAME, each whole and verified or not at all; \
                      beside them failed.csv, a row for each item that gave no output, and \
                      provenance.json, what made these bytes.\n\n\
                      A job that still runs is refused. Of one that failed or was cancelled, the \
                      outputs of the stages that were done are fetched, and the exit code is 3 or \
                      4. With --force, another job's outputs that lie there unchanged are removed, \
                      so that provenance.json names all there is.\n\n\
                      With --partial, which works at any time, stages that are not done have a \
                      preview of what is settled, called NAME.partial.EXTENSION, and gaps.csv says \
                      what is missing. Fetched again, files of the same job are brought up to \
                      date.\n\n\
                      Examples:\n  gleaner results job-7 -o planets\n  \
                      gleaner results job-7 -o planets --partial"
    )]
    Results(results::Arguments),
    /// List a job's units: where each stands, who has it, how its attempts ended
    #[command(
        after_help = "Units that wait are told as runs. Of the items that failed, ten of each unit are \
                      named; `gleaner results` puts all into failed.csv. With --json: one line of \
                      JSON for each unit.\n\n\
                      Examples:\n  gleaner units job-7\n  gleaner units planets --failed"
    )]
    Units(units::Arguments),
    /// Print what the tasks of a unit logged
    #[command(
        after_help = "Each attempt that came back has its own log, of 64 KiB at most. A task that \
                      is ended from outside, as at its time limit, leaves none.\n\n\
                      Example:\n  gleaner logs unit-7.42"
    )]
    Logs(logs::Arguments),
    /// Say why a job, a unit or a worker is as it is
    #[command(after_help = "Examples:\n  gleaner why job-7\n  gleaner why unit-7.42\n  \
                      gleaner why worker-abcdef")]
    Why(why::Arguments),
    /// Hand nothing of a job out until it is resumed
    #[command(
        after_help = "Units that run may finish, and their results count. A job stays paused over \
                      restarts of the coordinator.\n\nExample:\n  gleaner pause job-7"
    )]
    Pause(Job),
    /// Let a paused job go on
    #[command(after_help = "Example:\n  gleaner resume job-7")]
    Resume(Job),
    /// Order a job among your own: higher goes first
    #[command(
        after_help = "A job gets nothing as long as one of a higher priority has units to hand \
                      out; equal ones share.\n\nExample:\n  gleaner priority job-7 10"
    )]
    Priority(priority::Arguments),
    /// End a job
    #[command(after_help = "Example:\n  gleaner cancel job-7")]
    Cancel(Job),
    /// Take a job that failed, was cancelled or lacks items up again, by a new job
    #[command(
        after_help = "The new job is the old one's again: the same inputs, the same work. It takes \
                      over the answers that the old one has and computes what is missing; a unit \
                      of which an item failed is computed again, whole. The old job stays as it \
                      is. A repeat gives the same new job; once that one has ended, it can be \
                      retried itself, by its own id. A name means the newest job that has it: \
                      that is the new one, which a repeat tells of while it runs and retries once \
                      it has ended.\n\n\
                      What follows from the inputs alone fails again in the same words: an earlier \
                      stage's output that cannot be cut, outputs that the reducer does not take, an \
                      item that fails everywhere. Mend it and submit the job anew: the answers that \
                      the change does not touch are taken over.\n\n\
                      Example:\n  gleaner retry job-7 --wait"
    )]
    Retry(retry::Arguments),
    /// Remove jobs that have ended: outputs, answers, logs, and the files that no other job uses
    #[command(
        after_help = "A job that runs is cancelled first. On a terminal it asks before it removes. \
                      Answers that a later job took over stay as long as that one does. A job's \
                      number never names another job, and its submission is not taken again.\n\n\
                      Example:\n  gleaner rm job-7 --yes"
    )]
    Rm(rm::Arguments),
    /// Run a job on this machine alone, with no server: the same bytes come out
    #[command(
        after_help = "DIR gets what `gleaner results` puts there; of a job that failed too, with the \
                      outputs of the stages done before. Until the job has ended all is in a \
                      temporary folder (below TMPDIR): Ctrl-C ends it, and keeps nothing. What must \
                      outlive that is for `gleaner submit`.\n\n\
                      Example:\n  gleaner run job.toml -o planets"
    )]
    Run(run::Arguments),
    /// Make a task crate: a Rust crate with a function for many computers, and its job
    #[command(after_help = "Example:\n  gleaner new pi\n  \
                            cd pi && cargo test && gleaner build && gleaner run job.toml")]
    New(new::Arguments),
    /// Compile a task crate to the WebAssembly module that workers run
    #[command(
        after_help = "The module goes where the crate's job.toml expects it. What cannot be compiled \
                      is told in Cargo's own words.\n\nExamples:\n  gleaner build\n  \
                      gleaner build pi -- --offline"
    )]
    Build(build::Arguments),
    /// Say what a module or a job offers, or why it is refused
    #[command(after_help = "Examples:\n  gleaner check pi.wasm\n  gleaner check job.toml")]
    Check(check::Arguments),
    /// Run a few items of a job again and again: the same bytes must come out
    #[command(
        after_help = "Each function runs in slots, twice and cut into other units, and natively, \
                      where floats may differ by a tolerance. Items that fail where the job goes \
                      on without them are named, and the exit code is 6.\n\nExamples:\n  \
                      gleaner test\n  \
                      gleaner test job.toml --items 30 --after search=planets/search/search.csv"
    )]
    Test(test::Arguments),
    /// Write the manual's pages and completions for shells into a folder
    #[command(hide = true, after_help = "Example:\n  gleaner manual share")]
    Manual(manual::Arguments),
}

/// The exit codes, and how to begin.
fn overview() -> String {
    let codes = Exit::ALL.map(|exit| format!("  {}  {}\n", exit as u8, exit.words()));
    format!(
        "Exit codes:\n{}\nExample, on one machine without a server:\n  \
         gleaner run jobs/planets/job.toml -o planets",
        codes.concat()
    )
}

impl Arguments {
    /// Refuses what each argument allows and together makes no sense.
    ///
    /// # Errors
    /// As the parser's own.
    pub fn check(self) -> Result<Self, clap::Error> {
        if self.project.is_some() && self.command.is_of_this_machine() {
            let words = "--project is for commands that speak to a project";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, words));
        }
        Ok(self)
    }
}

impl Command {
    /// Whether it concerns this machine, whichever project is in use.
    fn is_of_this_machine(&self) -> bool {
        matches!(
            self,
            Self::Coordinator(_)
                | Self::Worker(_)
                | Self::Project(_)
                | Self::Use(_)
                | Self::Submitter(_)
                | Self::Run(_)
                | Self::New(_)
                | Self::Build(_)
                | Self::Check(_)
                | Self::Manual(_)
                | Self::Schema(_)
                | Self::Test(_)
        )
    }

    /// Who reads its log, at first: one that joins a project tells of it before it works.
    pub fn audience(&self) -> Audience {
        match self {
            Self::Coordinator(coordinator::Command::Start(_))
            | Self::Worker(worker::Command::Start(_)) => Audience::Service,
            Self::Run(_) => Audience::Whole,
            _ => Audience::Command,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_defined() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{} has no example", command.get_name());
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }

    #[test]
    fn no_command_takes_an_option_of_every_command_for_its_own() {
        fn check(command: &clap::Command, global: &[String]) {
            for argument in command.get_arguments().filter(|argument| !argument.is_global_set()) {
                let id = argument.get_id().to_string();
                assert!(!global.contains(&id), "`{}` has its own `{id}`", command.get_name());
            }
            command.get_subcommands().for_each(|below| check(below, global));
        }
        let command = Arguments::command();
        let global: Vec<_> = command
            .get_arguments()
            .filter(|argument| argument.is_global_set())
            .map(|argument| argument.get_id().to_string())
            .collect();
        command.get_subcommands().for_each(|below| check(below, &global));
    }
}
