//! The `gleaner` program and what its commands answer.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{Answer, Output, read_output};

/// The longest that a command of a test may take: a whole reduced job on a loaded machine.
const COMMAND_LIMIT: Duration = Duration::from_secs(180);

/// The `gleaner` program.
#[derive(Clone)]
pub struct Gleaner {
    program: PathBuf,
    /// A command that runs it, word by word; none for the program itself.
    launcher: Vec<String>,
}

impl Gleaner {
    /// The program that was built with this test, or the one that `GLEANER_BIN` names.
    ///
    /// # Errors
    /// When it is not there; says how to build it.
    pub fn find() -> Result<Self> {
        let program = match env::var_os("GLEANER_BIN") {
            Some(program) => PathBuf::from(program),
            None => profile_folder()?.join("gleaner"),
        };
        Self::at(&program)
    }

    /// The program at `program`.
    ///
    /// # Errors
    /// When it is not there; says how to build it.
    pub fn at(program: &Path) -> Result<Self> {
        if !program.is_file() {
            bail!(
                "there is no program {}: build it with `cargo xtask test`, \
                 or name one in GLEANER_BIN",
                program.display()
            );
        }
        Ok(Self { program: program.to_owned(), launcher: Vec::new() })
    }

    /// The same program, run by the command `launcher`, which takes it as its last arguments.
    #[must_use]
    pub fn behind(&self, launcher: &[&str]) -> Self {
        let launcher = launcher.iter().map(|word| (*word).to_owned()).collect();
        Self { launcher, ..self.clone() }
    }

    /// A command of the program's on the data folder `data`, free of the user's settings.
    pub fn command(&self, data: &Path) -> Command {
        let mut command = match self.launcher.split_first() {
            None => Command::new(&self.program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.program);
                command
            }
        };
        without_settings(&mut command);
        command.arg("--data").arg(data);
        command
    }

    /// A shell that is told `line`, in which `gleaner` is this program, on the data folder `data`.
    ///
    /// # Errors
    /// When the program lies in no folder.
    pub fn shell(&self, data: &Path, line: &str) -> Result<Command> {
        let folder = self.program.parent().context("a program lies in a folder")?;
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([folder.to_owned()].into_iter().chain(env::split_paths(&path)))?;
        let mut shell = Command::new("sh");
        without_settings(&mut shell);
        shell.args(["-c", line]).env("PATH", path).env("GLEANER_DATA", data);
        Ok(shell)
    }

    /// Runs a job without any server and gives its output.
    ///
    /// # Errors
    /// When the job does not succeed, with the program's own words.
    pub fn run(&self, manifest: &Path) -> Result<Output> {
        let data = tempfile::tempdir().context("cannot make a folder")?;
        let output = data.path().join("output");
        let text = |path: &Path| path.to_str().map(str::to_owned).context("a path is text");
        self.tell(data.path(), &["run", &text(manifest)?, "-o", &text(&output)?])?;
        read_output(&output)
    }

    /// Runs a command to its end and gives its answer, whatever it is. Files that it writes without
    /// being told where go with the call.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub fn ask(&self, data: &Path, arguments: &[&str]) -> Result<Answer> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let mut command = self.command(data);
        Answer::of(command.args(arguments).current_dir(folder.path()), COMMAND_LIMIT)
    }

    /// Runs a command that must succeed and gives what it printed.
    ///
    /// # Errors
    /// When it fails, with its own words.
    pub fn tell(&self, data: &Path, arguments: &[&str]) -> Result<String> {
        let answer = self.ask(data, arguments)?;
        if answer.code != 0 {
            let words = arguments.join(" ");
            bail!("`gleaner {words}` failed, {}: {}", answer.status, answer.stderr);
        }
        Ok(answer.stdout)
    }

    /// Runs a command with `--json` that must succeed and gives what it printed.
    ///
    /// # Errors
    /// When it fails, with its own words, or does not print JSON.
    pub fn tell_json(&self, data: &Path, arguments: &[&str]) -> Result<serde_json::Value> {
        let text = self.tell(data, &[arguments, &["--json"]].concat())?;
        serde_json::from_str(&text)
            .with_context(|| format!("`gleaner {}` printed {text:?}", arguments.join(" ")))
    }
}

fn without_settings(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("GLEANER_") {
            command.env_remove(name);
        }
    }
}

/// The folder of the workspace, where the example jobs lie.
pub fn workspace_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folder that Cargo builds programs of this profile into; tests lie one deeper.
pub(crate) fn profile_folder() -> Result<PathBuf> {
    let program = env::current_exe().context("cannot find this program")?;
    let folder = program.parent().context("a program lies in a folder")?;
    let is_test = folder.ends_with("deps");
    let folder = if is_test { folder.parent().context("deps/ lies in a folder")? } else { folder };
    Ok(folder.to_owned())
}
