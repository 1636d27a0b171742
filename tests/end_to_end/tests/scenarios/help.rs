//! Every example of the program's help, typed as it stands there.
//!
//! Each command's examples are run in order in a place of their own, in which what they name is to
//! be had: a crate, a manifest, a project with a worker, jobs. Their names there take the place of
//! the help's. Services stay on the loopback interface and are stopped once they say that they
//! work. Commands are found in the help itself, so that a new one is run too.

mod place;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::{Answer, Gleaner, Process, Swarm, wait_until};

use self::place::{Jobs, Place};

/// The longest that an example may take: one compiles, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(600);

/// What cannot be run here, and why.
const NOT_RUN: [(&str, &str); 1] = [(
    "gleaner test job.toml --items 30 --after search=planets/search/search.csv",
    "compiles the example `planets` natively, for minutes",
)];

/// Services: how a line begins, what keeps it on this machine, and what it says when it works.
const SERVICES: [(&str, &str, &str); 3] = [
    ("gleaner coordinator start", "--loopback --port 0 --api-port 0", "next: "),
    ("gleaner worker join", "--loopback --yes", "welcome"),
    ("gleaner worker start", "--loopback", "welcome"),
];

#[test]
fn every_example_of_the_help_works() -> Result<()> {
    let gleaner = Gleaner::find()?;
    let mut commands = vec![Vec::new(), vec!["manual".to_owned()]];
    add_commands(&gleaner, &[], &mut commands)?;
    ensure!(commands.len() > 30, "the help lists commands in another way now: {commands:?}");
    let swarm = Swarm::with_workers(&[1])?;
    let jobs = Jobs::new(&swarm)?;
    let mut not_run = NOT_RUN.map(|(line, _)| line).to_vec();
    for command in commands {
        let examples = examples(&help(&gleaner, &command)?);
        ensure!(!examples.is_empty(), "`gleaner {}` has no example", command.join(" "));
        let place = Place::new(&swarm, &jobs, &command)?;
        for line in examples {
            if let Some(at) = not_run.iter().position(|known| *known == line) {
                not_run.remove(at);
                continue;
            }
            run(&place, &line).with_context(|| {
                format!("the example `{line}` of `gleaner {}`", command.join(" "))
            })?;
        }
        place.end()?;
    }
    ensure!(not_run.is_empty(), "no help has {not_run:?} any more");
    swarm.stop()
}

fn run(place: &Place<'_>, line: &str) -> Result<()> {
    let service = SERVICES.iter().find(|(begin, ..)| line.starts_with(begin));
    let Some((_, options, works)) = service else {
        let answer = Answer::of(&mut place.shell(line)?, LIMIT)?;
        ensure!(answer.code == 0, "{answer:?}");
        return Ok(());
    };
    let mut shell = place.shell(&format!("exec {line} {options}"))?;
    let mut process = Process::start("service", &mut shell, &place.log())?;
    wait_until(works, LIMIT, || {
        ensure!(process.ended()?.is_none(), "it has ended");
        Ok(process.log().contains(works).then_some(()))
    })
    .with_context(|| process.log())?;
    process.stop(LIMIT)
}

fn help(gleaner: &Gleaner, command: &[String]) -> Result<String> {
    let words: Vec<_> = command.iter().map(String::as_str).chain(["--help"]).collect();
    gleaner.tell(&std::env::temp_dir(), &words)
}

/// Adds the commands below `command`, each before those below it.
fn add_commands(
    gleaner: &Gleaner,
    command: &[String],
    commands: &mut Vec<Vec<String>>,
) -> Result<()> {
    let help = help(gleaner, command)?;
    let list = help.split_once("\nCommands:\n").map_or("", |(_, list)| list);
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    for name in names.filter(|name| !name.is_empty() && *name != "help") {
        let below = [command, &[name.to_owned()]].concat();
        commands.push(below.clone());
        add_commands(gleaner, &below, commands)?;
    }
    Ok(())
}

/// The lines below the word `Example`, each whole.
fn examples(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| !line.starts_with("Example")).skip(1);
    let mut examples = Vec::<String>::new();
    let mut is_whole = true;
    for line in lines.map_while(|line| line.strip_prefix("  ")) {
        let (text, goes_on) = match line.trim().strip_suffix('\\') {
            Some(text) => (text, true),
            None => (line.trim(), false),
        };
        match examples.last_mut() {
            Some(last) if !is_whole => *last += text,
            _ => examples.push(text.to_owned()),
        }
        is_whole = !goes_on;
    }
    examples
}

#[test]
fn examples_are_the_lines_below_the_word() {
    let help =
        "Does it.\n\nExamples, of two:\n  gleaner a\n  gleaner b \\\n    --c\n\nOptions:\n  -h";
    assert_eq!(examples(help), ["gleaner a", "gleaner b --c"]);
    assert!(examples("Does it.\n").is_empty());
}
