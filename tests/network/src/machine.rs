//! One machine: what a person at it does.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use end_to_end::{Answer, Gleaner, Process};
use tempfile::TempDir;

use crate::lan::Namespace;

/// A machine with an address, a data folder and the program. What is done on it is printed, so
/// that a test's output is the transcript of a session.
pub struct Machine {
    gleaner: Gleaner,
    folder: TempDir,
    address: String,
    namespace: Namespace,
}

impl Machine {
    pub(crate) fn new(gleaner: &Gleaner, namespace: Namespace, address: String) -> Result<Self> {
        let gleaner = gleaner.behind(&namespace.launcher());
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        Ok(Self { gleaner, folder, address, namespace })
    }

    /// Its address, without the prefix.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A folder of its own, for whatever is to be put there.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The program's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Gives it another address, as a router does overnight.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn move_to(&mut self, address: &str) -> Result<()> {
        self.namespace.ip(&["addr", "flush", "dev", "eth0", "scope", "global"])?;
        self.namespace.ip(&["addr", "add", &format!("{address}/24"), "dev", "eth0"])?;
        self.address = address.to_owned();
        Ok(())
    }

    /// Runs a command of the program's that must succeed and gives what it printed.
    ///
    /// # Errors
    /// When it fails, with its own words.
    pub fn tell(&self, arguments: &[&str]) -> Result<String> {
        let answer = self.ask(arguments)?;
        if answer.code != 0 {
            bail!("`gleaner {}` failed, {}: {}", arguments.join(" "), answer.status, answer.stderr);
        }
        Ok(answer.stdout)
    }

    /// Runs a command of the program's and gives its answer, whatever it is.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub fn ask(&self, arguments: &[&str]) -> Result<Answer> {
        println!("{}$ gleaner {}", self.address, shortened(arguments));
        let answer = self.gleaner.ask(&self.data(), arguments)?;
        print!("{}{}", answer.stdout, answer.stderr);
        Ok(answer)
    }

    /// As [`Machine::tell`], for what is asked again and again: not printed.
    ///
    /// # Errors
    /// When it fails, with its own words.
    pub fn quietly(&self, arguments: &[&str]) -> Result<String> {
        self.gleaner.tell(&self.data(), arguments)
    }

    /// Starts a command that runs until it is stopped.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, name: &str, arguments: &[&str]) -> Result<Process> {
        println!("{}$ gleaner {} &", self.address, shortened(arguments));
        let mut command = self.gleaner.command(&self.data());
        command.args(arguments);
        self.run(name, &mut command)
    }

    /// Starts a command at a terminal of its own (`script`, of every Linux), at which `typed` is
    /// typed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_typing(&self, name: &str, arguments: &[&str], typed: &str) -> Result<Process> {
        println!("{}$ gleaner {} &    (and types {typed})", self.address, shortened(arguments));
        let mut gleaner = self.gleaner.command(&self.data());
        gleaner.args(arguments);
        let words = std::iter::once(gleaner.get_program()).chain(gleaner.get_args());
        let words: Vec<_> = words.map(|word| quoted(&word.to_string_lossy())).collect();
        let line =
            format!("printf '{typed}\\n' | script -qec {} /dev/null", quoted(&words.join(" ")));
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(line);
        self.run(name, &mut shell)
    }

    fn run(&self, name: &str, command: &mut Command) -> Result<Process> {
        Process::start(name, command, &self.folder.path().join(format!("{name}.log")))
    }
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The arguments with a ticket's middle left out, for people.
fn shortened(arguments: &[&str]) -> String {
    let short = |word: &&str| match word.len() {
        0..=80 => (*word).to_owned(),
        _ => format!("{}…", &word[..16]),
    };
    arguments.iter().map(short).collect::<Vec<_>>().join(" ")
}
